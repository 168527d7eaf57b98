"""The catalogue of models and prices: which price applies, what it makes, and where it is from."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasslipper.gateway.prices import overrides
from glasslipper.gateway.prices.catalogue import Catalogue, load
from glasslipper.gateway.prices.tariff import Tariff, Version, dearest
from glasslipper.gateway.providers.table import PROVIDERS
from glasslipper.kernel.clock import DAY_MS
from glasslipper.kernel.errors import SetupMissing
from glasslipper.kernel.money import USAGE_CLASSES, Price, amount_nanousd
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.write.prices import row_for

ROOT = Path(__file__).parents[2]
SLUGS = {row.slug for row in PROVIDERS if not row.is_local} | {"anthropic", "google"}
ALL = load(SLUGS)
CARDS = [(slug, card) for slug in sorted(SLUGS) for card in ALL.cards(slug)]
TARIFFS = [card.tariff for _, card in CARDS if card.tariff is not None]
NOON = "2026-11-20T12:00"


def ms(text: str) -> int:
    """Return the Unix milliseconds of a moment in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def tariff(provider: str, model: str, catalogue: Catalogue = ALL) -> Tariff:
    """Return the tariff of a model that has one."""
    card = catalogue.find(provider, model)
    assert card is not None, f"{provider} has no {model}"
    assert card.tariff is not None, f"{model} has no price"
    return card.tariff


