"""Forecasts the sum of the next four weeks of a daily series, with an honest interval.

The level is that of the last four weeks by weekday, the trend that between the last two spans of
eight weeks, damped. The interval is made of the errors that the same forecast made at past weeks,
in logarithms. Knows numbers and days, no ledger.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
from msgspec import Struct

from glasslipper.report.estimates import Estimate, student

AHEAD = 28
FEWEST_DAYS = 84
_SPAN, _DAMPED = 28, 0.7


class Forecast(Struct, frozen=True, kw_only=True):
    """What each day is expected to bring, with its interval, and all of them together."""

    expected: list[float]
    low: list[float]
    high: list[float]
    total: Estimate


def filled(days: Sequence[str], values: Sequence[float]) -> tuple[list[str], list[float]]:
    """Return a series without gaps: days that are missing have nothing."""
    found = dict(zip(days, values, strict=True))
    first, last = date.fromisoformat(days[0]), date.fromisoformat(days[-1])
    every = [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
    return every, [found.get(day, 0.0) for day in every]


def days_after(day: str, n: int) -> list[str]:
    """Return the n days after a day."""
    start = date.fromisoformat(day)
    return [(start + timedelta(days=step + 1)).isoformat() for step in range(n)]


def ahead(values: Sequence[float]) -> Forecast:
    """Return the forecast of the 28 days after a series of at least `FEWEST_DAYS`."""
    series = np.asarray(values, dtype=np.float64)
    expected = _expected(series)
    errors = _past_errors(series)
    # Origins a week apart share most of their days: a fourth of them counts as independent.
    worth = max(2, round(len(errors) / 4))
    spread = float(np.sqrt(np.mean(errors**2))) if len(errors) else 0.5
    half = student(worth) * spread * math.sqrt(1 + 1 / worth)
    daily = math.sqrt(half**2 + (1.96 * _daily_noise(series)) ** 2)
    total = float(expected.sum())
    return Forecast(
        expected=[float(v) for v in expected],
        low=[float(v) for v in expected * math.exp(-daily)],
        high=[float(v) for v in expected * math.exp(daily)],
        total=Estimate(
            value=total, low=total * math.exp(-half), high=total * math.exp(half), n=len(series)
        ),
    )


def _expected(
    series: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    recent = series[-_SPAN:]
    weekday = recent.reshape(4, 7).mean(axis=0)
    before = series[-2 * _SPAN : -_SPAN].sum()
    growth = math.log(recent.sum() / before) if before > 0 and recent.sum() > 0 else 0.0
    growth = max(-1.0, min(1.0, growth)) * _DAMPED
    return np.tile(weekday, AHEAD // 7) * math.exp(growth)


def _past_errors(
    series: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    found: list[float] = []
    for end in range(len(series) - AHEAD, 2 * _SPAN - 1, -7):
        truth, said = series[end : end + AHEAD].sum(), _expected(series[:end]).sum()
        if truth > 0 and said > 0:
            found.append(math.log(truth / said))
        if len(found) == 26:
            break
    return np.array(found)


def _daily_noise(series: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    recent = series[-2 * _SPAN :]
    weekday = np.tile(recent.reshape(8, 7).mean(axis=0), 8)
    there = (recent > 0) & (weekday > 0)
    return float(np.std(np.log(recent[there] / weekday[there]))) if there.any() else 0.5
