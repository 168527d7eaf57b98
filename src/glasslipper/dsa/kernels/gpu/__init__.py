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

import torch
import triton
from torch import Tensor

from glasslipper.dsa.attend import Attended
from glasslipper.dsa.cache import RUN, Store
from glasslipper.dsa.pages import PAGE
from glasslipper.dsa.select import Selection

from .attend import attend_kernel, merge_kernel
from .divergence import divergence_kernel
from .keep import keep_kernel
from .score import score_kernel

TILE = 1024
_FEW = 64  # rows that do not fill a GPU by themselves
_SPLIT = 8192  # scores that one program reads when there are few rows
_PROGRAMS = 512  # enough to fill a GPU


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
    start: int,
    count: int,
    *,
    rows: int | None = None,
    columns: int | None = None,
) -> Tensor:
    """Return the scores (B, T, count) of the keys from `start` on; -inf where not seen.

    A tile has `rows` queries and `columns` keys; the outcome is the same for any.
    """
    batch, queries, heads, width = codes_BTJI.shape
    rows = rows or (16 if queries <= 16 else 64)
    columns = columns or (64 if queries <= 16 else 128)
    out = torch.empty((batch, queries, count), dtype=torch.float32, device=codes_BTJI.device)
    grid = (triton.cdiv(queries, rows), triton.cdiv(count, columns), batch)
    score_kernel[grid](
        codes_BTJI,
        weight_BTJ,
        at_BT,
        store.index[layer].view(torch.int8),
        store.index[layer].view(torch.float32),
        table_BP,
        out,
        queries,
        table_BP.shape[1],
        start,
        count,
        store.layout.index_page_bytes,
        J=heads,
        I=width,
        ROWS=rows,
        COLUMNS=columns,
        PAGE=PAGE,
        RUN=RUN,
        enable_fp_fusion=False,
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
    chunk: int = 16384,
    rows: int = 4096,
    visible: int | None = None,
) -> Selection:
    """Choose k keys for each query of each sequence; the same sets as `select.top_k`.

    With a block of more queries than one, which must divide them, one set for each block, as
    `select.block_top_k` does. `visible` is the most keys that a query sees, where the caller
    knows; asking the GPU for it costs a wait.

    At most `rows` queries of a sequence and `chunk` keys are scored at a time. With few rows
    all their keys are, dealt out to many programs, and what those keep is joined.
    Returns index and score of shape (B, T / block, K).
    """
    if at_BT.shape[1] % block or rows % block or (block > 1 and k <= block):
        raise ValueError(f"blocks of {block} do not fit {at_BT.shape[1]} queries and budget {k}")
    parts = [
        _top_k(store, layer, table_BP, codes, weight, at, k, block, chunk, visible)
        for codes, weight, at in zip(
            codes_BTJI.split(rows, 1), weight_BTJ.split(rows, 1), at_BT.split(rows, 1), strict=True
        )
    ]
    return Selection(
        torch.cat([part.index_TK for part in parts], 1),
        torch.cat([part.score_TK for part in parts], 1),
    )


def _top_k(
    store: Store,
    layer: int,
    table_BP: Tensor,
    codes_BTJI: Tensor,
    weight_BTJ: Tensor,
    at_BT: Tensor,
    k: int,
    block: int,
    chunk: int,
    visible: int | None,
) -> Selection:
    codes_BTJI, weight_BTJ = codes_BTJI.contiguous(), weight_BTJ.contiguous()
    at_BT = at_BT.to(torch.int32).contiguous()
    batch, blocks = at_BT.shape[0], at_BT.shape[1] // block
    visible = int(at_BT.max()) + 1 if visible is None else visible
    is_few = batch * blocks < _FEW
    chunk, splits = (visible, triton.cdiv(visible, _SPLIT)) if is_few else (chunk, 1)
    held = _Held(batch * blocks, splits, k, at_BT.device)
    for start in range(0, visible, chunk):
        count = min(chunk, visible - start)
        scores = score(store, layer, table_BP, codes_BTJI, weight_BTJ, at_BT, start, count)
        scores = scores.view(batch * blocks, block, count)
        best_RC = scores[:, 0] if block == 1 else scores.amax(1)
        held.take(best_RC, None, start, is_last=start + count == visible)
    if splits > 1:
        apart, held = held, _Held(batch * blocks, 1, k, at_BT.device)
        index_RC, score_RC = apart.kept()
        held.take(score_RC, index_RC, 0, is_last=True)
    index_RK, score_RK = held.kept()
    return Selection(index_RK.view(batch, blocks, -1), score_RK.view(batch, blocks, -1))


