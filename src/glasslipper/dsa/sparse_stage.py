"""The sparse stage: model and indexers learn together, with every layer attending sparsely.

The model learns by the likelihood of the text, through changes beside its weights (`tuning`). An
indexer learns by its divergence from the dense attention over what it selected, and reads its
layer's queries and keys detached: neither loss reaches what the other one teaches. What comes out
is kept only where it makes text that was kept aside likelier than before.

Source: DeepSeek-AI, "DeepSeek-V3.2-Exp" (2025), section 2.1, "sparse training stage".
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from glasslipper.dsa import looks, tuning
from glasslipper.dsa.adapter import Adapter, LayerPlan
from glasslipper.dsa.errors import NotANumber
from glasslipper.dsa.host import Host, Seen
from glasslipper.dsa.indexer import DropIn, scores
from glasslipper.dsa.losses import index_loss
from glasslipper.dsa.tuning import Change, Kind

_HEAD_ROWS = 256
_SAVED_EVERY = 10
_LARGEST_GRADIENT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How the stage is run: one sequence a step, `rows` queries of it for the indexers."""

    kind: Kind = "lora"
    steps: int = 60
    rank: int = 8
    rate: float = 3e-4
    index_rate: float = 3e-4
    rows: int = 64


class Losses(NamedTuple):
    """What one sequence gives: nats a token for the model, the divergence for the indexers."""

    model: Tensor
    indexers: Tensor


