"""Loads the small tables of the state file into DuckDB: prices, keys, accounts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from glasslipper.kernel.money import USAGE_CLASSES, Price
from glasslipper.store.database import Database, Row
from glasslipper.store.duck import Duck

if TYPE_CHECKING:
    from glasslipper.store.duck import Array

STATE_FILE = "state.sqlite"

_prices = msgspec.json.Decoder(Price)


def load(duck: Duck, home: Path) -> None:
    """Make the tables `prices`, `keys` and `accounts`; empty where there is no state file."""
    path = home / STATE_FILE
    if not path.exists():
        _make(duck, [], [], [])
        return
    state = Database(path, read_only=True)
    try:
        prices = state.rows("SELECT id, endpoint, source, as_of, seen_ms, price FROM prices")
        keys = state.rows("SELECT id, name, created_ms FROM keys ORDER BY id")
        accounts = state.rows("SELECT id, parent, kind, name FROM accounts ORDER BY id")
    finally:
        state.close()
    _make(duck, prices, keys, accounts)


def _make(duck: Duck, prices: list[Row], keys: list[Row], accounts: list[Row]) -> None:
    priced: list[tuple[object, ...]] = []
    for *about, body in prices:
        price = _prices.decode(str(body))
        priced.append((*about, *(price.rate(name) for name in USAGE_CLASSES)))
    _table(
        duck,
        "prices",
        {"id": "VARCHAR", "endpoint": "VARCHAR", "source": "VARCHAR", "as_of": "VARCHAR"}
        | {"seen_ms": "BIGINT"}
        | {f"price_{name}": "BIGINT" for name in USAGE_CLASSES},
        sorted(priced, key=str),
    )
    _table(duck, "keys", {"id": "VARCHAR", "name": "VARCHAR", "created_ms": "BIGINT"}, keys)
    _table(
        duck,
        "accounts",
        {"id": "VARCHAR", "parent": "VARCHAR", "kind": "VARCHAR", "name": "VARCHAR"},
        accounts,
    )


def _table(
    duck: Duck, name: str, types: dict[str, str], rows: list[Row] | list[tuple[object, ...]]
) -> None:
    import numpy as np

    members: dict[str, Array] = {}
    for number, column in enumerate(types):
        members[column] = np.array([row[number] for row in rows], dtype=object)
    declared = ", ".join(f"{column} {kind}" for column, kind in types.items())
    duck.run(f"CREATE TABLE {name} ({declared})")
    if rows:
        duck.load("rows_to_load", members)
        chosen = ", ".join(f"CAST({column} AS {kind})" for column, kind in types.items())
        duck.run(f"INSERT INTO {name} SELECT {chosen} FROM rows_to_load; DROP TABLE rows_to_load")
