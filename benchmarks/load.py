"""Many clients of a gateway in one event loop, and what each of them saw.

Speaks HTTP/1.1 and server-sent events itself, one connection for each request, so that a broken
connection is seen as exactly that. Does not retry and judges nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Literal

from httptools import HttpParserError, HttpResponseParser
from msgspec import Struct

Ending = Literal["done", "refused", "broken", "cut", "left"]
"""How a streamed answer ended for its client.

`done`: with usage and [DONE]; `refused`: an error status; `broken`: an error frame; `cut`: the
connection ended, or never was; `left`: the client went away itself.
"""

_READ_BYTES = 1 << 16


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer; `status` is 0 if the connection broke before it was complete."""

    status: int
    body: Mapping[str, Any]


class Seen(Struct, kw_only=True):
    """What a client saw of a streamed answer.

    `text_bytes` counts the UTF-8 bytes of all words; `cost_nanousd` comes with the usage.
    """

    tag: str
    model: str
    status: int = 0
    id: str | None = None
    text_bytes: int = 0
    cost_nanousd: int | None = None
    ending: Ending = "cut"


class _Response:
    """What httptools has parsed of one response."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.arrived: list[bytes] = []
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.arrived.append(body)

    def on_message_complete(self) -> None:
        self.is_complete = True

    def take(self) -> bytes:
        arrived, self.arrived = b"".join(self.arrived), []
        return arrived


class Target(Struct, frozen=True):
    """A gateway's address and the key to call it with."""

    address: str
    key: str

    def request(self, body: Mapping[str, object]) -> bytes:
        """Return a chat completion's request as bytes."""
        payload = json.dumps(body).encode()
        head = (
            "POST /api/v1/chat/completions HTTP/1.1\r\n"
            f"host: {self.address}\r\nauthorization: Bearer {self.key}\r\n"
            "content-type: application/json\r\nconnection: close\r\n"
            f"content-length: {len(payload)}\r\n\r\n"
        )
        return head.encode() + payload


async def ask(target: Target, body: Mapping[str, object]) -> Answer:
    """Return the answer to a request that is not streamed."""
    text = bytearray()
    status = 0
    async for status, _headers, part in _receive(target, body):  # noqa: B007 - the last counts
        text += part
    try:
        return Answer(status=status, body=json.loads(text))
    except ValueError:
        return Answer(status=0, body={})


async def stream(
    target: Target, body: Mapping[str, object], *, tag: str, leave_after: int | None = None
) -> Seen:
    """Return what was seen of a streamed answer, which a client may leave after some frames.

    `tag` is sent as the request's `user`, so that the record can be found without its id.
    """
    seen = Seen(tag=tag, model=str(body["model"]))
    rest = b""
    frames = 0
    asked = {**body, "stream": True, "user": tag}
    async with contextlib.aclosing(_receive(target, asked)) as parts:
        async for status, headers, part in parts:
            seen.status = status
            if status != 200:
                seen.ending = "refused"
                continue
            seen.id = headers.get(b"x-generation-id", b"").decode() or seen.id
            *events, rest = (rest + part).split(b"\n\n")
            for event in events:
                _take(seen, event.removeprefix(b"data: "))
            frames += len(events)
            if leave_after is not None and frames >= leave_after and seen.ending == "cut":
                seen.ending = "left"
                break
    return seen


def _take(seen: Seen, data: bytes) -> None:
    if data == b"[DONE]":
        seen.ending = "done" if seen.cost_nanousd is not None else "broken"
        return
    frame = json.loads(data)
    seen.id = frame.get("id", seen.id)
    if "error" in frame:
        seen.ending = "broken"
    for choice in frame["choices"]:
        seen.text_bytes += len((choice["delta"].get("content") or "").encode())
    if "usage" in frame:
        seen.cost_nanousd = frame["usage"]["cost_nanousd"]


async def _receive(
    target: Target, body: Mapping[str, object]
) -> AsyncGenerator[tuple[int, Mapping[bytes, bytes], bytes], None]:
    """Yield status, headers and each part of the body until the connection says no more."""
    host, _, port = target.address.rpartition(":")
    response = _Response()
    parser = HttpResponseParser(response)
    try:
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except OSError:
        return
    try:
        writer.write(target.request(body))
        while not response.is_complete and (data := await reader.read(_READ_BYTES)):
            parser.feed_data(data)
            if part := response.take():
                yield parser.get_status_code(), response.headers, part
    except (OSError, HttpParserError):
        return
    finally:
        writer.transport.abort()


def allow_many_connections() -> None:
    """Raise this process's limit of open files as far as it may be."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
