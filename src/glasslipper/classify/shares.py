"""What share of the traffic is about something, with an interval that holds.

A classifier labels every request and is wrong in a way that nobody knows beforehand; a judge
labels a random sample. The share is what the classifier says of all requests, corrected by what
the judge says that it gets wrong on the sample:

    share = power * mean(predicted on all) + mean(judged - power * predicted on the sample)

It is unbiased however bad the classifier is; a good classifier makes the interval narrow.
`power` is chosen on the sample so that the interval is as narrow as it can be, between 0 (the
sample alone) and 1. The interval is about *this* traffic: that the sample is a part of it is
taken into account, so a sample of everything has no error.

Source: prediction-powered inference (Angelopoulos et al., Science 2023, doi
10.1126/science.adi6000) with power tuning (PPI++, arXiv 2311.01453, section 6); for a sample of a
finite whole it is the regression estimator (Cochran 1977, sections 7.3 and 2.6). Small samples get
one imagined observation in each cell of judged x predicted, which for `power` 0 is the interval of
Agresti and Coull (1998), and Student's quantile. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec import Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVEL = 0.95
FEWEST_JUDGED = 10
"""Below so many judged requests there is a share, but any value is possible."""

_CELLS = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
"""Imagined observations: judged, predicted."""

_IMAGINED = 0.5
"""How much of each of them is imagined inside the whole where sums are shared."""


class Share(Struct, frozen=True, kw_only=True):
    """A share of `of` requests, its interval, and what it rests on.

    `predicted` is what the classifier alone says; `power` how much it was relied on.
    """

    value: float
    low: float
    high: float
    predicted: float
    power: float
    judged: int
    of: int


def share(
    predicted: Sequence[float] | Floats,
    sample: Sequence[int] | NDArray[np.int64],
    judged: Sequence[float] | Floats,
    *,
    weights: Sequence[float] | Floats | None = None,
    level: float = LEVEL,
) -> Share:
    """Return the share of requests (or of their `weights`, such as tokens) that are about it.

    Args:
        predicted: For each request, 1 if the classifier says so, else 0 (or a probability).
        sample: The positions of the judged requests, drawn at random without repetition.
        judged: For each of those, 1 if the judge says so, else 0.
        weights: What each request counts; one if left out.
        level: How often the interval is to hold the true share.

    Raises:
        ValueError: Lengths do not fit, a position repeats, or weights are negative or all zero.
    """
    told = np.asarray(predicted, dtype=np.float64)
    places = np.asarray(sample, dtype=np.int64)
    truth = np.asarray(judged, dtype=np.float64)
    counts = np.ones(len(told)) if weights is None else np.asarray(weights, dtype=np.float64)
    _check(told, places, truth, counts)
    everything = float(np.average(told, weights=counts))
    if len(places) < FEWEST_JUDGED:
        return _unsure(everything, judged=len(places), of=len(told))
    size = counts / counts.mean()
    typical = float((size**2).mean())  # of whoever owns a unit of weight
    return _corrected(
        everything,
        _Sample(
            pairs=np.column_stack([truth, told[places]]),
            times=np.ones(len(places)),
            sizes=size[places],
        ),
        typical=typical,
        of=len(told),
        level=level,
    )


def share_of_counts(
    predicted: int, of: int, *, both: int, only_judge: int, only_classifier: int, judged: int
) -> Share:
    """Return what `share` does, from counts: `predicted` of so many requests were told to be it.

    Of `judged` requests in the sample, `both` told it of so many, the judge alone of
    `only_judge`, the classifier alone of `only_classifier`.

    Raises:
        ValueError: More were counted than there are.
    """
    neither = judged - both - only_judge - only_classifier
    if min(neither, both, only_judge, only_classifier) < 0 or not 0 <= predicted <= of >= judged:
        raise ValueError("More were counted than there are.")
    everything = predicted / of if of else 0.0
    if judged < FEWEST_JUDGED:
        return _unsure(everything, judged=judged, of=of)
    times = np.array([both, only_judge, only_classifier, neither], dtype=np.float64)
    sample = _Sample(pairs=_CELLS, times=times, sizes=np.ones(len(_CELLS)))
    return _corrected(everything, sample, typical=1.0, of=of, level=LEVEL)


class Cell(NamedTuple):
    """Judged requests that are alike: how many, their weights' sum and sum of squares.

    Of each: whether the judge puts it into the part and into the whole, and the classifier.
    """

    times: float
    weight: float
    squares: float
    judged_part: float
    judged_whole: float
    told_part: float
    told_whole: float


def share_of_sums(
    part: float, whole: float, of: int, cells: Sequence[Cell], *, level: float = LEVEL
) -> Share:
    """Return which share of a whole's weight is in a part of it, by sums instead of requests.

    Both may be a matter of labels: what open models serve of all programming, say. The
    classifier puts requests of the weight `part` and `whole` there, of `of` requests in all;
    `cells` are the judged ones. The interval is that of a ratio, linearised (Cochran 1977,
    section 6.5; doi 10.1126/science.adi6000).

    Raises:
        ValueError: More were judged than there are.
    """
    rows = np.array(cells, dtype=np.float64).reshape(-1, len(Cell._fields))
    times, inside = rows[:, 0], np.maximum(rows[:, 4], rows[:, 6]) > 0
    judged, seen = round(float(times.sum())), round(float(times[inside].sum()))
    if judged > of:
        raise ValueError("More were judged than there are.")
    told = part / whole if whole else 0.0
    if seen < FEWEST_JUDGED:
        return _unsure(told, judged=seen, of=of)
    heavy = rows[inside, 2].sum() / rows[inside, 1].sum()  # of whoever owns a unit of weight
    sums = _IMAGINED, _IMAGINED * heavy, _IMAGINED * heavy**2
    imagined = [Cell(*sums, a, 1.0, b, 1.0) for a, b in _CELLS.tolist()]
    rows = np.vstack([rows, np.array(imagined)])
    value, power, half = _ratio(rows, part, whole, of=of, left=1.0 - judged / of, level=level)
    return Share(
        value=_within(value),
        low=_within(value - half),
        high=_within(value + half),
        predicted=told,
        power=power,
        judged=seen,
        of=of,
    )


def _ratio(
    rows: Floats, part: float, whole: float, *, of: int, left: float, level: float
) -> tuple[float, float, float]:
    """Return the ratio, how much the predictions were relied on, and half its interval."""
    times, weight, squares = rows[:, 0], rows[:, 1], rows[:, 2]
    count = float(times.sum())
    scale = of / count
    power, value = 1.0, part / whole if whole else 0.5
    below = whole
    for _ in range(2):  # the power depends on the ratio a little, and the ratio on the power
        above = power * part + scale * float((weight * (rows[:, 3] - power * rows[:, 5])).sum())
        below = power * whole + scale * float((weight * (rows[:, 4] - power * rows[:, 6])).sum())
        value = above / below if below > 0 else 0.5
        judged, told = _beyond(rows, value)
        spread = float((squares * told**2).sum())
        power = min(max(float((squares * judged * told).sum()) / spread, 0.0), 1.0) if spread else 0
    judged, told = _beyond(rows, value)
    rest = judged - power * told
    middle = float((weight * rest).sum()) / count
    variance = (float((squares * rest**2).sum()) - count * middle**2) / max(count - 1, 1)
    inside = np.maximum(rows[:, 4], rows[:, 6]) > 0
    effective = float(weight[inside].sum()) ** 2 / max(float(squares[inside].sum()), 1e-12)
    freedom = max(effective - 1.0, 2.0)
    error = scale * math.sqrt(max(left * count * variance, 0.0)) / max(below, 1e-12)
    return value, power, error * _student(0.5 + level / 2, freedom)


def _beyond(rows: Floats, ratio: float) -> tuple[Floats, Floats]:
    """Return how far a request of each cell is above its share of the whole: judged, and told."""
    return rows[:, 3] - ratio * rows[:, 4], rows[:, 5] - ratio * rows[:, 6]


class _Sample(NamedTuple):
    """Rows of judged and predicted, how often each was seen, and its size relative to the mean."""

    pairs: Floats
    times: Floats
    sizes: Floats


def _corrected(
    everything: float, sample: _Sample, *, typical: float, of: int, level: float
) -> Share:
    judged = round(float(sample.times.sum()))
    left = 1.0 - judged / of
    imagined = _Sample(
        pairs=np.vstack([sample.pairs, _CELLS]),
        times=np.concatenate([sample.times, np.ones(len(_CELLS))]),
        sizes=np.concatenate([sample.sizes, np.full(len(_CELLS), typical)]),
    )
    power = _power(imagined)
    middle = _mean_rest(imagined, power)
    count = judged + len(_CELLS)
    weights = imagined.times * imagined.sizes
    rest = imagined.pairs[:, 0] - power * imagined.pairs[:, 1]
    errors = imagined.sizes / (weights.sum() / count) * (rest - middle)
    variance = float((imagined.times * errors**2).sum()) / (count * (count - 1))
    freedom = max(count / typical - 1.0, 2.0)
    half = math.sqrt(max(left, 0.0) * variance) * _student(0.5 + level / 2, freedom)
    if left == 0.0:
        middle = _mean_rest(sample, power)
    value = power * everything + middle
    return Share(
        value=_within(value),
        low=_within(value - half),
        high=_within(value + half),
        predicted=everything,
        power=power,
        judged=judged,
        of=of,
    )


def _unsure(everything: float, *, judged: int, of: int) -> Share:
    return Share(
        value=everything, low=0.0, high=1.0, predicted=everything, power=1.0, judged=judged, of=of
    )


def _mean_rest(sample: _Sample, power: float) -> float:
    rest = sample.pairs[:, 0] - power * sample.pairs[:, 1]
    return float(np.average(rest, weights=sample.times * sample.sizes))


def _check(told: Floats, places: NDArray[np.int64], truth: Floats, counts: Floats) -> None:
    if not len(told) or len(counts) != len(told):
        raise ValueError("There is one prediction and one weight for each request.")
    if len(places) != len(truth):
        raise ValueError("There is one judgement for each sampled request.")
    if len(np.unique(places)) != len(places):
        raise ValueError("A request was sampled twice.")
    if len(places) and (places.min() < 0 or places.max() >= len(told)):
        raise ValueError("A sampled request is not among the requests.")
    if counts.min() < 0 or counts.sum() <= 0:
        raise ValueError("Weights are not negative, and not all zero.")


def _power(sample: _Sample) -> float:
    """Return how much of the prediction to take off: the slope of judged on predicted."""
    middle = np.average(sample.pairs, axis=0, weights=sample.times * sample.sizes)
    away = sample.pairs - middle
    squares = sample.times * sample.sizes**2
    variance = float((squares * away[:, 1] ** 2).sum())
    if variance <= 0.0:
        return 0.0
    return min(max(float((squares * away[:, 0] * away[:, 1]).sum()) / variance, 0.0), 1.0)


def _student(probability: float, freedom: float) -> float:
    """Return a quantile of Student's t (Cornish-Fisher, Abramowitz & Stegun 26.7.5)."""
    z = NormalDist().inv_cdf(probability)
    one = (z**3 + z) / 4
    two = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    three = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + one / freedom + two / freedom**2 + three / freedom**3


def _within(value: float) -> float:
    return min(max(value, 0.0), 1.0)
