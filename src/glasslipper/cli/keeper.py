"""What must be single beside several workers: `python -m glasslipper.cli.keeper ORDER`.

Runs the local engines, which all workers share, and has finished windows sealed. Sealing is
guarded by a lease and engines stand at a socket of their own, so a second keeper does no harm.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from glasslipper.cli.worker import LOG_FORMAT, end_with_parent, order
from glasslipper.ledger.write.sealing import Sealing
from glasslipper.local.shared import EngineServer


def main() -> None:
    """Keep until told to end."""
    told = order()
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    over = threading.Event()

    def stop(*_: object) -> None:
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    listener = socket.socket(fileno=told.listener)
    with Sealing(Path(told.home)), contextlib.closing(EngineServer(listener)):
        end_with_parent()
        sys.stdout.write("{}\n")
        sys.stdout.flush()
        over.wait()
    os._exit(0)  # at once: an engine may be deep in a batch that nobody wants now


if __name__ == "__main__":
    main()
