"""What an exchange may cost: the most that endpoints may charge for one request.

Bounds are upper bounds, whatever the provider will count and whichever of its prices applies.
"""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.gateway.endpoints import Endpoint, cost_ceiling, input_ceiling, output_within
from glasslipper.kernel.errors import PriceUnknown
from glasslipper.kernel.messages import Request
from glasslipper.kernel.money import FREE, Price


class Terms:
    """The terms of one request."""

    __slots__ = ("_created_ms", "_request", "input_units")

    def __init__(self, request: Request, created_ms: int) -> None:
        """Bound what `request`, begun at that Unix time, may cost."""
        self._request = request
        self._created_ms = created_ms
        self.input_units = input_ceiling(request)

    def affordable(self, offered: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Return the endpoints whose cost has a bound, or that no budget pays for.

        Raises:
            PriceUnknown: There is none.
        """
        priced = [one for one in offered if one.uncharged or self.dearest(one)]
        if not priced:
            raise PriceUnknown(
                f"A budget applies, and nobody knows what {self._request.model} costs."
            )
        return priced

    def dearest(self, endpoint: Endpoint) -> Price | None:
        """Return the dearest price that may turn out to apply, or `None` if nobody knows."""
        return endpoint.pricing.ceiling(
            self._created_ms, self.input_units, service_tier=self._request.service_tier
        )

    def most_nanousd(self, endpoints: Sequence[Endpoint]) -> int | None:
        """Return the most that any of the endpoints may charge; `None` if none is charged for."""
        ceilings = [
            self._ceiling(endpoint, endpoint.output_ceiling(self._request))
            for endpoint in endpoints
            if not endpoint.uncharged
        ]
        return max(ceilings, default=None)

    def least_nanousd(self, endpoints: Sequence[Endpoint]) -> int:
        """Return what pays for the prompt and one token of answer at any of the endpoints."""
        return max(self._ceiling(endpoint, 1) for endpoint in endpoints if not endpoint.uncharged)

    def output_within(self, nanousd: int, endpoints: Sequence[Endpoint]) -> int:
        """Return how many tokens of answer an amount pays for at each of the endpoints."""
        return min(
            output_within(
                self.dearest(endpoint) or FREE, input_units=self.input_units, nanousd=nanousd
            )
            for endpoint in endpoints
            if not endpoint.uncharged
        )

    def _ceiling(self, endpoint: Endpoint, output_units: int) -> int:
        price = self.dearest(endpoint) or FREE
        return cost_ceiling(price, input_units=self.input_units, output_units=output_units)
