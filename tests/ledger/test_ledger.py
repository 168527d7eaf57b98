"""The ledger through its public face, on real files."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.kernel.errors import BudgetExhausted, InvalidRequest
from glasslipper.kernel.ids import new_id
from glasslipper.kernel.money import Price
from glasslipper.kernel.record import (
    Account,
    Attempt,
    Candidate,
    Generation,
    Intent,
    LateFact,
    PriceRow,
)
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.read import Accounts, LedgerHistory
from glasslipper.ledger.write import Ledger, keys
from glasslipper.ledger.write.keys import NewKey, create, set_budget
from glasslipper.ledger.write.purse import BudgetHold

PRICE = PriceRow(
    id="price-1", price=Price(input=1_000_000, output=2_000_000), source="test", as_of="2026-11-01"
)


def make_key(ledger: Ledger, *, limit_nanousd: int | None = None, **more: object) -> Account:
    made = ledger.change_now(
        lambda db: create(
            db,
            NewKey(name="k", limit_nanousd=limit_nanousd, **more),  # type: ignore[arg-type]
            ledger.clock.now_ms(),
        )
    )
    with_path = Accounts(ledger.home)
    record = with_path.key(made.id)
    with_path.close()
    assert record is not None
    return Account(path=record.path, key_id=record.id, budgets=record.budgets)


def intent_of(account: Account, hold: BudgetHold, cell: int, **more: object) -> Intent:
    fields: dict[str, object] = {
        "generation_id": new_id("gen"),
        "attempt_id": new_id("att"),
        "created_ms": 1_790_000_000_000,
        "key_id": account.key_id,
        "accounts": account.path,
        "model": "test/model",
        "endpoint": "test/model@fake",
        "provider": "fake",
        "dialect": "chat",
        "streamed": True,
        "input_units": 10,
        "held_nanousd": hold.nanousd,
        "price": PRICE,
        "cell": cell,
    }
    return Intent(**{**fields, **more})  # type: ignore[arg-type]


def generation_of(intent: Intent, *, charged_nanousd: int, **more: object) -> Generation:
    fields: dict[str, object] = {
        "id": intent.generation_id,
        "created_ms": intent.created_ms,
        "key_id": intent.key_id,
        "accounts": intent.accounts,
        "model": intent.model,
        "dialect": intent.dialect,
        "status": "ok",
        "model_served": "test/model",
        "endpoint": intent.endpoint,
        "provider": intent.provider,
        "streamed": True,
        "finish_reason": "stop",
        "usage": Usage(input=10, output=5, reported_nanousd=charged_nanousd),
        "held_nanousd": intent.held_nanousd,
        "billed_nanousd": charged_nanousd,
        "charged_nanousd": charged_nanousd,
        "price_id": PRICE.id,
        "labels": {"team": "blue"},
        "attempts": (
            Attempt(
                id=intent.attempt_id,
                endpoint=intent.endpoint,
                provider=intent.provider,
                model=intent.model,
                started_ms=intent.created_ms,
                status="ok",
            ),
        ),
        "candidates": (
            Candidate(endpoint=intent.endpoint, propensity=0.75, why="cheap"),
            Candidate(endpoint="test/model@other", propensity=0.25),
        ),
    }
    return Generation(**{**fields, **more})  # type: ignore[arg-type]


async def call(ledger: Ledger, account: Account, *, ceiling: int, cost: int) -> Generation:
    hold = await ledger.purse.hold(account, ceiling)
    cell = ledger.recorder.take_cell()
    intent = intent_of(account, hold, cell)
    await ledger.recorder.intend(intent, hold=hold)
    generation = generation_of(intent, charged_nanousd=cost)
    await ledger.recorder.settle(generation)
    ledger.recorder.give_cell(cell)
    return generation


def spending(ledger: Ledger, account: str):
    accounts = Accounts(ledger.home)
    try:
        return accounts.spending(account, ledger.clock.now_ms())
    finally:
        accounts.close()


def test_a_generation_reads_back_as_it_was_recorded_at_once_and_later(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        recorded = asyncio.run(call(ledger, account, ceiling=100, cost=40))
        history = LedgerHistory(tmp_path)
        assert history.generation(recorded.id) == recorded
        asyncio.run(ledger.flush())
        assert history.generation(recorded.id) == recorded
        assert history.generation("gen-unknown") is None
    assert LedgerHistory(tmp_path).generation(recorded.id) == recorded


def test_every_account_above_a_key_is_charged_the_same_once(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)

        async def calls() -> None:
            recorded = await call(ledger, account, ceiling=100, cost=40)
            await ledger.recorder.settle(recorded)
            await call(ledger, account, ceiling=100, cost=2)
            await ledger.flush()
            await ledger.flush()

        asyncio.run(calls())
        assert len(account.path) == 4
        assert {spending(ledger, name).total_nanousd for name in account.path} == {42}
        assert {spending(ledger, name).generations for name in account.path} == {2}
        assert [row.charged_nanousd for row in LedgerHistory(tmp_path).spend("key")] == [42]


def test_a_hold_never_takes_what_another_has_and_is_free_after_settling(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger, limit_nanousd=100)

        async def calls() -> None:
            first = await ledger.purse.hold(account, 60)
            with pytest.raises(BudgetExhausted) as refused:
                await ledger.purse.hold(account, 41)
            assert refused.value.left_nanousd == 40
            assert (await ledger.purse.hold(account, 50, least_nanousd=1)).nanousd == 40
            ledger.purse.release(first)
            await call(ledger, account, ceiling=60, cost=10)
            assert (await ledger.purse.hold(account, 50)).nanousd == 50

        asyncio.run(calls())


def test_the_tightest_budget_on_the_path_decides_and_all_of_them_are_held(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.change_now(lambda db: set_budget(db, "org-default", 30, "daily"))
        account = make_key(ledger, limit_nanousd=1_000)

        async def calls() -> None:
            with pytest.raises(BudgetExhausted):
                await ledger.purse.hold(account, 31)
            await ledger.purse.hold(account, 30)
            await ledger.flush()

        asyncio.run(calls())
        assert spending(ledger, account.key_id).held_nanousd == 30
        assert spending(ledger, "org-default").left_nanousd == 0


@settings(max_examples=20, deadline=None)
@given(
    limit=st.integers(0, 500),
    ceilings=st.lists(st.tuples(st.integers(1, 200), st.integers(0, 200)), max_size=12),
)
def test_concurrent_calls_never_spend_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, limit: int, ceilings: list[tuple[int, int]]
) -> None:
    home = tmp_path_factory.mktemp("home")
    with Ledger(home) as ledger:
        account = make_key(ledger, limit_nanousd=limit)

        async def one(ceiling: int, cost: int) -> int:
            try:
                return (
                    await call(ledger, account, ceiling=ceiling, cost=min(cost, ceiling))
                ).charged_nanousd
            except BudgetExhausted:
                return 0

        async def calls() -> int:
            spent = sum(await asyncio.gather(*[one(*pair) for pair in ceilings]))
            await ledger.flush()
            return spent

        spent = asyncio.run(calls())
        seen = spending(ledger, account.key_id)
        assert seen.total_nanousd == spent <= limit
        assert seen.held_nanousd == 0


def test_a_late_fact_stands_beside_its_generation(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)

        async def calls() -> str:
            recorded = await call(ledger, account, ceiling=1, cost=1)
            await ledger.recorder.note(
                LateFact(
                    id=new_id("fact"),
                    generation_id=recorded.id,
                    kind="feedback",
                    noted_ms=5,
                    key_id=recorded.key_id,
                    body={"reward": 1},
                )
            )
            await ledger.flush()
            return recorded.id

        facts = LedgerHistory(tmp_path).late_facts(generation_id=asyncio.run(calls()))
    assert [(fact.kind, fact.noted_ms, fact.body) for fact in facts] == [
        ("feedback", 5, {"reward": 1})
    ]


CRASH = """
    import asyncio, os, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_ledger import Account, Ledger, call, intent_of, make_key
    async def main():
        ledger = Ledger(Path(sys.argv[1]), durability=sys.argv[2])
        account = make_key(ledger, limit_nanousd=10_000)
        await call(ledger, account, ceiling=500, cost=40)
        hold = await ledger.purse.hold(account, 1_000)
        cell = ledger.recorder.take_cell()
        await ledger.recorder.intend(intent_of(account, hold, cell), hold=hold)
        ledger.recorder.relayed[cell] = 7
        await ledger.purse.hold(account, 300)
        print(account.key_id, flush=True)
        await asyncio.sleep(60)
    asyncio.run(main())
