"""A price list as OpenRouter writes it: USD per unit as exact text, and when it differs.

Knows no endpoint's health and no usage.
"""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from glasslipper.gateway.api.offered import Override, Pricing
from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.prices.tariff import Tariff, Version
from glasslipper.kernel.money import NANO, PER, Price

UNKNOWN = Pricing(prompt="-1", completion="-1")
"""What stands where nobody knows the price: it is not free."""

_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000


def pricing_of(endpoint: Endpoint, now_ms: int) -> tuple[Pricing, str | None]:
    """Return what an endpoint costs, and who says so; `None` if nobody does."""
    row = endpoint.pricing.row(now_ms, 0)
    if row is None:
        return UNKNOWN, None
    tariff = endpoint.pricing.tariff
    if tariff is None:
        return pricing(row.price), f"{row.source}, {row.as_of}"
    base, overrides = _in_force(tariff, now_ms)
    return pricing(base, overrides), f"{tariff.source}, {tariff.as_of}"


def pricing(price: Price, overrides: list[Override] | None = None) -> Pricing:
    """Return a price; what costs the same as that of which it is a kind is left out."""
    return Pricing(
        prompt=_per_unit(price.input),
        completion=_per_unit(price.output),
        request=_per_unit(price.requests),
        image_token=_optional(price.input_image),
        audio=_optional(price.input_audio),
        audio_output=_optional(price.output_audio),
        web_search=_per_unit(price.searches),
        internal_reasoning=_optional(price.reasoning),
        input_cache_read=_per_unit(price.rate("cache_read")),
        input_cache_write=_per_unit(price.rate("cache_write")),
        input_cache_write_1h=_optional(price.cache_write_1h),
        overrides=overrides or UNSET,
        cpu_second=_per_unit(price.cpu_us * PER) if price.cpu_us else UNSET,
    )


def _in_force(tariff: Tariff, now_ms: int) -> tuple[Price, list[Override]]:
    """Return the price outside all hours and tiers, and then what differs in them."""
    begun = [one for one in tariff.versions if one.since_ms <= now_ms and not one.service_tier]
    begun = begun or [tariff.versions[0]]
    usual = max((place for place, one in enumerate(begun) if one.window_ms is None), default=0)
    overrides = [entry for place in range(usual, len(begun)) for entry in _entries(begun[place])]
    return begun[usual].price, overrides if begun[usual].window_ms else overrides[1:]


def _entries(version: Version) -> list[Override]:
    """Return a version's price and then its tiers, each with its conditions."""
    start, end = version.window_ms or (None, None)
    return [
        _override(version.price, None, start, end),
        *(_override(tier.price, tier.above_tokens, start, end) for tier in version.tiers),
    ]


def _override(price: Price, above: int | None, start: int | None, end: int | None) -> Override:
    return Override(
        prompt=_per_unit(price.input),
        completion=_per_unit(price.output),
        input_cache_read=_per_unit(price.rate("cache_read")),
        input_cache_write=_per_unit(price.rate("cache_write")),
        input_cache_write_1h=_per_unit(price.rate("cache_write_1h")),
        audio=_per_unit(price.rate("input_audio")),
        min_prompt_tokens=above,
        utc_start=None if start is None else _clock_number(start),
        utc_end=None if end is None else _clock_number(end),
    )


def _clock_number(of_day_ms: int) -> int:
    hours, rest = divmod(of_day_ms, _HOUR_MS)
    return hours * 100 + rest // _MINUTE_MS


def _optional(nanousd_per_million: int | None) -> str | UnsetType:
    return UNSET if nanousd_per_million is None else _per_unit(nanousd_per_million)


def _per_unit(nanousd_per_million: int) -> str:
    whole, rest = divmod(nanousd_per_million, NANO * PER)
    return f"{whole}.{rest:015d}".rstrip("0").rstrip(".")
