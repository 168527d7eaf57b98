"""Triton kernels for GPUs from sm_80 to sm_120, and how they are launched.

No instruction of one architecture is assumed; integers are int8, floats bfloat16. Everything
here also runs on the CPU under `TRITON_INTERPRET=1`, slowly, which is how it is tested where
there is no GPU. `compile` builds for an architecture that is not there.
Letters: B sequences, T queries of each, J index heads, I index dimensions, H heads, G key
heads, D their width, K budget, P pages of a table.
"""

# Triton's own types take a launch for a call of the kernel.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import math

import torch
import triton
from torch import Tensor

from glasslipper.dsa.attend import Attended
from glasslipper.dsa.cache import RUN, Store
from glasslipper.dsa.pages import PAGE
from glasslipper.dsa.select import Selection

from .attend import attend_kernel, locate_kernel, merge_kernel
from .divergence import divergence_kernel
from .pick import MOST, pick_kernel
from .score import score_kernel, score_one_kernel

TILE = 1024
_ROWS = 64  # queries that are scored by one program
_SCORE_BYTES = 128 << 20  # of scores that are held at a time
_PICKERS = 128  # programs that fill a GPU with picking
_SPAN = 1 << 14  # columns that such a program holds in registers without spilling
_SHARE = 256  # chosen tokens that one program attends to when decoding


def is_interpreted() -> bool:
    """Tell whether kernels run in Triton's interpreter."""
    return bool(triton.knobs.runtime.interpret)


def score(
    store: Store,
    layer: int,
    table_BP: Tensor,
    codes_BTJI: Tensor,
    weight_BTJ: Tensor,
    at_BT: Tensor,
    count: int,
    *,
    block: int = 1,
    columns: int | None = None,
) -> Tensor:
    """Return the scores (B, T / block, count) of the first keys; -inf where not seen.

    A block has the best scores that any of its queries has; 64 must be a multiple of it. One
    program scores `columns` keys, a power of two from 16 on; the outcome is the same for any.
    """
    return _score(store, layer, table_BP, codes_BTJI, weight_BTJ, at_BT, count, block, columns)[
        ..., :count
    ]