class _Held:
    """The best candidates so far, of each row and each split of its columns."""

    def __init__(self, rows: int, splits: int, k: int, device: torch.device) -> None:
        self._k, self._splits = k, splits
        self._room = max(2 * TILE, triton.next_power_of_2(k + TILE))
        shape = (rows * splits, self._room)
        self._score = torch.empty(shape, dtype=torch.float32, device=device)
        self._index = torch.empty(shape, dtype=torch.int32, device=device)
        self._count = torch.zeros(shape[0], dtype=torch.int32, device=device)
        self._least = torch.full((shape[0],), float("-inf"), device=device)

    def take(self, score_RC: Tensor, index_RC: Tensor | None, start: int, *, is_last: bool) -> None:
        """Take the next columns, in ascending order of index."""
        rows, columns = score_RC.shape
        keep_kernel[rows, self._splits](
            score_RC,
            score_RC if index_RC is None else index_RC,
            self._score,
            self._index,
            self._count,
            self._least,
            start,
            columns,
            triton.cdiv(columns, self._splits),
            self._k,
            int(is_last),
            ROOM=self._room,
            TILE=TILE,
            HAS_INDEX=index_RC is not None,
        )

    def kept(self) -> tuple[Tensor, Tensor]:
        """Return index and score, the splits of a row side by side, filled up with -1 and -inf."""
        place = torch.arange(self._k, device=self._count.device)
        is_there = place < self._count[:, None]
        index = torch.where(is_there, self._index[:, : self._k], -1)
        score = torch.where(is_there, self._score[:, : self._k], float("-inf"))
        width = self._k * self._splits
        return index.view(-1, width), score.view(-1, width)


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
    sequence, whose table is repeated. Returns (U·N, H, D) and (U·N, H).
    """
    units, block, heads, width = q_UNHD.shape
    groups, budget = store.layout.key_heads, index_UK.shape[1]
    if heads % groups:
        raise ValueError(f"{heads} query heads are no multiple of {groups} key heads")
    splits = splits or max(1, min(triton.cdiv(budget, 256), _PROGRAMS // (units * groups)))
    queries = units * block * heads
    out = torch.empty((splits, queries, width), dtype=torch.float32, device=q_UNHD.device)
    lse = torch.empty((splits, queries), dtype=torch.float32, device=q_UNHD.device)
    attend_kernel[units, groups, splits](
        q_UNHD.to(torch.bfloat16).contiguous(),
        at_UN.to(torch.int32).contiguous(),
        index_UK.contiguous(),
        table_UP.contiguous(),
        store.kv[layer],
        out,
        lse,
        budget,
        table_UP.shape[1],
        width**-0.5 if scale is None else scale,
        N=block,
        H=heads,
        G=groups,
        D=width,
        ROWS=max(16, triton.next_power_of_2(block * heads // groups)),
        TOKENS=64,
        PAGE=PAGE,
        UPCAST=is_interpreted(),
    )
    merged = torch.empty((queries, width), dtype=q_UNHD.dtype, device=q_UNHD.device)
    merged_lse = torch.empty(queries, dtype=torch.float32, device=q_UNHD.device)
    merge_kernel[queries,](
        out, lse, merged, merged_lse, splits, D=width, SPLITS=triton.next_power_of_2(splits)
    )
    return Attended(merged.view(-1, heads, width), merged_lse.view(-1, heads))


def divergence(score_TS: Tensor, teacher_TS: Tensor) -> tuple[Tensor, Tensor]:
    """Return KL(teacher ‖ softmax(score)) of each query (T), and its gradient (T, S)."""
    score_TS, teacher_TS = score_TS.float().contiguous(), teacher_TS.float().contiguous()
    count, keys = score_TS.shape
    loss_T = torch.empty(count, dtype=torch.float32, device=score_TS.device)
    gradient_TS = torch.empty_like(score_TS)
    divergence_kernel[count,](score_TS, teacher_TS, loss_T, gradient_TS, keys, TILE=TILE)
    return loss_T, gradient_TS
