"""Writes what is not sealed yet as lines for DuckDB: rows of the table files, and journal tails.

A line is what `lake.columns` says. Rows that a segment has taken over are left out: the rows are
read first and the segments listed afterwards, so that whatever moves meanwhile is seen once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from msgspec import Struct

from glasslipper.kernel.errors import StoreFailed
from glasslipper.ledger import lines
from glasslipper.ledger.lake import segments
from glasslipper.store import journal
from glasslipper.store.database import Database

JOURNALS = "journal"
ROWS_FILE = "rows.sqlite"

_AT_ONCE = 5_000


_TRIES = 5


class Seen(Struct, frozen=True, kw_only=True):
    """The segments that complete the lines which have been written."""

    segments: list[segments.Segment]
    hot_rows: int


def write_lines(home: Path, to: Path) -> Seen:
    """Write the hot rows of a home to a file of lines; return the segments beside them.

    Raises:
        StoreFailed: The files cannot be read.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(_Moved):
            return _write_once(home, to)
    raise StoreFailed(f"The journals in {home} move faster than they can be read.")


class _Moved(Exception):
    """A journal dropped lines that have been copied since we looked."""


def _write_once(home: Path, to: Path) -> Seen:
    held: list[tuple[Path, Database]] = []
    try:
        for folder in sorted((home / JOURNALS).glob("*/")):
            if (folder / ROWS_FILE).exists():
                table = Database(folder / ROWS_FILE, read_only=True)
                held.append((folder, table))
                table.change("BEGIN")
                table.row("SELECT position FROM copied")  # from here on it sees one moment
        found = segments.found_in(home)
        last = segments.taken_over(found)
        with to.open("wb") as out:
            rows = sum(
                _write(out, folder, table, last.get(folder.name, 0)) for folder, table in held
            )
    finally:
        for _, table in held:
            table.close()
    return Seen(segments=found, hot_rows=rows)


def _write(out: BinaryIO, folder: Path, table: Database, after: int) -> int:
    rows = 0
    for body in _generations(table, after):
        out.write(b'{"g":' + body.encode() + b"}\n")
        rows += 1
    for (fact,) in table.rows(_FACTS):
        out.write(b'{"f":' + str(fact).encode() + b"}\n")
    copied = table.row("SELECT position FROM copied")
    return rows + _write_tail(out, folder, cast("int", copied[0]) if copied else 0)


def _write_tail(out: BinaryIO, folder: Path, position: int) -> int:
    """Write the lines that have not been copied into the tables yet."""
    rows = 0
    try:
        for block in journal.read(folder, position):
            for body in lines.of_kind(block.lines, lines.GENERATION):
                out.write(b'{"g":' + body + b"}\n")
                rows += 1
            for body in lines.of_kind(block.lines, lines.FACT):
                out.write(b'{"f":' + body + b"}\n")
    except (StoreFailed, FileNotFoundError) as error:
        raise _Moved from error
    return rows


def _generations(table: Database, after: int) -> Iterator[str]:
    while True:
        chunk = table.rows(
            "SELECT seq, body FROM records WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, _AT_ONCE),
        )
        for seq, body in chunk:
            after = cast("int", seq)
            yield str(body)
        if len(chunk) < _AT_ONCE:
            return


_FACTS = """
    SELECT json_object('id', id, 'kind', kind, 'noted_ms', noted_ms, 'key_id', key_id,
        'generation_id', generation_id, 'session_id', session_id, 'body', json(body))
    FROM late_facts"""
