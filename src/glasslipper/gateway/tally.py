"""What a process has served since it started, counted cheaply as it happens.

Counts are plain integers in dictionaries; `metrics` makes them readable. The ledger is the
record; these are for watching.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import NamedTuple

from glasslipper.kernel.record import Generation

LATENCY_EDGES_MS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)


MOST_PLAIN = 1_000
"""So many exchanges are counted together at most."""


class Served(NamedTuple):
    """What exchanges are told apart by."""

    model: str
    provider: str
    dialect: str
    status: str


class Spread:
    """How many measurements fell below each edge, and their sum."""

    __slots__ = ("counts", "total_ms")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_EDGES_MS) + 1)
        self.total_ms = 0

    def add(self, *values_ms: int) -> None:
        """Take in some measurements."""
        for value_ms in values_ms:
            self.counts[bisect_left(LATENCY_EDGES_MS, value_ms)] += 1
        self.total_ms += sum(values_ms)


class Sum:
    """How often something was measured, and the sum."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0


class Tally:
    """The counts of one process."""

    def __init__(self) -> None:
        self.exchanges: dict[Served, int] = {}
        self.prompt_tokens: dict[Served, int] = {}
        self.completion_tokens: dict[Served, int] = {}
        self.charged_nanousd: dict[Served, int] = {}
        self.first_token: dict[str, Spread] = {}
        self.duration: dict[str, Spread] = {}
        self.refused: dict[str, int] = {}
        self.skipped: dict[str, int] = {}
        self.details: dict[tuple[str, str], Sum] = {}
        """What upstreams measured of their own work, by model and name."""
        self._plain: list[tuple[Served, int, int, int, int, int]] = []

    def note_plain(
        self,
        who: Served,
        prompt: int,
        completion: int,
        charged_nanousd: int,
        duration_ms: int,
        first_token_ms: int,
    ) -> None:
        """Count an exchange later: before anybody looks, or when there are many."""
        self._plain.append((who, prompt, completion, charged_nanousd, duration_ms, first_token_ms))
        if len(self._plain) >= MOST_PLAIN:
            self.fold()

    def fold(self) -> None:
        """Count what was noted to be counted later."""
        plain, self._plain = self._plain, []
        by_who: dict[Served, list[tuple[int, ...]]] = {}
        for who, *numbers in plain:
            by_who.setdefault(who, []).append(tuple(numbers))
        for who, found in by_who.items():
            prompts, completions, charged, durations_ms, firsts_ms = zip(*found, strict=True)
            self._add(who, sum(prompts), sum(completions), sum(charged), times=len(found))
            _spread(self.duration, who.model).add(*durations_ms)
            _spread(self.first_token, who.model).add(*firsts_ms)

    def _add(
        self, who: Served, prompt: int, completion: int, charged: int, *, times: int = 1
    ) -> None:
        self.exchanges[who] = self.exchanges.get(who, 0) + times
        self.prompt_tokens[who] = self.prompt_tokens.get(who, 0) + prompt
        self.completion_tokens[who] = self.completion_tokens.get(who, 0) + completion
        self.charged_nanousd[who] = self.charged_nanousd.get(who, 0) + charged

    def note(self, record: Generation, details: Mapping[str, float] | None = None) -> None:
        """Count an exchange that has been recorded."""
        for name, value in (details or {}).items():
            found = self.details.setdefault((record.model_served or record.model, name), Sum())
            found.count += 1
            found.total += value
        who = Served(
            record.model_served or record.model,
            record.provider or "",
            record.dialect,
            record.status,
        )
        usage = record.usage
        self._add(who, usage.prompt_tokens, usage.completion_tokens, record.charged_nanousd)
        _spread(self.duration, who.model).add(record.duration_ms)
        if record.first_token_ms is not None:
            _spread(self.first_token, who.model).add(record.first_token_ms)

    def refuse(self, slug: str) -> None:
        """Count a request that was answered with an error."""
        self.refused[slug] = self.refused.get(slug, 0) + 1

    def skip(self, kind: str) -> None:
        """Count a request that got no late fact of a kind that it should have had."""
        self.skipped[kind] = self.skipped.get(kind, 0) + 1


def _spread(spreads: dict[str, Spread], name: str) -> Spread:
    found = spreads.get(name)
    if found is None:
        found = spreads[name] = Spread()
    return found
