"""Which endpoint serves an exchange, and which come after it.

The first is drawn with a probability that falls with the square of its price; the others follow
as they would be drawn next. Each draw's probability is kept, because a policy can be judged
later only by what was likely at the time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from msgspec import Struct

from glasslipper.gateway.endpoints import Endpoint, cost_ceiling
from glasslipper.kernel.record import Candidate

_TYPICAL_TOKENS = 1_000


class Route(Struct, frozen=True, kw_only=True):
    """Endpoints in the order in which they are tried, and how likely each was to be first."""

    order: tuple[Endpoint, ...]
    candidates: tuple[Candidate, ...]


def draw(endpoints: Sequence[Endpoint], chance: random.Random, now_ms: int) -> Route:
    """Draw the order in which to try the endpoints."""
    if len(endpoints) == 1:
        only = endpoints[0]
        return Route(
            order=(only,), candidates=(Candidate(endpoint=only.id, propensity=1.0, why="only"),)
        )
    weights = [_weight(endpoint, now_ms) for endpoint in endpoints]
    total = sum(weights)
    candidates = tuple(
        Candidate(endpoint=endpoint.id, propensity=weight / total, why="price")
        for endpoint, weight in zip(endpoints, weights, strict=True)
    )
    # Efraimidis and Spirakis (2006): sorting by u^(1/w) is drawing without replacement.
    keys = [chance.random() ** (1.0 / weight) for weight in weights]
    order = sorted(range(len(endpoints)), key=keys.__getitem__, reverse=True)
    return Route(order=tuple(endpoints[index] for index in order), candidates=candidates)


def _weight(endpoint: Endpoint, now_ms: int) -> float:
    price = endpoint.pricing.ceiling(now_ms, _TYPICAL_TOKENS)
    if price is None:
        return 1e-6
    cost = cost_ceiling(price, input_units=_TYPICAL_TOKENS, output_units=_TYPICAL_TOKENS)
    return (1_000_000 / (cost + 1_000)) ** 2 + 1e-6
