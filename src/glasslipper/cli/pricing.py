"""Prices as the admin API answers them, as lines of a table and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from glasslipper.cli.reading import read_answer
from glasslipper.kernel.money import PER, usd_text

HEADINGS = ("Model", "Provider", "Input#", "Output#", "Cached#", "When", "Source", "Age")

Rates = dict[str, int]

_CPU_HOUR_US = 3_600_000_000


class Tier(Struct, frozen=True, kw_only=True):
    """What calls cost whose prompt has more than so many tokens, in nano-USD a million units."""

    above_tokens: int
    rates: Rates


class Version(Struct, frozen=True, kw_only=True):
    """A price list, and when it applies."""

    since: str | None
    hours: str | None
    service_tier: str | None
    rates: Rates
    tiers: list[Tier]


class Priced(Struct, frozen=True, kw_only=True):
    """What an endpoint costs now; without `rates` nobody knows."""

    endpoint: str
    model: str
    provider: str
    price_id: str | None
    source: str | None
    as_of: str | None
    age_days: int | None
    rates: Rates | None
    versions: list[Version]


class Kept(Struct, frozen=True, kw_only=True):
    """A price row that some generation was priced by."""

    id: str
    source: str
    as_of: str
    rates: Rates


def read(answer: object) -> list[Priced]:
    """Return the prices of an answer."""
    return read_answer(answer, list[Priced])


def lines(priced: Priced) -> Iterator[tuple[str, ...]]:
    """Yield an endpoint's price now, and below it whatever else may apply."""
    age = "" if priced.age_days is None else days(priced.age_days)
    source = priced.source or "nobody states it"
    yield (priced.model, priced.provider, *_rates(priced.rates), "now", source, age)
    for version in priced.versions:
        when = _when(version)
        if when or version.rates != priced.rates:
            yield ("", "", *_rates(version.rates), when or "at other times", "", "")
        for tier in version.tiers:
            above = ", ".join(filter(None, (when, f"above {tier.above_tokens:,} tokens")))
            yield ("", "", *_rates(tier.rates), above, "", "")


def days(count: int) -> str:
    """Return a number of days in words."""
    return "today" if count == 0 else "1 day" if count == 1 else f"{count:,} days"


def in_words(rates: Mapping[str, int]) -> str:
    """Return the rates of a price as words."""
    if rates.get("cpu_us"):
        return f"{_cpu_hour(rates['cpu_us'])} for an hour of CPU time"
    stated = [f"{name.replace('_', ' ')} {usd_text(rate)}" for name, rate in rates.items()]
    return f"{', '.join(stated)} a million"


def _rates(rates: Mapping[str, int] | None) -> tuple[str, str, str]:
    if rates is None:
        return "unknown", "unknown", ""
    if rates.get("cpu_us"):
        return f"{_cpu_hour(rates['cpu_us'])} a CPU-hour", "", ""
    cached = rates.get("cache_read")
    return (
        usd_text(rates.get("input", 0)),
        usd_text(rates.get("output", 0)),
        "" if cached is None else usd_text(cached),
    )


def _cpu_hour(nanousd_per_million_us: int) -> str:
    return usd_text(round(nanousd_per_million_us * _CPU_HOUR_US // PER, -5))


def _when(version: Version) -> str:
    parts = (
        f"since {version.since}" if version.since else "",
        f"{version.hours} UTC" if version.hours else "",
        f"tier {version.service_tier}" if version.service_tier else "",
    )
    return ", ".join(filter(None, parts))
