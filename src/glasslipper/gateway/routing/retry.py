"""How many retries there may be: a few for each request, and a tenth of all traffic.

When a whole provider fails, retries must not double the load on whoever is left.
Source: Beyer et al., Site Reliability Engineering (2016), chapter 21, "Handling Overload".
"""

from __future__ import annotations

MOST_TRIES = 3
"""Tries of one request; each model that the client lists besides allows one more."""

SHARE = 0.1
"""Retries that each request pays for."""

RESERVE = 10.0
"""Retries that little traffic may always make, refilled at one each second."""

MOST_SAVED = 100.0


class RetryBudget:
    """Says whether the process can afford another retry."""

    __slots__ = ("_as_of_ms", "_left")

    def __init__(self, now_ms: float) -> None:
        """Begin with the reserve."""
        self._left = RESERVE
        self._as_of_ms = now_ms

    def earn(self) -> None:
        """Note a request."""
        if self._left < MOST_SAVED:
            self._left += SHARE

    def spend(self, now_ms: float) -> bool:
        """Take one retry, if there is one left."""
        if self._left < RESERVE:
            refill = (now_ms - self._as_of_ms) / 1000
            self._left = min(RESERVE, self._left + max(refill, 0.0))
        self._as_of_ms = now_ms
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
