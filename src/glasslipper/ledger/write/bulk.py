"""Writes many rows at once, straight into sealed segments: what imports and generators use.

The rows come from a query in DuckDB, whose columns are named as studies see them
(`ledger.read.scan`), as many of them as there are; each segment is summed up as it is written.
Nothing of it passes the journals or the counters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glasslipper.kernel.clock import Clock, SystemClock
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.ledger.lake import columns
from glasslipper.ledger.lake.columns import Column
from glasslipper.ledger.lake.segments import Segment
from glasslipper.ledger.write import segment
from glasslipper.store.duck import MEMORY_BYTES, Cells, Duck, Values

if TYPE_CHECKING:
    from glasslipper.store.duck import Array

_NEEDED = ("id", "created_ms", "key_id", "model")

_DEFAULTS = {
    "dialect": "'chat'",
    "status": "'ok'",
    "model_served": "model",
    "labels": "'{}'",
    "accounts": "to_json([key_id])",
    "why": "''",
    "number": "0",
    "body": "'{}'",
}


class Bulk:
    """A DuckDB connection whose queries can be sealed. Use it as a context, or `close` it."""

    def __init__(
        self,
        home: Path,
        *,
        memory_bytes: int = MEMORY_BYTES,
        threads: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Write into the lake of `home`."""
        self._home = home
        self._clock = clock or SystemClock()
        self._duck = Duck(memory_bytes=memory_bytes, threads=threads)

    def run(self, sql: str, values: Values = ()) -> None:
        """Run a statement for what it does, such as making the rows."""
        self._duck.run(sql, values)

    def rows(self, sql: str, values: Values = ()) -> list[Cells]:
        """Run one query and return all its rows."""
        return self._duck.rows(sql, values)

    def load(self, table: str, columns: Mapping[str, Array]) -> None:
        """Make or replace a table from arrays of equal length; `None` in an object is NULL."""
        self._duck.load(table, columns)

    def seal(
        self,
        source: str,
        name: str,
        *,
        generations: str = "",
        attempts: str = "",
        candidates: str = "",
        late_facts: str = "",
    ) -> Segment:
        """Seal the rows of queries as the segment `name` of `source`; once only, by that name.

        Generations need `id`, `created_ms`, `key_id` and `model`. Each has one attempt that went
        like itself, unless its column `plain` says false; then its attempts are in `attempts`.
        Rows should be ordered by `created_ms`. A million rows make a good segment.

        Raises:
            InvalidRequest: A query has a column that there is not, or lacks one.
            DiskFull: There is no room; nothing is left behind.
        """
        tables: dict[str, str] = {}
        if generations:
            tables["generations"] = self._generations(generations)
        for table, sql, wanted in (
            ("attempts", attempts, columns.ATTEMPTS),
            ("candidates", candidates, columns.CANDIDATES),
            ("late_facts", late_facts, columns.LATE_FACTS),
        ):
            if sql:
                tables[table] = _chosen(wanted, set(self._duck.names(sql)), sql, {})
        return segment.write(
            self._duck,
            self._home,
            journal=source,
            name=name,
            tables=tables,
            now_ms=self._clock.now_ms(),
            source=source,
        )

    def _generations(self, sql: str) -> str:
        given = set(self._duck.names(sql))
        lacking = [name for name in _NEEDED if name not in given]
        if lacking:
            raise InvalidRequest(f"Generations lack {', '.join(lacking)}.", param="generations")
        billed = "coalesce(billed_nanousd, 0)" if "billed_nanousd" in given else "0"
        charged = f"coalesce(charged_nanousd, {billed})" if "charged_nanousd" in given else billed
        plain = "coalesce(plain, true)" if "plain" in given else "true"
        made = {
            "unpaid_nanousd": f"{billed} - {charged}",
            "a1_model": f"CASE WHEN {plain} THEN {_used(given)} END",
            "a1_after_ms": f"CASE WHEN {plain} THEN 0 END",
            "a1_spare_ms": f"CASE WHEN {plain} THEN 0 END",
        }
        if "usage_reported_nanousd" in given:
            made["reported_over_nanousd"] = f"usage_reported_nanousd - {billed}"
        extra = {"plain", "charged_nanousd", "usage_reported_nanousd"}
        return _chosen(columns.GENERATIONS, given - extra, sql, made)

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        self._duck.close()

    def __enter__(self) -> Bulk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _used(given: set[str]) -> str:
    return "coalesce(model_served, model)" if "model_served" in given else "model"


def _chosen(wanted: Sequence[Column], given: set[str], sql: str, made: Mapping[str, str]) -> str:
    """Return a query for stored columns over one whose columns are named as studies see them."""
    strange = given - {column.name for column in wanted}
    if strange:
        raise InvalidRequest(f"There is no column {', '.join(sorted(strange))}.", param="columns")
    chosen = ", ".join(
        f'CAST({_value(column, given, made)} AS {column.type}) AS "{column.name}"'
        for column in wanted
    )
    return f"SELECT {chosen} FROM ({sql})"  # noqa: S608


def _value(column: Column, given: set[str], made: Mapping[str, str]) -> str:
    default = _default(column)
    if column.name in made:
        return made[column.name]
    if column.name not in given:
        return default
    return f'"{column.name}"' if default == "NULL" else f'coalesce("{column.name}", {default})'


def _default(column: Column) -> str:
    if column.name in _DEFAULTS:
        return _DEFAULTS[column.name]
    if column.type == "BOOLEAN":
        return "false"
    if column.name.startswith("usage_") or column.name in _COUNTS:
        return "0"
    return "NULL"


_COUNTS = {
    "duration_ms",
    "held_nanousd",
    "billed_nanousd",
    "turns",
    "tools_offered",
    "tools_called",
}
