"""Reads the catalogue of models and prices that ships with the package.

The file is one compressed JSON document with a part for each provider; only the parts that are
asked for are decoded, and nothing of the rest is kept. `scripts/catalogue.py` writes it.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from glasslipper.gateway.prices.card import ModelCard
from glasslipper.kernel.errors import SetupMissing

FILE = Path(__file__).with_name("catalogue.json.gz")
FORMAT = 1
"""The version of the file's layout."""


class Source(Struct, frozen=True, kw_only=True):
    """Whose data the catalogue is made of; `as_of` is the day on which it was published."""

    name: str
    version: str
    as_of: str
    licence: str
    copyright: str


class Document(Struct, frozen=True, kw_only=True):
    """The file: its layout's version, its sources, and each provider's cards, still encoded."""

    format: int
    sources: tuple[Source, ...]
    providers: dict[str, msgspec.Raw]


class Catalogue:
    """The cards of some providers."""

    def __init__(
        self, sources: tuple[Source, ...], cards: Mapping[str, tuple[ModelCard, ...]]
    ) -> None:
        self.sources = sources
        self._cards = dict(cards)

    @property
    def providers(self) -> tuple[str, ...]:
        """The slugs of the providers that cards were read of."""
        return tuple(self._cards)

    def cards(self, provider: str) -> tuple[ModelCard, ...]:
        """Return the cards of a provider, by id; none if it was not read or is not in the file."""
        return self._cards.get(provider, ())

    def find(self, provider: str, model: str) -> ModelCard | None:
        """Return the card of a model by its id, by the provider's name for it or by an alias.

        It looks through all cards of the provider, so it is not for every request.
        """
        others = None
        for card in self.cards(provider):
            if model in (card.id, card.upstream):
                return card
            if others is None and model in card.aliases:
                others = card
        return others


def load(providers: Collection[str], file: Path = FILE) -> Catalogue:
    """Return the cards of the providers whose slugs are given; unknown slugs have none.

    Raises:
        SetupMissing: The file is not there or not whole.
    """
    try:
        document = msgspec.json.decode(gzip.decompress(file.read_bytes()), type=Document)
        if document.format != FORMAT:
            raise SetupMissing(
                f"{file.name} has the layout {document.format}; this version reads {FORMAT}.",
                hint="Install Glasslipper again.",
            )
        cards = {
            slug: msgspec.json.decode(raw, type=tuple[ModelCard, ...])
            for slug, raw in document.providers.items()
            if slug in providers
        }
    except (OSError, EOFError, zlib.error, msgspec.MsgspecError) as error:
        raise SetupMissing(
            f"The catalogue of prices cannot be read: {error}.", hint="Install Glasslipper again."
        ) from error
    return Catalogue(document.sources, cards)
