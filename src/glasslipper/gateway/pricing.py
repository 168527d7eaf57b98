"""The price rows of an endpoint: what it costs now, and the most that it may turn out to cost.

Each row is remembered in the ledger when it is first used, so that every generation's price can
be looked up for ever.
"""

from __future__ import annotations

from collections.abc import Callable

from glasslipper.gateway.local_price import LocalPrice
from glasslipper.gateway.prices.tariff import Tariff
from glasslipper.kernel.money import Price
from glasslipper.kernel.record import PriceRow
from glasslipper.ledger.write.prices import row_for

Remember = Callable[[str, PriceRow], None]


class TariffPricing:
    """Prices from a tariff, or none at all."""

    def __init__(self, endpoint: str, tariff: Tariff | None, remember: Remember) -> None:
        """Price `endpoint` by `tariff`; `None` if nobody knows what it costs."""
        self._endpoint = endpoint
        self._tariff = tariff
        self._remember = remember
        self._rows: dict[Price, PriceRow] = {}

    @property
    def tariff(self) -> Tariff | None:
        """Every price that there is, and when which one applies."""
        return self._tariff

    def row(
        self, when_ms: int, prompt_tokens: int, *, service_tier: str | None = None
    ) -> PriceRow | None:
        """Return the price row of a call begun then with a prompt of that size, at that tier."""
        tariff = self._tariff
        if tariff is None:
            return None
        price = tariff.price_at(when_ms, prompt_tokens, service_tier=service_tier)
        row = self._rows.get(price)
        if row is None:
            row = row_for(self._endpoint, price, source=tariff.source, as_of=tariff.as_of)
            self._rows[price] = row
            self._remember(self._endpoint, row)
        return row

    def ceiling(
        self, when_ms: int, prompt_tokens: int, *, service_tier: str | None = None
    ) -> Price | None:
        """Return the dearest price that such a call may turn out to have."""
        if self._tariff is None:
            return None
        return self._tariff.ceiling(when_ms, prompt_tokens, service_tier=service_tier)


class LocalPricing:
    """The price of a model on this machine."""

    def __init__(self, endpoint: str, price: LocalPrice, *, as_of: str, remember: Remember) -> None:
        """Price `endpoint` by CPU time."""
        self._ceiling = price.ceiling
        self._row = row_for(endpoint, price.price, source="cpu time", as_of=as_of)
        remember(endpoint, self._row)

    @property
    def tariff(self) -> Tariff | None:
        """None: there is only the one row."""
        return None

    def row(self, when_ms: int, prompt_tokens: int, *, service_tier: str | None = None) -> PriceRow:
        """Return the one price row."""
        del when_ms, prompt_tokens, service_tier
        return self._row

    def ceiling(
        self, when_ms: int, prompt_tokens: int, *, service_tier: str | None = None
    ) -> Price:
        """Return the ceiling per token."""
        del when_ms, prompt_tokens, service_tier
        return self._ceiling
