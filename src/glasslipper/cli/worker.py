"""One of several gateway processes on one port: `python -m glasslipper.cli.worker ORDER`.

Serves the listening socket that it inherits, and says on standard output when it is ready. It
ends like any server when it is told to, and also when standard input ends: then whoever started
it is gone.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import msgspec
from msgspec import Struct

from glasslipper.cli.serving import run_house
from glasslipper.gateway.settings import Settings
from glasslipper.kernel.clock import SystemClock
from glasslipper.ledger.write import Ledger

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class Order(Struct, frozen=True, kw_only=True):
    """What a worker or the keeper is told: files are inherited by number."""

    home: str
    listener: int
    settings: Settings
    engine_at: str | None = None


def order() -> Order:
    """Return the order on the command line."""
    return msgspec.json.decode(sys.argv[1], type=Order)


def end_with_parent() -> None:
    """End this process, as SIGTERM does, when standard input ends."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def main() -> None:
    """Serve until told to end."""
    told = order()
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    listener = socket.socket(fileno=told.listener)
    home, settings = Path(told.home), told.settings
    with Ledger(home, durability=settings.durability, clock=SystemClock()) as ledger:

        def ready(models: list[str]) -> None:
            end_with_parent()
            sys.stdout.write(json.dumps({"pid": os.getpid(), "models": models}) + "\n")
            sys.stdout.flush()

        run_house(settings, ledger, listener, ready=ready, engine_at=told.engine_at)


if __name__ == "__main__":
    main()
