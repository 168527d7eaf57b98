"""Triton: index scores of paged keys, bit-equal to `codes.score`.

`score_kernel` takes many queries of a sequence, `score_one_kernel` a single one, as in decoding.
Dot products are exact in int32; the rest is rounded in the order that the format states, which
holds with `enable_fp_fusion=False` only. Reads the bytes that `cache` defines, sixteen tokens
at a time, which lie together.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def read_keys(
    index,
    scales,
    table_P,
    first,
    end,
    page_bytes,
    I: tl.constexpr,  # noqa: E741
    COLUMNS: tl.constexpr,
    PAGE: tl.constexpr,
    RUN: tl.constexpr,
):
    """Return codes (COLUMNS, I) and scales of the keys from `first` on; zeros from `end` on."""
    RUNS: tl.constexpr = COLUMNS // RUN
    run = first // RUN + tl.arange(0, RUNS)
    is_run = run * RUN < end
    page = tl.load(table_P + run // (PAGE // RUN), mask=is_run, other=0).to(tl.int64)
    run = run % (PAGE // RUN)
    at = page * page_bytes + run * (RUN * I)
    within = tl.arange(0, RUN * I)
    found = tl.load(index + at[:, None] + within[None, :], mask=is_run[:, None], other=0)
    found = tl.permute(tl.reshape(found, (RUNS, I // 4, RUN, 4)), (0, 2, 1, 3))
    scale_at = page * (page_bytes // 4) + (PAGE * I) // 4 + run * RUN
    within = tl.arange(0, RUN)
    scale = tl.load(scales + scale_at[:, None] + within[None, :], mask=is_run[:, None], other=0.0)
    return tl.reshape(found, (COLUMNS, I)), tl.reshape(scale, (COLUMNS,))


@triton.jit
def score_kernel(
    codes_BTJI,  # int8
    weight_BTJ,  # float32
    at_BT,  # int32: the last key that a query sees
    index,  # the layer's pages of index keys, as int8
    scales,  # the same bytes, as float32
    table_BP,  # int32
    score_BUC,  # out, float32: the best of a block of queries; -inf where none sees the key
    T,  # queries of a sequence
    P,  # pages in a table
    C,  # keys
    stride,  # from one row of scores to the next; what is beyond the keys is -inf
    page_bytes,
    J: tl.constexpr,
    I: tl.constexpr,  # noqa: E741
    BLOCK: tl.constexpr,  # queries of a block; ROWS holds whole blocks
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PAGE: tl.constexpr,
    RUN: tl.constexpr,
):
    """Score ROWS queries of one sequence with COLUMNS keys."""
    b = tl.program_id(2).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first = tl.program_id(1) * COLUMNS
    column = first + tl.arange(0, COLUMNS)
    is_row = row < T
    at = tl.load(at_BT + b * T + row, mask=is_row, other=-1)
    end = tl.minimum(C, tl.max(at, 0) + 1)
    heads = tl.where(first < end, J, 0)  # nothing to do where nobody sees anything
    key, scale = read_keys(
        index, scales, table_BP + b * P, first, end, page_bytes, I, COLUMNS, PAGE, RUN
    )
    key = tl.trans(key)
    dim = tl.arange(0, I)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for j in range(heads):
        head = (b * T + row) * J + j
        query = tl.load(
            codes_BTJI + head[:, None] * I + dim[None, :], mask=is_row[:, None], other=0
        )
        weight = tl.load(weight_BTJ + head, mask=is_row, other=0.0)
        dot = tl.dot(query, key, out_dtype=tl.int32)
        total = total + weight[:, None] * tl.maximum(dot, 0).to(tl.float32)
    total = total * scale[None, :]

    is_seen = (column < C)[None, :] & (column[None, :] <= at[:, None])
    total = tl.where(is_seen, total, float("-inf"))
    if BLOCK > 1:
        total = tl.max(tl.reshape(total, (ROWS // BLOCK, BLOCK, COLUMNS)), 1)
    block = tl.program_id(0) * (ROWS // BLOCK) + tl.arange(0, ROWS // BLOCK)
    blocks = T // BLOCK
    out = score_BUC + (b * blocks + block)[:, None] * stride + column[None, :]
    tl.store(out, total, mask=(block < blocks)[:, None] & (column < stride)[None, :])


@triton.jit
def score_one_kernel(
    codes_BJI,  # int8
    weight_BJ,  # float32
    at_B,  # int32: the last key that the query sees
    index,  # the layer's pages of index keys, as int8
    scales,  # the same bytes, as float32
    table_BP,  # int32
    score_BC,  # out, float32: -inf where the query does not see
    P,  # pages in a table
    C,  # keys
    stride,  # from one row of scores to the next; what is beyond the keys is -inf
    page_bytes,
    J: tl.constexpr,
    I: tl.constexpr,  # noqa: E741
    COLUMNS: tl.constexpr,
    PAGE: tl.constexpr,
    RUN: tl.constexpr,
):
    """Score the one query of a sequence with COLUMNS keys, four heads at a time.

    A matrix product has sixteen columns at least, and a thread holds the columns 2t, 2t + 1,
    2t + 8 and 2t + 9 of it for one t of four. With the four heads repeated in each of these
    quarters no thread needs what another one has.
    """
    b = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0) * COLUMNS
    end = tl.minimum(C, tl.load(at_B + b) + 1)
    key, scale = read_keys(
        index, scales, table_BP + b * P, first, end, page_bytes, I, COLUMNS, PAGE, RUN
    )
    side, dim = tl.arange(0, 16), tl.arange(0, I)
    total = tl.zeros((COLUMNS, 4), tl.float32)
    for from_ in range(0, J, 4):
        j = from_ + side // 8 * 2 + side % 2
        query = tl.load(
            codes_BJI + (b * J + j)[None, :] * I + dim[:, None], mask=(j < J)[None, :], other=0
        )
        dots = tl.dot(key, query, out_dtype=tl.int32)
        dots = tl.permute(tl.reshape(dots, (COLUMNS, 2, 4, 2)), (0, 2, 1, 3))
        even, odd = tl.split(dots)
        one, three = tl.split(even)
        two, four = tl.split(odd)
        total = weigh(total, one, weight_BJ + b * J, from_, J)
        total = weigh(total, two, weight_BJ + b * J, from_ + 1, J)
        total = weigh(total, three, weight_BJ + b * J, from_ + 2, J)
        total = weigh(total, four, weight_BJ + b * J, from_ + 3, J)
    column, quarter = first + tl.arange(0, COLUMNS), tl.arange(0, 4)
    total = tl.where((column < end)[:, None], total * scale[:, None], float("-inf"))
    out = score_BC + b * stride + column
    is_mine = (column < stride)[:, None] & (quarter == 0)[None, :]
    tl.store(out[:, None] + quarter[None, :], total, mask=is_mine)


@triton.jit
def weigh(total, dot, weight_J, j, J: tl.constexpr):
    """Add what head j says; where there is none, nothing."""
    weight = tl.load(weight_J + j, mask=j < J, other=0.0)
    return total + weight * tl.maximum(dot, 0).to(tl.float32)
