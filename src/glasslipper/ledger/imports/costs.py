"""What generations of this ledger really cost, when a provider says so later: late facts.

A row has the `generation_id` and its `cost_usd` (or `cost`, `amount_usd`). The last word said about
a generation counts in studies; what was charged to budgets stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.record import COST_FACT, Generation, LateFact
from glasslipper.ledger.imports import rows
from glasslipper.ledger.imports.rows import Priced, Row

WHAT = "a list of costs of generations"

_AMOUNTS = ("cost_usd", "amount_usd", "cost")


def read(path: Path, priced: Priced) -> Iterator[Generation | LateFact]:
    """Yield one late fact for each generation, as of when the file was written.

    Raises:
        InvalidRequest: An amount is none, or a generation has two that differ: which one is whole,
            or whether they are parts of one, the file does not say.
    """
    del priced
    noted_ms = int(path.stat().st_mtime * 1000)
    said: dict[str, int] = {}
    for row in rows.read(path):
        about, cost = _said(row)
        if said.setdefault(about, cost) != cost:
            raise InvalidRequest(
                f"{path} says two different costs of {about}.",
                hint="Give each generation one row, with all that it cost, and import it again.",
            )
    for about, cost in said.items():
        yield LateFact(
            id=rows.identity("cost", about, cost, noted_ms),
            kind=COST_FACT,
            noted_ms=noted_ms,
            key_id="import",
            generation_id=about,
            body={"billed_nanousd": cost, "source": path.name},
        )


def _said(row: Row) -> tuple[str, int]:
    about = rows.need(row, "generation_id", WHAT)
    amount = rows.decimal(row, *_AMOUNTS)
    if amount is None:
        raise InvalidRequest(f"A row has no `{_AMOUNTS[0]}`: this does not look like {WHAT}.")
    if amount < 0:
        raise InvalidRequest(f"{about} cannot have cost ${amount}.", param=_AMOUNTS[0])
    return about, rows.nanousd(row, *_AMOUNTS)
