"""Keeps responses that may be continued, each for the key that made it, for `KEEP_DAYS`.

What is kept is a client's conversation: it lies in a file of its own, which may be deleted at any
time, and nothing else of the house reads it.
"""

from __future__ import annotations

from pathlib import Path

from glasslipper.kernel.clock import DAY_MS, Clock
from glasslipper.store.commit import GroupCommit
from glasslipper.store.database import Database
from glasslipper.store.migrate import migrate

FILE = "responses.sqlite"
KEEP_DAYS = 30

_MIGRATIONS = (
    (
        """CREATE TABLE responses (
            id TEXT NOT NULL,
            key_id TEXT NOT NULL,
            kept_ms INTEGER NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (id, key_id)
        ) WITHOUT ROWID""",
        "CREATE INDEX responses_by_age ON responses (kept_ms)",
    ),
)


class Shelf:
    """The kept responses of one home."""

    def __init__(self, home: Path, clock: Clock) -> None:
        """Keep them in a file of `home`, made when the first is kept."""
        self._path = home / FILE
        self._clock = clock
        self._writing: GroupCommit | None = None
        self._reading: Database | None = None

    def find(self, name: str, key_id: str) -> bytes | None:
        """Return what is kept under a name for a key."""
        if self._reading is None:
            if not self._path.exists():
                return None
            self._reading = Database(self._path, read_only=True)
        row = self._reading.row(
            "SELECT body FROM responses WHERE id = ? AND key_id = ? AND kept_ms >= ?",
            (name, key_id, self._oldest_ms()),
        )
        return row[0] if row and isinstance(row[0], bytes) else None

    async def put(self, name: str, key_id: str, body: bytes) -> None:
        """Keep a response; what is too old is dropped on the way."""
        now_ms = self._clock.now_ms()

        def keep(db: Database) -> None:
            db.change("DELETE FROM responses WHERE kept_ms < ?", (self._oldest_ms(),))
            db.change(
                "INSERT OR REPLACE INTO responses (id, key_id, kept_ms, body) VALUES (?, ?, ?, ?)",
                (name, key_id, now_ms, body),
            )

        await self._store().run(keep)

    async def remove(self, name: str, key_id: str) -> bool:
        """Keep a response no more; `False` if it was not kept."""
        sql = "DELETE FROM responses WHERE id = ? AND key_id = ?"
        return await self._store().run(lambda db: db.change(sql, (name, key_id)) > 0)

    def close(self) -> None:
        """Close the file."""
        if self._writing is not None:
            self._writing.close()
        if self._reading is not None:
            self._reading.close()

    def _oldest_ms(self) -> int:
        return self._clock.now_ms() - KEEP_DAYS * DAY_MS

    def _store(self) -> GroupCommit:
        if self._writing is None:
            self._writing = GroupCommit(self._open)
        return self._writing

    def _open(self) -> Database:
        db = Database(self._path)
        migrate(db, _MIGRATIONS)
        return db
