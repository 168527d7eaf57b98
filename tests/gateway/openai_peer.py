"""A provider on a socket that says what it is told to, and what a call to it brings."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from glasslipper.gateway.providers.openai import OpenAICompatible
from glasslipper.gateway.providers.openai.request import encode_request
from glasslipper.gateway.providers.table import Provider, provider
from glasslipper.gateway.transport import Timeouts, Transport
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.events import Answer, Event, fold
from glasslipper.kernel.messages import Message, Request, TextPart
from glasslipper.kernel.ports import Attempted

KEY = "sk-very-secret-0123456789"
WAIT_S = 20


def row(slug: str) -> Provider:
    found = provider(slug)
    assert found is not None
    return found


OPENAI, CUSTOM = row("openai"), row("custom")
HI = Request(model="m", messages=(Message(role="user", parts=(TextPart(text="Hi"),)),))
HI_STREAM = structs.replace(HI, stream=True)


@dataclass
class Peer:
    """A server on a socket that gives one fixed answer and notes what it was asked."""

    answer: bytes
    hangs: bool = False
    port: int = 0
    heads: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            size = next(line for line in head.lower().split("\r\n") if "content-length" in line)
            self.heads.append(head)
            self.bodies.append(json.loads(await reader.readexactly(int(size.split(":")[1]))))
            writer.write(self.answer)
            await writer.drain()
            if self.hangs:
                await reader.read()
                self.left.set()
        except ConnectionError:
            self.left.set()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[str]:
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def calling(
    base_url: str, known: Provider = OPENAI, *, timeouts: Timeouts | None = None
) -> AsyncIterator[OpenAICompatible]:
    transport = Transport()
    try:
        yield OpenAICompatible(transport, known, key=KEY, base_url=base_url, timeouts=timeouts)
    finally:
        await transport.close()


@dataclass
class Outcome:
    events: list[Event]
    attempt: Attempted
    error: GlasslipperError | None
    peer: Peer

    @property
    def answer(self) -> Answer:
        assert self.error is None
        return fold(self.events)


def http(
    body: bytes, *, status: int = 200, kind: str = "application/json", more: str = ""
) -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n{more}\r\n"
    return head.encode() + body


def sse(*chunks: object, done: bool = True) -> bytes:
    datas = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    body = "".join(f"data: {data}\n\n" for data in [*datas, *(["[DONE]"] if done else [])])
    return http(body.encode(), kind="text/event-stream")


def chunk(delta: object = None, finish: str | None = None, **more: object) -> dict[str, object]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "up-1", "model": "real", "choices": [choice]} | more


def whole(message: object, finish: str | None = "stop", **more: object) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return http(json.dumps({"id": "up-1", "model": "real", "choices": [choice]} | more).encode())


def call(answer: bytes, request: Request = HI_STREAM, known: Provider = OPENAI) -> Outcome:
    async def run() -> Outcome:
        peer = Peer(answer)
        attempt = Attempted(id="att-1", request=request, upstream_model="real")
        outcome = Outcome([], attempt, None, peer)
        async with listening(peer) as url, calling(url, known) as upstream:
            try:
                async for event in upstream.send(attempt):
                    outcome.events.append(event)
            except GlasslipperError as error:
                outcome.error = error
        return outcome

    return asyncio.run(asyncio.wait_for(run(), WAIT_S))


def sent(request: Request, known: Provider = OPENAI) -> dict[str, Any]:
    return json.loads(encode_request(request, provider=known, upstream_model="real"))
