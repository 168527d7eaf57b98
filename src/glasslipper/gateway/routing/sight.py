"""What the draw sees of an endpoint: its health and price as of a moment ago.

A sight is taken again after a second, or when something went wrong, so that planning costs
microseconds. Costs are of a typical call of the model, the same for every endpoint of it.
"""

from __future__ import annotations

from msgspec import Struct

from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.routing.breaker import Breaker
from glasslipper.gateway.routing.health import Health, Spread
from glasslipper.gateway.routing.verdict import Verdict
from glasslipper.kernel.money import PER, Price
from glasslipper.kernel.usage import Usage

FRESH_MS = 1_000.0


class Sight(Struct, frozen=True, kw_only=True):
    """An endpoint as of a moment ago.

    Attributes:
        cost_nanousd: Of a typical call, cache hits considered; `None` if nobody knows.
        good: Attempts of the last minutes that ended well.
        bad: Those that failed.
        busy: Those that met a call for a pause.
        tools_fine: Answers to requests with tools whose calls could be used.
        tools_bad: The others.
        tokens_per_s: Percentiles over the last minutes; `None` if there were no answers.
        latency_ms: The same of the time to a stream's first token.
    """

    cost_nanousd: float | None
    good: int = 0
    bad: int = 0
    busy: int = 0
    tools_fine: int = 0
    tools_bad: int = 0
    tokens_per_s: Spread | None = None
    latency_ms: Spread | None = None


class Profile:
    """How large a typical call of one model is: means in which later calls count for more."""

    __slots__ = ("output", "prompt")

    def __init__(self) -> None:
        self.prompt = 1_000.0
        self.output = 300.0

    def note(self, usage: Usage) -> None:
        """Take in a call."""
        self.note_tokens(usage.prompt_tokens, usage.completion_tokens)

    def note_tokens(self, prompt: int, completion: int) -> None:
        """Take in a call with so many tokens."""
        self.prompt += (prompt - self.prompt) / 50
        self.output += (completion - self.output) / 50


class Standing:
    """All that is remembered of one endpoint."""

    __slots__ = ("_sight", "_stale_ms", "breaker", "health", "rest_until_ms", "rest_wait_ms")

    def __init__(self) -> None:
        self.health = Health()
        self.breaker = Breaker()
        self.rest_until_ms = 0.0
        self.rest_wait_ms = 0.0
        self._sight: Sight | None = None
        self._stale_ms = 0.0

    def blur(self) -> None:
        """Look again next time."""
        self._sight = None

    def fresh(self, ticks_ms: float) -> Sight | None:
        """Return how the endpoint looked at most a second ago, if anybody did look."""
        return self._sight if ticks_ms < self._stale_ms else None

    def look(self, endpoint: Endpoint, profile: Profile, *, ticks_ms: float, now_ms: int) -> Sight:
        """Return how the endpoint looks now."""
        health = self.health
        ends, tools = health.ends(ticks_ms), health.tool_calls(ticks_ms)
        fine = tools.get("fine", 0)
        self._stale_ms = ticks_ms + FRESH_MS
        self._sight = Sight(
            cost_nanousd=_cost(endpoint, profile, health.cached_share(ticks_ms), now_ms),
            good=ends.get(Verdict.GOOD.value, 0),
            bad=ends.get(Verdict.FAILED.value, 0) + ends.get(Verdict.LOCKED.value, 0),
            busy=ends.get(Verdict.BUSY.value, 0),
            tools_fine=fine,
            tools_bad=sum(tools.values()) - fine,
            tokens_per_s=health.tokens_per_s(ticks_ms),
            latency_ms=health.latency_ms(ticks_ms),
        )
        return self._sight


def price_now(endpoint: Endpoint, now_ms: int, prompt_tokens: int) -> Price | None:
    """Return the price in force; of this machine, what its CPU time comes to for a token."""
    if endpoint.is_local:
        return endpoint.pricing.ceiling(now_ms, prompt_tokens)
    row = endpoint.pricing.row(now_ms, prompt_tokens)
    return None if row is None else row.price


def _cost(endpoint: Endpoint, profile: Profile, cached: float, now_ms: int) -> float | None:
    price = price_now(endpoint, now_ms, int(profile.prompt))
    if price is None:
        return None
    prompt = (1.0 - cached) * price.input + cached * price.rate("cache_read")
    return (profile.prompt * prompt + profile.output * price.output + price.requests) / PER
