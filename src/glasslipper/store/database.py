"""A connection to the store, and the errors it turns into sentences.

SQLite in WAL mode is the store of one machine; whatever comes beyond it keeps this face. In WAL
mode readers never wait, and writers take turns: `transaction` begins with the write lock, so
that a transaction never fails half-way for want of it. Knows no table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from glasslipper.kernel.errors import DiskFull, StoreFailed
from glasslipper.store.files import plain_errors

Durability = Literal["process", "power"]
"""What an acknowledged record survives: the end of the process, or the end of the power."""

Value = str | bytes | int | float | None
Row = tuple[Value, ...]

BUSY_TIMEOUT_MS = 10_000


@contextmanager
def _plain_errors(path: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise DiskFull(f"The disk that holds {path} is full.") from error
        raise StoreFailed(f"The store {path} failed: {error}.") from error


class Database:
    """One connection. Use it from one thread at a time."""

    def __init__(
        self,
        path: Path,
        *,
        durability: Durability = "process",
        read_only: bool = False,
        page_bytes: int = 4_096,
    ) -> None:
        """Open the file, creating it and its folder unless `read_only`.

        `page_bytes` is for a file that is created: large pages suit large rows.

        With `process` a commit is written to the WAL file before it returns and survives the
        end of the process; SQLite syncs the file at checkpoints only (synchronous=NORMAL).
        With `power` every commit is synced (synchronous=FULL).

        Raises:
            StoreFailed: The file cannot be opened.
        """
        self.path = path
        if read_only:
            address, uri = f"{path.absolute().as_uri()}?mode=ro", True
        else:
            address, uri = str(path), False
            with plain_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
        with _plain_errors(path):
            self._connection = sqlite3.connect(
                address,
                uri=uri,
                isolation_level=None,
                check_same_thread=False,
                timeout=BUSY_TIMEOUT_MS / 1000,
            )
            if not read_only:
                self._connection.execute(f"PRAGMA page_size = {page_bytes}")
                self._connection.execute("PRAGMA journal_mode = WAL")
                level = "FULL" if durability == "power" else "NORMAL"
                self._connection.execute(f"PRAGMA synchronous = {level}")
                self._connection.execute("PRAGMA foreign_keys = ON")

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run one statement and return all its rows."""
        with _plain_errors(self.path):
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """Run one statement and return its first row, if any."""
        with _plain_errors(self.path):
            found: Row | None = self._connection.execute(sql, values).fetchone()
            return found

    def change(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run one statement and return how many rows it changed."""
        with _plain_errors(self.path):
            return self._connection.execute(sql, values).rowcount

    def change_many(self, sql: str, values: Iterable[Sequence[Value]]) -> None:
        """Run one statement for each of `values`."""
        with _plain_errors(self.path):
            self._connection.executemany(sql, values)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Hold the write lock; commit at the end, or roll back on any exception."""
        with _plain_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._roll_back()
                raise
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                self._roll_back()
                raise

    @property
    def is_in_transaction(self) -> bool:
        """Whether a transaction is open; some failures end it."""
        return self._connection.in_transaction

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """Undo only what happens inside, if it fails, and keep the transaction around it."""
        with _plain_errors(self.path):
            self._connection.execute("SAVEPOINT inner")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK TO inner")
                    self._connection.execute("RELEASE inner")
                raise
            self._connection.execute("RELEASE inner")

    def checkpoint(self) -> None:
        """Move what is in the WAL into the file itself, and sync both."""
        self.rows("PRAGMA wal_checkpoint(FULL)")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        self._connection.close()
