"""Reads the prices that a user states, which beat the catalogue's.

Every number is USD per million units, whatever the unit: tokens, requests or searches. Knows the
names of usage classes, not those of endpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from glasslipper.gateway.prices.tariff import Tariff, Version
from glasslipper.kernel.errors import SetupMissing
from glasslipper.kernel.money import USAGE_CLASSES, Price, nanousd

SOURCE = "user"
"""Who states these prices, as price rows say."""

DEAREST_USD = 1_000_000_000
"""The most that a million units can cost, in USD; more can only be a slip of the pen."""

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


def _price(endpoint: str, rates: Mapping[str, Rate]) -> Price:
    unknown = sorted(set(rates) - set(USAGE_CLASSES))
    if unknown:
        raise SetupMissing(
            f"The price of {endpoint} names {unknown[0]!r}, which is not a usage class.",
            hint=f"Use these: {', '.join(USAGE_CLASSES)}.",
        )
    if not {"input", "output"} <= set(rates):
        raise SetupMissing(
            f"The price of {endpoint} does not say what input and output cost.",
            hint="State both, in USD per million tokens; what is free costs 0.",
        )
    return Price(**{name: _rate(endpoint, rate) for name, rate in rates.items()})


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
