"""Triton: index scores of a span of paged keys, bit-equal to `codes.score`.

`score_kernel` takes many queries of a sequence, `score_one_kernel` a single one, as in decoding.

Dot products are exact in int32; the rest is rounded in the order that the format states, which
holds with `enable_fp_fusion=False` only. Reads the bytes that `cache` defines.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl


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
    start,  # the span's first key
    C,  # its length
    stride,  # and that of a row of scores; what is beyond the span is -inf
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
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    token = start + column
    is_row, is_column = row < T, column < C
    at = tl.load(at_BT + b * T + row, mask=is_row, other=-1)
    first = start + tl.program_id(1) * COLUMNS
    heads = tl.where(first <= tl.max(at, 0), J, 0)  # nothing to do where nobody sees anything

    page = tl.load(table_BP + b * P + token // PAGE, mask=is_column, other=0).to(tl.int64)
    place, dim = token % PAGE, tl.arange(0, I)
    run = page * page_bytes + (place // RUN) * (RUN * I) + (place % RUN) * 4
    inside = (dim // 4) * (RUN * 4) + dim % 4
    key = tl.load(index + run[None, :] + inside[:, None], mask=is_column[None, :], other=0)
    scale_at = page * (page_bytes // 4) + (PAGE * I) // 4 + place
    scale = tl.load(scales + scale_at, mask=is_column, other=0.0)

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

    is_seen = is_column[None, :] & (token[None, :] <= at[:, None])
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
    start,  # the span's first key
    C,  # its length
    stride,  # and that of a row of scores; what is beyond the span is -inf
    page_bytes,
    J: tl.constexpr,
    I: tl.constexpr,  # noqa: E741
    COLUMNS: tl.constexpr,
    PAGE: tl.constexpr,
    RUN: tl.constexpr,
):
    """Score the one query of a sequence with COLUMNS keys; sixteen heads fill a product's side."""
    b = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    token = start + column
    is_seen = (column < C) & (token <= tl.load(at_B + b))

    page = tl.load(table_BP + b * P + token // PAGE, mask=is_seen, other=0).to(tl.int64)
    place, dim = token % PAGE, tl.arange(0, I)
    run = page * page_bytes + (place // RUN) * (RUN * I) + (place % RUN) * 4
    inside = (dim // 4) * (RUN * 4) + dim % 4
    key = tl.load(index + run[:, None] + inside[None, :], mask=is_seen[:, None], other=0)
    scale_at = page * (page_bytes // 4) + (PAGE * I) // 4 + place
    scale = tl.load(scales + scale_at, mask=is_seen, other=0.0)

    total = tl.zeros((COLUMNS,), tl.float32)
    side = tl.arange(0, 16)
    for from_ in tl.static_range(0, J, 16):
        head = b * J + from_ + side
        is_head = from_ + side < J
        query = tl.load(
            codes_BJI + head[None, :] * I + dim[:, None], mask=is_head[None, :], other=0
        )
        dots = tl.dot(key, query, out_dtype=tl.int32)
        for j in tl.static_range(from_, min(from_ + 16, J)):
            dot = tl.sum(tl.where(side[None, :] == j - from_, dots, 0), 1)
            weight = tl.load(weight_BJ + b * J + j)
            total = total + weight * tl.maximum(dot, 0).to(tl.float32)
    total = tl.where(is_seen, total * scale, float("-inf"))
    tl.store(score_BC + b * stride + column, total, mask=column < stride)
