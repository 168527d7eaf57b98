"""Group commit: many small changes, one transaction.

A thread owns the connection. Whatever is asked for while a transaction runs waits and shares
the next one, so that the cost of a commit is spread over everybody who waits for it, and nobody
waits for a timer. A change that fails is undone alone; the others of its group are kept. A
group that cannot be committed fails as a whole, and nothing of it is kept.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from glasslipper.kernel.errors import StoreFailed
from glasslipper.store.database import Database

T = TypeVar("T")
Change = Callable[[Database], T]
_Job = tuple[Change[Any], "Future[Any]"]

MOST_IN_A_GROUP = 512


class GroupCommit:
    """Runs changes against one database, in the order asked, in groups."""

    def __init__(
        self, open_database: Callable[[], Database], *, first: Change[None] | None = None
    ) -> None:
        """Start the thread.

        `first` runs at the head of every group, in its transaction.
        """
        self._open = open_database
        self._first = first
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="group-commit", daemon=True)
        self._thread.start()

    def submit(self, change: Change[T]) -> Future[T]:
        """Ask for a change; the future ends when its group is committed.

        Raises:
            StoreFailed: The store has been closed.
        """
        if self._closed:
            raise StoreFailed("The store is closed.")
        future: Future[T] = Future()
        self._jobs.put((change, future))
        return future

    async def run(self, change: Change[T]) -> T:
        """Ask for a change and wait until it is committed.

        Once asked for, the change is made even if the waiting is cancelled.
        """
        return await asyncio.shield(asyncio.wrap_future(self.submit(change)))

    def close(self) -> None:
        """Commit what was asked for, then stop."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        database: Database | None = None
        going = True
        while going:
            group, going = self._next_group()
            if not group:
                continue
            try:
                if database is None:
                    database = self._open()
                self._commit(database, group)
            except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever happened
                _fail(group, error)
        if database is not None:
            database.close()

    def _next_group(self) -> tuple[list[_Job], bool]:
        job = self._jobs.get()
        group: list[_Job] = []
        while job is not None:
            group.append(job)
            if len(group) == MOST_IN_A_GROUP:
                return group, True
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _commit(self, database: Database, group: list[_Job]) -> None:
        done: list[tuple[Future[Any], Any, Exception | None]] = []
        with database.transaction():
            if self._first is not None:
                self._first(database)
            for change, future in group:
                if not future.set_running_or_notify_cancel():
                    continue
                try:
                    with database.savepoint():
                        done.append((future, change(database), None))
                except Exception as error:
                    if isinstance(error, StoreFailed) and not database.is_in_transaction:
                        raise
                    done.append((future, None, error))
        for future, value, error in done:
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)


def _fail(group: list[_Job], error: Exception) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)