"""


def crash(home: Path, durability: str) -> str:
    script = textwrap.dedent(CRASH).format(tests=str(Path(__file__).parent))
    with subprocess.Popen(
        [sys.executable, "-c", script, str(home), durability],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as child:
        assert child.stdout is not None
        key_id = child.stdout.readline().strip()
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
    assert key_id.startswith("key-")
    return key_id


@pytest.mark.parametrize("durability", ["process", "power"])
def test_what_a_crash_left_open_is_closed_and_charged_for_what_was_relayed(
    tmp_path: Path, durability: str
) -> None:
    key_id = crash(tmp_path, durability)
    with Ledger(tmp_path) as ledger:
        assert ledger.recovered == 1
        seen = spending(ledger, key_id)
        # 10 tokens in at 1 nano-dollar, 7 bytes out at 2, beside the 40 that had settled.
        assert (seen.total_nanousd, seen.held_nanousd, seen.generations) == (64, 0, 2)
        by_status = {row.group: row for row in LedgerHistory(tmp_path).spend("status")}
        assert by_status["unknown"].charged_nanousd == 24
        assert by_status["ok"].generations == 1
    with Ledger(tmp_path) as ledger:
        assert ledger.recovered == 0
        assert spending(ledger, key_id).total_nanousd == 64


def test_a_living_neighbour_frees_what_a_dead_process_held(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        key_id = crash(tmp_path, "process")

        async def freed() -> bool:
            async with asyncio.timeout(5):
                while spending(ledger, key_id).held_nanousd:
                    await asyncio.sleep(0.05)
            return True

        assert asyncio.run(freed())
        assert spending(ledger, key_id).total_nanousd == 64


def test_two_processes_share_one_home_and_each_has_its_own_journal(tmp_path: Path) -> None:
    with Ledger(tmp_path) as one, Ledger(tmp_path) as other:
        assert one.folder != other.folder
        account = make_key(one, limit_nanousd=100)

        async def calls() -> None:
            await one.purse.hold(account, 60)
            with pytest.raises(BudgetExhausted):
                await other.purse.hold(account, 60)

        asyncio.run(calls())


def test_what_one_process_does_not_use_another_gets_within_a_moment(tmp_path: Path) -> None:
    with Ledger(tmp_path) as one, Ledger(tmp_path) as other:
        account = make_key(one, limit_nanousd=1_000)

        async def calls() -> None:
            first = await one.purse.hold(account, 10)
            one.purse.release(first)
            hold = await other.purse.hold(account, 1_000)
            assert hold.nanousd == 1_000
            other.purse.release(hold)
            assert (await one.purse.hold(account, 1_000)).nanousd == 1_000

        asyncio.run(calls())


def test_a_request_that_leaves_while_it_waits_for_a_hold_keeps_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        accounts = [make_key(ledger, limit_nanousd=1_000) for _ in range(5)]

        async def calls() -> None:
            for account in accounts:
                waiting = asyncio.ensure_future(ledger.purse.hold(account, 900))
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                assert (await ledger.purse.hold(account, 1_000)).nanousd == 1_000

        asyncio.run(calls())


def test_a_key_has_only_so_many_working_keys_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MOST_BELOW", 3)
    with Ledger(tmp_path) as ledger:
        parent = make_key(ledger).key_id
        now_ms = ledger.clock.now_ms()
        brief = [make_key(ledger, parent=parent, expires_ms=now_ms + 1) for _ in range(3)]
        time.sleep(0.01)
        lasting = [make_key(ledger, parent=parent) for _ in range(3)]
        with pytest.raises(InvalidRequest, match="stand below"):
            make_key(ledger, parent=parent)
        assert len({account.key_id for account in (*brief, *lasting)}) == 6
        ledger.change_now(lambda db: keys.set_disabled(db, lasting[0].key_id, disabled=True))
        make_key(ledger, parent=parent)
        for _ in range(5):
            make_key(ledger)
