"""Runs one gateway on a socket to its end, whether it is alone or one of several workers."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable

from glasslipper.gateway.settings import Settings
from glasslipper.ledger.write import Ledger
from glasslipper.local import LocalModels


def run_house(
    settings: Settings,
    ledger: Ledger,
    listener: socket.socket,
    *,
    ready: Callable[[list[str]], None],
    engine_at: str | None = None,
    more: Callable[[LocalModels], None] | None = None,
) -> None:
    """Serve until a signal says to stop; `ready` is told the models once all is up.

    With `engine_at`, local models run in the process behind that Unix socket. `more` may add to
    the local models before they are offered.
    """
    import uvloop

    uvloop.run(_run(settings, ledger, listener, ready, engine_at, more))


async def _run(
    settings: Settings,
    ledger: Ledger,
    listener: socket.socket,
    ready: Callable[[list[str]], None],
    engine_at: str | None,
    more: Callable[[LocalModels], None] | None,
) -> None:
    from glasslipper.cli.assembly import open_house
    from glasslipper.gateway.server import serve

    house = await open_house(settings, ledger, engine_at=engine_at, more=more)
    # What is there now stays for good: the collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        await serve(house, listener, ready=lambda: ready([model for model, _ in house.offer]))
    finally:
        await house.close()
