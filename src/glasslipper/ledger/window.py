"""Budget periods: from which UTC day a budget counts. Knows no store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from glasslipper.kernel.clock import DAY_MS, day_of

Period = Literal["daily", "weekly", "monthly", "never"]
"""When a budget starts anew: at midnight UTC, on Mondays, on the first of the month, or not."""

PERIODS: tuple[Period, ...] = get_args(Period)


def first_day(period: Period, now_ms: int) -> int:
    """Return the first UTC day of the window that holds `now_ms`, as days since 1970."""
    today = day_of(now_ms)
    match period:
        case "daily":
            return today
        case "weekly":
            return today - (today + 3) % 7  # 1970-01-01 was a Thursday
        case "monthly":
            return today - datetime.fromtimestamp(now_ms / 1000, UTC).day + 1
        case "never":
            return 0


def resets_ms(period: Period, now_ms: int) -> int | None:
    """Return the Unix milliseconds at which the next window begins; `None` for never."""
    start = first_day(period, now_ms)
    match period:
        case "daily":
            return (start + 1) * DAY_MS
        case "weekly":
            return (start + 7) * DAY_MS
        case "monthly":
            later = datetime.fromtimestamp(start * DAY_MS / 1000, UTC) + timedelta(days=32)
            return int(later.replace(day=1).timestamp() * 1000)
        case "never":
            return None
