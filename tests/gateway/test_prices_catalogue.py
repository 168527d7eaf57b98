"""The catalogue that ships: whole, in order, cheap to open, and honest about what it lacks."""

from __future__ import annotations

import gzip
import json
import re
from datetime import date
from pathlib import Path

import pytest

from glasslipper.gateway.prices.catalogue import FILE, load
from glasslipper.gateway.providers.table import PROVIDERS
from glasslipper.kernel.errors import SetupMissing

ROOT = Path(__file__).parents[2]
SLUGS = {row.slug for row in PROVIDERS if not row.is_local} | {"anthropic", "google"}
ALL = load(SLUGS)
TARIFFS = [card.tariff for slug in SLUGS for card in ALL.cards(slug) if card.tariff is not None]


def test_the_file_knows_every_provider_and_nobody_else() -> None:
    document = json.loads(gzip.decompress(FILE.read_bytes()))
    assert set(document["providers"]) == SLUGS
    assert all(ALL.cards(slug) for slug in SLUGS)


def test_every_number_in_the_file_is_whole_and_none_is_below_zero() -> None:
    def refuse(text: str) -> object:
        raise AssertionError(f"{text} is no whole number")

    def numbers(value: object) -> list[int]:
        match value:
            case dict():
                return [number for part in value.values() for number in numbers(part)]
            case list():
                return [number for part in value for number in numbers(part)]
            case int() if not isinstance(value, bool):
                return [value]
        return []

    text = gzip.decompress(FILE.read_bytes())
    found = numbers(json.loads(text, parse_float=refuse, parse_constant=refuse))
    assert len(found) > 5_000
    assert min(found) >= 0


def test_every_card_names_its_model_in_a_way_of_its_own() -> None:
    for slug in SLUGS:
        cards = ALL.cards(slug)
        ids = [card.id for card in cards]
        assert ids == sorted(set(ids))
        upstream = [name for card in cards for name in (card.upstream, *card.aliases)]
        assert len(upstream) == len(set(upstream)), slug
        for name in ids:
            assert re.fullmatch(r"~?[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._:+-]*", name), name


def test_every_tariff_is_in_order_and_says_where_it_is_from() -> None:
    known = {f"{source.name} {source.version}": source.as_of for source in ALL.sources}
    for found in TARIFFS:
        assert known[found.source] == found.as_of
        assert found.versions[0].service_tier is None
        for version in found.versions:
            edges = [tier.above_tokens for tier in version.tiers]
            assert edges == sorted(set(edges))
            assert all(edge > 0 for edge in edges)


def test_cards_tell_what_a_model_can_do() -> None:
    card = ALL.find("anthropic", "claude-sonnet-4-5-20250929")
    assert card is not None
    assert (card.id, card.upstream) == ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5")
    assert (card.context_tokens, card.max_output_tokens) == (200_000, 64_000)
    assert (card.tools, card.vision, card.reasoning) == (True, True, True)
    assert card.released_s == 1_759_104_000
    embedding = ALL.find("openai", "text-embedding-3-small")
    assert embedding is not None
    assert embedding.embeds
    assert ALL.find("openai", "no-such-model") is None


def test_one_model_has_one_id_at_every_provider() -> None:
    for slug in ("groq", "cerebras", "together", "fireworks", "openrouter"):
        assert ALL.find(slug, "openai/gpt-oss-120b") is not None, slug


def test_an_unknown_price_is_no_price_rather_than_a_price_of_nothing() -> None:
    card = ALL.find("groq", "groq/compound")
    assert card is not None
    assert card.tariff is None


def test_only_the_providers_that_are_asked_for_are_read() -> None:
    some = load({"groq", "ollama", "nobody"})
    assert some.providers == ("groq",)
    assert some.cards("groq") == ALL.cards("groq")
    assert some.cards("openai") == some.cards("nobody") == ()


def test_the_notice_names_each_source_and_its_owner() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for source in ALL.sources:
        assert source.licence == "MIT"
        assert source.name in notice
        assert source.copyright in notice
        assert date.fromisoformat(source.as_of) >= date(2026, 1, 1)


@pytest.mark.parametrize("kept", [0, 5, 1_000, -1])
def test_a_file_that_was_cut_off_is_a_clear_error(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "cut.json.gz"
    file.write_bytes(FILE.read_bytes()[:kept])
    with pytest.raises(SetupMissing, match="cannot be read"):
        load(SLUGS, file)


@pytest.mark.parametrize(
    "content", [b"[]", b'{"format": 2, "sources": [], "providers": {}}', b'{"format": 1}', b"\xff"]
)
def test_a_file_of_another_layout_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other.json.gz"
    file.write_bytes(gzip.compress(content))
    with pytest.raises(SetupMissing) as caught:
        load(SLUGS, file)
    assert caught.value.hint == "Install Glasslipper again."


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SetupMissing):
        load(SLUGS, tmp_path / "nothing")
