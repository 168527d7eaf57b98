"""The dense warm-up: an indexer for each layer, taught by what the dense model wrote down.

Layers are independent; each is saved when it is done, so that work that was cut short goes on.
A layer whose indexer does not beat a sliding window is said to have failed: it stays dense.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from glasslipper.dsa import teacher
from glasslipper.dsa.errors import NotANumber
from glasslipper.dsa.host import Shape
from glasslipper.dsa.indexer import DropIn, IndexShape, scores
from glasslipper.dsa.looks import SINKS, top_mask
from glasslipper.dsa.losses import index_loss
from glasslipper.dsa.optimiser import Muon
from glasslipper.dsa.teacher import Rows

BUDGETS = (64, 128, 192, 256, 384, 512, 768, 1024)
"""The budgets at which layers are measured; longer sequences have more of them."""

_RATE = 0.05
_ADAM_RATE = 3e-3
_RISING_STEPS = 20
_SEQUENCES_A_STEP = 2
_ROWS_A_SEQUENCE = 32


class Recall(NamedTuple):
    """The mean share of the dense attention that selections of one budget keep, at one layer."""

    k: int
    oracle: float
    indexer: float
    window: float


def budgets_for(length: int) -> tuple[int, ...]:
    """Return the budgets at which layers are measured on sequences of `length` tokens.

    Queries are judged that see at least half of their sequence, so the largest is that half.
    """
    most = length // 2
    if most <= BUDGETS[-1]:
        return BUDGETS
    between = (n << step for step in range(length.bit_length()) for n in (1536, 2048))
    return (*BUDGETS, *(k for k in between if k < most), most)


def index_shape(model: Shape) -> IndexShape:
    """Return the indexer's size for a model: 4 heads of 64 where the model's are 128 wide."""
    width = min(64, 1 << (model.width.bit_length() - 1))
    heads = max(2, model.width // 32)
    return IndexShape(heads=heads, width=width, rope_dims=width // 2, rope_base=model.rope_base)


def new_indexer(model: Shape, shape: IndexShape) -> DropIn:
    """Return an untaught indexer."""
    return DropIn(shape, heads=model.heads, groups=model.groups, width=model.width)


def warm_up(
    model: Shape,
    shape: IndexShape,
    *,
    rows: Path,
    out: Path,
    steps: int,
    device: torch.device | str = "cpu",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, DropIn]:
    """Return an indexer for each layer, taught by the rows in a folder.

    What lies in `out` from before is taken from there.

    Raises:
        NotANumber: A layer's loss became NaN.
    """
    out.mkdir(parents=True, exist_ok=True)
    taught: dict[int, DropIn] = {}
    for layer in range(model.layers):
        file = out / f"indexer-{layer:03d}-{steps}.safetensors"
        torch.manual_seed(layer)
        indexer = new_indexer(model, shape).to(device)
        if file.exists():
            indexer.load_state_dict(load_file(file))
        else:
            teach(indexer, teacher.read(rows, layer, device=device), steps=steps, seed=layer)
            new = file.with_suffix(".new")
            save_file(indexer.state_dict(), new)
            new.replace(file)
        taught[layer] = indexer.requires_grad_(requires_grad=False)
        on_progress(layer + 1, model.layers)
    return taught


def teach(indexer: DropIn, written: Sequence[Rows], *, steps: int, seed: int) -> float:
    """Teach one indexer for some steps and return the last loss.

    Raises:
        NotANumber: The loss became NaN.
    """
    normed = indexer.normed
    written = [
        Rows(r.at_T, normed(r.raw_q_TE), normed(r.raw_k_SF), r.teacher_TS.float()) for r in written
    ]
    matrices = [indexer.q_proj.weight, indexer.k_proj.weight]
    rest = [p for p in indexer.parameters() if all(p is not matrix for matrix in matrices)]
    muon, adam = Muon(matrices), torch.optim.Adam(rest, lr=_ADAM_RATE, betas=(0.9, 0.95))
    draw = torch.Generator().manual_seed(seed)
    last = math.nan
    for step in range(steps):
        rise = min(1.0, (step + 1) / _RISING_STEPS) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in adam.param_groups:
            group["lr"] = _ADAM_RATE * rise
        adam.zero_grad()
        loss = torch.stack([_loss(indexer, rows) for rows in _batch(written, draw)]).mean()
        last = loss.item()
        if not math.isfinite(last):
            raise NotANumber(f"The loss of layer {seed} is {last} after {step} steps.")
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        muon.step(_RATE * rise)
        adam.step()
    return last


def _drawn(count: int, draw: torch.Generator) -> list[int]:
    some = torch.randint(count, (_SEQUENCES_A_STEP,), generator=draw, device=draw.device)
    return some.tolist()


def _batch(written: Sequence[Rows], draw: torch.Generator) -> list[Rows]:
    """Draw a few queries of a few sequences, with the keys that the last of them sees."""
    batch: list[Rows] = []
    for number in _drawn(len(written), draw):
        rows = written[number]
        some = torch.randperm(len(rows.at_T), generator=draw, device=draw.device)
        some = some[:_ROWS_A_SEQUENCE]
        keys = int(rows.at_T[some].max()) + 1
        batch.append(
            Rows(
                at_T=rows.at_T[some],
                raw_q_TE=rows.raw_q_TE[some],
                raw_k_SF=rows.raw_k_SF[:keys],
                teacher_TS=rows.teacher_TS[some, :keys],
            )
        )
    return batch


def row_scores(indexer: DropIn, rows: Rows) -> Tensor:
    """Return an indexer's scores for written rows.  (T, S)."""
    at_S = torch.arange(len(rows.raw_k_SF), device=rows.at_T.device)
    query = indexer.queries(rows.raw_q_TE, rows.at_T)
    return scores(query, indexer.keys(rows.raw_k_SF, at_S))


