"""Our own export: one line for each generation and each late fact, as journals hold them.

A line with a number or a moment that cannot be is refused: one such row could not be summed, and
would stand in the way of every study from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.record import Generation, LateFact
from glasslipper.ledger.imports import rows
from glasslipper.ledger.imports.rows import Priced
from glasslipper.ledger.tables import USAGE

_MOST_TURNS = 2**31 - 1


def read(path: Path, priced: Priced) -> Iterator[Generation | LateFact]:
    """Yield what the lines say."""
    del priced
    for row in rows.read(path):
        try:
            one = (
                msgspec.convert(row["fact"], LateFact)
                if "fact" in row
                else msgspec.convert(row.get("generation", row), Generation)
            )
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{path} is not an export of this ledger: {error}.") from error
        for name, number, most in _numbers(one):
            if not 0 <= number <= most:
                raise InvalidRequest(f"{path}: {name} of {one.id} cannot be {number}.", param=name)
        yield one


def _numbers(one: Generation | LateFact) -> Iterator[tuple[str, int, int]]:
    """Yield what is counted in a record: its name, the number, and the most that it can be."""
    if isinstance(one, LateFact):
        yield "noted_ms", one.noted_ms, rows.LAST_MS
        return
    yield "created_ms", one.created_ms, rows.LAST_MS
    for name in ("turns", "tools_offered", "tools_called"):
        yield name, getattr(one, name), _MOST_TURNS
    for name in USAGE:
        yield name, getattr(one.usage, name) or 0, rows.MOST
    for counted in (one, *one.attempts):
        yield "duration_ms", counted.duration_ms, rows.LAST_MS
        yield "first_token_ms", counted.first_token_ms or 0, rows.LAST_MS
        yield "billed_nanousd", counted.billed_nanousd, rows.MOST_NANOUSD
    for name in ("held_nanousd", "charged_nanousd"):
        yield name, getattr(one, name), rows.MOST_NANOUSD
    for attempt in one.attempts:
        yield "started_ms", attempt.started_ms, rows.LAST_MS
        yield "http_status", attempt.http_status or 0, 999