# Rates in nano-USD a token are the thousandfold of USD per million tokens; the comments do the sum.
SHAPES = [
    # 1000 x 150 + 500 x 600
    ("openai", "openai/gpt-4o-mini", NOON, Usage(input=1000, output=500), 450_000),
    # 200 x 150 + 800 x 75 + 100 x 600
    ("openai", "openai/gpt-4o-mini", NOON, Usage(input=200, cache_read=800, output=100), 150_000),
    # 3 x 2500 + 1 x 1250 + 2 x 10000
    ("openai", "openai/gpt-4o", NOON, Usage(input=3, cache_read=1, output=2), 28_750),
    # 10 x 1250 + 50 x 10000 + 1000 x 10000: reasoning costs what output does
    ("openai", "openai/gpt-5", NOON, Usage(input=10, output=50, reasoning=1000), 10_512_500),
    # 1 x 125
    ("openai", "openai/gpt-5", NOON, Usage(cache_read=1), 125),
    # 272000 x 2000 + 10 x 10000: exactly at the edge, so still below it
    ("openai", "openai/gpt-6-sol", NOON, Usage(input=272_000, output=10), 544_100_000),
    # 272001 x 4000 + 10 x 15000: every token costs more, not only the last
    ("openai", "openai/gpt-6-sol", NOON, Usage(input=272_001, output=10), 1_088_154_000),
    # 72001 x 4000 + 200000 x 400: cached tokens count towards the edge
    ("openai", "openai/gpt-6-sol", NOON, Usage(input=72_001, cache_read=200_000), 368_004_000),
    # 1 x 2000 + 2 searches at 10 USD a thousand
    ("openai", "openai/gpt-6-sol", NOON, Usage(input=1, searches=2), 20_002_000),
    # 10 x 2500 + 100 x 32000 + 50 x 64000
    ("openai", "openai/gpt-audio", NOON,
     Usage(input=10, input_audio=100, output_audio=50), 6_425_000),
    # 7 x 20
    ("openai", "openai/text-embedding-3-small", NOON, Usage(input=7), 140),
    # The old price, then 1000 x 2000 + 1000 x 8000 from the day it fell
    ("openai", "openai/o3", "2025-06-09T23:59", Usage(input=1000, output=1000), 50_000_000),
    ("openai", "openai/o3", "2025-06-10T00:00", Usage(input=1000, output=1000), 10_000_000),
    # 1000 x (3000 + 300 + 3750 + 6000 + 15000)
    ("anthropic", "anthropic/claude-sonnet-4.5", NOON,
     Usage(input=1000, cache_read=1000,
           cache_write=1000, cache_write_1h=1000, output=1000), 28_050_000),
    # 200000 x 3000, and one token more: 200001 x 6000 + 1 x 22500
    ("anthropic", "anthropic/claude-sonnet-4.5", NOON, Usage(input=200_000), 600_000_000),
    ("anthropic", "anthropic/claude-sonnet-4.5", NOON,
     Usage(input=200_001, output=1), 1_200_028_500),
    # 50000 x 500 + 50000 x 50 + 1 x 1000 + 1 x 2500: the edge is at 100000
    ("anthropic", "anthropic/claude-haiku-5.5", NOON,
     Usage(input=50_000, cache_read=50_000, cache_write_1h=1, output=1), 27_503_500),
    # Long prompts cost twice as much until 13 March 2026: 200001 x 10000, then x 5000
    ("anthropic", "anthropic/claude-opus-4.6", "2026-03-12T23:59",
     Usage(input=200_001), 2_000_010_000),
    ("anthropic", "anthropic/claude-opus-4.6", "2026-03-13T00:00",
     Usage(input=200_001), 1_000_005_000),
    # 200000 x 1250 + 10 x 10000; 200001 x 2500 + 10 x 15000
    ("google", "google/gemini-2.5-pro", NOON, Usage(input=200_000, reasoning=10), 250_100_000),
    ("google", "google/gemini-2.5-pro", NOON, Usage(input=200_001, reasoning=10), 500_152_500),
    # 1000 x 300 + 1000 x 1000: sound costs more than text
    ("google", "google/gemini-2.5-flash", NOON, Usage(input=1000, input_audio=1000), 1_300_000),
    # Announced: 750 a token until the end of 2026, 1500 after
    ("google", "google/gemini-3.8-flash", "2026-12-31T23:59", Usage(input=10), 7_500),
    ("google", "google/gemini-3.8-flash", "2027-01-01T00:00", Usage(input=10), 15_000),
    # Twice as dear from 1 to 4 and from 6 to 10 o'clock: 100 x 150 + 100 x 3 + 100 x 600
    *(
        ("deepseek", "deepseek/deepseek-v4-flash", f"2026-11-20T{hour}",
         Usage(input=100, cache_read=100, output=100), cost)
        for hour, cost in (
            ("00:59:59.999", 75_300), ("01:00", 150_600), ("03:59:59.999", 150_600),
            ("04:00", 75_300), ("06:00", 150_600), ("10:00", 75_300), ("23:59", 75_300),
        )
    ),
    # 199999 x 2000; 200000 x 4000
    ("xai", "x-ai/grok-4.5", NOON, Usage(input=199_999), 399_998_000),
    ("xai", "x-ai/grok-4.5", NOON, Usage(input=200_000), 800_000_000),
    # 100 x 150 + 100 x 75 + 100 x 600
    ("groq", "openai/gpt-oss-120b", NOON, Usage(input=100, cache_read=100, output=100), 82_500),
    # 100 x 350 + 100 x 750
    ("cerebras", "openai/gpt-oss-120b", NOON, Usage(input=100, output=100), 110_000),
    # 10 x 3000 + 10 x 3000 + 10 x 300 + 10 x 15000
    ("moonshot", "moonshotai/kimi-k3", NOON,
     Usage(input=10, cache_write=10, cache_read=10, output=10), 213_000),
    # 10 x 3000 + 10 x 300
    ("together", "moonshotai/kimi-k3", NOON, Usage(input=10, cache_read=10), 33_000),
    # 10 x 300 + 10 x 30 + 10 x 900
    ("mistral", "mistralai/codestral-2508", NOON,
     Usage(input=10, cache_read=10, output=10), 12_300),
    # 10 x 1400 + 10 x 260 + 10 x 4400
    ("fireworks", "z-ai/glm-5.3", NOON, Usage(input=10, cache_read=10, output=10), 60_600),
    # 10 x 50 + 10 x 400
    ("qwen", "qwen/qwen-flash", NOON, Usage(input=10, output=10), 4_500),
    # 83.3333333 for a written token, rounded up once; free models cost nothing at all
    ("openrouter", "google/gemini-2.5-flash", NOON, Usage(cache_write=1), 84),
    ("openrouter", "nvidia/nemotron-3-super-120b-a12b:free", NOON,
     Usage(input=10**6, output=10**6, requests=1), 0),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "model", "when", "usage", "cost"), SHAPES)
