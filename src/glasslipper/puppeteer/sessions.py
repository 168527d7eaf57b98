"""What is remembered of sessions: which model answered last, and whether it is pinned.

All workers of a home share one small file, so that a pin holds whichever of them is asked next.
A session is worth less than an answer: where the file fails, each worker goes on from its own
memory, and says so in its log. Knows nothing of policies, and no text.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path

from msgspec import Struct

from glasslipper.kernel.errors import GlasslipperError
from glasslipper.store.commit import GroupCommit
from glasslipper.store.database import Database
from glasslipper.store.migrate import Migration, migrate

MOST = 10_000
"""How many sessions are remembered: those answered last."""

_TRIM_EVERY = 256

_TABLES: tuple[Migration, ...] = (
    (
        """CREATE TABLE sessions (
               place INTEGER PRIMARY KEY, owner TEXT NOT NULL, session_id TEXT NOT NULL,
               model TEXT NOT NULL, pinned INTEGER NOT NULL, UNIQUE (owner, session_id))""",
    ),
)

_log = logging.getLogger(__name__)


class Session(Struct, frozen=True, kw_only=True):
    """Who answered a session last, and whether it is pinned."""

    model: str
    pinned: bool = False


class Sessions:
    """Sessions by owner and name. Use it from one event loop; others may share its file."""

    def __init__(self, path: Path | None = None) -> None:
        """Remember in a file, which is made at the first need of it; without one, in memory."""
        self._path = path
        self._own: OrderedDict[tuple[str, str], Session] = OrderedDict()  # what no file holds
        self._reader: Database | None = None
        self._writer: GroupCommit | None = None
        self._puts = 0

    def get(self, owner: str, session_id: str) -> Session | None:
        """Return what is known of a session."""
        own = self._own.get((owner, session_id))
        if own is not None or self._path is None:
            return own
        try:
            return self._read(self._path, owner, session_id)
        except GlasslipperError as error:
            _log.warning("sessions cannot be read: %s", error)
            return None

    async def put(self, owner: str, session_id: str, session: Session) -> None:
        """Remember a session, in the place of what was known of it."""
        self._own.pop((owner, session_id), None)
        try:
            if self._path is not None:
                await self._write(self._path, owner, session_id, session)
                return
        except GlasslipperError as error:
            _log.warning("a session is remembered by one worker only: %s", error)
        self._own[owner, session_id] = session
        if len(self._own) > MOST:
            self._own.popitem(last=False)

    def close(self) -> None:
        """Write down what was asked for, and let the file go."""
        if self._writer is not None:
            self._writer.close()
        if self._reader is not None:
            self._reader.close()

    async def _write(self, path: Path, owner: str, session_id: str, session: Session) -> None:
        if self._writer is None:
            self._writer = GroupCommit(lambda: _open(path))
        self._puts += 1
        trims = self._puts % _TRIM_EVERY == 0
        await self._writer.run(lambda db: _insert(db, owner, session_id, session, trims=trims))

    def _read(self, path: Path, owner: str, session_id: str) -> Session | None:
        if self._reader is None:
            self._reader = _open(path)
        row = self._reader.row(
            "SELECT model, pinned FROM sessions WHERE owner = ? AND session_id = ?",
            (owner, session_id),
        )
        return None if row is None else Session(model=str(row[0]), pinned=bool(row[1]))


def _open(path: Path) -> Database:
    db = Database(path)
    migrate(db, _TABLES)
    return db


def _insert(db: Database, owner: str, session_id: str, session: Session, *, trims: bool) -> None:
    db.change(
        "INSERT OR REPLACE INTO sessions (owner, session_id, model, pinned) VALUES (?, ?, ?, ?)",
        (owner, session_id, session.model, session.pinned),
    )
    if trims:
        db.change(
            """DELETE FROM sessions WHERE place <=
                   (SELECT place FROM sessions ORDER BY place DESC LIMIT 1 OFFSET ?)""",
            (MOST,),
        )