def _score(
    store: Store,
    layer: int,
    table_BP: Tensor,
    codes_BTJI: Tensor,
    weight_BTJ: Tensor,
    at_BT: Tensor,
    count: int,
    block: int,
    columns: int | None,
) -> Tensor:
    """Score, with columns of -inf after the last key, so that rows begin at round addresses."""
    batch, queries, heads, width = codes_BTJI.shape
    stride = _rounded(count)
    shape = (batch, queries // block, stride)
    out = torch.empty(shape, dtype=torch.float32, device=codes_BTJI.device)
    pages = store.index[layer].view(torch.int8), store.index[layer].view(torch.float32)
    asked = codes_BTJI, weight_BTJ, at_BT, *pages, table_BP, out
    numbers = table_BP.shape[1], count, stride, store.layout.index_page_bytes
    constants = {"J": heads, "I": width, "PAGE": PAGE, "RUN": RUN, "enable_fp_fusion": False}
    columns = columns or 128
    if queries == 1:
        grid = (triton.cdiv(stride, columns), batch)
        score_one_kernel[grid](*asked, *numbers, COLUMNS=columns, num_warps=2, **constants)
    else:
        rows = 16 if queries <= 16 and block <= 16 else _ROWS
        grid = (triton.cdiv(queries, rows), triton.cdiv(stride, columns), batch)
        score_kernel[grid](
            *asked, queries, *numbers, BLOCK=block, ROWS=rows, COLUMNS=columns, **constants
        )
    return out


def top_k(
    store: Store,
    layer: int,
    table_BP: Tensor,
    codes_BTJI: Tensor,
    weight_BTJ: Tensor,
    at_BT: Tensor,
    k: int,
    *,
    block: int = 1,
    chunk: int | None = None,
    rows: int | None = None,
    visible: int | None = None,
) -> Selection:
    """Choose k keys for each query of each sequence; the same sets as `select.top_k`.

    With a block of more queries than one, which must divide them, one set for each block, as
    `select.block_top_k` does. `visible` is the most keys that a query sees, where the caller
    knows; asking the GPU for it costs a wait.

    `rows` queries of a sequence are scored at a time, with all the keys that they see; from
    `chunk` keys at a time the best are picked, and from those the best again. Without them,
    both are what fits memory and fills a GPU. Returns index and score of shape (B, T / block, K).

    Raises:
        ValueError: When the block does not fit the queries or the budget, or when more keys are
            to be chosen than fit one program twice.
    """
    batch, queries = at_BT.shape
    seen = table_BP.shape[1] * PAGE if visible is None else visible
    rows = rows or _rows_at_once(batch, seen, block)
    if queries % block or rows % block or (block > 1 and k <= block):
        raise ValueError(f"blocks of {block} do not fit {queries} queries and budget {k}")
    if not 0 < k <= MOST // 2:
        raise ValueError(f"a GPU chooses from 1 to {MOST // 2} keys, not {k}")
    at_BT = at_BT.to(torch.int32)
    shape = (batch, queries // block, k)
    index = torch.empty(shape, dtype=torch.int32, device=at_BT.device)
    best = torch.empty(shape, dtype=torch.float32, device=at_BT.device)
    parts = range(0, queries, rows)
    many = _last_seen(at_BT, rows) if visible is None else [visible] * len(parts)
    for first, count in zip(parts, many, strict=True):
        asked = [x[:, first : first + rows].contiguous() for x in (codes_BTJI, weight_BTJ, at_BT)]
        # Blocks that a program holds whole are reduced by it, others here.
        inner = block if _ROWS % block == 0 else 1
        scores = _score(store, layer, table_BP, *asked, max(count, 1), inner, None)
        if inner < block:
            scores = scores.unflatten(1, (-1, block)).amax(2)
        _pick(scores, k, chunk, *(x[:, first // block :] for x in (index, best)))
    return Selection(index, best)


def _rows_at_once(batch: int, seen: int, block: int) -> int:
    """Return how many queries of a sequence are scored together."""
    whole = math.lcm(block, _ROWS)
    held = _SCORE_BYTES // (4 * batch * _rounded(seen))
    return max(1, held * (block if _ROWS % block == 0 else 1) // whole) * whole


def _last_seen(at_BT: Tensor, rows: int) -> list[int]:
    """Return, for each part of the queries, how many keys they see."""
    last_T = at_BT.amax(0)
    padded = torch.nn.functional.pad(last_T, (0, -len(last_T) % rows), value=-1)
    return (padded.view(-1, rows).amax(1) + 1).tolist()


def _pick(
    score_BUC: Tensor, k: int, chunk: int | None, index_BUK: Tensor, best_BUK: Tensor
) -> None:
    """Write the k best of each row, over rounds that leave fewer and fewer candidates."""
    batch, blocks, columns = score_BUC.shape
    count = batch * blocks
    score_RC, index_RC = score_BUC, None
    least = triton.next_power_of_2(2 * k)  # so that every round leaves half at most
    is_many = count >= _PICKERS
    span = chunk or (_SPAN if is_many else max(columns * count // _PICKERS, 2 * least))
    while True:
        splits = triton.cdiv(columns, max(_rounded(min(span, _SPAN)), least))
        share = _rounded(triton.cdiv(columns, splits))
        picked, at, places = best_BUK, index_BUK, (blocks, index_BUK.stride(0) // k)
        if splits > 1:
            picked = torch.empty((count, splits * k), dtype=torch.float32, device=at.device)
            at, places = torch.empty_like(picked, dtype=torch.int32), (count, count)
        width = triton.next_power_of_2(share)
        warps = warps_to_pick(width, is_many=is_many)
        pick_kernel[count, splits](
            score_RC,
            score_RC if index_RC is None else index_RC,
            picked,
            at,
            columns,
            share,
            k,
            *places,
            WIDTH=width,
            TILE=min(width, 512 * warps),
            KEPT=triton.next_power_of_2(k),
            HAS_INDEX=index_RC is not None,
            num_warps=warps,
        )
        if splits == 1:
            return
        score_RC, index_RC, columns, span = picked, at, splits * k, chunk or _SPAN


def warps_to_pick(width: int, *, is_many: bool) -> int:
    """Return how many warps hold so many columns: few, where many rows fill the GPU."""
    return max(4, min(width // (4096 if is_many else 1024), 8))


def _rounded(count: int) -> int:
    return triton.cdiv(count, 64) * 64


def attend(
    store: Store,
    layer: int,
    table_UP: Tensor,
    q_UNHD: Tensor,
    at_UN: Tensor,
    index_UK: Tensor,
    *,
    scale: float | None = None,
    splits: int | None = None,
) -> Attended:
    """Attend with one selection for each unit, a block of N neighbouring queries.

    When decoding a unit is a sequence and N = 1; in prefill the units are the blocks of one
    sequence, whose table may be expanded. How many splits there are never depends on the
    number of units: sums are rounded alike in any batch. Returns (U·N, H, D) and (U·N, H).
    """
    units, block, heads, width = q_UNHD.shape
    groups, budget = store.layout.key_heads, index_UK.shape[1]
    if heads % groups:
        raise ValueError(f"{heads} query heads are no multiple of {groups} key heads")
    splits = splits or (triton.cdiv(budget, _SHARE) if block == 1 else 1)
    queries, device = units * block * heads, q_UNHD.device
    index_UK = index_UK.contiguous()
    table_UP = table_UP if table_UP.stride(1) == 1 else table_UP.contiguous()
    row_UK = torch.empty_like(index_UK)
    locate_kernel[units, triton.cdiv(budget, TILE)](
        index_UK, table_UP, row_UK, budget, table_UP.stride(0), TOKENS=TILE, PAGE=PAGE
    )
    dtype = q_UNHD.dtype if splits == 1 else torch.float32
    out = torch.empty((splits, queries, width), dtype=dtype, device=device)
    lse = torch.empty((splits, queries), dtype=torch.float32, device=device)
    attend_kernel[units, groups, splits](
        q_UNHD.to(torch.bfloat16).contiguous(),
        at_UN.to(torch.int32).contiguous(),
        index_UK,
        row_UK,
        store.kv[layer],
        out,
        lse,
        budget,
        width**-0.5 if scale is None else scale,
        N=block,
        H=heads,
        G=groups,
        D=width,
        ROWS=max(16, triton.next_power_of_2(block * heads // groups)),
        TOKENS=64,
        UPCAST=is_interpreted(),
        num_stages=2 if block == 1 else 3,
    )
    if splits > 1:
        parts, parts_lse = out, lse
        out = torch.empty((queries, width), dtype=q_UNHD.dtype, device=device)
        lse = torch.empty(queries, dtype=torch.float32, device=device)
        padded = triton.next_power_of_2(splits)
        merge_kernel[queries,](parts, parts_lse, out, lse, splits, D=width, SPLITS=padded)
    return Attended(out.view(-1, heads, width), lse.view(-1, heads))


def divergence(score_TS: Tensor, teacher_TS: Tensor) -> tuple[Tensor, Tensor]:
    """Return KL(teacher ‖ softmax(score)) of each query (T), and its gradient (T, S)."""
    score_TS, teacher_TS = score_TS.float().contiguous(), teacher_TS.float().contiguous()
    count, keys = score_TS.shape
    loss_T = torch.empty(count, dtype=torch.float32, device=score_TS.device)
    gradient_TS = torch.empty_like(score_TS)
    divergence_kernel[count,](score_TS, teacher_TS, loss_T, gradient_TS, keys, TILE=TILE)
    return loss_T, gradient_TS