def test_a_call_costs_what_a_person_computes(
    provider: str, model: str, when: str, usage: Usage, cost: int
) -> None:
    price = tariff(provider, model).price_at(ms(when), usage.prompt_tokens)
    assert amount_nanousd(usage, price) == cost


@pytest.mark.parametrize(
    ("provider", "model", "service", "usage", "cost"),
    [
        # 100 x 250 + 100 x 125 + 100 x 1000
        ("openai", "openai/gpt-4o-mini", "priority",
         Usage(input=100, cache_read=100, output=100), 137_500),
        # 1 x 62.5, rounded up
        ("openai", "openai/gpt-5", "flex", Usage(cache_read=1), 63),
        # 272001 x 8000: the tier of service has edges too
        ("openai", "openai/gpt-6-sol", "priority", Usage(input=272_001), 2_176_008_000),
        # Searches cost the same in every tier of service
        ("openai", "openai/gpt-6-sol", "priority", Usage(searches=1), 10_000_000),
        # 10 x 10000 + 10 x 50000
        ("anthropic", "anthropic/claude-opus-5", "fast", Usage(input=10, output=10), 600_000),
        # Tiers without prices of their own cost what the usual one does
        ("openai", "openai/gpt-4o-mini", "default", Usage(input=100), 15_000),
        ("groq", "openai/gpt-oss-120b", "priority", Usage(input=100), 15_000),
    ],
)  # fmt: skip
def test_a_tier_of_service_has_its_own_prices(
    provider: str, model: str, service: str, usage: Usage, cost: int
) -> None:
    found = tariff(provider, model)
    price = found.price_at(ms(NOON), usage.prompt_tokens, service_tier=service)
    assert amount_nanousd(usage, price) == cost
    ceiling = found.ceiling(ms(NOON), usage.prompt_tokens, service_tier=service)
    assert amount_nanousd(usage, ceiling) >= cost


def test_a_ceiling_covers_the_tier_that_the_prompt_might_reach() -> None:
    found = tariff("anthropic", "anthropic/claude-sonnet-4.5")
    assert found.ceiling(ms(NOON), 200_000).input == 3_000_000_000
    assert found.ceiling(ms(NOON), 200_001).input == 6_000_000_000


def test_a_ceiling_covers_the_dear_hours_ahead_but_no_prices_of_the_past() -> None:
    by_hour = tariff("deepseek", "deepseek/deepseek-v4-flash")
    assert by_hour.price_at(ms(NOON), 1).output == 600_000_000
    assert by_hour.ceiling(ms(NOON), 1).output == 1_200_000_000
    fallen = tariff("openai", "openai/o3")
    assert fallen.ceiling(ms(NOON), 1).output == 8_000_000_000
    rising = tariff("google", "google/gemini-3.8-flash")
    assert rising.ceiling(ms("2026-12-30T23:00"), 1).input == 750_000_000
    assert rising.ceiling(ms("2026-12-31T23:00"), 1).input == 1_500_000_000


def test_a_window_may_span_midnight_and_the_first_version_counts_before_it_began() -> None:
    late = Version(price=Price(input=2, output=2), window_ms=(22 * 3_600_000, 2 * 3_600_000))
    first = Version(price=Price(input=1, output=1), since_ms=ms("2026-01-01T00:00"))
    both = Tariff(versions=(first, late), source="test", as_of="today")
    rates = {
        hour: both.price_at(ms(f"2026-05-05T{hour}"), 0).input
        for hour in ("00:00", "01:59", "02:00", "21:59", "22:00")
    }
    assert rates == {"00:00": 2, "01:59": 2, "02:00": 1, "21:59": 1, "22:00": 2}
    assert both.price_at(ms("2025-06-06T12:00"), 0).input == 1


