"""Puts a gateway together: settings, ledger, local models, and who conducts `auto`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from glasslipper.cli import puppeteering
from glasslipper.gateway.conducting import Conducting
from glasslipper.gateway.house import House
from glasslipper.gateway.settings import Settings
from glasslipper.gateway.suppliers import Suppliers
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.ports import Sandbox
from glasslipper.ledger.write import Ledger
from glasslipper.local import LocalModels
from glasslipper.puppeteer.conductor import Puppeteer
from glasslipper.puppeteer.repertoire import Repertoire
from glasslipper.puppeteer.sessions import Sessions
from glasslipper.sandbox import open_sandbox
from glasslipper.store import places
from glasslipper.tools import Pins, Rules, StdioServer, Toolbox, WebServer


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
    house.conducting = Conducting(_puppeteer(settings))
    await suppliers.refresh()
    if settings.classify:
        from glasslipper.classify.judge import Judge
        from glasslipper.cli.labelling import open_classifier

        classifier = await asyncio.to_thread(open_classifier, fetch=False)
        model = settings.judge_model
        house.label_with(classifier, Judge(model) if model else None)
    return house


def _puppeteer(settings: Settings) -> Puppeteer:
    """Return who conducts `auto`, by the policies that were learned here."""
    repertoire = Repertoire(
        places.policies(), explore=settings.auto_explore, vectors=puppeteering.vectors
    )
    repertoire.refresh()
    sessions = Sessions(places.policies() / "sessions.sqlite")
    return Puppeteer(repertoire, sandbox=_sandbox, tools=_toolbox(settings), sessions=sessions)


def _toolbox(settings: Settings) -> Toolbox | None:
    """Return the tools that the settings name; no server is started before one is needed."""
    if not settings.tools:
        return None
    servers = {
        name: StdioServer(argv=one.command, env=one.env)
        if one.command
        else WebServer(url=one.url, headers=one.headers)
        for name, one in settings.tools.items()
    }
    named = settings.tools.items()
    rules = Rules(
        allow=tuple(f"{name}.{glob}" for name, one in named for glob in one.allow),
        deny=tuple(f"{name}.{glob}" for name, one in named for glob in one.deny),
    )
    return Toolbox(servers, pins=Pins(places.home() / "tools.json"), rules=rules)


def _sandbox() -> Sandbox | None:
    """Return what keeps code in that models write, if this machine has such a thing."""
    try:
        return open_sandbox()
    except GlasslipperError:
        return None
