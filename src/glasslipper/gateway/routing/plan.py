"""One request's route, step by step: who may serve, how likely each is to be first, who follows.

    who may → levels → weights → odds → draw → the order behind

Levels come one after the other: the models that the client listed, and within each those that
meet its softer wishes before the others. Endpoints that must rest come last, as a last resort;
those that asked for a pause are left alone. Knows no clock and keeps nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.routing import draw
from glasslipper.gateway.routing.draw import Seat
from glasslipper.gateway.routing.route import Route
from glasslipper.gateway.routing.sight import price_now
from glasslipper.gateway.routing.variants import split_variant
from glasslipper.gateway.routing.wishes import Wishes, with_variants
from glasslipper.kernel.errors import NotFound, UpstreamRateLimited
from glasslipper.kernel.messages import Request
from glasslipper.kernel.money import Price
from glasslipper.kernel.record import Candidate

FIRMNESS = 0.99
"""How surely a session goes back to its cache; the rest keeps every choice possible."""

_TYPICAL_TOKENS = 1_000
_MOST_REASONS = 8


class Planner:
    """Plans one route."""

    def __init__(
        self,
        request: Request,
        wishes: Wishes,
        *,
        look: Callable[[Endpoint], Seat],
        now_ms: int,
        chance: random.Random,
    ) -> None:
        """Plan for `request`; `look` says how an endpoint stands."""
        self._request = request
        self._wishes = wishes
        self._look = look
        self._now_ms = now_ms
        self._chance = chance
        self._excluded: list[Candidate] = []
        self._ranked: dict[int, Wishes] = {}

    def route(self, offered: Sequence[Endpoint], held: str | None) -> Route:
        """Return the route over the endpoints offered; `held` has the session's cache.

        Raises:
            NotFound: The wishes leave nobody.
            UpstreamRateLimited: Whoever is left has asked for a pause.
        """
        seats = self._awake(self._seats(offered))
        levels = self._levels(seats)
        for level, members in levels.items():
            self._weigh(level, members)
        draw.admit(list(levels.values()))
        self._stick(seats, held)
        first = draw.first_of(seats, self._chance)
        order = [first, *self._behind(first, levels)]
        candidates = [_candidate(seat) for seat in order]
        kept = order if self._wishes.fallbacks or self._wishes.order else order[:1]
        return Route(
            order=tuple([seat.endpoint for seat in kept]),
            candidates=(*candidates, *self._excluded),
        )

    # who may

    def _seats(self, offered: Sequence[Endpoint]) -> list[Seat]:
        request = self._request
        if not request.models and ":" not in request.model:
            return self._admitted(offered, self._wishes, 0)
        found = list[Seat]()
        for number, name in enumerate((request.model, *request.models)):
            base, variants = split_variant(name)
            exact = [endpoint for endpoint in offered if endpoint.model == name]
            endpoints = exact or [endpoint for endpoint in offered if endpoint.model == base]
            wishes = self._wishes if exact else with_variants(self._wishes, variants)
            if not endpoints:
                self._exclude(name, "there is no such model")
            known = {seat.endpoint.id for seat in found}
            fresh = [endpoint for endpoint in endpoints if endpoint.id not in known]
            level = 0 if self._wishes.across_models else 2 * number
            found += self._admitted(fresh, wishes, level)
        return found

    def _admitted(self, offered: Sequence[Endpoint], wishes: Wishes, level: int) -> list[Seat]:
        if not wishes.says_anything:
            return self._all_of(offered, level)
        found = list[Seat]()
        if wishes.by is not None or wishes.order:
            self._ranked[level] = self._ranked[level + 1] = wishes
        for endpoint in offered:
            if (objection := self._objection(endpoint, wishes)) is not None:
                self._exclude(endpoint.id, objection)
                continue
            seat = self._look(endpoint)
            seat.level = level
            _put_later(seat, wishes)
            found.append(seat)
        return found

    def _all_of(self, offered: Sequence[Endpoint], level: int) -> list[Seat]:
        found = [self._look(endpoint) for endpoint in offered]
        if level:
            for seat in found:
                seat.level = level
        return found

    def _objection(self, endpoint: Endpoint, wishes: Wishes) -> str | None:
        objection = wishes.objection(endpoint)
        if objection is None and wishes.caps_price:
            objection = wishes.price_objection(self._price(endpoint))
        return objection

    def _price(self, endpoint: Endpoint) -> Price | None:
        return price_now(endpoint, self._now_ms, _TYPICAL_TOKENS)

    def _exclude(self, name: str, why: str) -> None:
        self._excluded.append(Candidate(endpoint=name, propensity=0.0, why=why))

    def _awake(self, seats: list[Seat]) -> list[Seat]:
        if not seats:
            raise self._nobody()
        awake = [seat for seat in seats if not seat.is_paused]
        if len(awake) == len(seats):
            return seats
        if not awake:
            wait_s = math.ceil(min(seat.rest_ms for seat in seats) / 1000)
            raise UpstreamRateLimited(
                f"Everybody who may serve {self._request.model} has asked for a pause.",
                retry_after_s=wait_s,
            )
        for seat in seats:
            if seat.is_paused:
                self._exclude(seat.endpoint.id, seat.trouble)
        return awake

    def _nobody(self) -> NotFound:
        reasons = [f"{one.endpoint}: {one.why}" for one in self._excluded[:_MOST_REASONS]]
        more = len(self._excluded) - len(reasons)
        words = "; ".join(reasons) + (f"; and {more} more" if more > 0 else "")
        return NotFound(
            f"The request's wishes leave no endpoint for {self._request.model} ({words}).",
            hint="Ask for less in `provider`, or for another model.",
            param="$.provider",
        )

    # how likely

    def _levels(self, seats: list[Seat]) -> Mapping[int, list[Seat]]:
        if all(seat.level == seats[0].level for seat in seats):
            return {seats[0].level: seats}
        levels: dict[int, list[Seat]] = {}
        for seat in sorted(seats, key=_level):
            levels.setdefault(seat.level, []).append(seat)
        return levels

    def _weigh(self, level: int, members: list[Seat]) -> None:
        request = self._request
        wants_form = bool(request.tools) or request.response_format.kind != "text"
        draw.weigh(members, with_tools=wants_form)
        wishes = self._ranked.get(level)
        if wishes is None:
            return
        members.sort(key=_sorting(wishes, members))
        draw.rank(members)
        words = "in the request's order" if wishes.order else f"by {wishes.by}"
        for number, seat in enumerate(members, 1):
            seat.why = f"{number}. {words}"

    def _stick(self, seats: list[Seat], held: str | None) -> None:
        if held is None or self._wishes.order:
            return
        lead = min(seat.level for seat in seats)
        for seat in seats:
            if seat.endpoint.id == held and seat.share >= 1.0 and seat.level == lead:
                price = self._price(seat.endpoint)
                if price is not None and price.rate("cache_read") < price.input:
                    draw.stick(seats, seat, FIRMNESS)
                    seat.why = f"holds the session's cache; {seat.why}"
                return

    # who follows

    def _behind(self, first: Seat, levels: Mapping[int, list[Seat]]) -> list[Seat]:
        fit, resting = list[Seat](), list[Seat]()
        for level, members in levels.items():
            others = [seat for seat in members if seat is not first and seat.share >= 1.0]
            fit += others if level in self._ranked else draw.shuffled(others, self._chance)
            resting += [seat for seat in members if seat is not first and seat.share < 1.0]
        if len(resting) > 1:
            resting.sort(key=_rest)
        return fit + resting


def _put_later(seat: Seat, wishes: Wishes) -> None:
    """Raise the level of a seat that the request would rather not have."""
    reason = None
    speeds, waits = seat.sight.tokens_per_s, seat.sight.latency_ms
    if wishes.prefers and (lacking := wishes.prefers & seat.endpoint.lacks):
        reason = f"does not know {', '.join(sorted(lacking))}"
    elif wishes.least_tokens_per_s is not None and speeds is not None:
        if not wishes.least_tokens_per_s.allow_at_least(speeds):
            reason = "slower than preferred"
    if reason is None and wishes.most_latency_s is not None and waits is not None:
        if not wishes.most_latency_s.allow_at_most(tuple(wait / 1000 for wait in waits)):
            reason = "later to begin than preferred"
    if reason is not None:
        seat.level += 1
        seat.reserve = reason


def _sorting(wishes: Wishes, members: Sequence[Seat]) -> Callable[[Seat], tuple[float, ...]]:
    """Return the key by which a level is sorted, the weight deciding between equals."""
    if wishes.order:
        return lambda seat: (wishes.place(seat.endpoint), -seat.weight)
    match wishes.by:
        case "price":
            return lambda seat: (_or(seat.sight.cost_nanousd, math.inf), -seat.weight)
        case "throughput":
            mean = _mean([s.sight.tokens_per_s[0] for s in members if s.sight.tokens_per_s])
            return lambda seat: (-_median(seat.sight.tokens_per_s, mean), -seat.weight)
        case "latency":
            mean = _mean([s.sight.latency_ms[0] for s in members if s.sight.latency_ms])
            return lambda seat: (_median(seat.sight.latency_ms, mean), -seat.weight)
        case _:
            return lambda seat: (-draw.tool_quality(members, seat.sight), -seat.weight)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _median(spread: tuple[float, ...] | None, default: float) -> float:
    return default if spread is None else spread[0]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _level(seat: Seat) -> int:
    return seat.level


def _rest(seat: Seat) -> tuple[float, int]:
    return seat.rest_ms, seat.level


def _candidate(seat: Seat) -> Candidate:
    why = seat.why
    if seat.trouble:
        why = f"{seat.trouble}; {why}"
    if seat.reserve:
        why = f"{seat.reserve}; {why}"
    return Candidate(endpoint=seat.endpoint.id, propensity=seat.odds, why=why)
