"""Triton: attention over chosen tokens of the paged cache, for decoding and for prefill.

A unit is a block of neighbouring queries of one sequence that share a selection: one query when
decoding, 16 to 64 in prefill, so that the rows of a matrix product are full. The chosen tokens
are dealt out to splits, whose partial results `merge_kernel` joins.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def attend_kernel(
    q_UNHD,  # the queries of each unit
    at_UN,  # int32: the last key that a query sees
    index_UK,  # int32, ascending, -1 where there is none
    table_UP,  # int32: the pages of each unit's sequence
    kv,  # the layer's pages, bfloat16
    out_SUNHD,  # out, float32, for each split
    lse_SUNH,  # out, float32
    K,
    P,
    scale,
    N: tl.constexpr,  # queries of a unit
    H: tl.constexpr,
    G: tl.constexpr,
    D: tl.constexpr,
    ROWS: tl.constexpr,  # N · H / G, padded
    TOKENS: tl.constexpr,
    PAGE: tl.constexpr,
    UPCAST: tl.constexpr,  # the interpreter's dot of bfloat16 is wrong
):
    """Let all heads of one key head and unit look at one split of the chosen tokens."""
    u = tl.program_id(0).to(tl.int64)
    g, split = tl.program_id(1), tl.program_id(2)
    splits, units = tl.num_programs(2), tl.num_programs(0)
    R: tl.constexpr = H // G
    row, dim = tl.arange(0, ROWS), tl.arange(0, D)
    n, head = row // R, g * R + row % R
    is_row = row < N * R
    head_row = (u * N + n) * H + head
    q = tl.load(q_UNHD + head_row[:, None] * D + dim[None, :], mask=is_row[:, None], other=0.0)
    at = tl.load(at_UN + u * N + n, mask=is_row, other=-1)
    if UPCAST:
        q = q.to(tl.float32)

    most = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    out = tl.zeros((ROWS, D), tl.float32)
    share = tl.cdiv(tl.cdiv(K, TOKENS), splits) * TOKENS
    for from_ in range(split * share, tl.minimum(split * share + share, K), TOKENS):
        place = from_ + tl.arange(0, TOKENS)
        token = tl.load(index_UK + u * K + place, mask=place < K, other=-1)
        is_token = token >= 0
        page = tl.load(table_UP + u * P + token // PAGE, mask=is_token, other=0).to(tl.int64)
        at_row = (page * PAGE + token % PAGE) * (2 * G * D) + g * D
        where = kv + at_row[:, None] + dim[None, :]
        key = tl.load(where, mask=is_token[:, None], other=0.0)
        value = tl.load(where + G * D, mask=is_token[:, None], other=0.0)
        if UPCAST:
            key, value = key.to(tl.float32), value.to(tl.float32)
        logit = tl.dot(q, tl.trans(key)) * scale
        seen = is_token[None, :] & (token[None, :] <= at[:, None])
        logit = tl.where(seen, logit, float("-inf"))
        higher = tl.maximum(most, tl.max(logit, 1))
        pivot = tl.where(higher == float("-inf"), 0.0, higher)
        weight = tl.exp(logit - pivot[:, None])
        faded = tl.exp(most - pivot)
        total = total * faded + tl.sum(weight, 1)
        out = out * faded[:, None] + tl.dot(weight.to(value.dtype), value)
        most = higher

    safe = tl.where(total > 0.0, total, 1.0)
    out = out / safe[:, None]
    lse = tl.where(total > 0.0, most + tl.log(safe), float("-inf"))
    to = (split.to(tl.int64) * units * N * H) + head_row
    tl.store(out_SUNHD + to[:, None] * D + dim[None, :], out, mask=is_row[:, None])
    tl.store(lse_SUNH + to, lse, mask=is_row)


@triton.jit
def merge_kernel(
    out_SQD,  # float32: what each split saw, for each query and head
    lse_SQ,
    merged_QD,  # out
    merged_lse_Q,  # out
    S,
    D: tl.constexpr,
    SPLITS: tl.constexpr,  # S, padded to a power of two
):
    """Join the splits of one query and head."""
    q, queries = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    split, dim = tl.arange(0, SPLITS), tl.arange(0, D)
    is_split = split < S
    lse = tl.load(lse_SQ + split * queries + q, mask=is_split, other=float("-inf"))
    most = tl.max(lse, 0)
    share = tl.exp(lse - tl.where(most == float("-inf"), 0.0, most))
    total = tl.sum(share, 0)
    part = tl.load(
        out_SQD + (split * queries + q)[:, None] * D + dim[None, :],
        mask=is_split[:, None],
        other=0.0,
    )
    safe = tl.where(total > 0.0, total, 1.0)
    out = tl.sum(part * share[:, None], 0) / safe
    tl.store(merged_QD + q * D + dim, out.to(merged_QD.dtype.element_ty))
    tl.store(merged_lse_Q + q, tl.where(total > 0.0, most + tl.log(safe), float("-inf")))
