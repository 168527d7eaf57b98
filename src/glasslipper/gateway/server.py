"""Serves an app on a socket until it is told to stop, and then until what runs has ended.

On the first SIGTERM or SIGINT the server takes no new connection, lets running exchanges finish
for `drain_timeout_s`, cuts what is left and records it. Knows the wire, not what is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator

import uvicorn

from glasslipper.gateway.app import App
from glasslipper.gateway.express import Express
from glasslipper.gateway.guard import guarded
from glasslipper.gateway.house import House
from glasslipper.kernel.errors import SetupMissing

KEEP_ALIVE_S = 75
BACKLOG = 2_048


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        SetupMissing: The address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SetupMissing(
            f"Listening on {host}:{port} failed: {error.strerror}.",
            hint="Choose another with --port, or stop the process that has it.",
        ) from error


class Server(uvicorn.Server):
    """uvicorn, with signals handled by whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone."""
        yield


async def serve(
    house: House, listener: socket.socket, *, ready: Callable[[], None] | None = None
) -> None:
    """Serve the house on the socket until a signal says to stop."""
    settings = house.settings
    app = App(house)
    config = uvicorn.Config(
        app,
        http=guarded(
            header_timeout_s=settings.header_timeout_s,
            body_timeout_s=settings.body_timeout_s,
            write_timeout_s=settings.write_timeout_s,
            by=Express(house, app.serving),
        ),
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.drain_timeout_s),
        backlog=BACKLOG,
    )
    server = Server(config)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        house.draining = True
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if ready is not None:
        loop.call_soon(ready)
    house.suppliers.own_port = listener.getsockname()[1]
    watching = asyncio.create_task(house.suppliers.watch())
    try:
        await server.serve(sockets=[listener])
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    await _settled(house, within_s=settings.drain_timeout_s)


async def _settled(house: House, *, within_s: float) -> None:
    """Wait until every exchange has recorded how it ended."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while house.desk.running:
                await asyncio.sleep(0.01)
