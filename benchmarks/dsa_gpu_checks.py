"""What must hold of the Triton kernels before their times mean anything, and what both need.

Scores and sets are held against the plain path, bit by bit; attention and the loss against
float64; replays against each other. Runs on a GPU, or in Triton's interpreter on the CPU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from glasslipper.dsa import attend, codes, select
from glasslipper.dsa.cache import Layout, Store
from glasslipper.dsa.codes import Queries
from glasslipper.dsa.kernels import gpu
from glasslipper.dsa.pages import PAGE

DEVICE = "cpu" if gpu.is_interpreted() else "cuda"
MOST_ERROR = 1e-2
"""Of attention in bfloat16, beside float64 on the same bfloat16 keys and values of size one."""


class Shape(NamedTuple):
    """What is checked: so many tokens and queries, a budget, and the sizes of a layer."""

    length: int
    queries: int
    k: int
    heads: int
    groups: int
    width: int
    index_heads: int
    index_dim: int
    block: int


SHAPES = {
    "small": Shape(6000, 64, 512, 8, 2, 64, 4, 64, 16),
    "8B": Shape(20_000, 64, 2048, 32, 8, 128, 4, 64, 16),
    "V3.2 index": Shape(20_000, 64, 512, 2, 1, 32, 64, 128, 16),
}
TINY = {"tiny": Shape(200, 4, 40, 4, 2, 32, 3, 32, 4)}


def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, device=DEVICE).to(dtype)


def filled(
    length: int, batch: int, *, index_dim: int, groups: int, width: int
) -> tuple[Store, Tensor]:
    """Return a store with `batch` random sequences, and their tables."""
    pages = -(-length // PAGE)
    layout = Layout(key_heads=groups, head_dim=width, index_dim=index_dim)
    store = Store(layout, layers=1, pages=pages * batch, device=DEVICE)
    order = torch.randperm(pages * batch, device=DEVICE).to(torch.int32)
    tables = order.view(batch, pages)
    for b in range(batch):
        for start in range(0, length, 1 << 16):
            count = min(1 << 16, length - start)
            k, v = drawn(count, groups, width), drawn(count, groups, width)
            store.write(0, tables[b], start, k, v, codes.encode_keys(drawn(count, index_dim)))
    return store, tables


def asked(count: int, heads: int, width: int) -> Queries:
    """Return encoded random index queries (T, J, I), made a part at a time: they are large."""
    parts = [
        codes.encode_queries(drawn(some, heads, width), drawn(some, heads))
        for some in (min(8192, count - i) for i in range(0, count, 8192))
    ]
    return Queries(*(torch.cat(x) for x in zip(*parts, strict=True)))


def check(shape: Shape) -> dict[str, object]:
    """Count scores and sets that differ from the plain path, and tell errors beside float64."""
    length, k, block = shape.length, shape.k, shape.block
    store, tables = filled(
        length, 2, index_dim=shape.index_dim, groups=shape.groups, width=shape.width
    )
    each = [asked(shape.queries, shape.index_heads, shape.index_dim) for _ in range(2)]
    stacked = [torch.stack(x) for x in zip(*each, strict=True)]
    at = torch.randint(length // 2, length, (2, shape.queries), device=DEVICE, dtype=torch.int32)
    at = at.sort(-1).values
    ours = gpu.top_k(store, 0, tables, *stacked, at, k, chunk=max(64, length // 3))
    shared = gpu.top_k(store, 0, tables, *stacked, at, k, block=block)
    scores = gpu.score(store, 0, tables, *stacked, at, length)
    different_scores = different_sets = 0
    errors: list[float] = []
    q = drawn(2, shape.queries, shape.heads, shape.width, dtype=torch.bfloat16)
    for b in range(2):
        keys = store.keys(0, tables[b], length)
        hidden = torch.arange(length, device=DEVICE) > at[b][:, None]
        theirs = codes.score(each[b], keys).masked_fill(hidden, float("-inf"))
        different_scores += int((scores[b] != theirs).sum())
        chosen = select.top_k(each[b], keys, k, at[b])
        in_blocks = select.block_top_k(each[b], keys, k, at[b], block=block)
        for mine, plain in ((ours, chosen), (shared, in_blocks)):
            different_sets += int((mine.index_TK[b] != plain.index_TK).any(-1).sum())
        errors += _attention_errors(store, tables[b], q[b], at[b], chosen, in_blocks, shape)
    return {
        "different_scores": different_scores,
        "different_sets": different_sets,
        "attention_error": max(errors),
        **loss_errors(length),
    }


def _attention_errors(
    store: Store,
    table_P: Tensor,
    q_THD: Tensor,
    at_T: Tensor,
    chosen: select.Selection,
    in_blocks: select.Selection,
    shape: Shape,
) -> list[float]:
    """Return the largest errors of decoding (a unit a query) and of prefill by blocks."""
    places = torch.arange(shape.length, device=DEVICE)
    k_SGD, v_SGD = (x.double() for x in store.rows(0, table_P, places))
    errors: list[float] = []
    for block, index_UK in ((1, chosen.index_TK), (shape.block, in_blocks.index_TK)):
        units = shape.queries // block
        seen = gpu.attend(
            store,
            0,
            table_P.expand(units, -1),
            q_THD.float().view(units, block, shape.heads, shape.width),
            at_T.view(units, block),
            index_UK.contiguous(),
        )
        exact = attend.attend_blocks(q_THD.double(), k_SGD, v_SGD, index_UK, at_T, block=block)
        errors.append(float((seen.out_THV.double() - exact.out_THV).abs().max()))
    return errors


def loss_errors(length: int) -> dict[str, float]:
    """Return the largest errors of the indexer's loss and of its gradient."""
    score, teacher = drawn(4, length), torch.rand(4, length, device=DEVICE) ** 8
    loss, gradient = gpu.divergence(score, teacher)
    p = teacher.double() / teacher.double().sum(-1, keepdim=True)
    guess = torch.log_softmax(score.double(), -1)
    exact = (p * (p.clamp(min=1e-300).log() - guess)).sum(-1)
    return {
        "loss_error": float((loss - exact).abs().max()),
        "gradient_error": float((gradient - (guess.exp() - p)).abs().max()),
    }


