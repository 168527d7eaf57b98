"""One study of one ledger: the tables that sections ask, the span of time, what else was given.

Base tables are made once from the ledger's rollups and from the tallies; sections ask only them,
so that a hundred million rows cost a section no more than a thousand do. Knows no section.
"""

# Every name in these statements is ours.
# ruff: noqa: S608

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property
from importlib import resources
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from glasslipper.ledger.read.scan import Lake
from glasslipper.report import tallies
from glasslipper.report.facts import CONTINENTS, Catalogue, ModelFacts
from glasslipper.report.invoice import Bill
from glasslipper.report.market import Market
from glasslipper.report.offers import Offer

Unit = Literal["workload", "key", "user"]
Row = dict[str, Any]  # cells have whatever type their column has

SQL = resources.files("glasslipper.report") / "sql"
TABLES = (
    ("units", "actives"),
    ("usage",),
    ("tags",),
    ("workloads",),
    ("places",),
    ("daily",),
    ("languages",),
)
"""The base tables, those that take longest first; what is made of others comes after them."""


_OF_TALLIES = re.compile(rf"\b(?:FROM|JOIN) (?:{'|'.join(tallies.NAMES)})\b")


class Untallied(Exception):
    """A section needs tallies before they are made; ask it again later."""


class Options(Struct, frozen=True, kw_only=True):
    """How to study. Days are inclusive; `None` is as far as the ledger goes.

    `unit` is what cohorts are made of; cells of fewer than `least` units are hidden; `seed` is of
    the resampling.
    """

    first: date | None = None
    last: date | None = None
    unit: Unit = "workload"
    least: int = 5
    seed: int = 0


