"""Triton: attention over chosen tokens of the paged cache, for decoding and for prefill.

A unit is a block of neighbouring queries of one sequence that share a selection: one query when
decoding, 16 to 64 in prefill, so that the rows of a matrix product are full. The chosen tokens
are dealt out to splits, whose partial results `merge_kernel` joins. Softmax is computed in base
two, what is returned in base e.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def locate_kernel(
    index_UK,  # int32, -1 where there is none
    table_UP,  # int32: the pages of each unit's sequence
    row_UK,  # out, int32: the row of the layer's pages where each token lies
    K,
    stride,  # from one unit's table to the next one's
    TOKENS: tl.constexpr,
    PAGE: tl.constexpr,
):
    """Look up once where chosen tokens lie, for all heads."""
    u = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    token = tl.load(index_UK + u * K + place, mask=place < K, other=-1)
    page = tl.load(table_UP + u * stride + token // PAGE, mask=token >= 0, other=0)
    row = tl.where(token >= 0, page * PAGE + token % PAGE, -1)
    tl.store(row_UK + u * K + place, row, mask=place < K)


@triton.jit
def attend_kernel(
    q_UNHD,  # the queries of each unit
    at_UN,  # int32: the last key that a query sees
    index_UK,  # int32, ascending, -1 where there is none
    row_UK,  # int32: where each of these tokens lies
    kv,  # the layer's pages, bfloat16
    out_SUNHD,  # out, for each split
    lse_SUNH,  # out, float32
    K,
    scale,
    N: tl.constexpr,  # queries of a unit
    H: tl.constexpr,
    G: tl.constexpr,
    D: tl.constexpr,
    ROWS: tl.constexpr,  # N · H / G, padded
    TOKENS: tl.constexpr,
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
    # Of ascending tokens no more than at + 1 are seen.
    end = tl.minimum(tl.minimum(split * share + share, K), tl.max(at, 0) + 1)
    for from_ in range(split * share, end, TOKENS):
        place = u * K + from_ + tl.arange(0, TOKENS)
        is_place = from_ + tl.arange(0, TOKENS) < K
        token = tl.load(index_UK + place, mask=is_place, other=-1)
        where_ = tl.load(row_UK + place, mask=is_place, other=-1).to(tl.int64)
        is_token = where_ >= 0
        where = kv + (where_ * (2 * G * D) + g * D)[:, None] + dim[None, :]
        key = tl.load(where, mask=is_token[:, None], other=0.0)
        value = tl.load(where + G * D, mask=is_token[:, None], other=0.0)
        if UPCAST:
            key, value = key.to(tl.float32), value.to(tl.float32)
        logit = tl.dot(q, tl.trans(key)) * (scale / LN2)
        seen = is_token[None, :] & (token[None, :] <= at[:, None])
        logit = tl.where(seen, logit, float("-inf"))
        higher = tl.maximum(most, tl.max(logit, 1))
        pivot = tl.where(higher == float("-inf"), 0.0, higher)
        weight = tl.exp2(logit - pivot[:, None])
        faded = tl.exp2(most - pivot)
        total = total * faded + tl.sum(weight, 1)
        out = tl.dot(weight.to(value.dtype), value, out * faded[:, None])
        most = higher

    safe = tl.where(total > 0.0, total, 1.0)
    out = out / safe[:, None]
    lse = tl.where(total > 0.0, (most + tl.log2(safe)) * LN2, float("-inf"))
    to = (split.to(tl.int64) * units * N * H) + head_row
    at_out = out_SUNHD + to[:, None] * D + dim[None, :]
    tl.store(at_out, out.to(out_SUNHD.dtype.element_ty), mask=is_row[:, None])
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
