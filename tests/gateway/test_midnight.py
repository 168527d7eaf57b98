"""A request that waits past midnight is paid by the day on which it was let in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from glasslipper.gateway.auth import Caller
from glasslipper.gateway.desk import Caption, Desk
from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.exchange import Exchange
from glasslipper.gateway.prices.tariff import Tariff, Version
from glasslipper.gateway.pricing import TariffPricing
from glasslipper.gateway.settings import Settings
from glasslipper.gateway.suppliers import Suppliers
from glasslipper.kernel.clock import DAY_MS
from glasslipper.kernel.events import Event, Finished, TextDelta
from glasslipper.kernel.messages import Message, Request, Sampling, TextPart
from glasslipper.kernel.money import Price
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.read import Accounts
from glasslipper.ledger.write import Ledger
from glasslipper.ledger.write.keys import NewKey, create

EVENING_MS = 20_600 * DAY_MS - 100
COST_NANOUSD = 4_000


class Clock:
    """Tells the time that it was told."""

    ms = EVENING_MS

    def now_ms(self) -> int:
        return self.ms

    def ticks_ms(self) -> float:
        return float(self.ms)


class Model:
    """Answers at once, for the whole of what was held."""

    async def send(self, attempt: Attempted) -> AsyncIterator[Event]:
        yield TextDelta(text="hi")
        attempt.usage = Usage(output=4)
        yield Finished(reason="stop")


def test_a_request_let_in_after_midnight_is_paid_by_the_new_day(tmp_path: Path) -> None:
    clock = Clock()
    with Ledger(tmp_path, clock=clock) as ledger:
        wish = NewKey(name="k", limit_nanousd=COST_NANOUSD, period="daily")
        made = ledger.change_now(lambda db: create(db, wish, clock.now_ms()))
        accounts = Accounts(tmp_path)
        key = accounts.key(made.id)
        assert key is not None
        asyncio.run(two_days(ledger, clock, Caller(key)))
        spending = accounts.spending(key.id, clock.now_ms())
        accounts.close()
    assert spending.total_nanousd == 2 * COST_NANOUSD
    assert spending.today_nanousd == COST_NANOUSD
    assert spending.held_nanousd == 0


async def two_days(ledger: Ledger, clock: Clock, caller: Caller) -> None:
    suppliers = Suppliers(Settings(discover=False), ledger=ledger, environ={})
    desk = Desk(ledger=ledger, clock=clock, keyring=suppliers.keyring)
    tariff = Tariff(
        versions=(Version(price=Price(input=0, output=10**9)),), source="test", as_of="2026-05-01"
    )
    endpoint = Endpoint(
        id="m@fake", model="m", provider="fake", upstream_model="m", upstream=Model(),
        pricing=TariffPricing("m@fake", tariff, lambda *_: None),
    )  # fmt: skip
    said = Message(role="user", parts=(TextPart(text="hi"),))
    request = Request(model="m", messages=(said,), sampling=Sampling(max_tokens=4))

    def arrive() -> Exchange:
        return Exchange(desk, caller, request, offered=[endpoint], caption=Caption(dialect="chat"))

    async def serve(exchange: Exchange) -> None:
        async with exchange:
            await exchange.begin()
            await exchange.whole()
            assert (await exchange.settle()).charged_nanousd == COST_NANOUSD

    await serve(arrive())  # the evening's budget is used up
    await ledger.flush()
    late = arrive()
    clock.ms += 200
    await serve(late)
    await ledger.flush()
    await suppliers.close()
