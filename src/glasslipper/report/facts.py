"""What is known about models themselves: author, country, open weights, size, reasoning, release.

`catalogue.tsv` holds what is published about families of models; a user's file overrides it. What
neither says is read off the name where names say it (`…-70b`, `…-a3b`), or stays unknown.
Knows no traffic.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from glasslipper.kernel.errors import InvalidRequest

CATALOGUE = Path(__file__).with_name("catalogue.tsv")
SMALL_BELOW_B, LARGE_FROM_B = 15.0, 70.0
"""The study's bounds of size classes, in thousand millions of parameters in total."""


class ModelFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Facts about a model; what is `None` or empty is unknown.

    `country` is where its author is (ISO 3166, two letters); `released` is a day such as
    2026-11-01; parameters are in thousand millions.
    """

    id: str
    country: str = ""
    open_weights: bool | None = None
    parameters_b: float | None = None
    active_b: float | None = None
    reasoning: bool | None = None
    released: str = ""

    @property
    def author(self) -> str:
        """What is before the slash."""
        return self.id.partition("/")[0] if "/" in self.id else ""

    @property
    def source(self) -> str:
        """The study's group: closed, open (China), open (rest of the world), unknown."""
        if self.open_weights is None:
            return "Unknown"
        if not self.open_weights:
            return "Closed"
        return "Open, China" if self.country == "CN" else "Open, rest of world"

    @property
    def size(self) -> str:
        """The study's size class of an open model, by its parameters in total."""
        if self.parameters_b is None:
            return "Unknown"
        if self.parameters_b < SMALL_BELOW_B:
            return "Small, < 15B"
        return "Medium, 15-70B" if self.parameters_b < LARGE_FROM_B else "Large, ≥ 70B"


class Catalogue:
    """Facts by model."""

    def __init__(self, own: Iterable[ModelFacts] = (), hints: Iterable[ModelFacts] = ()) -> None:
        """Know what ships with the package, `own` facts before it, and `hints` after it."""
        self._own = {fact.id: fact for fact in own}
        self._hints = {fact.id: fact for fact in hints}
        with CATALOGUE.open(encoding="utf-8") as file:
            self._families = [row for row in csv.DictReader(file, delimiter="\t") if row["prefix"]]

    def facts(self, model: str) -> ModelFacts:
        """Return what is known about a model."""
        own = self._own.get(model)
        if own is not None:
            return own
        known = ModelFacts(id=model)
        for family in self._families:
            if model.startswith(family["prefix"]):
                known = _merged(known, family)
        total, active = sizes_in(model)
        hint = self._hints.get(model, known)
        return structs.replace(
            known,
            reasoning=hint.reasoning if known.reasoning is None else known.reasoning,
            released=known.released or hint.released,
            parameters_b=known.parameters_b or total,
            active_b=known.active_b or active or known.parameters_b or total,
        )


def _merged(known: ModelFacts, family: Mapping[str, str]) -> ModelFacts:
    """Return facts with those of a family over them; the longest prefix comes last in the file."""
    said: dict[str, object] = {}
    if family["country"]:
        said["country"] = family["country"]
    for name in ("open_weights", "reasoning"):
        if family[name]:
            said[name] = family[name] == "yes"
    for name in ("parameters_b", "active_b"):
        if family[name]:
            said[name] = float(family[name])
    if family["released"]:
        said["released"] = family["released"]
    return structs.replace(known, **said)


_TOTAL = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])")
_ACTIVE = re.compile(r"(?<![a-z0-9])a(\d+(?:\.\d+)?)b(?![a-z0-9])")


def sizes_in(model: str) -> tuple[float | None, float | None]:
    """Return total and active parameters that a model's name tells, in thousand millions.

    >>> sizes_in("qwen/qwen3-235b-a22b"), sizes_in("mistralai/mixtral-8x7b-instruct")
    ((235.0, 22.0), (56.0, None))
    """
    name = model.lower()
    active = _ACTIVE.search(name)
    total = _TOTAL.search(name)
    size = float(total[2]) * float(total[1] or 1) if total else None
    return size, float(active[1]) if active else None


def read_own(path: Path) -> list[ModelFacts]:
    """Return the facts in a user's JSON file: a list of objects with the fields of `ModelFacts`.

    Raises:
        InvalidRequest: The file is not such a list.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[ModelFacts])
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidRequest(f"{path} is no list of model facts: {error}") from error


CONTINENTS: dict[str, str] = {
    country: continent
    for continent, countries in {
        "North America": "US CA MX CR PA GT CU DO JM PR",
        "South America": "BR AR CL CO PE UY EC BO PY VE",
        "Europe": "DE GB FR NL ES IT PL SE NO FI DK IE PT AT CH BE CZ GR HU RO BG UA RU RS HR SK"
        " SI EE LV LT LU IS CY MT BY",
        "Asia": "CN JP IN SG KR HK TW ID TH VN MY PH PK BD IL AE SA TR IR IQ KZ UZ LK NP QA KW MO",
        "Oceania": "AU NZ FJ PG",
        "Africa": "ZA NG KE EG MA GH TN DZ ET TZ UG SN",
    }.items()
    for country in countries.split()
}
"""The continent of a country by its ISO code."""