units = st.integers(min_value=0, max_value=10_000_000)
usages = st.builds(Usage, **dict.fromkeys(USAGE_CLASSES, units))
tariffs = st.sampled_from(TARIFFS)
moments = st.integers(min_value=ms("2024-01-01T00:00"), max_value=ms("2028-01-01T00:00"))
services = st.sampled_from([None, "flex", "priority", "fast"])


@given(parts=st.lists(usages, min_size=1, max_size=6), found=tariffs, when_ms=moments)
def test_money_stays_whole_and_is_rounded_up_once(
    parts: list[Usage], found: Tariff, when_ms: int
) -> None:
    whole = sum(parts[1:], parts[0])
    price = found.price_at(when_ms, whole.prompt_tokens)
    together = amount_nanousd(whole, price)
    apart = sum(amount_nanousd(part, price) for part in parts)
    assert type(together) is int
    assert together <= apart < together + len(parts)
    exact = sum(
        Decimal(getattr(whole, name)) * price.rate(name) / 1_000_000 for name in USAGE_CLASSES
    )
    assert exact <= together < exact + 1


@given(
    found=tariffs,
    usage=usages,
    more=units,
    when_ms=moments,
    later_ms=st.integers(min_value=0, max_value=DAY_MS - 1),
    service=services,
)
def test_no_call_costs_more_than_its_ceiling(
    *, found: Tariff, usage: Usage, more: int, when_ms: int, later_ms: int, service: str | None
) -> None:
    ceiling = found.ceiling(when_ms, usage.prompt_tokens + more, service_tier=service)
    price = found.price_at(when_ms + later_ms, usage.prompt_tokens, service_tier=service)
    assert amount_nanousd(usage, price) <= amount_nanousd(usage, ceiling)


@given(prices=st.lists(st.sampled_from([one.versions[0].price for one in TARIFFS]), min_size=1))
def test_the_dearest_price_is_as_dear_as_the_dearest_in_each_class(prices: list[Price]) -> None:
    top = dearest(prices)
    for name in USAGE_CLASSES:
        assert top.rate(name) == max(price.rate(name) for price in prices)


def test_a_price_row_names_its_source_and_equal_prices_are_one_row() -> None:
    found = tariff("openai", "openai/gpt-4o-mini")
    rows = [
        row_for(
            "openai/gpt-4o-mini",
            found.price_at(when_ms, 10),
            source=found.source,
            as_of=found.as_of,
        )
        for when_ms in (ms(NOON), ms(NOON) + DAY_MS)
    ]
    assert rows[0] == rows[1]
    assert rows[0].source.startswith("genai-prices ")


def test_a_user_may_state_prices_as_text_or_numbers() -> None:
    stated = overrides.tariffs(
        {
            "mine": {"input": "0.15", "output": 0.6, "cache_read": "0.0000000001"},
            "gift": {"input": 0, "output": "0"},
        },
        as_of="2026-11-20",
    )
    mine = stated["mine"]
    assert (mine.source, mine.as_of) == ("user", "2026-11-20")
    assert mine.ceiling(0, 10**9) == mine.price_at(ms(NOON), 10**9)
    assert mine.price_at(0, 0) == Price(input=150_000_000, output=600_000_000, cache_read=1)
    assert amount_nanousd(Usage(input=10**9), stated["gift"].price_at(0, 10**9)) == 0


@pytest.mark.parametrize(
    ("rates", "says"),
    [
        ({"input": "0.15"}, "does not say what input and output cost"),
        ({"input": "1", "output": "1", "inptu": "1"}, "'inptu', which is not a usage class"),
        ({"input": "-1", "output": "1"}, "not an amount"),
        ({"input": "NaN", "output": "1"}, "not an amount"),
        ({"input": "Infinity", "output": "1"}, "not an amount"),
        ({"input": "1e999999", "output": "1"}, "not an amount"),
        ({"input": "free", "output": "1"}, "not an amount"),
        ({"input": True, "output": "1"}, "not an amount"),
    ],
)
def test_a_slip_in_a_stated_price_is_a_clear_error(rates: dict[str, str], says: str) -> None:
    with pytest.raises(SetupMissing, match=says):
        overrides.tariffs({"mine": rates}, as_of="2026-11-20")
