"""Ways to attend: densely, or over a selection made by an indexer, an oracle, or a window.

These are exact and simple, and mask where serving gathers: they judge and teach. Each works
through its queries in chunks, so that memory grows with the length and not with its square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from glasslipper.dsa import codes
from glasslipper.dsa.adapter import Adapter
from glasslipper.dsa.host import Seen
from glasslipper.dsa.indexer import DropIn

CHUNK = 512
SINKS = 4
"""A window also keeps so many of the first tokens."""

Scorer = Callable[[Seen, slice], Tensor]
"""Gives the scores (T, S) of a slice of the queries; what is not visible is masked later."""


def dense(seen: Seen) -> Tensor:
    """Attend to everything."""
    if seen.first == 0:
        return attend_masked(seen, slice(None), None)
    if seen.q_THD.shape[0] == 1:
        return attend_masked(
            seen, slice(None), torch.ones(1, 1, dtype=torch.bool, device=seen.q_THD.device)
        )
    return _in_chunks(seen, lambda rows: visible(seen, rows))


def visible(seen: Seen, rows: slice) -> Tensor:
    """Return which keys the queries of a slice may see.  (T, S)."""
    keys = torch.arange(seen.k_SGD.shape[0], device=seen.k_SGD.device)
    return keys[None] <= seen.at_T[rows, None]


def weights(seen: Seen, rows: Tensor | slice) -> Tensor:
    """Return the dense attention weights of some queries, the mean of the heads.  (T, S)."""
    at = seen.at_T[rows]
    q = seen.q_THD[rows].float().unflatten(1, (seen.k_SGD.shape[1], -1))  # (T, G, H/G, D)
    logits = torch.einsum("tgrd,sgd->tgrs", q, seen.k_SGD.float()) * seen.scale
    hidden = torch.arange(seen.k_SGD.shape[0], device=at.device)[None] > at[:, None]
    logits.masked_fill_(hidden[:, None, None], -torch.inf)
    return logits.softmax(-1).mean((1, 2))


def top_mask(scores_TS: Tensor, seen_TS: Tensor, k: int) -> Tensor:
    """Return the mask of the k best visible scores of each query; of equals the first.  (T, S)."""
    if scores_TS.shape[1] <= k:
        return seen_TS
    ranked = scores_TS.masked_fill(~seen_TS, -torch.inf)
    threshold = ranked.topk(k, dim=-1).values[:, -1:]
    above = ranked > threshold
    level = ranked == threshold
    room = k - above.sum(-1, keepdim=True)
    return (above | (level & (level.cumsum(-1) <= room))) & seen_TS


def block_budget(k: int, block: int) -> int:
    """Return what a block of queries may choose: a query's budget, and its own neighbours."""
    return k + block


def block_mask(scores_TS: Tensor, seen_TS: Tensor, k: int, block: int) -> Tensor:
    """Return the mask of what blocks of queries choose together: `select.block_top_k`.  (T, S)."""
    parts: list[Tensor] = []
    for given, may in zip(scores_TS.split(block), seen_TS.split(block), strict=True):
        best = given.masked_fill(~may, -torch.inf).amax(0, keepdim=True)
        parts.append(top_mask(best, may.any(0, keepdim=True), k) & may)
    return torch.cat(parts)


def oracle(seen: Seen, rows: slice) -> Tensor:
    """Score by the dense attention itself: the best that one shared selection can do."""
    return weights(seen, rows)


def window(seen: Seen, rows: slice) -> Tensor:
    """Score by nearness, after the first few tokens."""
    keys = torch.arange(seen.k_SGD.shape[0], device=seen.k_SGD.device)
    near = torch.where(keys < SINKS, keys + seen.k_SGD.shape[0], keys)
    return near[None].float().expand(len(seen.at_T[rows]), -1)


class Indexed:
    """Scores by indexers, by the same eight-bit codes that serving keeps."""

    def __init__(self, indexers: Mapping[int, DropIn]) -> None:
        """Take the indexers by layer."""
        self._indexers = indexers

    def __call__(self, seen: Seen, rows: slice) -> Tensor:
        """Return the scores of a slice of the queries; takes whole sequences only.  (T, S)."""
        indexer = self._indexers[seen.layer]
        keys = codes.encode_keys(indexer.keys(seen.raw_k_TF, seen.at_T))
        query = indexer.queries(seen.raw_q_TE[rows], seen.at_T[rows])
        return codes.score(codes.encode_queries(*query), keys)


class Selecting:
    """Attends over the best tokens by a scorer; layers without a budget attend to everything.

    A layer in `sources` uses what an earlier layer chose.
    """

    def __init__(
        self,
        scorer: Scorer,
        budgets: Mapping[int, int],
        sources: Mapping[int, int] = MappingProxyType({}),
        *,
        is_tuned: bool = False,
        block: int = 0,
    ) -> None:
        """Take a scorer, each layer's budget of tokens, and whose choice layers share.

        `is_tuned`: the model is to have the changes that it learned for this. `block`: so many
        neighbouring queries share one choice, as in a prefill by blocks.
        """
        self.is_tuned = is_tuned
        self._block = block
        self._scorer = scorer
        self._budgets = budgets
        self._sources = sources
        self._chosen: dict[tuple[int, int], Tensor] = {}

    def __call__(self, seen: Seen) -> Tensor:
        """Attend.  (T, H, D)."""
        if seen.layer not in self._budgets:
            return dense(seen)
        return _in_chunks(seen, lambda rows: self._choose(seen, rows))

    def _choose(self, seen: Seen, rows: slice) -> Tensor:
        source = self._sources.get(seen.layer, seen.layer)
        if source == seen.layer:
            k, may = self._budgets[seen.layer], visible(seen, rows)
            given = self._scorer(seen, rows)
            chosen = (
                block_mask(given, may, block_budget(k, self._block), self._block)
                if self._block
                else top_mask(given, may, k)
            )
            if source in self._sources.values():
                self._chosen[source, rows.start] = chosen
            return chosen
        return self._chosen[source, rows.start]


def planned(adapter: Adapter, *, block: int = 0) -> Selecting:
    """Return the look that follows an adapter's plan; with `block`, as a prefill by blocks."""
    layers = dict(enumerate(adapter.plan))
    return Selecting(
        Indexed(adapter.indexers),
        {number: layer.k for number, layer in layers.items() if layer.kind != "dense"},
        {number: layer.source for number, layer in layers.items() if layer.kind == "shared"},
        is_tuned=bool(adapter.tuning),
        block=block,
    )


def _in_chunks(seen: Seen, mask: Callable[[slice], Tensor]) -> Tensor:
    starts = range(0, seen.q_THD.shape[0], CHUNK)
    return torch.cat(
        [attend_masked(seen, rows, mask(rows)) for rows in (slice(at, at + CHUNK) for at in starts)]
    )


def attend_masked(seen: Seen, rows: slice, may_TS: Tensor | None) -> Tensor:
    """Attend to what the mask allows, or causally without one.  (T, H, D)."""
    q, k, v = (x.transpose(0, 1)[None] for x in (seen.q_THD[rows], seen.k_SGD, seen.v_SGD))
    repeat = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
    out = functional.scaled_dot_product_attention(
        q, k, v, attn_mask=may_TS, is_causal=may_TS is None, scale=seen.scale
    )
    return out[0].transpose(0, 1)
