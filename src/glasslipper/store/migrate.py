"""Brings a file's tables to the version that this program speaks.

A migration is a tuple of statements; the file remembers in `user_version` how many it has had.
Files of a newer program are refused and left as they are. There is no way back: migrations only
ever add.
"""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.kernel.errors import StoreNewer
from glasslipper.store.database import Database

Migration = Sequence[str]


def migrate(db: Database, migrations: Sequence[Migration]) -> None:
    """Run the migrations that the file has not had; safe for several processes at once.

    Raises:
        StoreNewer: The file has had more migrations than there are.
    """
    if _version(db) == len(migrations):
        return
    with db.transaction():
        had = _version(db)
        if had > len(migrations):
            raise StoreNewer(
                f"{db.path} has format {had}; this version of Glasslipper knows {len(migrations)}."
            )
        for statements in migrations[had:]:
            for statement in statements:
                db.change(statement)
        db.change(f"PRAGMA user_version = {len(migrations)}")


def _version(db: Database) -> int:
    row = db.row("PRAGMA user_version")
    return int(row[0] or 0) if row else 0