def train(
    host: Host,
    adapter: Adapter,
    learned: Sequence[Tensor],
    held: Sequence[Tensor],
    stage: Stage,
    work: Path,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Adapter:
    """Return the adapter with what the stage taught, or as it was where that is no better.

    Every ten steps lie in `work`, so that a stage that was stopped goes on.

    Raises:
        NotANumber: A loss became NaN.
    """
    before = _mean_loss(host, adapter, held)
    learner = _Learner(host, adapter, stage, work / f"stage-{stage.kind}-{stage.steps}.safetensors")
    draw = torch.Generator()
    last = math.nan
    for step in range(learner.steps_done, stage.steps):
        draw.manual_seed(step)
        tokens_S = learned[
            int(torch.randint(len(learned), (1,), generator=draw, device=draw.device))
        ]
        last = learner.step(tokens_S, step, draw)
        on_progress(step + 1, stage.steps)
    taught = learner.adapter()
    after = _mean_loss(host, taught, held)
    told = {**asdict(stage), "held_before": before, "held_after": after, "last": last}
    best = taught if after < before else adapter
    host.tune(best.tuning)
    return dataclasses.replace(best, made_with={**adapter.made_with, "sparse_stage": told})


def losses(
    host: Host,
    plan: Sequence[LayerPlan],
    indexers: Mapping[int, DropIn],
    tokens_S: Tensor,
    *,
    rows: int,
    draw: torch.Generator,
) -> Losses:
    """Return both losses of a sequence, with gradients to what asks for them."""
    look = _Training(plan, indexers, _sample(len(tokens_S), rows, draw))
    with host.looking(look):
        hidden = host.hidden(tokens_S, use_cache=False).last_hidden_state[0, :-1]
    total = torch.zeros((), device=hidden.device)
    tokens_S = tokens_S.to(hidden.device)
    for start in range(0, len(hidden), _HEAD_ROWS):
        some, wanted = hidden[start : start + _HEAD_ROWS], tokens_S[start + 1 :][:_HEAD_ROWS]
        total = total + cast(Tensor, checkpoint(_nats, host, some, wanted, use_reentrant=False))
    divergence = torch.stack(look.divergences).mean() if look.divergences else total * 0
    return Losses(total / len(hidden), divergence)


def _nats(host: Host, hidden: Tensor, wanted: Tensor) -> Tensor:
    return functional.cross_entropy(host.logits(hidden), wanted, reduction="sum")


class _Training:
    """Attends sparsely by the plan, with gradients, and gathers what the indexers are off by."""

    is_tuned = True

    def __init__(
        self, plan: Sequence[LayerPlan], indexers: Mapping[int, DropIn], at_T: Tensor
    ) -> None:
        self._plan = plan
        self._indexers = indexers
        self._at_T = at_T
        self._chosen: dict[int, list[Tensor]] = {}
        self.divergences: list[Tensor] = []

    def __call__(self, seen: Seen) -> Tensor:
        plan = self._plan[seen.layer]
        if plan.kind == "dense":
            return looks.dense(seen)
        if plan.kind == "full":
            self._chosen[seen.layer] = self._choose(seen, plan.k)
        masks = self._chosen[plan.source]
        return torch.cat(
            [
                looks.attend_masked(seen, rows, mask)
                for rows, mask in zip(_rows(seen), masks, strict=True)
            ]
        )

    def _choose(self, seen: Seen, k: int) -> list[Tensor]:
        indexer = self._indexers[seen.layer]
        # Detached: what the indexer learns by must not move the model.
        seen = dataclasses.replace(
            seen,
            q_THD=seen.q_THD.detach(),
            k_SGD=seen.k_SGD.detach(),
            raw_q_TE=seen.raw_q_TE.detach(),
            raw_k_TF=seen.raw_k_TF.detach(),
        )
        keys = indexer.keys(seen.raw_k_TF, seen.at_T)
        masks: list[Tensor] = []
        with torch.no_grad():
            for rows in _rows(seen):
                given = scores(indexer.queries(seen.raw_q_TE[rows], seen.at_T[rows]), keys)
                masks.append(looks.top_mask(given, looks.visible(seen, rows), k))
            teacher = looks.weights(seen, self._at_T)
        given = scores(indexer.queries(seen.raw_q_TE[self._at_T], self._at_T), keys)
        self.divergences.append(index_loss(given, teacher, torch.cat(masks)[self._at_T]))
        return masks


def _rows(seen: Seen) -> Iterator[slice]:
    for at in range(0, seen.q_THD.shape[0], looks.CHUNK):
        yield slice(at, at + looks.CHUNK)


def _sample(length: int, rows: int, draw: torch.Generator) -> Tensor:
    return torch.randperm(length, generator=draw, device=draw.device)[:rows].sort().values


@torch.no_grad()
def _mean_loss(host: Host, adapter: Adapter, held: Sequence[Tensor]) -> float:
    """Return the nats a token of text that was kept aside, attending by the plan."""
    host.tune(adapter.tuning)
    draw = torch.Generator().manual_seed(0)
    found = [
        losses(host, adapter.plan, adapter.indexers, tokens_S, rows=1, draw=draw).model
        for tokens_S in held
    ]
    return float(torch.stack(found).mean())


class _Learner:
    """Holds what is learned, and the steps by which it is."""

    def __init__(self, host: Host, adapter: Adapter, stage: Stage, file: Path) -> None:
        self._host, self._start, self._stage, self._file = host, adapter, stage, file
        for weight in host.model.parameters():
            weight.requires_grad_(False)
        self._indexers = {n: _copy(indexer) for n, indexer in adapter.indexers.items()}
        made = tuning.untaught(host.layers, stage.kind, rank=stage.rank)
        self._changes = {name: _learning(change) for name, change in made.items()}
        host.tune(self._changes)
        self._named = dict(self._names())
        inner = [w for name, w in self._named.items() if name.startswith("change.")]
        outer = [w for name, w in self._named.items() if name.startswith("indexer.")]
        self._adam = torch.optim.AdamW(
            [{"params": inner, "lr": stage.rate}, {"params": outer, "lr": stage.index_rate}],
            betas=(0.9, 0.95),
            weight_decay=0.0,
        )
        self._inner = inner
        self.steps_done = self._resume()

    def step(self, tokens_S: Tensor, number: int, draw: torch.Generator) -> float:
        """Learn from one sequence; return what the model's loss was."""
        stage = self._stage
        found = losses(
            self._host, self._start.plan, self._indexers, tokens_S, rows=stage.rows, draw=draw
        )
        both = found.model + found.indexers
        if not bool(both.isfinite()):
            raise NotANumber(f"The sparse stage's loss is {float(both)} after {number} steps.")
        for group, rate in zip(
            self._adam.param_groups, (stage.rate, stage.index_rate), strict=True
        ):
            group["lr"] = rate * (0.5 + 0.5 * math.cos(math.pi * number / stage.steps))
        self._adam.zero_grad()
        both.backward()  # pyright: ignore[reportUnknownMemberType]
        torch.nn.utils.clip_grad_norm_(self._inner, _LARGEST_GRADIENT)
        self._adam.step()
        if (number + 1) % _SAVED_EVERY == 0 or number + 1 == stage.steps:
            self._save(number + 1)
        return found.model.item()

    def adapter(self) -> Adapter:
        """Return what is learned so far."""
        return dataclasses.replace(
            self._start,
            indexers={n: _copy(x).requires_grad_(False) for n, x in self._indexers.items()},
            tuning={
                name: tuple(matrix.detach().clone() for matrix in change)
                for name, change in self._changes.items()
            },
        )

    def _names(self) -> Iterator[tuple[str, Tensor]]:
        for name, change in self._changes.items():
            for place, matrix in enumerate(change):
                yield f"change.{name}.{place}", matrix
        for number, indexer in self._indexers.items():
            for name, weight in indexer.named_parameters():
                yield f"indexer.{number}.{name}", weight

    def _save(self, steps: int) -> None:
        held: dict[str, Tensor] = {}
        for name, weight in self._named.items():
            held[name] = weight.detach().contiguous()
            for kind in ("exp_avg", "exp_avg_sq"):
                held[f"{kind}.{name}"] = self._adam.state[weight][kind]
        self._file.parent.mkdir(parents=True, exist_ok=True)
        new = self._file.with_suffix(".new")
        save_file(held, new, metadata={"stage": json.dumps([asdict(self._stage), steps])})
        new.replace(self._file)

    def _resume(self) -> int:
        """Take up what was saved by a stage just like this one; return its steps."""
        if not self._file.is_file():
            return 0
        with safe_open(self._file, framework="pt") as file:
            stage, steps = json.loads((file.metadata() or {})["stage"])
            if stage != asdict(self._stage) or set(self._named) - set(file.keys()):
                return 0
            with torch.no_grad():
                for name, weight in self._named.items():
                    weight.copy_(file.get_tensor(name))
                    self._adam.state[weight] = {
                        "step": torch.tensor(float(steps), device="cpu"),
                        **{
                            kind: file.get_tensor(f"{kind}.{name}").to(weight.device)
                            for kind in ("exp_avg", "exp_avg_sq")
                        },
                    }
        return int(steps)


def _learning(change: Change) -> Change:
    return tuple(matrix.requires_grad_() for matrix in change)


def _copy(indexer: DropIn) -> DropIn:
    groups = indexer.k_proj.in_features // indexer.model_width
    heads = indexer.q_proj.in_features // indexer.model_width
    made = DropIn(indexer.shape, heads=heads, groups=groups, width=indexer.model_width)
    made.load_state_dict(indexer.state_dict())
    return made.to(indexer.q_proj.weight.device)
