"""An Anthropic on a socket that says what it is told to, and what a call to it brings."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from glasslipper.gateway.providers.anthropic import Anthropic
from glasslipper.gateway.providers.anthropic.request import encode_request
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
    Tool,
)
from glasslipper.kernel.ports import Attempted

KEY = "sk-ant-very-secret-0123456789"
WAIT_S = 20
OLD, MIDDLE, NEW = "claude-sonnet-4-5", "claude-sonnet-4-6", "claude-opus-4-8"

HI = Request(model="m", messages=(Message(role="user", parts=(TextPart(text="Hi"),)),))
HI_STREAM = structs.replace(HI, stream=True)
FUNCTION = Tool(name="f", parameters={"properties": {}})


@dataclass
class Peer:
    """A server on a socket that gives one fixed answer and notes what it was asked."""

    answer: bytes
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
async def calling(
    peer: Peer,
    *,
    path: str = "",
    timeouts: Timeouts | None = None,
    max_tokens: Mapping[str, int] | None = None,
) -> AsyncIterator[Anthropic]:
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    transport = Transport()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
    try:
        yield Anthropic(transport, key=KEY, base_url=url, timeouts=timeouts, max_tokens=max_tokens)
    finally:
        await transport.close()
        server.close()
        await server.wait_closed()


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


def sse(*events: dict[str, Any]) -> bytes:
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return body.encode()


def stream(*events: dict[str, Any]) -> bytes:
    return http(sse(*events), kind="text/event-stream; charset=utf-8")


def failure(kind: str, words: str) -> bytes:
    return json.dumps(
        {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"}
    ).encode()


def whole(*content: object, reason: str | None = "end_turn", **usage: object) -> bytes:
    return json.dumps(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "real",
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": {"input_tokens": 5, "output_tokens": 9} | usage,
        }
    ).encode()


def call(answer: bytes, request: Request = HI_STREAM, *, path: str = "") -> Outcome:
    async def run() -> Outcome:
        peer = Peer(answer)
        attempt = Attempted(id="att-1", request=request, upstream_model="real")
        outcome = Outcome([], attempt, None, peer)
        async with calling(peer, path=path) as upstream:
            try:
                async for event in upstream.send(attempt):
                    outcome.events.append(event)
            except GlasslipperError as error:
                outcome.error = error
        return outcome

    return asyncio.run(asyncio.wait_for(run(), WAIT_S))


def sent(request: Request, model: str = OLD, **members: Any) -> dict[str, Any]:
    asked = structs.replace(request, **members)
    return json.loads(encode_request(asked, upstream_model=model, default_max_tokens=8192))


def said(*messages: Message) -> list[Any]:
    return sent(HI, messages=messages)["messages"]


START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "real",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 11,
            "cache_creation_input_tokens": 30,
            "cache_read_input_tokens": 200,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 10,
                "ephemeral_1h_input_tokens": 20,
            },
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
}
PING = {"type": "ping"}
STOP = {"type": "message_stop"}


def opens(index: int, **block: object) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def grows(index: int, kind: str, **delta: object) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **delta}}


def closes(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ends(reason: str = "end_turn", **usage: object) -> dict[str, Any]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": 42} | usage,
    }


TOOL_STREAM = (
    START,
    opens(0, type="thinking", thinking="", signature=""),
    PING,
    grows(0, "thinking_delta", thinking="Let me "),
    grows(0, "thinking_delta", thinking="see…"),
    grows(0, "signature_delta", signature="c2ln"),
    closes(0),
    opens(1, type="redacted_thinking", data="ZGF0YQ"),
    closes(1),
    opens(2, type="text", text=""),
    grows(2, "text_delta", text="Höl"),
    grows(2, "text_delta", text="lo"),
    closes(2),
    opens(3, type="server_tool_use", id="srv", name="web_search", input={}),
    grows(3, "input_json_delta", partial_json='{"q":1}'),
    closes(3),
    opens(4, type="tool_use", id="toolu_1", name="f", input={}),
    grows(4, "input_json_delta", partial_json=""),
    grows(4, "input_json_delta", partial_json='{"x":'),
    grows(4, "input_json_delta", partial_json="1}"),
    closes(4),
    opens(5, type="tool_use", id="toolu_2", name="g", input={}),
    closes(5),
    ends("tool_use", output_tokens_details={"thinking_tokens": 12}),
    STOP,
)
