"""What is granted comes back, and what the power takes is not missed later."""

import asyncio
import os
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

sys.path.insert(0, str(Path(__file__).parent))
from test_ledger import call, generation_of, intent_of, make_key, spending

from glasslipper.kernel.errors import BudgetExhausted, InvalidRequest
from glasslipper.kernel.ids import new_id
from glasslipper.ledger.read import Accounts, LedgerHistory
from glasslipper.ledger.write import Ledger
from glasslipper.ledger.write.keys import set_disabled


def held(home: Path) -> int:
    with closing(sqlite3.connect(home / "state.sqlite")) as state:
        return state.execute("SELECT coalesce(sum(held_nanousd), 0) FROM holds").fetchone()[0]


def test_a_clean_close_gives_everything_back(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger, limit_nanousd=1_000)
        asyncio.run(call(ledger, account, ceiling=50, cost=10))
    assert held(tmp_path) == 0


def test_a_grant_that_grows_while_it_is_forgotten_is_not_lost(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger, limit_nanousd=100)

        async def calls() -> None:
            ledger.purse.release(await ledger.purse.hold(account, 10))
            await asyncio.sleep(0.15)
            ledger.change_later(lambda db: time.sleep(0.3))
            ledger.purse.release(await ledger.purse.hold(account, 50))
            async with asyncio.timeout(10):
                while held(tmp_path):
                    await asyncio.sleep(0.05)

        asyncio.run(calls())


def test_two_processes_do_not_keep_from_each_other_what_is_enough_for_one(tmp_path: Path) -> None:
    with Ledger(tmp_path) as one, Ledger(tmp_path) as other:
        account = make_key(one, limit_nanousd=400)

        async def ask(ledger: Ledger) -> int:
            try:
                return (await ledger.purse.hold(account, 300)).nanousd
            except BudgetExhausted:
                return 0

        async def both() -> list[int]:
            return await asyncio.gather(ask(one), ask(other))

        assert sorted(asyncio.run(both())) == [0, 300]


@pytest.mark.parametrize("durability", ["process", "power"])
def test_after_the_power_took_lines_new_ones_are_all_read_and_counted(
    tmp_path: Path, durability: str
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"

    async def calls(ledger: Ledger, costs: tuple[int, ...]) -> list[str]:
        ids = [(await call(ledger, account, ceiling=50, cost=cost)).id for cost in costs]
        await ledger.flush()
        return ids

    with Ledger(before, durability=durability) as ledger:
        account = make_key(ledger)
        asyncio.run(calls(ledger, (10,)))
        shutil.copytree(before, after)
    (file,) = after.glob("journal/*/*.ndjson")
    os.truncate(file, file.read_bytes().index(b"\n") + 1)
    with Ledger(after, durability=durability) as ledger:
        ids = asyncio.run(calls(ledger, (1, 2)))
        history = LedgerHistory(after)
        assert [history.generation(one) is not None for one in ids] == [True, True]
        total = sum(row.charged_nanousd for row in history.spend("key"))
        assert spending(ledger, account.key_id).total_nanousd == total


def test_an_exchange_of_two_attempts_is_counted_once_whenever_its_lines_are_copied(
    tmp_path: Path,
) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger, limit_nanousd=10_000)

        async def calls() -> None:
            hold = await ledger.purse.hold(account, 600)
            cell = ledger.recorder.take_cell()
            first = intent_of(account, hold, cell)
            await ledger.recorder.intend(first, hold=hold)
            await ledger.flush()
            second = structs.replace(first, attempt_id=new_id("att"), number=2)
            await ledger.recorder.intend(second, hold=hold)
            await ledger.recorder.settle(generation_of(second, charged_nanousd=501))
            await ledger.flush()

        asyncio.run(calls())
    with Ledger(tmp_path) as ledger:
        assert ledger.recovered == 0
        assert spending(ledger, account.key_id).total_nanousd == 501


def test_who_leaves_while_waiting_for_the_tables_stops_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)

        async def calls() -> None:
            for _ in range(20):
                waiting = asyncio.ensure_future(ledger.flush())
                await asyncio.sleep(0)
                waiting.cancel()
            await call(ledger, account, ceiling=5, cost=5)
            async with asyncio.timeout(10):
                await ledger.flush()

        asyncio.run(calls())
        assert spending(ledger, account.key_id).total_nanousd == 5


def test_keys_stand_only_so_deep_and_end_with_those_above_them(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        parent = make_key(ledger, limit_nanousd=0)
        child = make_key(ledger, parent=parent.key_id)
        assert child.budgets == (parent.key_id,)
        ledger.change_now(lambda db: set_disabled(db, parent.key_id, disabled=True))
        accounts = Accounts(tmp_path)
        found = accounts.key(child.key_id)
        accounts.close()
        assert found is not None
        assert found.disabled_above
        while len(child.path) < 16:
            child = make_key(ledger, parent=child.key_id)
        with pytest.raises(InvalidRequest, match="deep"):
            make_key(ledger, parent=child.key_id)


def test_a_generation_is_readable_at_any_moment_after_it_is_acknowledged(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        history = LedgerHistory(tmp_path)

        async def calls() -> None:
            for number in range(150):
                made = await call(ledger, account, ceiling=5, cost=1)
                await asyncio.sleep(0.0005 * (number % 7))
                for _ in range(3):
                    assert history.generation(made.id) is not None

        asyncio.run(calls())
