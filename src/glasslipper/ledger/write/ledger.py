"""One process's share of the ledger: its journal, its purse and its keeper, put together.

Opening it takes a journal that nobody owns (or a new one), closes what a crash left open in it,
and only then returns: whatever the last owner held is free again before the first request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from glasslipper.kernel.clock import Clock, SystemClock
from glasslipper.kernel.errors import StoreBusy, StoreFailed
from glasslipper.kernel.ids import new_id
from glasslipper.ledger import tables
from glasslipper.ledger.write import counters, keeper, keys, recovery
from glasslipper.ledger.write.counters import Live
from glasslipper.ledger.write.fresh import Fresh
from glasslipper.ledger.write.purse import BudgetHold, Purse
from glasslipper.ledger.write.recorder import Charged, Recorder
from glasslipper.store.cells import Cells
from glasslipper.store.commit import GroupCommit
from glasslipper.store.database import Database, Durability
from glasslipper.store.journal import Journal
from glasslipper.store.migrate import migrate

STATE_FILE = "state.sqlite"
JOURNALS = "journal"

T = TypeVar("T")

_TRIES = 8
"""How many new journals to try: a neighbour may look into a new one and so hold it briefly."""

_log = logging.getLogger(__name__)


class Ledger:
    """The ledger as a running process uses it; use it as a context, or `close` it."""

    def __init__(
        self, home: Path, *, durability: Durability = "process", clock: Clock | None = None
    ) -> None:
        """Open the ledger in `home`, creating it if need be, and recover what was left open.

        Raises:
            StoreFailed: The files cannot be opened or written.
            StoreNewer: A newer program wrote them.
        """
        self.home = home
        self.durability: Durability = durability
        self.clock = clock or SystemClock()
        self._closed = False
        self._prepare_state()
        self.folder, self._journal, self._cells = self._take_journal()
        self.recovered = self._recover()
        self._store = GroupCommit(self._open_state)
        self.purse = Purse(self._store, self.folder.name, self.clock)
        self._live = Live(self.folder.name, self.purse.counted)
        fresh = Fresh()
        self._keeper = keeper.Keeper(
            self.folder,
            fresh=fresh,
            store=self._store,
            live=self._live,
            open_state=self._open_state,
            clock=self.clock,
            durability=durability,
            settled=self._journal.sync if durability == "power" else self._journal.whole,
        )
        self.recorder = Recorder(self._journal, self._cells, fresh=fresh, noted=self._noted)

    def _noted(self, position: int, charged: Charged | None, hold: BudgetHold) -> None:
        if charged is not None:
            self.purse.settle(hold, charged.charged_nanousd)
            self._live.add(position, charged, hold.accounts)
        self._keeper.soon()

    def _open_state(self) -> Database:
        return Database(self.home / STATE_FILE, durability=self.durability)

    def _prepare_state(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreFailed(f"{self.home} cannot be created: {error}.") from error
        state = self._open_state()
        try:
            migrate(state, tables.STATE)
            with state.transaction():
                keys.make_defaults(state, self.clock.now_ms())
        finally:
            state.close()

    def _take_journal(self) -> tuple[Path, Journal, Cells]:
        folders = self.home / JOURNALS
        known = sorted(folders.iterdir()) if folders.is_dir() else []
        for folder in [*known, *(folders / new_id("w") for _ in range(_TRIES))]:
            with contextlib.suppress(StoreBusy):
                return self._open_journal(folder)
        raise StoreBusy(f"No journal in {folders} could be taken.")

    def _open_journal(self, folder: Path) -> tuple[Path, Journal, Cells]:
        cells = Cells(folder / "cells")
        sync_too = cells.sync if self.durability == "power" else None
        try:
            journal = Journal(folder, durability=self.durability, sync_too=sync_too)
        except StoreFailed:
            cells.close()
            raise
        return folder, journal, cells

    def _recover(self) -> int:
        keeper.set_clean(self.folder, clean=False)
        state = self._open_state()
        try:
            return recovery.recover(self._journal, self._cells, state)
        finally:
            state.close()

    async def change(self, change: Callable[[Database], T]) -> T:
        """Change the state file in a transaction shared with others; durable on return."""
        return await self._store.run(change)

    def change_later(self, change: Callable[[Database], None]) -> None:
        """Do the same without waiting; what goes wrong is logged."""
        self._store.submit(change).add_done_callback(_log_failure)

    def change_now(self, change: Callable[[Database], T]) -> T:
        """Do the same from outside an event loop."""
        return self._store.submit(change).result()

    async def flush(self) -> None:
        """Return once all that was recorded can be read in the tables and counters.

        Also gives back what this process has been granted and does not use.
        """
        self.purse.give_back_all()
        await asyncio.shield(asyncio.wrap_future(self._keeper.flush()))

    def close(self) -> None:
        """Bring the tables up to date and give the journal up; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        self._keeper.stop()
        clean = self.recorder.open_exchanges == 0 and self._release()
        self._store.close()
        keeper.set_clean(self.folder, clean=clean)
        self._journal.close()
        self._cells.close()

    def _release(self) -> bool:
        """Give every grant back, if all is counted; tell whether it was."""
        end, name = self._journal.end, self.folder.name
        try:
            return self.change_now(lambda db: counters.release_if_counted(db, name, end))
        except StoreFailed as error:
            _log.warning("closing %s: %s", self.folder, error)
            return False

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _log_failure(done: Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.warning("changing the state file failed: %s", error)
