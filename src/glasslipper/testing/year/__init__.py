"""A year of invented traffic with planted effects, and the truth about it.

    with Bulk(home) as writer:
        truth = make(writer, Wish(seed=1, rows=1_000_000))

What was planted (`truth`): a drift to open models, one cohort that stays, one model that users
come back to, a substitution at a launch, a price elasticity, a wrong price, duplicates, a wrong
clock, a dear model that a cheap one could replace. Arrivals and lengths follow real traces
(`traces`). Knows neither the ledger nor the report: it writes through whatever seals its queries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from glasslipper.testing.year import planting, rows, sums, tables, traces, truth, world
from glasslipper.testing.year.models import MODELS
from glasslipper.testing.year.tables import Writer
from glasslipper.testing.year.truth import Planted, Truth
from glasslipper.testing.year.world import DAYS, FIRST_DAY, World

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Block", "Planted", "Truth", "Wish", "Writer", "Year", "make"]

ROWS_IN_A_BLOCK = 1_000_000


class Wish(Struct, frozen=True, kw_only=True):
    """What to generate. With `everything`, no effect is absent."""

    seed: int = 1
    rows: int = 1_000_000
    workloads: int = 600
    everything: bool = False
    rows_in_a_block: int = ROWS_IN_A_BLOCK


class Block(NamedTuple):
    """Days that are written together, as one segment; `last` is the first day after them."""

    first: int
    last: int

    @property
    def name(self) -> str:
        """What its segment is called."""
        return f"{self.first:04d}"


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

    def blocks(self) -> list[Block]:
        """Return the first and the last day (exclusive) of each block, in their order."""
        return [Block(*ends) for ends in rows.spans(self._expected, self.wish.rows_in_a_block)]

    def write_block(self, writer: Writer, block: Block) -> sums.Sums:
        """Write the requests of some days as one segment; return what they add up to.

        The writer is to have been prepared. Any process can write any block.
        """
        found = rows.block(
            self.world, self._traces, self._expected, first=block.first, last=block.last
        )
        tables.write(writer, block.name, found)
        mine = sums.Sums(self.world)
        mine.add(found)
        return mine

    def prepare(self, writer: Writer) -> None:
        """Make a writer ready for the blocks of this year."""
        tables.prepare(writer, self.world)

    def count(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Add a block's sums (`Sums.arrays`) to the year's: each once, always in their order."""
        self._sums.merge(arrays)

    def write(self, writer: Writer, tick: Callable[[int], None] | None = None) -> Truth:
        """Write all rows; `tick` is told how many after each segment. Return the truth."""
        self.prepare(writer)
        for block in self.blocks():
            mine = self.write_block(writer, block)
            self.count(mine.arrays())
            if tick is not None:
                tick(mine.rows)
        return self.truth()

    def truth(self) -> Truth:
        """Return the truth about the rows that were made."""
        parameters = planting.parameters(self.world, self._expected)
        ahead = planting.spend_ahead(self.world, self._expected, self._sums.daily)
        parameters["spend-forecast"] = {"next_28_days": ahead}
        parameters |= self._sums.outcomes()
        return Truth(
            seed=self.wish.seed,
            rows=self._sums.rows,
            first_day=FIRST_DAY.isoformat(),
            days=DAYS,
            planted=self.planted,
            absent=self.planted.absent,
            parameters=sums.finite(parameters),
            sums=sums.finite(self._sums.numbers()),
        )

    def invoice(self) -> str:
        """Return the bill of one provider as CSV; it asks for the right prices."""
        lines = ["date,provider,model,cost_usd"]
        epoch = FIRST_DAY.toordinal()
        due = self._sums.due
        for day in range(DAYS):
            when = FIRST_DAY.fromordinal(epoch + day).isoformat()
            for model, one in enumerate(MODELS):
                if amount := int(due[day, model]):
                    lines.append(f"{when},{one.author},{one.id},{amount / 1e9:.9f}")
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
