"""Puts a gateway together from the rooms below: settings, ledger and local models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from glasslipper.gateway.house import House
from glasslipper.gateway.settings import Settings
from glasslipper.gateway.suppliers import Suppliers
from glasslipper.ledger.write import Ledger
from glasslipper.local import LocalModels
from glasslipper.store import places


async def open_house(
    settings: Settings,
    ledger: Ledger,
    *,
    engine_at: str | None = None,
    more: Callable[[LocalModels], None] | None = None,
) -> House:
    """Return a gateway over the ledger, with everything on offer that there is.

    Local models run in this process or a child of it, or in the keeper, whose Unix socket is
    `engine_at`; `more` may add to them before they are offered. Close the house before the ledger.
    """
    local = LocalModels(
        folder=places.models(),
        engine=settings.engine,
        threads=settings.threads,
        slots=settings.slots,
        queue=settings.queue,
        shared_at=engine_at,
    )
    if more is not None:
        more(local)
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
