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
    """Yield one late fact for each row, as of when the file was written."""
    del priced
    noted_ms = int(path.stat().st_mtime * 1000)
    for row in rows.read(path):
        yield _fact(row, path.name, noted_ms)


def _fact(row: Row, source: str, noted_ms: int) -> LateFact:
    about = rows.need(row, "generation_id", WHAT)
    if rows.decimal(row, *_AMOUNTS) is None:
        raise InvalidRequest(f"A row has no `{_AMOUNTS[0]}`: this does not look like {WHAT}.")
    cost = rows.nanousd(row, *_AMOUNTS)
    return LateFact(
        id=rows.identity("cost", about, cost, noted_ms),
        kind=COST_FACT,
        noted_ms=noted_ms,
        key_id="import",
        generation_id=about,
        body={"billed_nanousd": cost, "source": source},
    )
