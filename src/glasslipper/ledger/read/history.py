"""Reads generations from the table files of every journal, and what is not copied there yet.

A generation can be read as soon as it is acknowledged: the end of each journal that has not been
copied is searched line by line. Implements `kernel.ports.History`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast

import msgspec
from msgspec import Struct

from glasslipper.kernel.record import Generation, LateFact
from glasslipper.ledger import lines, tables
from glasslipper.store import journal
from glasslipper.store.database import Database, Row

JOURNALS = "journal"
ROWS_FILE = "rows.sqlite"

SpendBy = Literal["key", "model", "day", "provider", "status"]

_GROUPS: dict[SpendBy, str] = {
    "key": "key_id",
    "model": "coalesce(model_served, model)",
    "day": "date(created_ms / 1000, 'unixepoch')",
    "provider": "coalesce(provider, '')",
    "status": "status",
}


class SpendRow(Struct, kw_only=True):
    """What a group of generations cost (nano-USD) and consumed (tokens)."""

    group: str
    generations: int = 0
    charged_nanousd: int = 0
    billed_nanousd: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class LedgerHistory:
    """Reads every journal of one home."""

    def __init__(self, home: Path) -> None:
        """Read the journals in `home`, whichever there are at each question."""
        self._folder = home / JOURNALS

    def generation(self, generation_id: str) -> Generation | None:
        """Return one record, or `None`."""
        for folder, table in self._tables():
            # The position first: what is copied after this question is found by the next one.
            copied = table.row("SELECT position FROM copied")
            row = table.row(f"{_SELECT} WHERE id = ?", (generation_id,))
            if row:
                return _generation(table, row)
            found = _in_tail(folder, cast("int", copied[0]) if copied else 0, generation_id)
            if found:
                return found
        return None

    def generations(self) -> Iterator[Generation]:
        """Yield every record that has been copied, oldest first within each journal."""
        for _, table in self._tables():
            for row in table.rows(f"{_SELECT} ORDER BY seq"):
                yield _generation(table, row)

    def spend(self, by: SpendBy, *, since_ms: int = 0, key_id: str | None = None) -> list[SpendRow]:
        """Return what was spent since `since_ms`, in groups, the dearest first."""
        groups: dict[str, SpendRow] = {}
        prompt = " + ".join(f"usage_{name}" for name in tables.USAGE[:6])
        completion = " + ".join(f"usage_{name}" for name in tables.USAGE[6:10])
        sql = f"""
            SELECT {_GROUPS[by]}, count(*), sum(charged_nanousd), sum(billed_nanousd),
                sum({prompt}), sum({completion})
            FROM generations WHERE created_ms >= ? AND (? IS NULL OR key_id = ?) GROUP BY 1"""  # noqa: S608
        for _, table in self._tables():
            for group, *numbers in table.rows(sql, (since_ms, key_id, key_id)):
                row = groups.setdefault(str(group), SpendRow(group=str(group)))
                for name, number in zip(SpendRow.__struct_fields__[1:], numbers, strict=True):
                    setattr(row, name, getattr(row, name) + cast("int", number or 0))
        return sorted(groups.values(), key=lambda row: (-row.charged_nanousd, row.group))

    def last_used(self, key_ids: Sequence[str]) -> dict[str, int]:
        """Return when each key's last exchange began, in Unix ms, for those that had any."""
        names = msgspec.json.encode(key_ids).decode()
        sql = """
            SELECT value, (SELECT max(created_ms) FROM generations WHERE key_id = value)
            FROM json_each(?)"""
        found: dict[str, int] = {}
        for _, table in self._tables():
            for key_id, used_ms in table.rows(sql, (names,)):
                if used_ms is not None:
                    found[str(key_id)] = max(found.get(str(key_id), 0), cast("int", used_ms))
        return found

    def late_facts(
        self, *, generation_id: str | None = None, session_id: str | None = None
    ) -> list[LateFact]:
        """Return what was learned about a generation or a session, oldest first."""
        sql = f"""
            SELECT {", ".join(LateFact.__struct_fields__)} FROM late_facts
            WHERE generation_id = ? OR session_id = ?"""  # noqa: S608
        found = [
            LateFact(
                id=str(fact),
                kind=str(kind),
                noted_ms=cast("int", noted_ms),
                key_id=str(key_id),
                body=msgspec.json.decode(str(body), type=dict[str, object]),
                generation_id=cast("str | None", generation),
                session_id=cast("str | None", session),
            )
            for _, table in self._tables()
            for fact, kind, noted_ms, key_id, body, generation, session in table.rows(
                sql, (generation_id, session_id)
            )
        ]
        return sorted(found, key=lambda fact: fact.id)

    def _tables(self) -> Iterator[tuple[Path, Database]]:
        for path in sorted(self._folder.glob(f"*/{ROWS_FILE}")):
            with _reading(path) as table:
                yield path.parent, table


@contextmanager
def _reading(path: Path) -> Generator[Database]:
    table = Database(path, read_only=True)
    try:
        yield table
    finally:
        table.close()


_SCALARS = list(tables.SCALARS)
_ATTEMPT = list(tables.ATTEMPT)
_SELECT = f"""
    SELECT {", ".join(f'"{name}"' for name in _SCALARS)},
        {", ".join(f"usage_{name}" for name in tables.USAGE)}, accounts, labels
    FROM generations"""  # noqa: S608


def _generation(table: Database, row: Row) -> Generation:
    scalars, rest = row[: len(_SCALARS)], row[len(_SCALARS) :]
    record: dict[str, object] = _known(_SCALARS, scalars)
    record["usage"] = _known(list(tables.USAGE), rest[: len(tables.USAGE)])
    record["accounts"] = msgspec.json.decode(str(rest[-2]))
    record["labels"] = msgspec.json.decode(str(rest[-1]))
    attempts = f"""
        SELECT {", ".join(f'"{name}"' for name in _ATTEMPT)} FROM attempts
        WHERE generation_id = ? ORDER BY number"""  # noqa: S608
    candidates = """
        SELECT endpoint, propensity, why FROM candidates WHERE generation_id = ? ORDER BY number"""
    record["attempts"] = [_known(_ATTEMPT, found) for found in table.rows(attempts, (row[0],))]
    record["candidates"] = [
        {"endpoint": endpoint, "propensity": propensity, "why": why}
        for endpoint, propensity, why in table.rows(candidates, (row[0],))
    ]
    return msgspec.convert(record, Generation, strict=False)


def _known(names: list[str], values: Row) -> dict[str, object]:
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _in_tail(folder: Path, position: int, generation_id: str) -> Generation | None:
    wanted = f'"id":"{generation_id}"'.encode()
    for block in journal.read(folder, position):
        for line in block.lines:
            if line.startswith(lines.GENERATION) and wanted in line:
                found = lines.decode_generation(line)
                if found.id == generation_id:
                    return found
    return None
