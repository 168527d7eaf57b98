"""What every handler of a process can reach: one value, put together by the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glasslipper.gateway.auth import Gatekeeper
from glasslipper.gateway.endpoints import Offer
from glasslipper.gateway.exchange import Desk
from glasslipper.gateway.idempotency import Replays
from glasslipper.gateway.settings import Settings
from glasslipper.gateway.shelf import Shelf
from glasslipper.gateway.suppliers import Suppliers
from glasslipper.kernel.clock import Clock
from glasslipper.ledger.read import Accounts, LedgerHistory
from glasslipper.ledger.write import Ledger

if TYPE_CHECKING:
    from glasslipper.gateway.conducting import Conducting


class House:
    """A running gateway's parts."""

    def __init__(
        self, *, settings: Settings, ledger: Ledger, suppliers: Suppliers, clock: Clock
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.suppliers = suppliers
        self.offer: Offer = suppliers.offer
        self.clock = clock
        self.accounts = Accounts(ledger.home)
        self.history = LedgerHistory(ledger.home)
        self.gatekeeper = Gatekeeper(self.accounts, clock)
        self.desk = Desk(ledger=ledger, clock=clock, keyring=suppliers.keyring)
        self.replays = Replays()
        self.shelf = Shelf(ledger.home, clock)
        self.conducting: Conducting | None = None
        self.draining = False

    async def close(self) -> None:
        """Close what the house opened itself; the ledger is its maker's to close."""
        await self.suppliers.close()
        self.accounts.close()
        self.shelf.close()
