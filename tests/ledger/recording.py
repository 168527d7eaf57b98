"""Records exchanges for the tests of this folder, as a gateway would."""

from __future__ import annotations

import asyncio

from glasslipper.kernel.ids import attempt_id, new_id
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
from glasslipper.ledger.read import Accounts
from glasslipper.ledger.write import Ledger
from glasslipper.ledger.write.keys import NewKey, create
from glasslipper.ledger.write.purse import NO_HOLD

NOON_MS = 1_790_000_000_000
PRICE = PriceRow(
    id="price-1", price=Price(input=1_000_000, output=2_000_000), source="test", as_of="2026-11-01"
)


class Clock:
    """A clock that stands where it is put."""

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        return self.at_ms

    def ticks_ms(self) -> float:
        return float(self.at_ms)


def make_key(ledger: Ledger, name: str = "k") -> Account:
    made = ledger.change_now(lambda db: create(db, NewKey(name=name), ledger.clock.now_ms()))
    with_path = Accounts(ledger.home)
    record = with_path.key(made.id)
    with_path.close()
    assert record is not None
    return Account(path=record.path, key_id=record.id, budgets=record.budgets)


def plain(account: Account, *, cost: int = 7, **more: object) -> Generation:
    """An exchange that needed one attempt, with everything about it known."""
    identifier = new_id("gen")
    fields: dict[str, object] = {
        "id": identifier,
        "created_ms": NOON_MS,
        "key_id": account.key_id,
        "accounts": account.path,
        "model": "anthropic/claude-test",
        "dialect": "chat",
        "status": "ok",
        "model_served": "anthropic/claude-test",
        "endpoint": "anthropic/claude-test@fake",
        "provider": "fake",
        "streamed": True,
        "finish_reason": "tool_calls",
        "native_finish_reason": "tool_use",
        "first_token_ms": 210,
        "duration_ms": 1_234,
        "usage": Usage(input=100, cache_read=20, output=30, reasoning=4, reported_nanousd=cost),
        "held_nanousd": 50,
        "billed_nanousd": cost,
        "charged_nanousd": cost - 1,
        "price_id": PRICE.id,
        "upstream_id": "msg_01",
        "session_id": "ses-1",
        "user": "u's",
        "app": "app",
        "referer": "https://app.test/",
        "user_agent": "agent/1",
        "labels": {"team": "blue", "country": "DE", 'odd "name"': "ü"},
        "attempts": (
            Attempt(
                id=attempt_id(identifier, 1),
                endpoint="anthropic/claude-test@fake",
                provider="fake",
                model="claude-test-20261101",
                started_ms=NOON_MS + 2,
                status="ok",
                duration_ms=1_230,
                first_token_ms=210,
                upstream_id="msg_01",
                billed_nanousd=cost,
            ),
        ),
        "candidates": (
            Candidate(endpoint="anthropic/claude-test@fake", propensity=0.7, why="cheap"),
            Candidate(endpoint="anthropic/claude-test@other", propensity=1 / 3),
        ),
        "system_print": "0a1b2c3d",
        "turns": 3,
        "tools_offered": 2,
        "tools_called": 1,
    }
    return Generation(**{**fields, **more})  # type: ignore[arg-type]


def bare(account: Account, **more: object) -> Generation:
    """An exchange that failed before anything was known about it."""
    fields: dict[str, object] = {
        "id": new_id("gen"),
        "created_ms": NOON_MS + 60_000,
        "key_id": account.key_id,
        "accounts": account.path,
        "model": "nobody/knows",
        "dialect": "messages",
        "status": "error",
        "error": "model_unknown",
    }
    return Generation(**{**fields, **more})  # type: ignore[arg-type]


def rescued(account: Account, **more: object) -> Generation:
    """An exchange whose first attempt failed."""
    whole = plain(account)
    (good,) = whole.attempts
    failed = Attempt(
        id=attempt_id(whole.id, 1),
        endpoint="anthropic/claude-test@down",
        provider="down",
        model="claude",
        started_ms=NOON_MS,
        status="error",
        duration_ms=5,
        http_status=503,
        error="upstream_failed",
    )
    second = Attempt(
        **{
            **{name: getattr(good, name) for name in good.__struct_fields__},
            "id": attempt_id(whole.id, 2),
        }
    )
    fields = {name: getattr(whole, name) for name in whole.__struct_fields__}
    return Generation(**{**fields, "attempts": (failed, second), **more})


def record(ledger: Ledger, *generations: Generation) -> None:
    """Record exchanges, and wait until they are in the tables."""

    async def all_of_them() -> None:
        for one in generations:
            cell = ledger.recorder.take_cell()
            await ledger.recorder.intend(intent_of(one, cell), hold=NO_HOLD)
            await ledger.recorder.settle(one)
            ledger.recorder.give_cell(cell)
        await ledger.flush()

    asyncio.run(all_of_them())


def note(ledger: Ledger, *facts: LateFact) -> None:
    """Note late facts, and wait until they are in the tables."""

    async def all_of_them() -> None:
        for one in facts:
            await ledger.recorder.note(one)
        await ledger.flush()

    asyncio.run(all_of_them())


def fact(about: Generation, kind: str, body: dict[str, object], **more: object) -> LateFact:
    fields: dict[str, object] = {
        "id": new_id("fact"),
        "kind": kind,
        "noted_ms": NOON_MS + 1_000,
        "key_id": about.key_id,
        "generation_id": about.id,
        "body": body,
    }
    return LateFact(**{**fields, **more})  # type: ignore[arg-type]


def intent_of(generation: Generation, cell: int, *, number: int = 1) -> Intent:
    return Intent(
        generation_id=generation.id,
        attempt_id=attempt_id(generation.id, number),
        created_ms=generation.created_ms,
        key_id=generation.key_id,
        accounts=generation.accounts,
        model=generation.model,
        endpoint=generation.endpoint or "none",
        provider=generation.provider or "none",
        dialect=generation.dialect,
        streamed=generation.streamed,
        input_units=10,
        held_nanousd=generation.held_nanousd,
        price=PRICE,
        cell=cell,
        number=number,
    )
