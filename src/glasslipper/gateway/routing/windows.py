"""Counting over the last few minutes, in coarse slices of time that expire as a whole.

Values such as times are counted in logarithmic buckets, so that a percentile is known to within
five per cent in little memory. Knows nothing about endpoints.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

K = TypeVar("K", str, int)

SLICE_MS = 30_000
SLICES = 10
"""Ten slices of half a minute: five minutes, forgotten half a minute at a time."""

GROWTH = 1.1
"""How much wider each bucket is than the one below; its middle is off by at most 4.9 per cent."""

_PER_E = 1.0 / math.log(GROWTH)
_LEAST = 1e-3
_MOST = 1e12


class SlidingCounts(Generic[K]):
    """How often each of a few keys occurred in the last five minutes."""

    __slots__ = ("_slices", "_totals")

    def __init__(self) -> None:
        self._slices: deque[tuple[int, dict[K, int]]] = deque()
        self._totals: dict[K, int] = {}

    def add(self, key: K, now_ms: float, times: int = 1) -> None:
        """Count `key`, now."""
        number = int(now_ms // SLICE_MS)
        if not self._slices or self._slices[-1][0] < number:
            self._expire(number)
            self._slices.append((number, {}))
        counts = self._slices[-1][1]
        counts[key] = counts.get(key, 0) + times
        self._totals[key] = self._totals.get(key, 0) + times

    def totals(self, now_ms: float) -> dict[K, int]:
        """Return the counts, each above zero. Not to be changed."""
        self._expire(int(now_ms // SLICE_MS))
        return self._totals

    def _expire(self, number: int) -> None:
        while self._slices and self._slices[0][0] <= number - SLICES:
            for key, count in self._slices.popleft()[1].items():
                left = self._totals[key] - count
                if left:
                    self._totals[key] = left
                else:
                    del self._totals[key]


class Percentiles:
    """The distribution of a positive quantity over the last five minutes."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets = SlidingCounts[int]()

    def add(self, value: float, now_ms: float) -> None:
        """Count a value; below a thousandth and above 1e12 they are all alike."""
        self.add_all((value,), now_ms)

    def add_all(self, values: Iterable[float], now_ms: float) -> None:
        """Count some values."""
        found: dict[int, int] = {}
        for value in values:
            bucket = math.floor(math.log(min(max(value, _LEAST), _MOST)) * _PER_E)
            found[bucket] = found.get(bucket, 0) + 1
        for bucket, times in found.items():
            self._buckets.add(bucket, now_ms, times)

    def at(self, shares: tuple[float, ...], now_ms: float) -> tuple[float, ...] | None:
        """Return the value below which each of the rising `shares` lies; `None` without any."""
        totals = self._buckets.totals(now_ms)
        if not totals:
            return None
        count = sum(totals.values())
        found = list[float]()
        seen = 0
        buckets = iter(sorted(totals))
        bucket = 0
        for share in shares:
            while seen < max(share * count, 1):
                bucket = next(buckets)
                seen += totals[bucket]
            found.append(math.exp((bucket + 0.5) / _PER_E))
        return tuple(found)


class Faded:
    """A sum in which what came in counts for half after each half-life."""

    __slots__ = ("_as_of_ms", "_half_life_ms", "_sum")

    def __init__(self, half_life_ms: float) -> None:
        self._half_life_ms = half_life_ms
        self._sum = 0.0
        self._as_of_ms = 0.0

    def add(self, value: float, now_ms: float) -> None:
        """Add a value, now."""
        self._sum = self.total(now_ms) + value
        self._as_of_ms = now_ms

    def total(self, now_ms: float) -> float:
        """Return what is left of the sum."""
        age_ms = now_ms - self._as_of_ms
        return self._sum * 0.5 ** (age_ms / self._half_life_ms) if age_ms > 0 else self._sum
