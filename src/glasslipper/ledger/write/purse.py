"""Holds: the most that an exchange may cost is kept back from every budget above it, or refused.

Taking a hold touches no file. The process is *granted* money from a budget in the state file, in
slices, and takes its holds from the grants in memory; only when a grant is used up does it ask
for more. A grant is durable before anything is taken from it, and what is granted to one process
is nobody else's, so the sum of all that is spent and granted never passes a limit, whatever dies
when. What a grant has left over goes back when the process has not used it for a moment, and a
process that finds a budget granted away waits that long before it refuses.

    left of a budget = limit - charged - Σ granted
    surplus of a grant = granted - held - charged but not yet counted
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from concurrent.futures import Future
from typing import NamedTuple

import msgspec
from msgspec import Struct

from glasslipper.kernel.clock import Clock
from glasslipper.kernel.errors import BudgetExhausted
from glasslipper.kernel.money import usd_text
from glasslipper.kernel.record import Account
from glasslipper.ledger.window import PERIODS, first_day
from glasslipper.store.commit import GroupCommit
from glasslipper.store.database import Database

IDLE_S = 0.1
"""How long a surplus is kept without being used."""

WAIT_S = 0.4
"""How long a request waits for others' surplus before it is refused."""

MOST_SLICES = 4_096
"""A grant asks for as many times what is needed, at most and if the budget has plenty.

It begins with one and doubles while it is used up faster than it goes idle.
"""

_INT64_MAX = 2**62


class BudgetHold(Struct, frozen=True, kw_only=True):
    """`nanousd` kept back from each of `accounts`, which are those that have a budget."""

    nanousd: int
    accounts: tuple[str, ...]

    @property
    def limited(self) -> bool:
        """Whether any budget applies."""
        return bool(self.accounts)


NO_HOLD = BudgetHold(nanousd=0, accounts=())


class _Grant:
    """What this process may spend of one budget."""

    __slots__ = ("granted", "idle", "slice", "used")

    def __init__(self) -> None:
        self.granted = 0
        self.used = 0
        self.idle = False
        self.slice = 1

    @property
    def surplus(self) -> int:
        return self.granted - self.used


class _Left(NamedTuple):
    """What a budget has left for this process, and whether others might give some back."""

    nanousd: int
    others_hold: bool


