"""From how endpoints look to the odds of each: price, speed, reliability, tool calls.

Every factor is relative to the best of the peers and at most 1. What nobody knows about an
endpoint is assumed to be as its peers are, and a standing share of the draws explores. Whoever
is on probation gets no more than its breaker admits. All odds are exact: the first endpoint of
an order is drawn with precisely the propensity that is recorded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.routing.sight import Sight

TIMES = " \u00d7 "

EXPLORE = 0.05
"""The share of draws that is spread evenly over everybody who is fit."""

PRICE_POWER = 2.0
"""Three times the price is a ninth of the weight."""

UPTIME_POWER = 4.0
"""Unreliability weighs heavily: 0.9 of the uptime is two thirds of the weight."""

TOOLS_POWER = 2.0

FLOOR_NANOUSD = 1_000.0
"""Added to what a call costs: below that, price makes no difference."""

UNKNOWN_NANOUSD = 20_000_000.0
"""What a call is taken to cost where nobody knows: two cents, as at a dear model."""

GOOD_PRIOR = 0.99
PRIOR_WEIGHT = 10.0
"""An endpoint's uptime counts as much as its peers' once it has had so many attempts."""

SPEED_PRIOR_WEIGHT = 3.0


class Seat:
    """One candidate while a route is planned.

    Attributes:
        share: What it may get of the traffic; 0 if it must rest, for `rest_ms`.
        is_paused: It asked for a pause, which is kept to even if nobody else is left.
        trouble: Why it must rest.
        level: Who has the smallest is tried first; model fallbacks and wishes raise it.
        reserve: Why a wish raised it.
        weight: What it would get among those of its level, summing to 1.
        odds: The probability of being first.
        why: What the weight is made of.
    """

    __slots__ = (
        "endpoint",
        "is_paused",
        "level",
        "odds",
        "reserve",
        "rest_ms",
        "share",
        "sight",
        "trouble",
        "weight",
        "why",
    )

    def __init__(self, endpoint: Endpoint, sight: Sight) -> None:
        self.endpoint = endpoint
        self.sight = sight
        self.share = 1.0
        self.rest_ms = 0.0
        self.is_paused = False
        self.trouble = ""
        self.level = 0
        self.reserve = ""
        self.weight = 0.0
        self.odds = 0.0
        self.why = ""

    def must_rest(self, trouble: str, rest_ms: float) -> None:
        """Take it out of the draw, for so long."""
        self.share, self.trouble, self.rest_ms = 0.0, trouble, rest_ms


def weigh(seats: Sequence[Seat], *, with_tools: bool) -> None:
    """Give seats of one level their weights, and say what they are made of."""
    costs = [_cost(seat.sight) for seat in seats]
    cheapest = min(costs)
    sights = [seat.sight for seat in seats]
    speeds = _speeds(sights)
    uptime_prior = _prior(sum([s.good for s in sights]), sum([s.bad for s in sights]))
    total = 0.0
    for seat, cost, speed in zip(seats, costs, speeds, strict=True):
        sight = seat.sight
        price = (cheapest / cost) ** PRICE_POWER
        uptime = _share(sight.good, sight.bad, uptime_prior) ** UPTIME_POWER
        weight = price * speed * uptime
        seat.why = f"price {price:.2g}{TIMES}speed {speed:.2g}{TIMES}uptime {uptime:.2g}"
        if sight.busy:
            room = 1.0 - sight.busy / (sight.busy + sight.good + sight.bad + PRIOR_WEIGHT)
            weight *= room
            seat.why += f"{TIMES}room {room:.2g}"
        seat.weight = weight
        total += weight
    if with_tools:
        total = _weigh_tools(seats)
    floor = EXPLORE / len(seats)
    for seat in seats:
        seat.weight = (1.0 - EXPLORE) * seat.weight / total + floor


def _cost(sight: Sight) -> float:
    known = sight.cost_nanousd
    return (UNKNOWN_NANOUSD if known is None else known) + FLOOR_NANOUSD


def _weigh_tools(seats: Sequence[Seat]) -> float:
    total = 0.0
    for seat in seats:
        quality = tool_quality(seats, seat.sight) ** TOOLS_POWER
        seat.weight *= quality
        seat.why += f"{TIMES}tools {quality:.2g}"
        total += seat.weight
    return total


def tool_quality(seats: Sequence[Seat], sight: Sight) -> float:
    """Return the share of answers whose tool calls can be used, as far as is known."""
    prior = _prior(sum(s.sight.tools_fine for s in seats), sum(s.sight.tools_bad for s in seats))
    return _share(sight.tools_fine, sight.tools_bad, prior)


def _prior(good: int, bad: int) -> float:
    return (good + GOOD_PRIOR * PRIOR_WEIGHT) / (good + bad + PRIOR_WEIGHT)


def _share(good: int, bad: int, prior: float) -> float:
    return (good + prior * PRIOR_WEIGHT) / (good + bad + PRIOR_WEIGHT)


def _speeds(sights: Sequence[Sight]) -> list[float]:
    """Return each speed as a share of the fastest's.

    As long as few attempts tell a speed, it is drawn towards the mean of the peers.
    """
    known = [sight.tokens_per_s[0] for sight in sights if sight.tokens_per_s is not None]
    if not known:
        return [1.0] * len(sights)
    mean = sum(known) / len(known)
    speeds = [
        mean
        if sight.tokens_per_s is None
        else (sight.good * sight.tokens_per_s[0] + SPEED_PRIOR_WEIGHT * mean)
        / (sight.good + SPEED_PRIOR_WEIGHT)
        for sight in sights
    ]
    fastest = max(speeds)
    return [speed / fastest for speed in speeds]


def rank(seats: Sequence[Seat]) -> None:
    """Give seats of one level, best first, the weights of a fixed order.

    Whoever is best gets everything; what its breaker does not admit goes to the next.
    """
    left = 1.0
    for seat in seats:
        seat.weight = 0.0
    for seat in seats:
        seat.weight = left * seat.share
        left -= seat.weight
        if left <= 0.0:
            return
    if left >= 1.0:
        seats[0].weight = 1.0


def admit(levels: Sequence[Sequence[Seat]]) -> None:
    """Turn weights into odds: no seat above its share, as long as anybody is fully fit."""
    left = 1.0
    for seats in levels:
        closed = sum(seat.weight for seat in seats if seat.share >= 1.0)
        spent = 0.0
        for seat in seats:
            if seat.share < 1.0:
                seat.odds = min(left * seat.weight, seat.share)
                spent += seat.odds
        if closed > 0.0:
            for seat in seats:
                if seat.share >= 1.0:
                    seat.odds = (left - spent) * seat.weight / closed
            return
        left -= spent
    _normalise([seat for seats in levels for seat in seats])


def _normalise(seats: Sequence[Seat]) -> None:
    """Nobody is fully fit: those on probation serve all there is, or else whoever there is."""
    total = sum(seat.odds for seat in seats)
    if total > 0.0:
        for seat in seats:
            seat.odds /= total
        return
    first = min((seat.level for seat in seats), default=0)
    leaders = [seat for seat in seats if seat.level == first]
    total = sum(seat.weight for seat in leaders)
    for seat in leaders:
        seat.odds = seat.weight / total if total > 0.0 else 1.0 / len(leaders)


def stick(seats: Sequence[Seat], held: Seat, firmness: float) -> None:
    """Mix the odds: with probability `firmness` it is `held`, else as they were."""
    for seat in seats:
        seat.odds *= 1.0 - firmness
    held.odds += firmness


def first_of(seats: Sequence[Seat], chance: random.Random) -> Seat:
    """Draw who is first."""
    point = chance.random()
    last = seats[0]
    for seat in seats:
        if seat.odds > 0.0:
            if point < seat.odds:
                return seat
            point -= seat.odds
            last = seat
    return last


def shuffled(seats: Sequence[Seat], chance: random.Random) -> list[Seat]:
    """Draw an order without replacement: whoever has twice the weight is twice as often next.

    Source: Efraimidis and Spirakis, Weighted random sampling with a reservoir (2006).
    """
    if len(seats) < 2:
        return list(seats)
    keyed = [
        (math.log(1.0 - chance.random()) / seat.weight if seat.weight > 0.0 else -math.inf, index)
        for index, seat in enumerate(seats)
    ]
    keyed.sort(reverse=True)
    return [seats[index] for _, index in keyed]
