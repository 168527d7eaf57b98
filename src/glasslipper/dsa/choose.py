"""Decides on calibration text which layers stay dense, which share, and with which budget.

Layers differ: some need three times the tokens of others for the same share of their attention.
Budgets are handed out in steps, each to the layer that gains most by it, or the layers that share
one choice, until their mean is the budget that was asked for. Knows recalls, no models.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from glasslipper.dsa.adapter import LayerPlan
from glasslipper.dsa.indexer import DropIn
from glasslipper.dsa.looks import top_mask
from glasslipper.dsa.teacher import Rows
from glasslipper.dsa.warmup import Recall, later, recalls, row_scores, row_visible

LEAST_OF_ORACLE = 0.85
"""A layer whose indexer keeps less of what the oracle keeps is left dense."""

_STEP = 64


def dense_layers(measured: Mapping[int, Sequence[Recall]], k: int) -> dict[int, str]:
    """Return the layers that must stay dense, and why, judged at a budget that was measured."""
    reasons: dict[int, str] = {}
    for layer, known in measured.items():
        at = next(recall for recall in known if recall.k == k)
        if at.indexer <= at.window:
            reasons[layer] = (
                f"its indexer ({at.indexer:.3f}) does not beat a window ({at.window:.3f})"
            )
        elif at.indexer < LEAST_OF_ORACLE * at.oracle:
            reasons[layer] = f"its indexer keeps {at.indexer:.3f} of an oracle's {at.oracle:.3f}"
    return reasons


def budgets(
    measured: Mapping[int, Sequence[Recall]],
    *,
    mean: int,
    least: int = 64,
    sources: Mapping[int, int] = MappingProxyType({}),
) -> dict[int, int]:
    """Return a budget for each layer such that their mean is at most `mean`.

    What a layer keeps at a budget between two measured ones is interpolated. Layers that share
    (`sources`: layer → source) have their source's budget, which must serve all of them.
    """
    groups: dict[int, list[int]] = {}
    for layer in measured:
        groups.setdefault(sources.get(layer, layer), []).append(layer)
    given = dict.fromkeys(groups, min(least, mean))
    room = mean * len(measured) - sum(given[s] * len(some) for s, some in groups.items())
    while True:
        gains = {
            source: sum(
                _kept(measured[layer], k + _STEP) - _kept(measured[layer], k)
                for layer in groups[source]
            )
            / len(groups[source])
            for source, k in given.items()
            if k + _STEP <= measured[source][-1].k and _STEP * len(groups[source]) <= room
        }
        if not gains:
            break
        best = max(gains, key=lambda source: gains[source])
        given[best] += _STEP
        room -= _STEP * len(groups[best])
    return {layer: given[sources.get(layer, layer)] for layer in measured}


def by_source(
    measured: Mapping[int, Sequence[Recall]],
    indexers: Mapping[int, DropIn],
    written: Mapping[int, Sequence[Rows]],
    sources: Mapping[int, int],
) -> dict[int, Sequence[Recall]]:
    """Return what each layer keeps by what is chosen for it: by its source, where it shares."""
    return {
        layer: recalls(indexers[sources[layer]], written[layer], own=written[sources[layer]])
        if layer in sources
        else known
        for layer, known in measured.items()
    }


def _kept(recalls: Sequence[Recall], k: int) -> float:
    for low, high in itertools.pairwise(recalls):
        if low.k <= k <= high.k:
            share = (k - low.k) / (high.k - low.k)
            return low.indexer + share * (high.indexer - low.indexer)
    return recalls[-1].indexer


def sharing(
    indexers: Mapping[int, DropIn],
    written: Mapping[int, Sequence[Rows]],
    *,
    k: int,
    tolerance: float,
) -> dict[int, int]:
    """Return for which layers the choice of an earlier layer is good enough: layer → source.

    A layer shares when the mass that it would keep falls by at most `tolerance` of its own. A
    source always has an indexer in use. The written rows are of the same queries in all layers.
    """
    sources: dict[int, int] = {}
    source: int | None = None
    for layer in sorted(indexers):
        if source is not None and tolerance > 0:
            own = _mass(written[layer], _masks(indexers[layer], written[layer], k))
            theirs = _mass(written[layer], _masks(indexers[source], written[source], k))
            if theirs >= own * (1 - tolerance):
                sources[layer] = source
                continue
        source = layer
    return sources


@torch.no_grad()
def _masks(indexer: DropIn, written: Sequence[Rows], k: int) -> list[Tensor]:
    return [top_mask(row_scores(indexer, r), row_visible(r), k) for r in map(later, written)]


def _mass(written: Sequence[Rows], masks: Sequence[Tensor]) -> float:
    kept = [
        rows.teacher_TS.float()[mask].sum() / len(mask)
        for rows, mask in zip(map(later, written), masks, strict=True)
    ]
    return float(torch.stack(kept).mean())


def plan(
    layers: int, *, dense: Mapping[int, str], shared: Mapping[int, int], given: Mapping[int, int]
) -> tuple[LayerPlan, ...]:
    """Put the three decisions together."""
    made: list[LayerPlan] = []
    for layer in range(layers):
        if layer in dense or layer not in given:
            made.append(LayerPlan("dense", why=dense.get(layer, "it was not fitted")))
        elif layer in shared:
            source = shared[layer]
            made.append(LayerPlan("shared", k=given[layer], source=source))
        else:
            made.append(LayerPlan("full", k=given[layer], source=layer))
    return tuple(made)
