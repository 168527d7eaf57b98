"""The thread that keeps the tables up with the journals, and closes what dead neighbours left.

Copying happens within `COPY_WITHIN_S` of a line being appended. Every `SWEEP_EVERY_S` one of the
processes of a store (by lease) looks for journals that nobody owns any more and recovers them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

from glasslipper.kernel.clock import Clock
from glasslipper.kernel.errors import StoreFailed
from glasslipper.ledger.write import recovery, rows
from glasslipper.ledger.write.counters import Live
from glasslipper.ledger.write.fresh import Fresh
from glasslipper.store import journal as journal_store
from glasslipper.store import lease
from glasslipper.store.cells import Cells
from glasslipper.store.commit import GroupCommit
from glasslipper.store.database import Database, Durability
from glasslipper.store.journal import Journal, is_free

COPY_WITHIN_S = 0.05
SWEEP_EVERY_S = 1.0

_CLEAN = "clean"

_log = logging.getLogger(__name__)


def is_clean(folder: Path) -> bool:
    """Tell whether a journal was closed in good order and has nothing to recover."""
    return (folder / _CLEAN).exists()


def set_clean(folder: Path, *, clean: bool) -> None:
    """Remember whether the journal needs no recovery."""
    if clean:
        (folder / _CLEAN).touch()
    else:
        (folder / _CLEAN).unlink(missing_ok=True)


class Keeper:
    """Copies one journal, and sweeps its neighbours."""

    def __init__(
        self,
        folder: Path,
        *,
        fresh: Fresh,
        store: GroupCommit,
        live: Live,
        open_state: Callable[[], Database],
        clock: Clock,
        durability: Durability,
        settled: Callable[[], int],
    ) -> None:
        """Start the thread for the journal in `folder`.

        `settled` returns the position up to which the journal is as durable as it promises:
        what the tables say must never outlive it.
        """
        self._settled = settled
        self._folder = folder
        self._fresh = fresh
        self._store = store
        self._live = live
        self._open_state = open_state
        self._clock = clock
        self._durability: Durability = durability
        self._dirty = threading.Event()
        self._is_told = False
        self._stopping = False
        self._asked: list[Future[None]] = []
        self._thread = threading.Thread(target=self._work, name="ledger-keeper", daemon=True)
        self._thread.start()

    def soon(self) -> None:
        """Say that the journal has gained a line."""
        if not self._is_told:
            self._is_told = True
            self._dirty.set()

    def flush(self) -> Future[None]:
        """Ask for everything appended so far to be copied and counted."""
        future: Future[None] = Future()
        self._asked.append(future)
        self._dirty.set()
        return future

    def stop(self) -> None:
        """Copy what is there, then stop."""
        self._stopping = True
        self._dirty.set()
        self._thread.join()

    def _work(self) -> None:
        table = rows.open_rows(self._folder, self._durability)
        swept_s = 0.0
        while not self._stopping:
            dirty = self._dirty.wait(SWEEP_EVERY_S)
            if dirty:
                if not self._asked:
                    time.sleep(COPY_WITHIN_S)
                self._copy(table)
            if time.monotonic() - swept_s >= SWEEP_EVERY_S:
                self._sweep()
                swept_s = time.monotonic()
        self._copy(table)
        table.close()

    def _copy(self, table: Database) -> None:
        self._dirty.clear()
        self._is_told = False  # only now: whoever has read it as true is copied below
        asked, self._asked = self._asked, []
        failure: Exception | None = None
        try:
            until = self._settled()
            copied = rows.copy_fresh(table, self._folder, self._fresh, until)
            counted = self._store.submit(lambda db: self._live.count(db, until)).result()
            self._live.done(counted)
            self._drop_old(table, min(copied, counted))
        except Exception as error:  # noqa: BLE001 - the thread outlives whatever happens
            failure = error
            _log.warning("copying %s failed and will be tried again: %s", self._folder, error)
            self._dirty.set()
            time.sleep(COPY_WITHIN_S)
        for future in asked:
            if not future.set_running_or_notify_cancel():
                continue
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(failure)

    def _drop_old(self, table: Database, position: int) -> None:
        """Delete journal files of which every line is safe in the tables."""
        if journal_store.first_file_end(self._folder) > position:
            return
        table.checkpoint()
        state = self._open_state()
        try:
            state.checkpoint()
        finally:
            state.close()
        journal_store.drop_before(self._folder, position)

    def _sweep(self) -> None:
        try:
            orphans = [
                folder
                for folder in self._folder.parent.iterdir()
                if folder != self._folder and not is_clean(folder) and is_free(folder)
            ]
            if orphans and self._is_sweeper():
                for folder in orphans:
                    self._recover(folder)
        except (StoreFailed, OSError) as error:
            _log.warning(
                "sweeping %s failed and will be tried again: %s", self._folder.parent, error
            )

    def _is_sweeper(self) -> bool:
        state = self._open_state()
        try:
            taken = lease.acquire(
                state,
                "sweeper",
                owner=self._folder.name,
                ttl_ms=int(SWEEP_EVERY_S * 3000),
                now_ms=self._clock.now_ms(),
            )
        finally:
            state.close()
        return taken is not None

    def _recover(self, folder: Path) -> None:
        with ExitStack() as opened:
            journal = Journal(folder)
            opened.callback(journal.close)
            cells = Cells(folder / "cells")
            opened.callback(cells.close)
            state = self._open_state()
            opened.callback(state.close)
            closed = recovery.recover(journal, cells, state)
            set_clean(folder, clean=True)
        _log.warning("closed %d exchanges that a dead process left in %s", closed, folder)
