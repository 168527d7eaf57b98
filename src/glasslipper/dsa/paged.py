"""A look for serving: keys, values and index keys live in pages; every query gathers what it needs.

One sequence grows by the chunks that the model is run over. Sparse layers select exactly and
attend to what they selected, dense layers to all. Also counts the work of each token and lets
the meter look, now and then, at what was missed. Letters as in `cache`, `select` and `attend`.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from glasslipper.dsa import attend, codes, decode, select
from glasslipper.dsa.adapter import Adapter
from glasslipper.dsa.cache import Store
from glasslipper.dsa.codes import Keys
from glasslipper.dsa.errors import NotANumber
from glasslipper.dsa.host import Seen
from glasslipper.dsa.looks import block_budget
from glasslipper.dsa.meter import Meter
from glasslipper.dsa.pages import PAGE

RUNS_FROM = 1 << 15
"""From so many tokens on, runs of tokens may be chosen first."""

_LOOKS_A_CHUNK = 2


@dataclass(slots=True)
class Work:
    """What attention did: multiplications and additions, by where the tokens stand."""

    first: int
    tokens: int
    attention: int = 0
    index: int = 0


@dataclass(slots=True)
class Paged:
    """The look of one sequence; call `begin` before each run of the model.

    With `block`, so many neighbouring queries of a prompt share one choice. With `candidates`,
    a step over many tokens chooses runs first (`select.hierarchical_top_k`), which is quicker and
    misses more: indexers that were not taught for it keep little of what they would keep exactly.
    With `mass`, a query that chooses by itself keeps only as many of its tokens as hold this share
    of what its indexer predicts (`select.adapt`).
    """

    store: Store
    adapter: Adapter
    budget_scale: float = 1.0
    is_sparse: bool = True
    block: int = 0
    candidates: int = 0
    mass: float | None = None
    meter: Meter = field(default_factory=Meter)
    start: int = 0
    table_P: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int32, device="cpu"))
    work: list[Work] = field(default_factory=list[Work])
    _chosen: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    _draw: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311
    _looked_at: int = -1
    is_tuned: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Let the model have its changes for as long as the sequence lasts, once it began so."""
        self.is_tuned = self.is_sparse and bool(self.adapter.tuning)

    @property
    def device(self) -> torch.device:
        """Where the pages lie."""
        return self.store.kv.device

    def begin(self, start: int, tokens: int) -> None:
        """Say that the model is about to run over some tokens from `start` on."""
        self.start = start
        self.work.append(Work(start, tokens))
        self._looked_at = self._draw.randrange(self.adapter.model.layers)

    def __call__(self, seen: Seen) -> Tensor:
        """Write the new tokens and attend.  (T, H, D)."""
        layer, tokens = seen.layer, seen.q_THD.shape[0]
        length = self.start + tokens
        at_T = torch.arange(self.start, length, device=self.device)
        indexer = self.adapter.indexers.get(layer)
        index_keys = (
            codes.encode_keys(indexer.keys(seen.raw_k_TF, at_T))
            if indexer is not None
            else self._no_keys(tokens)
        )
        self.store.write(layer, self.table_P, self.start, seen.k_SGD, seen.v_SGD, index_keys)
        plan = self.adapter.plan[layer]
        k = max(1, round(plan.k * self.budget_scale))
        in_blocks = bool(self.block) and tokens > 1
        if in_blocks:
            k = block_budget(k, self.block)
        if not self.is_sparse or plan.kind == "dense" or length <= k:
            if plan.kind != "dense" and self.is_sparse and indexer is not None:
                self._chosen[layer] = self._places(length)[None].expand(tokens, -1)
            return self._dense(seen, at_T, length)
        if tokens == 1:
            return self._step(seen, k, length)
        if in_blocks:
            return self._gather_blocks(seen, at_T, k, length)
        return self._gather(seen, at_T, k, length)

    def _step(self, seen: Seen, k: int, length: int) -> Tensor:
        """Take one token further, by the fastest kernel there is."""
        plan, q_HD = self.adapter.plan[seen.layer], seen.q_THD[0]
        at_T = torch.tensor([length - 1], device=self.device)
        if plan.kind == "shared":
            chosen = self._chosen[plan.source][0]
            found = decode.attend_chosen(
                self.store,
                seen.layer,
                self.table_P,
                length,
                q_HD,
                chosen[chosen >= 0],
                scale=seen.scale,
            )
        else:
            step = decode.step(
                self.store,
                seen.layer,
                self.table_P,
                length,
                self.adapter.indexers[seen.layer].queries(seen.raw_q_TE, at_T),
                q_HD,
                k=k,
                candidates=self.candidates if length >= RUNS_FROM else 0,
                mass=self.mass,
                scale=seen.scale,
            )
            self._chosen[seen.layer], found = step.selection.index_TK, step.attended
        self._count_chosen(seen, at_T)
        return self._looked(seen, at_T, found).to(seen.q_THD.dtype)

    def _gather(self, seen: Seen, at_T: Tensor, k: int, length: int) -> Tensor:
        """Attend many queries, each to its own selection."""
        plan = self.adapter.plan[seen.layer]
        if plan.kind == "full":
            indexer = self.adapter.indexers[seen.layer]
            query = codes.encode_queries(*indexer.queries(seen.raw_q_TE, at_T))
            keys = self.store.keys(seen.layer, self.table_P, length)
            chosen = select.top_k(query, keys, k, at_T)
            if self.mass is not None:
                chosen = select.adapt(chosen, self.mass, at_T).selection
            most = int(chosen.count_T.max())
            self._chosen[seen.layer] = chosen.index_TK[:, :most]
        k_SGD, v_SGD = self._rows(seen.layer, length)
        chosen_TK = self._chosen[plan.source]
        found = attend.attend(seen.q_THD, k_SGD, v_SGD, chosen_TK, scale=seen.scale)
        self._count_chosen(seen, at_T)
        return self._looked(seen, at_T, found)

    def _gather_blocks(self, seen: Seen, at_T: Tensor, k: int, length: int) -> Tensor:
        """Attend many queries, neighbours to one selection."""
        plan = self.adapter.plan[seen.layer]
        if plan.kind == "full":
            indexer = self.adapter.indexers[seen.layer]
            query = codes.encode_queries(*indexer.queries(seen.raw_q_TE, at_T))
            keys = self.store.keys(seen.layer, self.table_P, length)
            chosen = select.block_top_k(query, keys, k, at_T, block=self.block)
            self._chosen[seen.layer] = chosen.index_TK
        k_SGD, v_SGD = self._rows(seen.layer, length)
        found = attend.attend_blocks(
            seen.q_THD,
            k_SGD,
            v_SGD,
            self._chosen[plan.source],
            at_T,
            block=self.block,
            scale=seen.scale,
        )
        looked = sum(min(k, at + 1) for at in at_T.tolist())
        self._count(looked, at_T if plan.kind == "full" else at_T[:0])
        return self._looked(seen, at_T, found)

    def _looked(self, seen: Seen, at_T: Tensor, found: attend.Attended) -> Tensor:
        """Let the meter look at some of the queries, and return what they saw."""
        for _ in range(_LOOKS_A_CHUNK if len(at_T) > 1 else int(seen.layer == self._looked_at)):
            row = self._draw.randrange(len(at_T))
            self._look(seen, row, int(at_T[row]), found.lse_TH[row])
        return found.out_THV

    def _dense(self, seen: Seen, at_T: Tensor, length: int) -> Tensor:
        k_SGD, v_SGD = self._rows(seen.layer, length)
        self._count(int((at_T + 1).sum()), at_T[:0])
        q, k, v = (x.to(seen.q_THD.dtype).transpose(0, 1) for x in (seen.q_THD, k_SGD, v_SGD))
        if len(at_T) == 1:
            # Two multiplications: the library's own attention is slow for one query on CPUs.
            grouped = q.reshape(k.shape[0], -1, q.shape[-1])  # (G, H/G, D)
            weights = ((grouped @ k.transpose(1, 2)).float() * seen.scale).softmax(-1)
            return (weights.to(v.dtype) @ v).reshape(1, -1, v.shape[-1])
        repeat = q.shape[0] // k.shape[0]
        may = None
        if self.start:
            may = self._places(length)[None] <= at_T[:, None]
        out = functional.scaled_dot_product_attention(
            q[None],
            k.repeat_interleave(repeat, 0)[None],
            v.repeat_interleave(repeat, 0)[None],
            attn_mask=may,
            is_causal=may is None,
            scale=seen.scale,
        )
        return out[0].transpose(0, 1)

    def _look(self, seen: Seen, row: int, at: int, lse_H: Tensor) -> None:
        """Compute what one query would have seen densely, and tell the meter what it missed."""
        k_SGD, _ = self._rows(seen.layer, at + 1)
        q_GRD = seen.q_THD[row].float().unflatten(0, (k_SGD.shape[1], -1))
        logits = torch.einsum("grd,sgd->grs", q_GRD, k_SGD.float()) * seen.scale
        kept_H = (lse_H.float() - logits.logsumexp(-1).flatten()).exp()
        missed = float((1 - kept_H).mean().clamp(0, 1))
        if math.isnan(missed):
            raise NotANumber(
                f"The attention of layer {seen.layer} is not a number.",
                hint="The model's weights may be damaged: fetch it again.",
            )
        self.meter.add(missed)

    def _rows(self, layer: int, length: int) -> tuple[Tensor, Tensor]:
        """Return keys and values up to `length`, without copying where the pages lie in a row."""
        pages = -(-length // PAGE)
        first = int(self.table_P[0])
        if bool((self.table_P[:pages] == self._places(pages) + first).all()):
            rows = self.store.kv[layer, first : first + pages].flatten(0, 1)[:length]
            return rows[:, 0], rows[:, 1]
        return self.store.rows(layer, self.table_P, self._places(length))

    def _no_keys(self, tokens: int) -> Keys:
        width = self.adapter.index.width
        codes_SI = torch.zeros(tokens, width, dtype=torch.int8, device=self.device)
        return Keys(codes_SI, torch.zeros(tokens, device=self.device))

    def _places(self, count: int) -> Tensor:
        return torch.arange(count, device=self.device)

    def _count_chosen(self, seen: Seen, at_T: Tensor) -> None:
        """Count the work of queries that attended to what was chosen for each of them."""
        plan = self.adapter.plan[seen.layer]
        looked = int((self._chosen[plan.source] >= 0).sum())
        self._count(looked, at_T if plan.kind == "full" else at_T[:0])

    def _count(self, looked: int, scoring_T: Tensor) -> None:
        """Count multiply-adds: two products of the attention's width, one of the indexer's.

        `looked` is how many keys were attended to; the queries at `scoring_T` scored all theirs.
        """
        model, index = self.adapter.model, self.adapter.index
        self.work[-1].attention += 2 * model.heads * model.width * looked
        self.work[-1].index += index.heads * index.width * int((scoring_T + 1).sum())
