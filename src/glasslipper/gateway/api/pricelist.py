"""What every endpoint costs now, where that is stated and how old it is: for managers.

`/admin/prices` shows the prices in force with their tiers and hours, `/admin/prices/{id}` a row
that some generation was priced by, however long ago.
"""

from __future__ import annotations

from datetime import date

import msgspec
from msgspec import Struct

from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.prices.tariff import Version
from glasslipper.kernel.clock import DAY_MS, iso
from glasslipper.kernel.errors import NotFound
from glasslipper.kernel.money import OTHER_CLASSES, USAGE_CLASSES, Price

MINUTE_MS = 60_000

Rates = dict[str, int]
"""Nano-USD for a million units, by usage class; a class that is not there follows its kind."""


class TierShown(Struct, frozen=True, kw_only=True):
    """What calls cost whose prompt has more than so many tokens."""

    above_tokens: int
    rates: Rates


class VersionShown(Struct, frozen=True, kw_only=True):
    """A price list: since when, in which hours of the day (UTC) and for which service tier."""

    since: str | None
    hours: str | None
    service_tier: str | None
    rates: Rates
    tiers: list[TierShown]


class PriceShown(Struct, frozen=True, kw_only=True):
    """What an endpoint costs now; without `rates` nobody knows. `age_days` may be unknown too."""

    endpoint: str
    model: str
    provider: str
    price_id: str | None
    source: str | None
    as_of: str | None
    age_days: int | None
    rates: Rates | None
    versions: list[VersionShown]


class PricesAnswer(Struct, frozen=True):
    """The prices in force, by endpoint."""

    data: list[PriceShown]


class KeptPriceShown(Struct, frozen=True, kw_only=True):
    """A price row that some generation was priced by."""

    id: str
    endpoint: str
    source: str
    as_of: str
    first_used_at: str
    rates: Rates


class KeptPriceAnswer(Struct, frozen=True):
    """A price row that some generation was priced by."""

    data: KeptPriceShown


_encode = msgspec.json.Encoder().encode


async def listing(house: House, http: Http) -> None:
    """Answer `GET /admin/prices`; `?model=` and `?provider=` pick some."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    model, provider = http.query.get("model"), http.query.get("provider")
    now_ms = house.clock.now_ms()
    found = [
        _shown(endpoint, now_ms)
        for known, endpoints in sorted(house.offer)
        for endpoint in endpoints
        if model in (None, known) and provider in (None, endpoint.provider)
    ]
    await http.reply(200, _encode(PricesAnswer(found)))


async def one(house: House, http: Http, price_id: str) -> None:
    """Answer `GET /admin/prices/{id}`."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    kept = house.accounts.price(price_id)
    if kept is None:
        raise NotFound(f"There is no price row {price_id!r}.")
    shown = KeptPriceShown(
        id=kept.row.id,
        endpoint=kept.endpoint,
        source=kept.row.source,
        as_of=kept.row.as_of,
        first_used_at=iso(kept.seen_ms),
        rates=rates_of(kept.row.price),
    )
    await http.reply(200, _encode(KeptPriceAnswer(shown)))


def rates_of(price: Price) -> Rates:
    """Return what a price says itself, class by class."""
    stated: dict[str, int | None] = {name: getattr(price, name) for name in USAGE_CLASSES}
    return {
        name: rate
        for name, rate in stated.items()
        if rate is not None and (rate or name not in OTHER_CLASSES)
    }


def _shown(endpoint: Endpoint, now_ms: int) -> PriceShown:
    row, tariff = endpoint.pricing.row(now_ms, 0), endpoint.pricing.tariff
    return PriceShown(
        endpoint=endpoint.id,
        model=endpoint.model,
        provider=endpoint.provider,
        price_id=row.id if row else None,
        source=row.source if row else None,
        as_of=row.as_of if row else None,
        age_days=_age_days(row.as_of, now_ms) if row else None,
        rates=rates_of(row.price) if row else None,
        versions=[_version(version) for version in tariff.versions] if tariff else [],
    )


def _version(version: Version) -> VersionShown:
    hours = None
    if version.window_ms is not None:
        hours = "-".join(_clock(edge_ms) for edge_ms in version.window_ms)
    return VersionShown(
        since=iso(version.since_ms)[:10] if version.since_ms else None,
        hours=hours,
        service_tier=version.service_tier,
        rates=rates_of(version.price),
        tiers=[
            TierShown(above_tokens=tier.above_tokens, rates=rates_of(tier.price))
            for tier in version.tiers
        ],
    )


def _clock(of_day_ms: int) -> str:
    hours, minutes = divmod(of_day_ms // MINUTE_MS, 60)
    return f"{hours:02d}:{minutes:02d}"


def _age_days(as_of: str, now_ms: int) -> int | None:
    try:
        stated = date.fromisoformat(as_of)
    except ValueError:
        return None
    today = date.fromordinal(date(1970, 1, 1).toordinal() + now_ms // DAY_MS)
    return max((today - stated).days, 0)
