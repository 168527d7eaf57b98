"""When an endpoint is left alone, for how long, and how traffic comes back to it.

Closed: everything may go there. Open: nothing, for a time that grows with every relapse and is
drawn with decorrelated jitter. Then probation: a share of the traffic that grows from one per
cent to all of it, while every answer is good; one failure opens it again. Knows no endpoint.
"""

from __future__ import annotations

import math
import random

IN_A_ROW = 5
"""Failures in a row that open the breaker."""

FAILED_SHARE = 0.5
SHARE_OF = 20
"""It also opens when that share of at least so many recent attempts failed."""

FIRST_WAIT_MS = 1_000
MOST_WAIT_MS = 60_000

PROBATION = (0.01, 0.05, 0.25, 1.0)
"""The share of traffic that each step of the probation admits."""

SUCCESSES = (1, 2, 4, 8)
"""Good answers that end each step."""

STEP_MS = 30_000
"""A step without an answer ends after this long, or little traffic would never come back."""


class Breaker:
    """One endpoint's breaker. Times are milliseconds of a clock that only grows."""

    __slots__ = (
        "_failed",
        "_good_in_step",
        "_in_a_row",
        "_judged",
        "_step",
        "_step_began_ms",
        "_until_ms",
        "_wait_ms",
    )

    def __init__(self) -> None:
        self._in_a_row = 0
        self._judged = 0.0
        self._failed = 0.0
        self._until_ms: float | None = None
        self._wait_ms = 0.0
        self._step = 0
        self._step_began_ms = 0.0
        self._good_in_step = 0

    def share(self, now_ms: float) -> float:
        """Return the share of the traffic that may go there: 1 if closed, 0 if open."""
        if self._until_ms is None:
            return 1.0
        if now_ms < self._until_ms:
            return 0.0
        self._advance(now_ms)
        return PROBATION[self._step]

    def is_closed(self) -> bool:
        """Tell whether nothing is held against the endpoint."""
        return self._until_ms is None

    def open_for_ms(self, now_ms: float) -> float:
        """Return how long nothing may go there from now on."""
        if self._until_ms is None:
            return 0.0
        return min(max(self._until_ms - now_ms, 0.0), MOST_WAIT_MS)

    def success(self, now_ms: float) -> None:
        """Note an attempt that ended well."""
        self._in_a_row = 0
        if self._until_ms is None:
            self._count(0.0)
            self._wait_ms *= 0.9
            return
        if now_ms < self._until_ms:
            return
        self._advance(now_ms)
        self._good_in_step += 1
        if self._good_in_step < SUCCESSES[self._step]:
            return
        if self._step + 1 == len(PROBATION):
            self._close()
        else:
            self._next_step(now_ms)

    def failure(self, now_ms: float, chance: random.Random) -> None:
        """Note an attempt that failed."""
        self._in_a_row += 1
        if self._until_ms is not None:
            # Whoever was on the way when it opened says nothing new.
            if now_ms >= self._until_ms:
                self.open(now_ms, chance)
            return
        self._count(1.0)
        too_many = self._judged >= SHARE_OF and self._failed >= FAILED_SHARE * self._judged
        if self._in_a_row >= IN_A_ROW or too_many:
            self.open(now_ms, chance)

    def open(self, now_ms: float, chance: random.Random) -> None:
        """Let nothing through for a while."""
        self._wait_ms = jittered_wait_ms(self._wait_ms, chance)
        self._until_ms = now_ms + self._wait_ms
        self._step = self._good_in_step = 0
        self._step_began_ms = self._until_ms

    def _count(self, failed: float) -> None:
        if self._judged >= 2 * SHARE_OF:
            self._judged /= 2
            self._failed /= 2
        self._judged += 1
        self._failed += failed

    def _advance(self, now_ms: float) -> None:
        while now_ms - self._step_began_ms >= STEP_MS and self._step + 1 < len(PROBATION):
            self._next_step(self._step_began_ms + STEP_MS)

    def _next_step(self, now_ms: float) -> None:
        self._step += 1
        self._step_began_ms = now_ms
        self._good_in_step = 0

    def _close(self) -> None:
        self._until_ms = None
        self._judged = self._failed = 0.0


def jittered_wait_ms(last_ms: float, chance: random.Random) -> float:
    """Return the next wait, decorrelated from the last: between the first and three times it.

    Source: Brooker, Exponential Backoff And Jitter (2015), "decorrelated jitter".
    """
    most_ms = max(3 * last_ms, 3 * FIRST_WAIT_MS)
    return min(MOST_WAIT_MS, chance.uniform(FIRST_WAIT_MS, most_ms))


def in_words(wait_ms: float) -> str:
    """Return a wait in whole seconds.

    >>> in_words(11_200)
    '12 s'
    """
    return f"{math.ceil(wait_ms / 1000)} s"
