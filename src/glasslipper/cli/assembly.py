"""Puts a gateway together: settings, ledger, local models, and who conducts `auto`."""

from __future__ import annotations

from glasslipper.gateway.conducting import Conducting
from glasslipper.gateway.house import House
from glasslipper.gateway.settings import Settings
from glasslipper.gateway.suppliers import Suppliers
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.ports import Sandbox
from glasslipper.ledger.write import Ledger
from glasslipper.local import LocalModels
from glasslipper.puppeteer.conductor import Puppeteer
from glasslipper.sandbox import open_sandbox
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
    house.conducting = Conducting(_puppeteer())
    await suppliers.refresh()
    return house


def _puppeteer() -> Puppeteer:
    """Return who conducts `auto`, by the policies that were learned here, the newest first."""
    files = sorted(
        (places.home() / "puppeteer").glob("*.json"), key=lambda file: -file.stat().st_mtime
    )
    if not files:
        return Puppeteer()
    from glasslipper.puppeteer.linear import Linear  # brings numpy, which a start can do without

    return Puppeteer([Linear.load(file) for file in files], sandbox=_sandbox())


def _sandbox() -> Sandbox | None:
    """Return what keeps code in that models write, if this machine has such a thing."""
    try:
        return open_sandbox()
    except GlasslipperError:
        return None
