"""Estimators and tests, each with a 95 % interval. Knows numbers only, no ledger.

Sources: Wilson 1927 (score interval); Benjamini & Hochberg 1995 (false discovery rate); McNemar
1947, exact form; Newcombe 1998 (differences of shares). Shares that a judge's sample corrects are
in `classify.shares`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVEL = 0.95
Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)


class Estimate(Struct, frozen=True, kw_only=True):
    """A number with its 95 % interval; `n` is what it rests on."""

    value: float
    low: float
    high: float
    n: int = 0

    def covers(self, truth: float) -> bool:
        """Tell whether the interval holds `truth`."""
        return self.low <= truth <= self.high


def share(hits: float, n: float, *, level: float = LEVEL) -> Estimate:
    """Return hits out of n, with Wilson's score interval.

    >>> estimate = share(40, 100)
    >>> round(estimate.low, 3), round(estimate.high, 3)
    (0.309, 0.498)
    """
    if n <= 0:
        return Estimate(value=math.nan, low=0.0, high=1.0)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p = hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Estimate(
        value=p,
        low=max(0.0, min(p, middle - half)),
        high=min(1.0, max(p, middle + half)),
        n=round(n),
    )


def difference(a: Estimate, b: Estimate) -> Estimate:
    """Return a - b of two independent shares (Newcombe 1998, from their score intervals)."""
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value=value, low=low, high=high, n=a.n + b.n)


def mean(values: Floats) -> Estimate:
    """Return the mean of independent values with Student's interval."""
    n = len(values)
    if n < 2:
        return Estimate(value=float(values.mean()) if n else math.nan, low=-math.inf, high=math.inf)
    half = student(n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    value = float(values.mean())
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def student(freedom: int, *, level: float = LEVEL) -> float:
    """Return the two-sided quantile of Student's t (Cornish-Fisher expansion in 1 / freedom).

    >>> round(student(10), 2), round(student(60), 3)
    (2.23, 2.0)
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)
    v = float(max(freedom, 1))
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / v ** (power + 1) for power, term in enumerate(terms))


def binomial_tail(hits: int, n: int, p: float) -> float:
    """Return the probability of at least so many hits among n."""
    if hits <= 0:
        return 1.0
    if p <= 0 or p >= 1:
        return float(p >= 1)
    logs = [
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(p)
        + (n - k) * math.log1p(-p)
        for k in range(hits, n + 1)
    ]
    return min(1.0, sum(map(math.exp, logs)))


def normal_tail(z: float) -> float:
    """Return the probability that a standard normal variable is above z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def more_gained_than_lost(gained: int, lost: int) -> float:
    """Return the one-sided p-value of McNemar's exact test: that gains are not mere chance."""
    return binomial_tail(gained, gained + lost, 0.5)


def larger_share(hits: int, n: int, others: int, among: int) -> float:
    """Return the one-sided p-value (Fisher's exact test) that a share is not above another's."""
    total, successes = n + among, hits + others
    least, most = max(0, successes - among), min(n, successes)

    def choose(a: int, b: int) -> float:
        return math.lgamma(a + 1) - math.lgamma(b + 1) - math.lgamma(a - b + 1)

    whole = choose(total, successes)
    chances = [
        math.exp(choose(n, k) + choose(among, successes - k) - whole)
        for k in range(max(hits, least), most + 1)
    ]
    return min(1.0, sum(chances))


def discoveries(p_values: Sequence[float], *, rate: float = 0.05) -> list[bool]:
    """Return which of many tests stand when so large a share of them may be false (B-H)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    last = 0
    for rank, index in enumerate(order, 1):
        if p_values[index] <= rate * rank / len(p_values):
            last = rank
    stands = set(order[:last])
    return [index in stands for index in range(len(p_values))]


def slope(x: Floats, y: Floats, *groups: NDArray[np.int64]) -> Estimate | None:
    """Return the slope of y on x within groups (a constant is fitted for each), by least squares.

    `None` where x does not vary enough within the groups to identify one.
    """
    parts = [np.ones((len(x), 1))]
    for group in groups:
        names = np.unique(group)
        parts.append((group[:, None] == names[None, 1:]).astype(float))
    others = np.concatenate(parts, axis=1)
    freedom = len(x) - int(np.linalg.matrix_rank(others)) - 1
    if freedom < 5:
        return None
    x_left = x - others @ np.linalg.lstsq(others, x, rcond=None)[0]
    spread = float(x_left @ x_left)
    if spread < 1e-3 * len(x):
        return None
    y_left = y - others @ np.linalg.lstsq(others, y, rcond=None)[0]
    value = float(x_left @ y_left) / spread
    rest = y_left - value * x_left
    half = student(freedom) * math.sqrt(float(rest @ rest) / freedom / spread)
    return Estimate(value=value, low=value - half, high=value + half, n=len(x))


def resampled(
    parts: Floats, ratio_of: tuple[int, int], rng: np.random.Generator, *, times: int = 400
) -> Estimate:
    """Return the ratio of two column sums over units, with an interval from resampled units.

    `parts` has a row for each unit. The interval is the percentile bootstrap's.
    """
    above, below = parts[:, ratio_of[0]], parts[:, ratio_of[1]]
    n = len(parts)
    if not n or below.sum() == 0:
        return Estimate(value=math.nan, low=-math.inf, high=math.inf, n=n)
    weights = rng.multinomial(n, np.full(n, 1 / n), times).astype(float)
    draws = (weights @ above) / np.maximum(weights @ below, 1e-12)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value=float(above.sum() / below.sum()), low=float(low), high=float(high), n=n)