class Purse:
    """Takes and gives back the holds of one process. Its methods run in one event loop."""

    def __init__(self, store: GroupCommit, journal: str, clock: Clock) -> None:
        """Take holds on behalf of the process that owns `journal`."""
        self._store = store
        self._journal = journal
        self._clock = clock
        self._grants: dict[str, _Grant] = {}
        self._asking: asyncio.Lock | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def hold(
        self, account: Account, ceiling_nanousd: int, *, least_nanousd: int | None = None
    ) -> BudgetHold:
        """Keep back the ceiling from every budget above the account, all or none.

        With `least_nanousd` a smaller hold is taken where a budget has less left than the
        ceiling but at least that.

        Raises:
            BudgetExhausted: A budget has too little left.
        """
        if not account.budgets:
            return NO_HOLD
        taken = self.hold_now(account, ceiling_nanousd)
        if taken is not None:
            return taken
        ceiling = min(ceiling_nanousd, _INT64_MAX)
        least = ceiling if least_nanousd is None else min(least_nanousd, ceiling)
        return await self._ask(account.budgets, ceiling, least)

    def hold_now(self, account: Account, ceiling_nanousd: int) -> BudgetHold | None:
        """Keep the ceiling back if what is granted covers it; `None` if more must be asked for."""
        return self.take_now(account.budgets, min(ceiling_nanousd, _INT64_MAX))

    def take_now(self, accounts: tuple[str, ...], nanousd: int) -> BudgetHold | None:
        """Do the same for accounts that have a budget each."""
        grants = list[_Grant]()
        for account in accounts:
            grant = self._grants.get(account)
            if grant is None or grant.granted - grant.used < nanousd:
                return None
            grants.append(grant)
        for grant in grants:
            grant.used += nanousd
            grant.idle = False
        return BudgetHold(nanousd=nanousd, accounts=accounts)

    async def _ask(self, accounts: tuple[str, ...], ceiling: int, least: int) -> BudgetHold:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + WAIT_S
        while True:
            left = await asyncio.shield(asyncio.ensure_future(self._grow(accounts, ceiling, least)))
            amount = min(ceiling, left.nanousd)
            if amount >= least:
                if (taken := self.take_now(accounts, amount)) is not None:
                    return taken
            elif left.others_hold and loop.time() < until_s:
                await asyncio.sleep(IDLE_S / 4)
            else:
                raise BudgetExhausted(
                    f"This may cost up to {usd_text(least)}, and "
                    f"{usd_text(max(left.nanousd, 0))} is left.",
                    left_nanousd=max(left.nanousd, 0),
                )

    async def _grow(self, accounts: tuple[str, ...], needed: int, least_needed: int) -> _Left:
        """Have each grant grown until its surplus is `needed`, as far as the budgets go.

        Growing is done by one at a time, and to its end even if the request goes away: what the
        state file grants must be known here.
        """
        if self._asking is None:
            self._asking = asyncio.Lock()
        async with self._asking:
            short = {
                account: grant
                for account in accounts
                if (grant := self._grant(account)).surplus < needed
            }
            wanted = {account: (grant.surplus, grant.slice) for account, grant in short.items()}
            drawn = await self._store.run(lambda db: self._draw(db, wanted, needed, least_needed))
            least = _Left(needed, others_hold=False)
            for account, (more, free, others_hold) in drawn.items():
                grant = self._grant(account)
                grant.granted += more
                grant.slice = min(grant.slice * 2, MOST_SLICES)
                least = min(least, _Left(grant.surplus + free - more, others_hold))
            self._watch()
            return least

    def _grant(self, account: str) -> _Grant:
        return self._grants.setdefault(account, _Grant())

    def _draw(
        self, db: Database, wanted: dict[str, tuple[int, int]], needed: int, least: int
    ) -> dict[str, tuple[int, int, bool]]:
        """Grant what the budgets allow: by account the growth, what was free, who else holds.

        `wanted` has each grant's surplus and slice.
        """
        if not wanted:
            return {}
        now_ms = self._clock.now_ms()
        starts = [first_day(period, now_ms) for period in PERIODS]
        path = msgspec.json.encode(list(wanted)).decode()
        free = {name: (_INT64_MAX, False) for name in wanted}
        for account, has, others in db.rows(_FREE, (self._journal, *starts, path)):
            free[str(account)] = (int(has or 0), bool(others))
        drawn: dict[str, tuple[int, int, bool]] = {}
        for account, (surplus, slices) in wanted.items():
            has, others = free[account]
            short = needed - surplus
            enough = surplus + has >= least
            more = max(min(short * slices, has // 4), min(short, has), 0) if enough else 0
            drawn[account] = (more, has, others)
            db.change(_ADD, (self._journal, account, more))
        return drawn

    def settle(self, hold: BudgetHold, charged_nanousd: int) -> None:
        """Turn a hold into a charge; what it did not need can be held again at once."""
        left = hold.nanousd - charged_nanousd
        for account in hold.accounts:
            grant = self._grants.get(account)
            if grant is None:
                grant = self._grant(account)
            grant.used -= left

    def release(self, hold: BudgetHold) -> None:
        """Give a hold back without charging it: no intent was written under it."""
        self.settle(hold, 0)

    def counted(self, charges: Iterable[tuple[str, int]]) -> None:
        """Learn what has been moved, in the state file, from grants to counters."""
        for account, charged in charges:
            grant = self._grant(account)
            grant.granted -= charged
            grant.used -= charged

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._look)

    def _look(self) -> None:
        """Give back what has not been used since the last look."""
        self._timer = None
        idle = {
            account: grant.surplus
            for account, grant in self._grants.items()
            if grant.idle and grant.surplus > 0
        }
        for grant in self._grants.values():
            if grant.idle:
                grant.slice = 1
            grant.idle = True
        self._give_back(idle)
        if any(grant.granted or grant.used for grant in self._grants.values()):
            self._watch()
        else:
            self._grants.clear()

    def _give_back(self, amounts: dict[str, int]) -> None:
        if not amounts:
            return
        for account, amount in amounts.items():
            self._grant(account).granted -= amount
        loop = asyncio.get_running_loop()

        def give(db: Database) -> None:
            for account, amount in amounts.items():
                db.change(_ADD, (self._journal, account, -amount))

        def given(done: Future[None]) -> None:
            if done.cancelled() or done.exception() is not None:
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._regain, amounts)

        self._store.submit(give).add_done_callback(given)

    def _regain(self, amounts: dict[str, int]) -> None:
        """Have back what could not be given: the state file still says that it is ours."""
        for account, amount in amounts.items():
            self._grant(account).granted += amount
        self._watch()

    def give_back_all(self) -> None:
        """Give back every surplus now, so that others see what is really left."""
        self._give_back(
            {name: grant.surplus for name, grant in self._grants.items() if grant.surplus > 0}
        )


_FREE = f"""
    SELECT b.account, b.limit_nanousd
        - (SELECT coalesce(sum(c.charged_nanousd), 0) FROM counters AS c
           WHERE c.account = b.account
             AND c.day >= CASE b.period
                {" ".join(f"WHEN '{period}' THEN ?{n}" for n, period in enumerate(PERIODS, 2))} END)
        - (SELECT coalesce(sum(h.held_nanousd), 0) FROM holds AS h WHERE h.account = b.account),
        EXISTS (SELECT 1 FROM holds AS h
            WHERE h.account = b.account AND h.journal <> ?1 AND h.held_nanousd > 0)
    FROM budgets AS b WHERE b.account IN (SELECT value FROM json_each(?{len(PERIODS) + 2}))"""  # noqa: S608

_ADD = """
    INSERT INTO holds (journal, account, held_nanousd) VALUES (?, ?, ?)
    ON CONFLICT (journal, account) DO UPDATE SET
        held_nanousd = held_nanousd + excluded.held_nanousd"""
