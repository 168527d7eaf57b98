"""How an endpoint has been doing in the last minutes, judged at the end of each attempt.

Counts how attempts ended, how fast they were and whether tool calls could be used. Knows no
prices and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from glasslipper.gateway.routing.toolcheck import ToolFault
from glasslipper.gateway.routing.verdict import Verdict, verdict
from glasslipper.gateway.routing.windows import Faded, Percentiles, SlidingCounts
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.usage import Usage

SHARES = (0.5, 0.75, 0.9, 0.99)
"""The percentiles that people may ask for: p50, p75, p90, p99."""

CACHE_HALF_LIFE_MS = 900_000.0
"""Of the observed share of cached tokens; after half an hour a quarter of it still counts."""

Spread = tuple[float, ...]
"""A value for each of `SHARES`."""


class Result(Struct, frozen=True, kw_only=True):
    """How an attempt ended.

    Attributes:
        error: What went wrong; `None` if nothing did.
        cancelled: The client left; then it says nothing about the endpoint.
        streamed: Its first token came when the model made it.
        first_token_ms: From the start of the attempt to the first token.
        duration_ms: To the end.
        usage: What it consumed, if that is known.
        with_tools: The request had tools, or wanted JSON.
        tool_fault: What was wrong with a tool call of the answer, or with its JSON.
    """

    error: GlasslipperError | None = None
    cancelled: bool = False
    streamed: bool = False
    first_token_ms: float | None = None
    duration_ms: float = 0.0
    usage: Usage | None = None
    with_tools: bool = False
    tool_fault: ToolFault | None = None

    @property
    def verdict(self) -> Verdict:
        """What it says about the endpoint."""
        return Verdict.NEUTRAL if self.cancelled else verdict(self.error)


class Plain(Struct, frozen=True, gc=False):
    """A good end of an attempt without cache; streamed, if its first token has a time."""

    now_ms: float
    duration_ms: float
    prompt: int
    completion: int
    first_token_ms: float | None = None
    with_tools: bool = False


class Health:
    """One endpoint's last five minutes."""

    __slots__ = (
        "_cached",
        "_ends",
        "_errors",
        "_gaps",
        "_prompt",
        "_speeds",
        "_tools",
        "_waits",
    )

    def __init__(self) -> None:
        self._ends = SlidingCounts[str]()
        self._errors = SlidingCounts[str]()
        self._tools = SlidingCounts[str]()
        self._waits = Percentiles()
        self._gaps = Percentiles()
        self._speeds = Percentiles()
        self._prompt = Faded(CACHE_HALF_LIFE_MS)
        self._cached = Faded(CACHE_HALF_LIFE_MS)

    def note_plain(self, later: Sequence[Plain]) -> None:
        """Take in some good ends, of which there is at least one, in the order of their times."""
        now_ms = later[-1].now_ms
        self._ends.add(Verdict.GOOD.value, now_ms, len(later))
        if with_tools := sum([one.with_tools for one in later]):
            self._tools.add("fine", now_ms, with_tools)
        self._prompt.add(sum([one.prompt for one in later]), now_ms)
        self._cached.add(0, now_ms)
        self._speeds.add_all(
            [
                one.completion * 1000 / one.duration_ms
                for one in later
                if one.completion > 0 and one.duration_ms > 0
            ],
            now_ms,
        )
        waits = [(one.first_token_ms, one) for one in later if one.first_token_ms is not None]
        self._waits.add_all([wait_ms for wait_ms, _ in waits], now_ms)
        self._gaps.add_all(
            [
                (one.duration_ms - wait_ms) / (one.completion - 1)
                for wait_ms, one in waits
                if one.completion > 1
            ],
            now_ms,
        )

    def note(self, result: Result, now_ms: float) -> Verdict:
        """Take in how an attempt ended, and return what that says about the endpoint."""
        found = result.verdict
        self._ends.add(found.value, now_ms)
        if result.error is not None:
            self._errors.add(result.error.slug, now_ms)
        if found is Verdict.GOOD:
            self._time(result, now_ms)
            if result.with_tools:
                self._tools.add(result.tool_fault or "fine", now_ms)
        return found

    def _time(self, result: Result, now_ms: float) -> None:
        usage = result.usage
        tokens = 0 if usage is None else usage.completion_tokens
        if usage is not None and (prompt := usage.prompt_tokens):
            self._prompt.add(prompt, now_ms)
            self._cached.add(usage.cache_read, now_ms)
        if tokens > 0 and result.duration_ms > 0:
            self._speeds.add(tokens * 1000 / result.duration_ms, now_ms)
        if result.streamed and result.first_token_ms is not None:
            self._waits.add(result.first_token_ms, now_ms)
            if tokens > 1:
                self._gaps.add((result.duration_ms - result.first_token_ms) / (tokens - 1), now_ms)

    def ends(self, now_ms: float) -> dict[str, int]:
        """Return how many attempts ended in which way, by `Verdict`."""
        return self._ends.totals(now_ms)

    def errors(self, now_ms: float) -> dict[str, int]:
        """Return how many attempts ended with which error, by its slug."""
        return self._errors.totals(now_ms)

    def tool_calls(self, now_ms: float) -> dict[str, int]:
        """Return how many answers to requests with tools were `fine`, or had which fault."""
        return self._tools.totals(now_ms)

    def latency_ms(self, now_ms: float) -> Spread | None:
        """Return the time to the first token of streams."""
        return self._waits.at(SHARES, now_ms)

    def gap_ms(self, now_ms: float) -> Spread | None:
        """Return the time between tokens of streams."""
        return self._gaps.at(SHARES, now_ms)

    def tokens_per_s(self, now_ms: float) -> Spread | None:
        """Return the tokens of an answer by the whole time that it took."""
        return self._speeds.at(SHARES, now_ms)

    def cached_share(self, now_ms: float) -> float:
        """Return the share of prompt tokens that came from a cache; low while little is known."""
        return self._cached.total(now_ms) / (self._prompt.total(now_ms) + 10_000.0)
