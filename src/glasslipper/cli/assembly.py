"""Puts a gateway together from the rooms below: settings, ledger and local models."""

from __future__ import annotations

from collections.abc import Callable

from glasslipper.gateway.house import House
from glasslipper.gateway.settings import Settings
from glasslipper.gateway.suppliers import Suppliers
from glasslipper.ledger.write import Ledger
from glasslipper.local import LocalModels
from glasslipper.store import places


async def open_house(
    settings: Settings, ledger: Ledger, *, more: Callable[[LocalModels], None] | None = None
) -> House:
    """Return a gateway over the ledger, with everything on offer that there is.

    `more` may add to the local models before they are offered.

    Close the house before the ledger.
    """
    local = LocalModels(
        folder=places.models(),
        engine=settings.engine,
        threads=settings.threads,
        slots=settings.slots,
        queue=settings.queue,
    )
    if more is not None:
        more(local)
    suppliers = Suppliers(settings, ledger=ledger, local=local)
    house = House(settings=settings, ledger=ledger, suppliers=suppliers, clock=ledger.clock)
    await suppliers.refresh()
    return house
