"""Triton: index scores of a span of paged keys, bit-equal to `codes.score`.

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
    score_BTC,  # out, float32: -inf where a query does not see
    T,  # queries of a sequence
    P,  # pages in a table
    start,  # the span's first key
    C,  # its length
    page_bytes,
    J: tl.constexpr,
    I: tl.constexpr,  # noqa: E741
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

    page = tl.load(table_BP + b * P + token // PAGE, mask=is_column, other=0).to(tl.int64)
    place, dim = token % PAGE, tl.arange(0, I)
    run = page * page_bytes + (place // RUN) * (RUN * I) + (place % RUN) * 4
    inside = (dim // 4) * (RUN * 4) + dim % 4
    key = tl.load(index + run[None, :] + inside[:, None], mask=is_column[None, :], other=0)
    scale_at = page * (page_bytes // 4) + (PAGE * I) // 4 + place
    scale = tl.load(scales + scale_at, mask=is_column, other=0.0)

    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for j in range(J):
        head = (b * T + row) * J + j
        query = tl.load(
            codes_BTJI + head[:, None] * I + dim[None, :], mask=is_row[:, None], other=0
        )
        weight = tl.load(weight_BTJ + head, mask=is_row, other=0.0)
        dot = tl.dot(query, key, out_dtype=tl.int32)
        total = total + weight[:, None] * tl.maximum(dot, 0).to(tl.float32)
    total = total * scale[None, :]

    total = tl.where(token[None, :] <= at[:, None], total, float("-inf"))
    out = score_BTC + (b * T + row)[:, None] * C + column[None, :]
    tl.store(out, total, mask=is_row[:, None] & is_column[None, :])
