"""Reads the prices that a user states, which beat the catalogue's.

Every number is USD per million units, whatever the unit: tokens, requests or searches. Knows the
names of usage classes, not those of endpoints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from msgspec import Struct, structs

from glasslipper.gateway.prices.tariff import Tariff, Tier, Version
from glasslipper.kernel.errors import SetupMissing
from glasslipper.kernel.money import USAGE_CLASSES, Price, nanousd

SOURCE = "user"
"""Who states these prices, as price rows say."""

DEAREST_USD = 1_000_000_000
"""The most that a million units can cost, in USD; more can only be a slip of the pen."""

MINUTE_MS = 60_000

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")

Rate = str | int | float | Decimal
"""USD per million units, as a person writes it."""


def tariffs(stated: Mapping[str, Mapping[str, Rate]], *, as_of: str) -> dict[str, Tariff]:
    """Return the tariff of each endpoint that the user states prices for.

    Args:
        stated: For each endpoint the rate of each usage class. `input` and `output` are needed;
            where another is left out, it costs what the class that it is a kind of costs.
        as_of: When the user stated them, for price rows: a day, or what else tells.

    Raises:
        SetupMissing: A name is no usage class, or a rate is no amount.
    """
    return {
        endpoint: Tariff(
            versions=(Version(price=_price(endpoint, rates)),), source=SOURCE, as_of=as_of
        )
        for endpoint, rates in stated.items()
    }


class Case(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a price differs, and what differs then.

    Attributes:
        rates: The rate of each usage class that differs.
        above_tokens: The case is that the prompt has more tokens than this.
        hours: Of the UTC day, such as `16:30-00:30`; the last minute is not part of it.
        service_tier: The tier of service that the provider says it gave.
    """

    rates: Mapping[str, str]
    above_tokens: int | None = None
    hours: str | None = None
    service_tier: str | None = None


def with_cases(tariff: Tariff, endpoint: str, cases: Sequence[Case]) -> Tariff:
    """Return a tariff that has one version, with what differs in each case.

    Raises:
        SetupMissing: A name is no usage class, a rate no amount, an hour no hour.
    """
    usual = tariff.versions[0]
    spans: dict[tuple[str | None, str | None], list[Case]] = {(None, None): []}
    for case in cases:
        spans.setdefault((case.hours, case.service_tier), []).append(case)
    versions = [
        _version(endpoint, usual.price, hours, tier, found)
        for (hours, tier), found in spans.items()
    ]
    return structs.replace(tariff, versions=tuple(versions))


def _version(
    endpoint: str, usual: Price, hours: str | None, service_tier: str | None, cases: Sequence[Case]
) -> Version:
    price = usual
    for case in cases:
        if case.above_tokens is None:
            price = _changed(endpoint, price, case.rates)
    tiers = [
        Tier(case.above_tokens, _changed(endpoint, price, case.rates))
        for case in cases
        if case.above_tokens is not None
    ]
    return Version(
        price=price,
        tiers=tuple(sorted(tiers, key=lambda tier: tier.above_tokens)),
        window_ms=None if hours is None else _window_ms(endpoint, hours),
        service_tier=service_tier,
    )


def _changed(endpoint: str, price: Price, rates: Mapping[str, Rate]) -> Price:
    _check_names(endpoint, rates)
    return structs.replace(price, **{name: _rate(endpoint, rate) for name, rate in rates.items()})


def _window_ms(endpoint: str, hours: str) -> tuple[int, int]:
    found = _HOURS.fullmatch(hours)
    if found is None:
        raise SetupMissing(
            f"The price of {endpoint} has the hours {hours!r}.",
            hint="Write them in UTC, such as 16:30-00:30.",
        )
    first, last = (int(found[at]) * 60 + int(found[at + 1]) for at in (1, 3))
    return first * MINUTE_MS, last * MINUTE_MS


def _price(endpoint: str, rates: Mapping[str, Rate]) -> Price:
    _check_names(endpoint, rates)
    if not {"input", "output"} <= set(rates):
        raise SetupMissing(
            f"The price of {endpoint} does not say what input and output cost.",
            hint="State both, in USD per million tokens; what is free costs 0.",
        )
    return Price(**{name: _rate(endpoint, rate) for name, rate in rates.items()})


def _check_names(endpoint: str, rates: Mapping[str, Rate]) -> None:
    unknown = sorted(set(rates) - set(USAGE_CLASSES))
    if unknown:
        raise SetupMissing(
            f"The price of {endpoint} names {unknown[0]!r}, which is not a usage class.",
            hint=f"Use these: {', '.join(USAGE_CLASSES)}.",
        )


def _rate(endpoint: str, stated: Rate) -> int:
    try:
        if isinstance(stated, bool) or not 0 <= Decimal(str(stated)) <= DEAREST_USD:
            raise ValueError(f"not a rate: {stated!r}")
        return nanousd(stated)
    except (ArithmeticError, ValueError) as error:
        raise SetupMissing(
            f"The price of {endpoint} holds {stated!r}, which is not an amount of dollars.",
            hint='Write USD per million units, such as "0.15".',
        ) from error