class Study:
    """The tables and facts of one report."""

    def __init__(
        self,
        lake: Lake,
        options: Options,
        catalogue: Catalogue,
        *,
        offers: Sequence[Offer] = (),
        market: Market | None = None,
        bill: Bill | None = None,
    ) -> None:
        """Make the base tables."""
        self.options = options
        self.market = market
        self.bill = bill
        self._lake = lake
        self._asked: dict[str, list[Row]] = {}
        self.models: dict[str, ModelFacts] = {}
        self.catalogue = catalogue
        self._given_offers = offers
        self._tallied = False
        self._make(catalogue)

    @property
    def least(self) -> int:
        """Cells of fewer units than this are hidden."""
        return self.options.least

    def rng(self, name: str) -> np.random.Generator:
        """Return a generator of one section's random numbers."""
        return np.random.default_rng([self.options.seed, *name.encode()])

    def ask(self, name: str) -> list[Row]:
        """Run a section's SQL file and return its rows; a second time they are the same.

        Raises:
            Untallied: It asks tallies, which are not there before `tally`.
        """
        if name not in self._asked:
            sql = section_sql(name)
            if _OF_TALLIES.search(sql):
                self._need_tallies()
            self._asked[name] = self.rows(sql)
        return self._asked[name]

    @cached_property
    def offers(self) -> Sequence[Offer]:
        """Prices that models are offered at: those given, and those that were paid.

        Raises:
            Untallied: Tallies are not there before `tally`.
        """
        self._need_tallies()
        return [*self._given_offers, *self._offers_paid()]

    def tally(self) -> None:
        """Make what takes long where it was not made before; many sections do without it."""
        tallies.make(self._lake)
        for name in tallies.NAMES:
            where = self._weeks if name in _BY_WEEK else self._days
            self._lake.run(f"CREATE VIEW {name} AS SELECT * FROM tally_{name} WHERE {where}")
        self._tallied = True

    def _need_tallies(self) -> None:
        if not self._tallied:
            raise Untallied

    def rows(self, sql: str) -> list[Row]:
        """Run a query and return its rows; dates become texts."""
        names, rows = self._lake.table(sql)
        columns = [_plain(column) for column in zip(*rows, strict=True)]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def one_of(self, name: str) -> Row:
        """Run a section's SQL file and return its first row."""
        return self.ask(name)[0]

    def facts(self, model: str) -> ModelFacts:
        """Return what is known about a model that was used."""
        return self.models[model]

    def _make(self, catalogue: Catalogue) -> None:
        lake = self._lake
        self.first, self.last = self._span()
        monday = self.first - timedelta(days=self.first.weekday())
        self._days = f"day BETWEEN DATE '{self.first}' AND DATE '{self.last}'"
        self._weeks = f"week BETWEEN DATE '{monday}' AND DATE '{self.last}'"
        lake.run(f"CREATE VIEW days AS SELECT * FROM usage_daily WHERE {self._days}")
        lake.run(f"CREATE VIEW tries AS SELECT * FROM attempts_daily WHERE {self._days}")
        lake.run(f"CREATE VIEW latencies AS SELECT * FROM latency_daily WHERE {self._days}")
        for view, unit in (("unit_weeks", self.options.unit), ("workload_weeks", "workload")):
            lake.run(
                f"CREATE VIEW {view} AS SELECT * FROM units_weekly"
                f" WHERE unit_kind = '{unit}' AND {self._weeks}"
            )
        self._make_models(catalogue)
        lake.abreast(
            [
                "; ".join(f"CREATE TABLE {table} AS {table_sql(table)}" for table in together)
                for together in TABLES
            ]
        )

    def _span(self) -> tuple[date, date]:
        found = self._lake.rows("SELECT min(day), max(day) FROM usage_daily")[0]
        today = date(1970, 1, 1)
        first, last = (found[0] or today), (found[1] or today)
        return (
            max(self.options.first or first, first),
            min(self.options.last or last, last),
        )

    def _make_models(self, catalogue: Catalogue) -> None:
        used = self._lake.rows("SELECT DISTINCT model FROM usage_daily ORDER BY model")
        self.models = {model: catalogue.facts(model) for (model,) in used}
        facts = list(self.models.values())

        def text(values: Sequence[str]) -> np.ndarray[Any, np.dtype[np.object_]]:
            return np.array([*values, ""], dtype=object)[:-1]

        self._lake.load(
            "models",
            {
                "id": text([fact.id for fact in facts]),
                "author": text([fact.author for fact in facts]),
                "source": text([fact.source for fact in facts]),
                "size": text([fact.size for fact in facts]),
                "reasoning": np.array([bool(fact.reasoning) for fact in facts], dtype=bool),
            },
        )

    def _offers_paid(self) -> list[Offer]:
        """Return the prices that generations were really priced by, the latest of each endpoint."""
        rows = self.rows(
            "SELECT p.model AS model, p.provider AS provider, r.price_input AS pi,"
            " r.price_output AS po, r.price_cache_read AS pc, max(p.day) AS day"
            " FROM priced AS p JOIN prices AS r ON p.price_id = r.id"
            " GROUP BY ALL ORDER BY day, model, provider"
        )
        latest: Mapping[tuple[str, str], Offer] = {
            (row["model"], row["provider"] or ""): Offer(
                model=row["model"],
                provider=row["provider"] or "",
                input=row["pi"],
                output=row["po"],
                cache_read=row["pc"],
                source="prices paid",
            )
            for row in rows
        }
        return list(latest.values())

    def continent(self, country: str) -> str:
        """Return the continent of a country code."""
        return CONTINENTS.get(country.upper(), "Unknown")


_BY_WEEK = {"sessions", "judged", "gold", "compared"}


def _plain(column: Sequence[object]) -> Sequence[object]:
    """Return a column, whose cells are all of one type; dates become texts."""
    if not isinstance(next((cell for cell in column if cell is not None), None), date):
        return column
    return [cell.isoformat()[:10] if isinstance(cell, date) else cell for cell in column]


def section_sql(name: str) -> str:
    """Return the SQL of a section."""
    return (SQL / "sections" / f"{name}.sql").read_text(encoding="utf-8")


def table_sql(name: str) -> str:
    """Return the SQL of a base table."""
    return (SQL / "tables" / f"{name}.sql").read_text(encoding="utf-8")
