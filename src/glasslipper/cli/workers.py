"""Several gateway processes on one port and a keeper beside them, all started again if they die.

The listening socket is opened once and inherited, so that a connection which waits for a worker
that dies is served by another. Children notice when this process is gone, and end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from glasslipper.cli.worker import Order
from glasslipper.gateway.settings import Settings
from glasslipper.kernel.errors import SetupMissing

FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 5.0
STEADY_S = 10.0
"""Whoever has lived so long is started again at once."""

FAREWELL_S = 10.0
KEEPER = "keeper"

_log = logging.getLogger(__name__)


def supervise(
    home: Path,
    settings: Settings,
    listener: socket.socket,
    *,
    ready: Callable[[list[str]], None],
) -> None:
    """Run the workers and their keeper until a signal says to stop.

    `ready` is told the models once every worker serves.

    Raises:
        SetupMissing: One of them does not come up at all.
    """
    with tempfile.TemporaryDirectory(prefix="gl-") as folder, socket.socket(socket.AF_UNIX) as at:
        path = str(Path(folder) / "engine")
        at.bind(path)
        at.listen(128)
        family = _Family(home, settings, listener, engine=at, engine_at=path)
        asyncio.run(family.live(ready))


class _Family:
    """The children of this process."""

    def __init__(
        self,
        home: Path,
        settings: Settings,
        listener: socket.socket,
        *,
        engine: socket.socket,
        engine_at: str,
    ) -> None:
        self._settings = settings
        self._sockets = {KEEPER: engine}
        self._orders = {KEEPER: Order(home=str(home), listener=engine.fileno(), settings=settings)}
        for number in range(1, settings.workers + 1):
            name = f"worker {number}"
            self._sockets[name] = listener
            self._orders[name] = Order(
                home=str(home), listener=listener.fileno(), settings=settings, engine_at=engine_at
            )
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._models: dict[str, asyncio.Future[list[str]]] = {}
        self._stop = asyncio.Event()

    async def live(self, ready: Callable[[list[str]], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._models = {name: loop.create_future() for name in self._orders}
        minding = [asyncio.create_task(self._mind(name)) for name in self._orders]
        stopping = asyncio.create_task(self._stop.wait())
        up = asyncio.gather(*self._models.values())
        try:
            await asyncio.wait([up, stopping], return_when=asyncio.FIRST_COMPLETED)
            if up.done():
                *_, models = await up
                ready(models)
                await stopping
        finally:
            self._stop.set()
            up.cancel()
            with contextlib.suppress(asyncio.CancelledError, SetupMissing):
                await up
            await self._part()
            await asyncio.gather(*minding)

    async def _mind(self, name: str) -> None:
        """Have one child run, again and again, until all is to end."""
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            began_s = time.monotonic()
            status = await self._run(name)
            if self._stop.is_set():
                return
            first = self._models[name]
            if not first.done():
                first.set_exception(
                    SetupMissing(f"The {name} ended with status {status} before it served.")
                )
                return
            pause_s = FIRST_PAUSE_S if time.monotonic() - began_s > STEADY_S else pause_s
            _log.warning("the %s ended with status %d and is started again", name, status)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_s)
            pause_s = min(2 * pause_s, MOST_PAUSE_S)

    async def _run(self, name: str) -> int:
        order = self._orders[name]
        module = "glasslipper.cli.keeper" if name == KEEPER else "glasslipper.cli.worker"
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            msgspec.json.encode(order).decode(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[self._sockets[name].fileno()],
            process_group=0,  # Ctrl-C is for this process, which tells the others
            env={**os.environ, "GLASSLIPPER_HOME": order.home},
        )
        self._children[name] = child
        if self._stop.is_set():
            child.terminate()
        line = await child.stdout.readline() if child.stdout else b""
        first = self._models[name]
        if line and not first.done():
            first.set_result(json.loads(line).get("models", []))
        status = await child.wait()
        del self._children[name]
        return status

    async def _part(self) -> None:
        """End the workers as they wish, and then the keeper."""
        workers = [name for name in self._orders if name != KEEPER]
        await self._end(workers, within_s=self._settings.drain_timeout_s + FAREWELL_S)
        await self._end([KEEPER], within_s=FAREWELL_S)

    async def _end(self, names: list[str], *, within_s: float) -> None:
        for name in names:
            if name in self._children:
                with contextlib.suppress(ProcessLookupError):
                    self._children[name].terminate()
        give_up_s = time.monotonic() + within_s
        while any(name in self._children for name in names):
            if time.monotonic() > give_up_s:
                for name in names:
                    if name in self._children:
                        with contextlib.suppress(ProcessLookupError):
                            self._children[name].kill()
            await asyncio.sleep(0.01)
