"""Copies a journal into its table file, so that it can be queried.

The position reached is kept in the same file and transaction, so that each line is copied once,
however often copying is interrupted; rows are also keyed by id. Knows nothing of budgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct

from glasslipper.ledger import lines, tables
from glasslipper.ledger.lake import segments
from glasslipper.ledger.write.fresh import Begins, Ends, Fresh, FreshLine
from glasslipper.store import journal
from glasslipper.store.database import Database, Durability
from glasslipper.store.migrate import migrate

ROWS_FILE = "rows.sqlite"

_MANY_LINES = 2_000
_PAGE_BYTES = 16_384


def open_rows(folder: Path, durability: Durability = "process") -> Database:
    """Open the table file of the journal in `folder`, with its tables up to date."""
    db = Database(folder / ROWS_FILE, durability=durability, page_bytes=_PAGE_BYTES)
    migrate(db, tables.ROWS)
    _heed_segments(db, folder)
    return db


def _heed_segments(db: Database, folder: Path) -> None:
    """Number and copy nothing again that is sealed: the file may be new, or an old copy."""
    sealed = segments.last_of(folder.parent.parent, folder.name)
    if sealed is None:
        return
    row = db.row("SELECT seq FROM sqlite_sequence WHERE name = 'records'")
    if row is not None and cast("int", row[0]) >= sealed.manifest.last:
        return
    with db.transaction():
        db.change("DELETE FROM sqlite_sequence WHERE name = 'records'")
        db.change("INSERT INTO sqlite_sequence VALUES ('records', ?)", (sealed.manifest.last,))
        db.change("UPDATE copied SET position = max(position, ?)", (sealed.manifest.position,))


def copied_to(db: Database) -> int:
    """Return the journal position up to which lines have been copied."""
    row = db.row("SELECT position FROM copied")
    return int(row[0] or 0) if row else 0


def copy(db: Database, folder: Path, until: int | None = None) -> int:
    """Copy what the journal has gained, up to `until`; return the position reached."""
    position = copied_to(db)
    for block in journal.read(folder, position):
        for start in range(0, len(block.lines), _MANY_LINES):
            chunk = block.lines[start : start + _MANY_LINES]
            size = sum(map(len, chunk)) + len(chunk)
            while until is not None and chunk and position + size > until:
                size -= len(chunk.pop()) + 1
            if not chunk:
                return position
            with db.transaction():
                _insert(db, chunk, position)
                position += size
                db.change("UPDATE copied SET position = ?", (position,))
    return position


def copy_fresh(db: Database, folder: Path, fresh: Fresh, until: int) -> int:
    """Copy what the journal has gained, up to `until`, from memory as far as it is there."""
    position = copied_to(db)
    while taken := fresh.take(position, until):
        position = taken[-1][0]
        with db.transaction():
            _insert_fresh(db, taken)
            db.change("UPDATE copied SET position = ?", (position,))
    return copy(db, folder, until) if position < until else position


def forget_beyond(db: Database, end: int) -> None:
    """Go back to the end of a journal that has lost lines, as it may when the power fails."""
    db.change("UPDATE copied SET position = min(position, ?)", (end,))


class _Row(Struct, gc=False):
    """What of a generation has a column of its own; the rest is read from its JSON."""

    id: str
    key_id: str
    created_ms: int


class _Begun(Struct, gc=False):
    """Which exchange an intent begins."""

    generation_id: str
    number: int = 1


_rows = msgspec.json.Decoder(_Row)
_begun = msgspec.json.Decoder(_Begun)


def _insert(db: Database, chunk: list[bytes], start: int) -> None:
    """Insert the records of whole lines, the first of which begins at position `start`."""
    bodies = lines.of_kind(chunk, lines.GENERATION)
    rows = [_rows.decode(body) for body in bodies]
    ends = list(accumulate((len(line) + 1 for line in chunk), initial=start))[1:]
    after = [
        end for line, end in zip(chunk, ends, strict=True) if line.startswith(lines.GENERATION)
    ]
    db.change_many(
        _INSERT_RECORDS,
        [
            (end, row.id, row.key_id, row.created_ms, body.decode())
            for end, row, body in zip(after, rows, bodies, strict=True)
        ],
    )
    intents = lines.of_kind(chunk, lines.INTENT)
    begun = [_begun.decode(body) for body in intents]
    _keep_open(db, list(zip(begun, intents, strict=True)), {row.id for row in rows})
    if facts := lines.bodies(chunk, lines.FACT):
        db.change(_INSERT_FACTS, (facts,))


def _insert_fresh(db: Database, chunk: list[FreshLine]) -> None:
    """Do the same with lines of which it is known what they say."""
    ended: list[tuple[int, str, str, int, str]] = []
    begun: list[tuple[Begins, bytes]] = []
    facts: list[bytes] = []
    for end, line, record in chunk:
        if line.startswith(lines.GENERATION):
            one = cast("Ends", record)
            body = line[_GENERATION_AT:-1].decode()
            ended.append((end, one.id, one.key_id, one.created_ms, body))
        elif line.startswith(lines.INTENT):
            begun.append((cast("Begins", record), line))
        else:
            facts.append(line)
    db.change_many(_INSERT_RECORDS, ended)
    over = {row[1] for row in ended}
    _keep_open(db, [(one, line[_INTENT_AT:-1]) for one, line in begun], over)
    if facts and (bodies := lines.bodies(facts, lines.FACT)):
        db.change(_INSERT_FACTS, (bodies,))


def _keep_open(db: Database, begun: Sequence[tuple[Begins, bytes]], ended: set[str]) -> None:
    """Keep the intents that did not end in the same chunk; drop those that began earlier."""
    left = [body for one, body in begun if one.generation_id not in ended]
    whole = {one.generation_id for one, _ in begun if one.number == 1}
    if left:
        db.change(_INSERT_INTENTS, (lines.array(left),))
    db.change_many(
        "DELETE FROM intents WHERE generation_id = ?",
        [(exchange,) for exchange in ended.difference(whole)],
    )


def _field(path: str, source: str = "value") -> str:
    return f"json_extract({source}, '$.{path}')"


_INSERT_RECORDS = """
    INSERT OR IGNORE INTO records (position, id, key_id, created_ms, body)
    VALUES (?, ?, ?, ?, ?)"""

_GENERATION_AT, _INTENT_AT = len(lines.GENERATION), len(lines.INTENT)

_INSERT_INTENTS = f"""
    INSERT OR IGNORE INTO intents (attempt_id, generation_id, body)
    SELECT {_field("attempt_id")}, {_field("generation_id")}, value FROM json_each(?)"""  # noqa: S608

_FACT = ("id", "generation_id", "session_id", "key_id", "kind", "noted_ms", "body")

_INSERT_FACTS = f"""
    INSERT OR IGNORE INTO late_facts ({", ".join(_FACT)})
    SELECT {", ".join(map(_field, _FACT))} FROM json_each(?)"""  # noqa: S608
