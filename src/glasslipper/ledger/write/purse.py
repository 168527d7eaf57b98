"""Holds: the most that an exchange may cost is kept back from every budget above it, or refused.

Taking a hold is one change in the state file, shared with others by group commit, so that two
requests, or two processes, never see the same dollar. What has settled in this process's
journal is counted first. A hold is given back by counting its generation, or by `release` if no
intent was ever written.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from pathlib import Path

import msgspec
from msgspec import Struct

from glasslipper.kernel.clock import Clock
from glasslipper.kernel.errors import BudgetExhausted
from glasslipper.kernel.money import usd_text
from glasslipper.kernel.record import Account
from glasslipper.ledger.window import PERIODS, first_day
from glasslipper.ledger.write import counters
from glasslipper.store.commit import GroupCommit
from glasslipper.store.database import Database

_INT64_MAX = 2**63 - 1


class BudgetHold(Struct, frozen=True, kw_only=True):
    """`nanousd` kept back from every account on `accounts`; zero where no budget applies."""

    nanousd: int
    accounts: tuple[str, ...]
    limited: bool


class Purse:
    """Takes and gives back the holds of one process."""

    def __init__(self, store: GroupCommit, folder: Path, clock: Clock) -> None:
        """Take holds on behalf of the journal in `folder`."""
        self._store = store
        self._folder = folder
        self._clock = clock

    async def hold(
        self, account: Account, ceiling_nanousd: int, *, least_nanousd: int | None = None
    ) -> BudgetHold:
        """Keep back the ceiling from every budget above the account, all or none.

        With `least_nanousd` a smaller hold is taken where a budget has less left than the
        ceiling but at least that. Durable on return.

        Raises:
            BudgetExhausted: A budget has too little left.
        """
        least = ceiling_nanousd if least_nanousd is None else least_nanousd

        def take(db: Database) -> BudgetHold:
            return self._take(db, account, min(ceiling_nanousd, _INT64_MAX // 1024), least)

        taken = self._store.submit(take)
        try:
            return await asyncio.shield(asyncio.wrap_future(taken))
        except asyncio.CancelledError:
            taken.add_done_callback(self._give_back)
            raise

    def _give_back(self, taken: Future[BudgetHold]) -> None:
        """Release a hold that was taken for a request that has gone away meanwhile."""
        if not taken.cancelled() and taken.exception() is None:
            hold = taken.result()
            self._store.submit(lambda db: self._add(db, hold.accounts, -hold.nanousd))

    def _take(self, db: Database, account: Account, ceiling: int, least: int) -> BudgetHold:
        counters.count(db, self._folder)
        path = msgspec.json.encode(account.path).decode()
        left = self._left(db, path)
        if left is None:
            return BudgetHold(nanousd=0, accounts=(), limited=False)
        if left < least:
            raise BudgetExhausted(
                f"This may cost up to {usd_text(least)}, and {usd_text(max(left, 0))} is left.",
                left_nanousd=max(left, 0),
            )
        amount = min(ceiling, left)
        self._add(db, account.path, amount)
        return BudgetHold(nanousd=amount, accounts=account.path, limited=True)

    def _left(self, db: Database, path: str) -> int | None:
        now_ms = self._clock.now_ms()
        starts = [first_day(period, now_ms) for period in PERIODS]
        rows = db.rows(_LEFT, (*starts, path))
        return min((int(row[0] or 0) for row in rows), default=None)

    async def release(self, hold: BudgetHold) -> None:
        """Give a hold back without charging it: no intent was written under it."""
        if hold.nanousd:
            await self._store.run(lambda db: self._add(db, hold.accounts, -hold.nanousd))

    def _add(self, db: Database, accounts: tuple[str, ...], nanousd: int) -> None:
        path = msgspec.json.encode(accounts).decode()
        db.change(_ADD_HOLD, (self._folder.name, nanousd, path))


_LEFT = f"""
    SELECT b.limit_nanousd
        - (SELECT coalesce(sum(c.charged_nanousd), 0) FROM counters AS c
           WHERE c.account = b.account
             AND c.day >= CASE b.period {" ".join(f"WHEN '{period}' THEN ?" for period in PERIODS)} END)
        - (SELECT coalesce(sum(h.held_nanousd), 0) FROM holds AS h WHERE h.account = b.account)
    FROM budgets AS b WHERE b.account IN (SELECT value FROM json_each(?))"""  # noqa: S608, E501

_ADD_HOLD = """
    INSERT INTO holds (journal, account, held_nanousd)
    SELECT ?, value, ? FROM json_each(?) WHERE true
    ON CONFLICT (journal, account) DO UPDATE SET
        held_nanousd = held_nanousd + excluded.held_nanousd"""
