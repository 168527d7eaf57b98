"""Every price of one endpoint, and when which one applies.

A price depends on the day, on the hour, on the service tier that was asked for and on the size
of the prompt. A version says from when and in which hours of the day (UTC) it applies; of all
that apply the last one listed counts, and before the first of them began it counts too. A tier
that the prompt's size reaches prices all tokens of the call, not only those beyond its edge.
Knows neither models nor where the prices come from, beyond their names.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from glasslipper.kernel.clock import DAY_MS
from glasslipper.kernel.money import INPUT_CLASSES, OTHER_CLASSES, OUTPUT_CLASSES, Price


class Tier(Struct, frozen=True, gc=False):
    """The price of calls whose prompt has more than `above_tokens` tokens."""

    above_tokens: int
    price: Price


class Version(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A price list, and when it applies.

    Attributes:
        price: What calls cost that reach no tier.
        tiers: What larger ones cost, the smallest edge first.
        since_ms: The Unix time from which it applies, in milliseconds.
        window_ms: From when until before when of the UTC day it applies; may span midnight.
        service_tier: The tier of service that it is for, such as `priority`; `None`: for any.
    """

    price: Price
    tiers: tuple[Tier, ...] = ()
    since_ms: int = 0
    window_ms: tuple[int, int] | None = None
    service_tier: str | None = None

    def applies(self, when_ms: int, service_tier: str | None) -> bool:
        """Return whether it applies to a call at that time and tier of service."""
        if when_ms < self.since_ms or self.service_tier not in (None, service_tier):
            return False
        if self.window_ms is None:
            return True
        start, end = self.window_ms
        of_day = when_ms % DAY_MS
        return start <= of_day < end if start < end else of_day >= start or of_day < end

    def price_of(self, prompt_tokens: int) -> Price:
        """Return the price of a call with a prompt of that size, cached tokens included."""
        for tier in reversed(self.tiers):
            if prompt_tokens > tier.above_tokens:
                return tier.price
        return self.price


class Tariff(Struct, frozen=True, kw_only=True, gc=False):
    """Every price of one endpoint.

    `versions` is never empty and its first is for any tier of service. `source` and `as_of` say
    who stated the prices and when, for the price rows that are made of them.
    """

    versions: tuple[Version, ...]
    source: str
    as_of: str

    @property
    def is_constant(self) -> bool:
        """Whether every call costs the same, whenever it is made and however large it is."""
        only = self.versions[0]
        return len(self.versions) == 1 and not only.tiers

    def price_at(
        self, when_ms: int, prompt_tokens: int, *, service_tier: str | None = None
    ) -> Price:
        """Return the price of a call.

        Args:
            when_ms: When it began, in Unix milliseconds.
            prompt_tokens: How large its prompt was, cached tokens included.
            service_tier: The tier of service that it got; one without prices of its own costs
                what the usual one does.
        """
        return self._version_at(when_ms, service_tier).price_of(prompt_tokens)

    def ceiling(
        self, when_ms: int, prompt_tokens: int, *, service_tier: str | None = None
    ) -> Price:
        """Return the dearest price that a call may turn out to have.

        It covers whatever applies at any time in the 24 hours after `when_ms`, to any prompt of
        up to `prompt_tokens` tokens, class by class.
        """
        if len(self.versions) == 1 and not self.versions[0].tiers:
            return self.versions[0].price
        prices = dict[Price, None]()
        for moment_ms in self._changes(when_ms):
            version = self._version_at(moment_ms, service_tier)
            prices[version.price] = None
            for tier in version.tiers:
                if prompt_tokens > tier.above_tokens:
                    prices[tier.price] = None
        return dearest(prices)

    def _version_at(self, when_ms: int, service_tier: str | None) -> Version:
        for version in reversed(self.versions):
            if version.applies(when_ms, service_tier):
                return version
        return self.versions[0]

    def _changes(self, when_ms: int) -> set[int]:
        """Return `when_ms` and every later moment of its 24 hours at which a version changes."""
        moments = {when_ms}
        for version in self.versions:
            if when_ms < version.since_ms < when_ms + DAY_MS:
                moments.add(version.since_ms)
            for edge_ms in version.window_ms or ():
                moments.add(when_ms + (edge_ms - when_ms) % DAY_MS)
        return moments


def dearest(prices: Collection[Price]) -> Price:
    """Return a price that is at least as dear as each of `prices` in every usage class.

    Raises:
        ValueError: There are no prices.
    """
    first, *others = prices
    if not others:
        return first
    rates = {
        name: max(price.rate(name) for price in prices) for name in INPUT_CLASSES + OUTPUT_CLASSES
    }
    rest = {name: max(int(getattr(price, name)) for price in prices) for name in OTHER_CLASSES}
    return Price(**rates, **rest)
