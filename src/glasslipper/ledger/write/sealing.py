"""Seals while a server runs: looks now and then, and lets a process of its own do the work.

A thread of the server only asks whether anything is due. The work is a child process's, with a
lower priority: it takes neither the server's memory nor its interpreter, and may be killed at any
moment. With several servers on one store, the lease of `write.seal` lets one of them work.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from glasslipper.kernel.clock import Clock, SystemClock
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.ledger.write import seal

CHECK_EVERY_S = 20.0
NICE = 10

_log = logging.getLogger(__name__)


class Sealing:
    """The thread of a server that has finished windows sealed; use it as a context."""

    def __init__(
        self,
        home: Path,
        *,
        when: seal.When | None = None,
        clock: Clock | None = None,
        every_s: float = CHECK_EVERY_S,
    ) -> None:
        """Start looking at the journals in `home`."""
        self._home = home
        self._when = when or seal.When()
        self._clock = clock or SystemClock()
        self._every_s = every_s
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._work, name="ledger-sealing", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                if seal.is_due(self._home, self._when, self._clock.now_ms()):
                    self._have_sealed()
            except (GlasslipperError, OSError) as error:
                _log.warning("sealing %s failed and will be tried again: %s", self._home, error)

    def _have_sealed(self) -> None:
        when = f"{self._when.rows},{self._when.after_ms},{self._when.leave_ms}"
        child = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", __name__, str(self._home), when],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self._child = child
        if self._stopping.is_set():
            child.terminate()
        status = child.wait()
        self._child = None
        if status and not self._stopping.is_set():
            _log.warning("sealing %s ended with status %d", self._home, status)

    def close(self) -> None:
        """Stop; a child that is at work is told to end, and what it did not finish is left."""
        self._stopping.set()
        if child := self._child:
            child.terminate()
        self._thread.join()

    def __enter__(self) -> Sealing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main(home: str, when: str) -> int:
    """Seal what is due in `home`, with less priority than whoever started this."""
    rows, after_ms, leave_ms = map(int, when.split(","))
    with contextlib.suppress(OSError):
        os.nice(NICE)
    try:
        seal.seal(Path(home), seal.When(rows=rows, after_ms=after_ms, leave_ms=leave_ms))
    except GlasslipperError as error:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
        _log.warning("sealing %s: %s", home, error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
