"""Puts a gateway together from the rooms below: settings, ledger and local models."""

from __future__ import annotations

import asyncio

from glasslipper.gateway.house import House
from glasslipper.gateway.settings import Settings
from glasslipper.gateway.suppliers import Suppliers
from glasslipper.ledger.write import Ledger
from glasslipper.local import LocalModels
from glasslipper.store import places


async def open_house(settings: Settings, ledger: Ledger) -> House:
    """Return a gateway over the ledger, with everything on offer that there is.

    Close the house before the ledger.
    """
    local = LocalModels(
        folder=places.models(),
        engine=settings.engine,
        threads=settings.threads,
        slots=settings.slots,
        queue=settings.queue,
    )
    suppliers = Suppliers(settings, ledger=ledger, local=local)
    house = House(settings=settings, ledger=ledger, suppliers=suppliers, clock=ledger.clock)
    await suppliers.refresh()
    if settings.classify:
        from glasslipper.classify.judge import Judge
        from glasslipper.cli.labelling import open_classifier

        classifier = await asyncio.to_thread(open_classifier, fetch=False)
        model = settings.judge_model
        house.label_with(classifier, Judge(model) if model else None)
    return house
