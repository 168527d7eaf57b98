"""A DuckDB connection in memory: it reads and writes Parquet, and never owns a file.

The only module that knows DuckDB, which is imported when the first connection is opened. What it
cannot hold within its memory limit it spills to a folder of its own, which goes when it closes.
Knows no table of ours.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from glasslipper.kernel.errors import DiskFull, StoreFailed

if TYPE_CHECKING:
    import numpy as np
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    """A column: one-dimensional, of numbers, or of objects where it holds text."""

Cell = Any  # whatever type DuckDB's columns have: numbers, text, dates, lists
Cells = tuple[Cell, ...]

Values = Sequence[object] | Mapping[str, object]
"""What stands for `?` in a statement, in order, or for `$name`, by name."""

MEMORY_BYTES = 1 << 30

_SESSION = "SET TimeZone = 'UTC'; SET enable_progress_bar = false"


class Duck:
    """One connection. Use it from one thread at a time, as a context, or `close` it."""

    def __init__(
        self,
        *,
        memory_bytes: int = MEMORY_BYTES,
        threads: int | None = None,
        spill: Path | None = None,
    ) -> None:
        """Open a database in memory.

        `spill` is the folder in which to make a temporary one; the system's, if left out.
        """
        import duckdb

        self._errors = duckdb.Error
        self.folder = Path(tempfile.mkdtemp(prefix="glasslipper-", dir=spill))
        """A folder for files that may go when the connection closes."""
        self._clean = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self._threads = threads or os.cpu_count() or 1
        with self._plain_errors():
            self._connection = duckdb.connect(
                config={
                    "memory_limit": f"{memory_bytes // 1_000_000}MB",
                    "threads": self._threads,
                    "temp_directory": str(self.folder / "spill"),
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                }
            )
            self._connection.execute(_SESSION)

    def run(self, sql: str, values: Values = ()) -> None:
        """Run one statement or several, for what they do."""
        with self._plain_errors():
            self._connection.execute(sql, values or None)

    def abreast(self, statements: Sequence[str]) -> None:
        """Run statements that need nothing of one another, at once; the longest should come first.

        A thread for each, as far as there are some, does more than all of them for one after the
        other, whose groups they would first make apart and then unite. Statements see no temporary
        tables or views.
        """
        lanes = min(self._threads, len(statements))
        if lanes < 2:
            for sql in statements:
                self.run(sql)
            return
        cursors = [self._connection.cursor() for _ in statements]
        self.run(f"SET threads = {self._threads - lanes + 1}")
        try:
            with ThreadPoolExecutor(lanes) as pool:
                for _ in pool.map(self._run_beside, cursors, statements):
                    pass
        finally:
            self.run(f"SET threads = {self._threads}")

    def _run_beside(self, cursor: DuckDBPyConnection, sql: str) -> None:
        with self._plain_errors(), cursor:
            cursor.execute(_SESSION)
            cursor.execute(sql)

    def rows(self, sql: str, values: Values = ()) -> list[Cells]:
        """Run one statement and return all its rows."""
        with self._plain_errors():
            found = self._connection.execute(sql, values or None).fetchall()
            return found

    def table(self, sql: str, values: Values = ()) -> tuple[list[str], list[Cells]]:
        """Run one query and return the names of its columns, and all its rows."""
        with self._plain_errors():
            found = self._connection.execute(sql, values or None)
            return [str(column[0]) for column in found.description or ()], found.fetchall()

    def row(self, sql: str, values: Values = ()) -> Cells | None:
        """Run one statement and return its first row, if any."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def stream(
        self, sql: str, values: Values = (), *, at_once: int = 5_000
    ) -> Iterator[list[Cells]]:
        """Run one query and yield its rows in lists; nothing else may be run meanwhile."""
        with self._plain_errors():
            found = self._connection.execute(sql, values or None)
            while rows := found.fetchmany(at_once):
                yield rows

    def names(self, sql: str) -> list[str]:
        """Return the names of the columns of a query."""
        with self._plain_errors():
            described = self._connection.execute(f"DESCRIBE {sql}").fetchall()
            return [str(row[0]) for row in described]

    def columns(self, sql: str, values: Values = ()) -> dict[str, Array]:
        """Run one statement and return its columns as arrays; a NULL makes a masked array."""
        with self._plain_errors():
            result = self._connection.execute(sql, values or None)
            return cast("dict[str, Array]", result.fetchnumpy())  # pyright: ignore[reportUnknownMemberType]

    def load(self, table: str, columns: Mapping[str, Array]) -> None:
        """Make or replace a table from arrays of equal length; `None` in an object is NULL."""
        with self._plain_errors():
            self._connection.register("arrays_to_load", dict(columns))
            try:
                self._connection.execute(
                    f'CREATE OR REPLACE TABLE "{table}" AS SELECT * FROM arrays_to_load'  # noqa: S608
                )
            finally:
                self._connection.unregister("arrays_to_load")

    def close(self) -> None:
        """Close the connection and remove what it spilled; a second time does nothing."""
        self._connection.close()
        self._clean()

    def __enter__(self) -> Duck:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _plain_errors(self) -> Generator[None]:
        try:
            yield
        except self._errors as error:
            text = str(error)
            if "No space left" in text:
                raise DiskFull("The disk is full: a study or a segment found no room.") from error
            raise StoreFailed(f"DuckDB failed: {text}") from error


def text(value: str | Path) -> str:
    """Return a string as a literal of SQL.

    >>> text("it's")
    "'it''s'"
    """
    return "'" + str(value).replace("'", "''") + "'"


def texts(values: Sequence[str | Path]) -> str:
    """Return strings as a list literal of SQL."""
    return "[" + ", ".join(map(text, values)) + "]"
