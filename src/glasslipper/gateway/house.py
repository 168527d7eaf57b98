"""What every handler of a process can reach: one value, put together by the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glasslipper.gateway.auth import Gatekeeper
from glasslipper.gateway.desk import Desk
from glasslipper.gateway.endpoints import Offer
from glasslipper.gateway.idempotency import Replays
from glasslipper.gateway.labelling import Labelling, Payer
from glasslipper.gateway.settings import Settings
from glasslipper.gateway.shelf import Shelf
from glasslipper.gateway.suppliers import Suppliers
from glasslipper.kernel.clock import Clock
from glasslipper.kernel.ports import Judge, Labeller
from glasslipper.ledger.read import Accounts, LedgerHistory
from glasslipper.ledger.write import Ledger
from glasslipper.store.cells import Cells

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
        self.changes = Cells(ledger.home / "changes", count=1)
        self.gatekeeper = Gatekeeper(self.accounts, clock, self.changes)
        self.desk = Desk(ledger=ledger, clock=clock, keyring=suppliers.keyring)
        self.replays = Replays()
        self.shelf = Shelf(ledger.home, clock)
        self.conducting: Conducting | None = None
        self.draining = False
        self.labelling: Labelling | None = None

    def label_with(self, labeller: Labeller, judge: Judge | None = None) -> None:
        """Label what is served from now on; a sample goes to the judge.

        Raises:
            SetupMissing: The settings name no key that could pay the judge.
        """
        settings = self.settings
        payer = None
        if judge is not None:
            payer = Payer(judge=judge, share=settings.judge_share, key=settings.judge_key)
        self.labelling = Labelling(
            self.desk,
            labeller,
            offer=self.offer,
            accounts=self.accounts,
            payer=payer,
            keep_prompts=settings.keep_prompts,
        )

    async def close(self) -> None:
        """Close what the house opened itself; the ledger is its maker's to close."""
        if self.labelling is not None:
            await self.labelling.close()
        if self.conducting is not None:
            await self.conducting.close()
        await self.suppliers.close()
        self.accounts.close()
        self.changes.close()
        self.history.close()
        self.shelf.close()
