"""Puts a gateway together: settings, ledger, local models, and who conducts `auto`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

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
    house.conducting = Conducting(_puppeteer())
    await suppliers.refresh()
    if settings.classify:
        from glasslipper.classify.judge import Judge
        from glasslipper.cli.labelling import open_classifier

        classifier = await asyncio.to_thread(open_classifier, fetch=False)
        model = settings.judge_model
        house.label_with(classifier, Judge(model) if model else None)
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
