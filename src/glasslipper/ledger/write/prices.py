"""Remembers every price row that a generation was ever priced by.

A row's id is made of its content, so that the same price is one row, in every process.
"""

from __future__ import annotations

import hashlib

import msgspec

from glasslipper.kernel.money import Price
from glasslipper.kernel.record import PriceRow
from glasslipper.store.database import Database


def row_for(endpoint: str, price: Price, *, source: str, as_of: str) -> PriceRow:
    """Return the row of a price; equal content gives an equal id."""
    content = msgspec.json.encode((endpoint, source, as_of, price), order="sorted")
    digest = hashlib.sha256(content).hexdigest()[:24]
    return PriceRow(id=f"price-{digest}", price=price, source=source, as_of=as_of)


def remember(db: Database, endpoint: str, row: PriceRow, now_ms: int) -> None:
    """Keep a row; a second time changes nothing."""
    db.change(
        "INSERT OR IGNORE INTO prices (id, endpoint, source, as_of, price, seen_ms)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            row.id,
            endpoint,
            row.source,
            row.as_of,
            msgspec.json.encode(row.price).decode(),
            now_ms,
        ),
    )
