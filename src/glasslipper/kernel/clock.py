"""Time, so that whoever needs it can be given another.

Wall time is UTC in integer milliseconds since 1970; spans are measured on the monotonic clock.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

DAY_MS = 86_400_000


class Clock(Protocol):
    """Tells the time."""

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        ...

    def ticks_ms(self) -> float:
        """Return milliseconds that only ever grow, for measuring spans."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def ticks_ms(self) -> float:
        """Return milliseconds that only ever grow."""
        return time.perf_counter() * 1000.0


def day_of(at_ms: int) -> int:
    """Return the UTC day as a count of days since 1970-01-01."""
    return at_ms // DAY_MS


def iso(at_ms: int) -> str:
    """Return RFC 3339 text with milliseconds, in UTC.

    >>> iso(0)
    '1970-01-01T00:00:00.000Z'
    """
    return (
        datetime.fromtimestamp(at_ms / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