def replays(shape: Shape, count: int) -> dict[str, int]:
    """Count replays, in changing batches, that choose other keys or see another bit."""
    store, tables = filled(
        shape.length, 4, index_dim=shape.index_dim, groups=shape.groups, width=shape.width
    )
    each = [asked(1, shape.index_heads, shape.index_dim) for _ in range(4)]
    stacked = [torch.stack(x) for x in zip(*each, strict=True)]
    at = torch.full((4, 1), shape.length - 1, device=DEVICE, dtype=torch.int32)
    q = drawn(4, 1, shape.heads, shape.width, dtype=torch.bfloat16)

    def run(mix: Tensor) -> tuple[select.Selection, Tensor]:
        some, table = [x[mix].contiguous() for x in stacked], tables[mix].contiguous()
        chosen = gpu.top_k(store, 0, table, *some, at[mix], shape.k)
        index = chosen.index_TK[:, 0].contiguous()
        return chosen, gpu.attend(store, 0, table, q[mix], at[mix], index).out_THV

    first, first_out = run(torch.arange(4, device=DEVICE))
    sets = bits = 0
    for i in range(count):
        mix = torch.randperm(4, device=DEVICE)[: 1 + i % 4]
        again, out = run(mix)
        sets += int(not torch.equal(again.index_TK, first.index_TK[mix]))
        same_scores = torch.equal(again.score_TK, first.score_TK[mix])
        bits += int(not (same_scores and torch.equal(out, first_out[mix])))
    return {"replays": count, "different_sets": sets, "different_bits": bits}


def is_right(found: object | None) -> bool:
    """Tell whether nothing differs, and the rest is as near as its numbers allow."""
    if not isinstance(found, dict):
        return False
    exact = not any(value for name, value in found.items() if name.startswith("different"))
    errors = [value for name, value in found.items() if name.endswith("_error")]
    return exact and all(error < MOST_ERROR for error in errors)
