"""Adds a journal's generations to the counters of every account on their path, exactly once.

The position reached is kept in the same transaction as the counters. The same step gives back
the holds of what has settled: so a hold is either still held, or its cost is counted, and no
reader ever sees neither.
"""

from __future__ import annotations

from pathlib import Path

from glasslipper.kernel.clock import DAY_MS
from glasslipper.ledger import lines
from glasslipper.store import journal
from glasslipper.store.database import Database


def count(db: Database, folder: Path) -> int:
    """Count what the journal has gained; return the position reached.

    Runs inside the caller's transaction on the state file.
    """
    name = folder.name
    row = db.row("SELECT position FROM counted WHERE journal = ?", (name,))
    start = position = int(row[0] or 0) if row else 0
    for block in journal.read(folder, position):
        if generations := lines.bodies(block.lines, lines.GENERATION):
            db.change(_ADD, (generations,))
            db.change(_GIVE_BACK, (name, generations))
        position = block.end
    if position > start:
        db.change(
            """INSERT INTO counted (journal, position) VALUES (?, ?)
            ON CONFLICT (journal) DO UPDATE SET position = excluded.position""",
            (name, position),
        )
    return position


def release_all(db: Database, journal_name: str) -> int:
    """Give back every hold of a journal whose process is gone; return how many accounts had one."""
    return db.change(
        "DELETE FROM holds WHERE journal = ? AND held_nanousd <> 0",
        (journal_name,),
    )


_ADD = f"""
    INSERT INTO counters (account, day, charged_nanousd, billed_nanousd, generations)
    SELECT a.value, json_extract(g.value, '$.created_ms') / {DAY_MS},
        sum(coalesce(json_extract(g.value, '$.charged_nanousd'), 0)),
        sum(coalesce(json_extract(g.value, '$.billed_nanousd'), 0)),
        count(*)
    FROM json_each(?) AS g, json_each(g.value, '$.accounts') AS a
    WHERE true
    GROUP BY 1, 2
    ON CONFLICT (account, day) DO UPDATE SET
        charged_nanousd = charged_nanousd + excluded.charged_nanousd,
        billed_nanousd = billed_nanousd + excluded.billed_nanousd,
        generations = generations + excluded.generations"""  # noqa: S608

_GIVE_BACK = """
    INSERT INTO holds (journal, account, held_nanousd)
    SELECT ?, a.value, -sum(json_extract(g.value, '$.held_nanousd'))
    FROM json_each(?) AS g, json_each(g.value, '$.accounts') AS a
    WHERE json_extract(g.value, '$.held_nanousd') > 0
    GROUP BY a.value
    ON CONFLICT (journal, account) DO UPDATE SET
        held_nanousd = held_nanousd + excluded.held_nanousd"""