def row_visible(rows: Rows) -> Tensor:
    """Return what written queries may see.  (T, S)."""
    keys = torch.arange(len(rows.raw_k_SF), device=rows.at_T.device)
    return keys[None] <= rows.at_T[:, None]


def _loss(indexer: DropIn, rows: Rows) -> Tensor:
    """Return the loss of rows that are normed already."""
    query = indexer.normed_queries(rows.raw_q_TE, rows.at_T)
    at_S = torch.arange(len(rows.raw_k_SF), device=rows.at_T.device)
    keys = indexer.normed_keys(rows.raw_k_SF, at_S)
    return index_loss(scores(query, keys), rows.teacher_TS, row_visible(rows))


@torch.no_grad()
def recalls(
    indexer: DropIn,
    written: Sequence[Rows],
    *,
    own: Sequence[Rows] | None = None,
) -> list[Recall]:
    """Return how well an indexer chooses, at each budget, for queries in the later halves.

    Where it chooses for another layer, `written` is that layer's, and `own` the same queries at
    its own layer.
    """
    budgets = budgets_for(max((len(rows.raw_k_SF) for rows in written), default=0))
    sums = torch.zeros(len(budgets), 3, device="cpu")
    count = 0
    for rows, read in zip(map(later, written), map(later, own or written), strict=True):
        given, seen = row_scores(indexer, read), row_visible(rows)
        target = rows.teacher_TS.float()
        count += len(target)
        for number, k in enumerate(budgets):
            best = target.topk(min(k, target.shape[1])).values.sum()
            ours = target[top_mask(given, seen, k)].sum()
            keys = torch.arange(target.shape[1], device=target.device)
            near = (keys > rows.at_T[:, None] - (k - SINKS)) | (keys < SINKS)
            sums[number] += torch.stack([best, ours, target[near & seen].sum()]).cpu()
    means = (sums / max(1, count)).tolist()
    return [Recall(k, *mean) for k, mean in zip(budgets, means, strict=True)]


def later(rows: Rows) -> Rows:
    """Return the rows of queries in the later half of their sequence."""
    some = rows.at_T >= len(rows.raw_k_SF) // 2
    return Rows(rows.at_T[some], rows.raw_q_TE[some], rows.raw_k_SF, rows.teacher_TS[some])
