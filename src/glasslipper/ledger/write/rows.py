"""Copies a journal into its table file, so that it can be queried.

The position reached is kept in the same file and transaction, so that each line is copied once,
however often copying is interrupted; rows are also keyed by id. Knows nothing of budgets.
"""

from __future__ import annotations

from pathlib import Path

from glasslipper.ledger import lines, tables
from glasslipper.store import journal
from glasslipper.store.database import Database, Durability
from glasslipper.store.migrate import migrate

ROWS_FILE = "rows.sqlite"

_MANY_LINES = 2_000


def open_rows(folder: Path, durability: Durability = "process") -> Database:
    """Open the table file of the journal in `folder`, with its tables up to date."""
    db = Database(folder / ROWS_FILE, durability=durability)
    migrate(db, tables.ROWS)
    return db


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
            position += size
            with db.transaction():
                _insert(db, chunk)
                db.change("UPDATE copied SET position = ?", (position,))
    return position


def forget_beyond(db: Database, end: int) -> None:
    """Go back to the end of a journal that has lost lines, as it may when the power fails."""
    db.change("UPDATE copied SET position = min(position, ?)", (end,))


def _insert(db: Database, chunk: list[bytes]) -> None:
    if intents := lines.bodies(chunk, lines.INTENT):
        db.change(_INSERT_INTENTS, (intents,))
    if generations := lines.bodies(chunk, lines.GENERATION):
        for statement in (_INSERT_ATTEMPTS, _INSERT_CANDIDATES, _INSERT_GENERATIONS):
            db.change(statement, (generations,))
        db.change(_DELETE_INTENTS, (generations,))
    if facts := lines.bodies(chunk, lines.FACT):
        db.change(_INSERT_FACTS, (facts,))


def _field(path: str, source: str = "value") -> str:
    return f"json_extract({source}, '$.{path}')"


_INSERT_INTENTS = f"""
    INSERT OR IGNORE INTO intents (attempt_id, generation_id, body)
    SELECT {_field("attempt_id")}, {_field("generation_id")}, value FROM json_each(?)"""  # noqa: S608

_DELETE_INTENTS = f"""
    DELETE FROM intents WHERE generation_id IN (SELECT {_field("id")} FROM json_each(?))"""  # noqa: S608

_NOT_NULL = {"held_nanousd", "billed_nanousd", "charged_nanousd", "duration_ms"}

_GENERATION_COLUMNS = (
    *[
        (name, f"coalesce({_field(name)}, 0)" if name in _NOT_NULL else _field(name))
        for name, _ in tables.SCALARS
    ],
    *[(f"usage_{name}", f"coalesce({_field(f'usage.{name}')}, 0)") for name in tables.USAGE[:-1]],
    ("usage_reported_nanousd", _field("usage.reported_nanousd")),
    ("accounts", _field("accounts")),
    ("labels", f"coalesce({_field('labels')}, '{{}}')"),
)

_INSERT_GENERATIONS = f"""
    INSERT OR IGNORE INTO generations ({", ".join(f'"{name}"' for name, _ in _GENERATION_COLUMNS)})
    SELECT {", ".join(expression for _, expression in _GENERATION_COLUMNS)}
    FROM json_each(?)"""  # noqa: S608

_INSERT_ATTEMPTS = f"""
    INSERT OR IGNORE INTO attempts
        (generation_id, number, {", ".join(f'"{name}"' for name, _ in tables.ATTEMPT)})
    SELECT {_field("id", "g.value")}, a.key,
        {", ".join(_field(name, "a.value") for name, _ in tables.ATTEMPT)}
    FROM json_each(?) AS g, json_each(g.value, '$.attempts') AS a"""  # noqa: S608

_INSERT_CANDIDATES = f"""
    INSERT OR IGNORE INTO candidates (generation_id, number, endpoint, propensity, why)
    SELECT {_field("id", "g.value")}, c.key, {_field("endpoint", "c.value")},
        {_field("propensity", "c.value")}, coalesce({_field("why", "c.value")}, '')
    FROM json_each(?) AS g, json_each(g.value, '$.candidates') AS c"""  # noqa: S608

_FACT = ("id", "generation_id", "session_id", "key_id", "kind", "noted_ms", "body")

_INSERT_FACTS = f"""
    INSERT OR IGNORE INTO late_facts ({", ".join(_FACT)})
    SELECT {", ".join(map(_field, _FACT))} FROM json_each(?)"""  # noqa: S608
