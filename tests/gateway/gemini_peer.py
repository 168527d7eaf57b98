"""A Google on a socket that says what it is told to, and what a call to it brings."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from glasslipper.gateway.providers.gemini import BASE_URL, Gemini
from glasslipper.gateway.providers.gemini.request import encode_request
from glasslipper.gateway.transport import Timeouts, Transport
from glasslipper.kernel.errors import (
    GlasslipperError,
)
from glasslipper.kernel.events import (
    Answer,
    Event,
    fold,
)
from glasslipper.kernel.messages import (
    Message,
    Request,
    TextPart,
    ToolCall,
)
from glasslipper.kernel.ports import Attempted

KEY = "AIza-very-secret-0123456789"
GOOGLE = "google-gemini-v1"
SIGNATURE = "c2lnbmVkIGJ5IEdvb2dsZQ=="
MODEL = "gemini-3-flash"
WAIT_S = 20

HI = Request(model="m", messages=(Message(role="user", parts=(TextPart(text="Hi"),)),))
HI_STREAM = structs.replace(HI, stream=True)


@dataclass
class Peer:
    """A server on a socket that gives its answers, one a connection, and notes what was asked."""

    answers: list[bytes]
    hangs: bool = False
    heads: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            size = next(line for line in head.lower().split("\r\n") if "content-length" in line)
            self.heads.append(head)
            self.bodies.append(json.loads(await reader.readexactly(int(size.split(":")[1]))))
            writer.write(self.answers[min(len(self.heads), len(self.answers)) - 1])
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
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1beta"
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def calling(base_url: str, *, timeouts: Timeouts | None = None) -> AsyncIterator[Gemini]:
    transport = Transport()
    try:
        yield Gemini(transport, key=KEY, base_url=base_url, timeouts=timeouts)
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


def sse(*chunks: object) -> bytes:
    datas = [each if isinstance(each, str) else json.dumps(each) for each in chunks]
    body = "".join(f"data: {data}\r\n\r\n" for data in datas)
    return http(body.encode(), kind="text/event-stream")


def piece(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "real", "responseId": "up-1"} | more


def whole(*parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> bytes:
    return http(json.dumps(piece(*parts, finish=finish, **more)).encode())


def failing(status: int, message: str, kind: str = "X", *details: object, more: str = "") -> bytes:
    error = {"code": status, "message": message, "status": kind, "details": list(details)}
    return http(json.dumps({"error": error}).encode(), status=status, more=more)


def call(answer: bytes, request: Request = HI_STREAM, *, model: str = MODEL) -> Outcome:
    async def run() -> Outcome:
        peer = Peer([answer])
        attempt = Attempted(id="att-1", request=request, upstream_model=model)
        outcome = Outcome([], attempt, None, peer)
        async with listening(peer) as url, calling(url) as upstream:
            try:
                async for event in upstream.send(attempt):
                    outcome.events.append(event)
            except GlasslipperError as error:
                outcome.error = error
        return outcome

    return asyncio.run(asyncio.wait_for(run(), WAIT_S))


def sent(request: Request, *, model: str = MODEL) -> dict[str, Any]:
    return json.loads(encode_request(request, upstream_model=model, base_url=BASE_URL))


def said(*messages: Message, model: str = MODEL) -> list[dict[str, Any]]:
    return sent(structs.replace(HI, messages=messages), model=model)["contents"]


def user(*parts: Any) -> Message:
    return Message(role="user", parts=parts)


def assistant(*parts: Any, calls: tuple[ToolCall, ...] = ()) -> Message:
    return Message(role="assistant", parts=parts, tool_calls=calls)


F = ToolCall(id="c1", name="f", arguments='{"a": 1}')
G = ToolCall(id="c2", name="g", arguments="")

USAGE = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 60,
    "candidatesTokenCount": 7,
    "thoughtsTokenCount": 11,
    "totalTokenCount": 118,
}
