"""Peers that say exactly what a test wants, and short ways to call them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from glasslipper.gateway.transport import Origin, Reply, Timeouts, Transport

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CERTIFICATE = Path(__file__).with_name("localhost.pem")
PATIENT = Timeouts(connect_s=10, first_byte_s=10, between_bytes_s=10, total_s=20)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
MANY_BYTES = 1 << 30


def run(main: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await main

    uvloop.run(bounded())


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until something outside this process is so."""
    while not condition():
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def transport(**settings: Any) -> AsyncIterator[Transport]:
    it = Transport(**settings)
    try:
        yield it
    finally:
        await it.close()


@contextlib.asynccontextmanager
async def peer(handler: Handler, **settings: Any) -> AsyncIterator[Origin]:
    """Serve each connection with `handler`, which says exactly what it likes."""
    handling: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = (ConnectionError, asyncio.IncompleteReadError)
        try:
            with contextlib.suppress(*gone):
                await handler(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            with contextlib.suppress(*gone):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.create_task(handle(reader, writer)))

    settings.setdefault("host", "127.0.0.1")
    server = await asyncio.start_server(accept, port=0, **settings)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield Origin("https" if "ssl" in settings else "http", host, port)
    finally:
        server.close()
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)


async def request_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one request: its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


def saying(answer: bytes, *, then_close: bool = True) -> Handler:
    """Answer the first request with these bytes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(answer)
        await writer.drain()
        if not then_close:
            await reader.read()

    return handler


async def get(it: Transport, origin: Origin, **changes: Any) -> Reply:
    asked: dict[str, Any] = {"method": b"POST", "target": b"/", "headers": [], "body": b""}
    asked |= {"timeouts": PATIENT, **changes}
    return await it.send(
        origin,
        asked["method"],
        asked["target"],
        asked["headers"],
        asked["body"],
        timeouts=asked["timeouts"],
    )


async def gather(reply: Awaitable[Reply], pieces: list[bytes]) -> None:
    """Keep what comes, also when an error follows."""
    async for piece in await reply:
        pieces.append(piece)  # noqa: PERF401 - a comprehension would lose them


async def body_of(it: Transport, origin: Origin, **changes: Any) -> bytes:
    return await (await get(it, origin, **changes)).read(limit_bytes=MANY_BYTES)


def chat(model: str, *, stream: bool = True) -> dict[str, Any]:
    body = json.dumps({"model": model, "stream": stream, "messages": []}).encode()
    return {"target": b"/v1/chat/completions", "body": body}


class Counting:
    """Answers every request, and counts connections, requests and ends."""

    def __init__(self, answer: bytes = OK, *, answers_before_closing: int = 1 << 30) -> None:
        self.opened = self.asked = self.closed = 0
        self._answer = answer
        self._answers_before_closing = answers_before_closing

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            for _ in range(self._answers_before_closing):
                await request_of(reader)
                self.asked += 1
                writer.write(self._answer)
                await writer.drain()
        finally:
            self.closed += 1
