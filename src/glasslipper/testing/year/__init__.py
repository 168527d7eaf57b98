"""A year of invented traffic with planted effects, and the truth about it.

    with Bulk(home) as writer:
        truth = make(writer, Wish(seed=1, rows=1_000_000))

What was planted (`truth`): a drift to open models, one cohort that stays, one model that users
come back to, a substitution at a launch, a price elasticity, a wrong price, duplicates, a wrong
clock, a dear model that a cheap one could replace. Arrivals and lengths follow real traces
(`traces`). Knows neither the ledger nor the report: it writes through whatever seals its queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from glasslipper.testing.year import planting, rows, sums, tables, traces, truth, world
from glasslipper.testing.year.models import MODELS
from glasslipper.testing.year.tables import Writer
from glasslipper.testing.year.truth import Planted, Truth
from glasslipper.testing.year.world import DAYS, FIRST_DAY, World

__all__ = ["Planted", "Truth", "Wish", "Writer", "Year", "make"]

ROWS_IN_A_BLOCK = 1_000_000


class Wish(Struct, frozen=True, kw_only=True):
    """What to generate. With `everything`, no effect is absent."""

    seed: int = 1
    rows: int = 1_000_000
    workloads: int = 600
    everything: bool = False
    rows_in_a_block: int = ROWS_IN_A_BLOCK


class Year:
    """One generated year."""

    def __init__(self, wish: Wish, measured: traces.Traces | None = None) -> None:
        """Draw its world; `measured` traces take the place of those that are shipped."""
        self.wish = wish
        self.planted = truth.planted(wish.seed, everything=wish.everything)
        self.world: World = world.draw(wish.seed, self.planted, workloads=wish.workloads)
        self._traces = measured or traces.shipped()
        self._expected = rows.rows_by_day(self.world, wish.rows)
        self._sums = sums.Sums(self.world)
        self._due: dict[tuple[int, int], float] = {}
        self._daily = np.zeros(DAYS)

    def blocks(self) -> Iterator[tuple[str, rows.Rows]]:
        """Yield the requests, some weeks or days at a time, each with a name."""
        for first, last in rows.spans(self._expected, self.wish.rows_in_a_block):
            found = rows.block(self.world, self._traces, self._expected, first=first, last=last)
            self._sums.add(found)
            self._bill(found)
            yield f"{first:04d}", found

    def write(self, writer: Writer, tick: Callable[[int], None] | None = None) -> Truth:
        """Write all rows; `tick` is told how many after each segment. Return the truth."""
        tables.prepare(writer, self.world)
        for name, found in self.blocks():
            tables.write(writer, name, found)
            if tick is not None:
                tick(len(found["w"]))
        return self.truth()

    def truth(self) -> Truth:
        """Return the truth about the rows that were made."""
        parameters = planting.parameters(self.world, self._expected)
        ahead = planting.spend_ahead(self.world, self._expected, self._daily)
        parameters["spend-forecast"] = {"next_28_days": ahead}
        parameters |= self._sums.outcomes()
        return Truth(
            seed=self.wish.seed,
            rows=int(self._sums.counts["rows"]),
            first_day=FIRST_DAY.isoformat(),
            days=DAYS,
            planted=self.planted,
            absent=self.planted.absent,
            parameters=sums.finite(parameters),
            sums=sums.finite(self._sums.numbers()),
        )

    def _bill(self, found: rows.Rows) -> None:
        """Add to what the provider of the wrongly priced model asks for: the right amounts."""
        day = found["created_ms"] // rows.DAY_MS - rows.EPOCH_DAY
        spent = np.bincount(
            np.minimum(day, DAYS - 1), found["billed"] + found["wasted"], minlength=DAYS
        )
        self._daily += spent
        author = MODELS[rows.PRICE_ERROR_MODEL].author
        for model, one in enumerate(MODELS):
            if one.author != author:
                continue
            mine = found["model"] == model
            due = (found["due"] + found["wasted"])[mine]
            for place, amount in enumerate(np.bincount(day[mine], due, minlength=1)):
                if amount:
                    key = (place, model)
                    self._due[key] = self._due.get(key, 0.0) + float(amount)

    def invoice(self) -> str:
        """Return the bill of one provider as CSV; it asks for the right prices."""
        lines = ["date,provider,model,cost_usd"]
        epoch = FIRST_DAY.toordinal()
        for (day, model), amount in sorted(self._due.items()):
            name = MODELS[model]
            when = FIRST_DAY.fromordinal(epoch + day).isoformat()
            lines.append(f"{when},{name.author},{name.id},{int(amount) / 1e9:.9f}")
        return "\n".join(lines) + "\n"

    def model_facts(self) -> list[dict[str, object]]:
        """Return what there is to know about the models, for a study to be told."""
        return [
            {
                "id": model.id,
                "country": model.country,
                "open_weights": model.open_weights,
                "parameters_b": model.parameters_b,
                "active_b": model.active_b,
                "reasoning": model.reasoning,
                "released": (FIRST_DAY + timedelta(weeks=model.released_week)).isoformat(),
            }
            for model in MODELS
        ]

    def prices(self) -> list[tables.Offer]:
        """Return the price rows that the generations name."""
        return tables.offers(self.world)

    def write_files(self, folder: Path, truth: Truth) -> None:
        """Write the truth, the bill and the facts about models into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        told = msgspec.json.encode(truth)
        (folder / "truth.json").write_bytes(msgspec.json.format(told, indent=1) + b"\n")
        (folder / "invoice.csv").write_text(self.invoice(), encoding="utf-8")
        facts = msgspec.json.encode(self.model_facts())
        (folder / "models.json").write_bytes(msgspec.json.format(facts, indent=1) + b"\n")


def make(
    writer: Writer, wish: Wish, *, tick: Callable[[int], None] | None = None
) -> tuple[Year, Truth]:
    """Generate a year into a ledger; return it and the truth about it."""
    year = Year(wish)
    return year, year.write(writer, tick)
