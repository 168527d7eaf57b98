"""What every exchange of a process works with, and what goes into one and comes out of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from msgspec import Struct

from glasslipper.gateway.keyring import Keyring
from glasslipper.gateway.likeness import salt_of
from glasslipper.gateway.routing import Router
from glasslipper.gateway.tally import Tally
from glasslipper.kernel.clock import Clock
from glasslipper.kernel.messages import Request
from glasslipper.kernel.money import Price
from glasslipper.kernel.record import Dialect, Generation
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.write import Ledger
from glasslipper.ledger.write.purse import BudgetHold


class Caption(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a request says about itself besides its content; goes into the record."""

    dialect: Dialect
    app: str | None = None
    referer: str | None = None
    user_agent: str | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """What an exchange used and cost, in nano-USD, and the price of the endpoint that served.

    `details` are what the upstream measured of its own work.
    """

    usage: Usage
    charged_nanousd: int
    billed_nanousd: int
    is_byok: bool = False
    price: Price | None = None
    details: Mapping[str, float] | None = None


class Begun(Struct, frozen=True, kw_only=True, gc=False):
    """How an exchange was begun elsewhere; `began_ms` are ticks, and its intent is written."""

    id: str
    created_ms: int
    began_ms: float
    hold: BudgetHold
    cell: int


class Desk:
    """What every exchange of a process works with."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        keyring: Keyring,
        chance: random.Random | None = None,
    ) -> None:
        self.ledger = ledger
        self.keyring = keyring
        self.clock = clock
        self.router = Router(clock, chance or random.Random())  # noqa: S311 - it balances load
        self.tally = Tally()
        self.running: set[object] = set()
        """Exchanges that run, on whichever way."""
        self.salt = salt_of(ledger.home)
        self.on_settled: Callable[[Generation, Request], None] | None = None
        """Told of each exchange whose record is written; must return at once and not raise."""
