"""Adds generations to the counters of every account on their path, exactly once.

The journal position up to which generations are counted is kept in the same transaction as the
counters. A living process counts what it has just recorded from memory (`Live`), and in the same
step takes the charges off its grants; whoever recovers a dead one reads its journal (`count`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from glasslipper.kernel.clock import DAY_MS
from glasslipper.ledger import lines
from glasslipper.ledger.write.recorder import Charged
from glasslipper.store import journal
from glasslipper.store.database import Database

Charges = list[tuple[str, int]]


_Settled = tuple[int, Charged, tuple[str, ...]]
"""The position after a generation's line, what it charges, and the budgets that held it."""


class Live:
    """The generations of a living process that are not counted yet."""

    def __init__(self, journal_name: str, counted: Callable[[Charges], None]) -> None:
        """Count for a journal; tell `counted`, in the event loop, what left the grants."""
        self._journal = journal_name
        self._counted = counted
        self._settled: list[_Settled] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, position: int, charged: Charged, budgets: tuple[str, ...]) -> None:
        """Take in what the line that ends at `position` charges, held from `budgets`."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._settled.append((position, charged, budgets))

    def count(self, db: Database, until: int) -> int:
        """Count what was taken in, inside the caller's transaction; return the position reached.

        Nothing whose line ends after `until` is counted. `done` must be told the position once
        the transaction is committed.
        """
        position = _counted_to(db, self._journal)
        fresh = [one for one in list(self._settled) if position < one[0] <= until]
        if not fresh:
            return position
        for (account, day), sums in _sums(fresh).items():
            db.change(_ADD, (account, day, *sums))
        for account, amount in _charges(fresh):
            db.change(_TAKE, (amount, self._journal, account))
        _set_counted(db, self._journal, fresh[-1][0])
        return fresh[-1][0]

    def done(self, position: int) -> None:
        """Forget what is counted; called from any thread, after the commit."""
        loop = self._loop
        if loop is None or loop.is_closed():
            self._forget(position)
            return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._forget, position)

    def _forget(self, position: int) -> None:
        counted = [one for one in self._settled if one[0] <= position]
        if counted:
            del self._settled[: len(counted)]
            self._counted(_charges(counted))


def _sums(settled: list[_Settled]) -> dict[tuple[str, int], list[int]]:
    """Return charged, billed, how many, and billed to keys of accounts, by account and day.

    First by whole path: there are far fewer of those than there are generations.
    """
    by_path: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for _, one, _ in settled:
        where = (one.accounts, one.created_ms // DAY_MS)
        billed = one.billed_nanousd
        sums = by_path.get(where)
        if sums is None:
            sums = by_path[where] = [0, 0, 0, 0]
        sums[0] += one.charged_nanousd
        sums[1] += billed
        sums[2] += 1
        sums[3] += billed if one.is_byok else 0
    by_account: dict[tuple[str, int], list[int]] = {}
    for (accounts, day), more in by_path.items():
        for account in accounts:
            sums = by_account.setdefault((account, day), [0, 0, 0, 0])
            for number, value in enumerate(more):
                sums[number] += value
    return by_account


def _charges(settled: list[_Settled]) -> Charges:
    amounts = Counter[str]()
    for _, one, budgets in settled:
        for account in budgets:
            amounts[account] += one.charged_nanousd
    return [(account, amount) for account, amount in amounts.items() if amount]


def count(db: Database, folder: Path) -> int:
    """Count what a journal without a process has gained; return the position reached.

    Runs inside the caller's transaction on the state file.
    """
    start = position = _counted_to(db, folder.name)
    for block in journal.read(folder, position):
        if generations := lines.bodies(block.lines, lines.GENERATION):
            db.change(_ADD_LINES, (generations,))
        position = block.end
    if position > start:
        _set_counted(db, folder.name, position)
    return position


def release_if_counted(db: Database, journal_name: str, end: int) -> bool:
    """Give back every grant of a journal, if it is counted to its end; tell whether it is."""
    if _counted_to(db, journal_name) < end:
        return False
    release_all(db, journal_name)
    return True


def forget_beyond(db: Database, journal_name: str, end: int) -> None:
    """Go back to the end of a journal that has lost lines, as it may when the power fails."""
    db.change(
        "UPDATE counted SET position = min(position, ?) WHERE journal = ?", (end, journal_name)
    )


def release_all(db: Database, journal_name: str) -> int:
    """Give back every grant of a journal whose process is gone; return how many there were."""
    return db.change("DELETE FROM holds WHERE journal = ?", (journal_name,))


def _counted_to(db: Database, journal_name: str) -> int:
    row = db.row("SELECT position FROM counted WHERE journal = ?", (journal_name,))
    return int(row[0] or 0) if row else 0


def _set_counted(db: Database, journal_name: str, position: int) -> None:
    db.change(
        """INSERT INTO counted (journal, position) VALUES (?, ?)
        ON CONFLICT (journal) DO UPDATE SET position = excluded.position""",
        (journal_name, position),
    )


_ON_CONFLICT = """
    ON CONFLICT (account, day) DO UPDATE SET
        charged_nanousd = charged_nanousd + excluded.charged_nanousd,
        billed_nanousd = billed_nanousd + excluded.billed_nanousd,
        generations = generations + excluded.generations,
        byok_nanousd = byok_nanousd + excluded.byok_nanousd"""

_ADD = f"""
    INSERT INTO counters (account, day, charged_nanousd, billed_nanousd, generations, byok_nanousd)
    VALUES (?, ?, ?, ?, ?, ?) {_ON_CONFLICT}"""  # noqa: S608

_TAKE = """
    UPDATE holds SET held_nanousd = held_nanousd - ? WHERE journal = ? AND account = ?"""

_ADD_LINES = f"""
    INSERT INTO counters (account, day, charged_nanousd, billed_nanousd, generations, byok_nanousd)
    SELECT a.value, json_extract(g.value, '$.created_ms') / {DAY_MS},
        sum(coalesce(json_extract(g.value, '$.charged_nanousd'), 0)),
        sum(coalesce(json_extract(g.value, '$.billed_nanousd'), 0)),
        count(*),
        sum(iif(json_extract(g.value, '$.is_byok'),
            coalesce(json_extract(g.value, '$.billed_nanousd'), 0), 0))
    FROM json_each(?) AS g, json_each(g.value, '$.accounts') AS a
    WHERE true
    GROUP BY 1, 2 {_ON_CONFLICT}"""  # noqa: S608
