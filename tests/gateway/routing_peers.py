"""Endpoints, requests and a clock for tests of routing: values of the real types, no servers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence

import msgspec

from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.prices.tariff import Tariff, Version
from glasslipper.gateway.pricing import TariffPricing
from glasslipper.gateway.routing import Result, Route, Router
from glasslipper.kernel.events import Event
from glasslipper.kernel.messages import Message, Request, TextPart, Tool
from glasslipper.kernel.money import Price, nanousd
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.usage import Usage

MODEL = "maker/model"


class Ticks:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.at_ms = 1_000_000.0

    def now_ms(self) -> int:
        return int(self.at_ms)

    def ticks_ms(self) -> float:
        return self.at_ms

    def go_on(self, s: float) -> None:
        self.at_ms += s * 1000


class Nobody:
    """An upstream that tests of routing never call."""

    def send(self, attempt: Attempted) -> AsyncIterator[Event]:
        raise NotImplementedError(attempt.id)


def endpoint(
    provider: str, usd_in: float | None = 1.0, *, model: str = MODEL, **more: object
) -> Endpoint:
    """An endpoint at so many USD per million tokens, twice that for the answer."""
    name = f"{model}@{provider}"
    cached = more.pop("usd_cached", None)
    tariff = None
    if usd_in is not None:
        price = Price(
            input=nanousd(usd_in),
            output=nanousd(2 * usd_in),
            cache_read=None if cached is None else nanousd(float(str(cached))),
        )
        tariff = Tariff(versions=(Version(price=price),), source="test", as_of="2026-11-23")
    plain = Endpoint(
        id=name,
        model=model,
        provider=provider,
        upstream_model=model,
        upstream=Nobody(),
        pricing=TariffPricing(name, tariff, lambda _endpoint, _row: None),
    )
    return msgspec.structs.replace(plain, **more)


def ask(model: str = MODEL, *, tools: bool = False, **more: object) -> Request:
    """A request; `provider` is its provider object."""
    wishes = more.pop("provider", None)
    extra = {} if wishes is None else {"provider": msgspec.Raw(msgspec.json.encode(wishes))}
    plain = Request(
        model=model,
        messages=(Message(role="user", parts=(TextPart(text="hi"),)),),
        tools=(Tool(name="look"),) if tools else (),
        extra=extra,
    )
    return msgspec.structs.replace(plain, **more)


def router(seed: int = 1, clock: Ticks | None = None) -> Router:
    return Router(clock or Ticks(), random.Random(seed))


def odds(route: Route) -> dict[str, float]:
    """The propensity of each endpoint, by its provider."""
    return {one.endpoint.partition("@")[2]: one.propensity for one in route.candidates}


def why(route: Route) -> dict[str, str]:
    return {one.endpoint.partition("@")[2]: one.why for one in route.candidates}


def providers(route: Route) -> list[str]:
    return [end.provider for end in route.order]


def good(tokens_per_s: float = 50.0, **more: object) -> Result:
    """An answer of 100 tokens at that speed."""
    plain = Result(
        streamed=True,
        first_token_ms=100.0,
        duration_ms=100_000 / tokens_per_s,
        usage=Usage(input=1000, output=100),
    )
    return msgspec.structs.replace(plain, **more)


def tell(made: Router, end: Endpoint, results: Sequence[Result]) -> None:
    for result in results:
        made.report(end, result, request=ask())
