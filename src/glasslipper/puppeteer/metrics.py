"""How good policies are: accuracy and cost, and the figures drawn from both.

`CostSave` and `PerfGain` after LLMRouterBench (arXiv 2601.07206), `AIQ` after RouterBench
(arXiv 2403.12031). Intervals come from a bootstrap that draws whole questions: one that is in the
test part of several splits is drawn with all of them, and all policies with the same draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

LEVEL = 0.95
_DRAWS = 1000


@dataclass(frozen=True)
class Score:
    """One policy on one test part: right or not, and USD, for each question."""

    right: Numbers
    usd: Numbers


@dataclass(frozen=True)
class Judged:
    """All policies on one test part; `ids` names its questions."""

    ids: tuple[str, ...]
    scores: Mapping[str, Score]


class Table:
    """Means of every policy over splits, and over draws of questions.

    Row 0 of `accuracy` and `usd` is what was measured, the other rows are bootstrap draws.
    """

    def __init__(self, parts: Sequence[Judged], *, draws: int = _DRAWS, seed: int = 0) -> None:
        """Average the parts, with `draws` bootstrap draws."""
        self.names = tuple(parts[0].scores)
        ids = dict.fromkeys(name for part in parts for name in part.ids)
        places = {name: place for place, name in enumerate(ids)}
        draw = np.random.default_rng(seed)
        count = len(places)
        weights = np.ones((draws + 1, count))
        for row in range(1, draws + 1):
            weights[row] = np.bincount(draw.integers(count, size=count), minlength=count)
        self.accuracy = {name: np.zeros(draws + 1) for name in self.names}
        self.usd = {name: np.zeros(draws + 1) for name in self.names}
        for part in parts:
            share = weights[:, [places[name] for name in part.ids]]
            share /= np.maximum(share.sum(1, keepdims=True), 1)
            for name in self.names:
                self.accuracy[name] += share @ part.scores[name].right / len(parts)
                self.usd[name] += share @ part.scores[name].usd / len(parts)


def interval(values: Numbers) -> tuple[float, float]:
    """Return the bootstrap interval of a figure (row 0 is the figure itself)."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values[1:], (tail, 1 - tail))
    return float(low), float(high)


def hull_area(points: Sequence[tuple[float, float]], low: float, high: float) -> float:
    """Return the mean height between two costs of the non-decreasing convex hull of points.

    Points are (cost, accuracy); below the cheapest, accuracy falls to nothing at no cost.
    """
    hull: list[tuple[float, float]] = [(0.0, 0.0)]
    for cost, accuracy in sorted(points):
        if accuracy <= hull[-1][1]:
            continue
        while len(hull) > 1 and _is_below(hull[-2], hull[-1], (cost, accuracy)):
            hull.pop()
        hull.append((cost, accuracy))
    grid = np.linspace(low, high, 400)
    costs, heights = zip(*hull, strict=True)
    return float(np.interp(grid, costs, heights).mean())


def _is_below(
    left: tuple[float, float], middle: tuple[float, float], right: tuple[float, float]
) -> bool:
    rise = (middle[1] - left[1]) * (right[0] - left[0])
    return rise <= (right[1] - left[1]) * (middle[0] - left[0])


def saving_on(points: Sequence[tuple[float, float]], accuracy: float, usd: float) -> float:
    """Return what the cheapest of the points at least as accurate saves of `usd`, as a share.

    Not a number where no point is, or there is nothing to save.
    """
    costs = [cost for cost, reached in points if reached >= accuracy]
    return float(1 - share(min(costs), usd)) if costs else float("nan")


def share(part: Numbers | float, whole: Numbers | float) -> Numbers:
    """Return part / whole, not a number where the whole is nothing."""
    above = np.asarray(whole, np.float64)
    return np.divide(part, above, out=np.full(above.shape, np.nan), where=above > 0)
