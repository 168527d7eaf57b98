"""One HTTP request and its response, as handlers see them. Knows ASGI, and no path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from glasslipper.kernel.errors import InvalidRequest, PayloadTooLarge

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]


class Guard(Protocol):
    """The connection a request came by: it says when the client is gone."""

    gone: bool
    on_gone: Callable[[], object] | None


class Http:
    """A request being answered."""

    __slots__ = ("guard", "headers", "method", "path", "receive", "scope", "send", "started")

    def __init__(self, scope: Message, receive: Receive, send: Send, guard: Guard) -> None:
        """Wrap what ASGI gives."""
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.guard = guard
        self.started = False
        self.receive = receive
        self.send = send

    def header(self, name: bytes) -> str | None:
        """Return a header's text; `name` in lower case."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def query(self) -> dict[str, str]:
        """The query's fields; the last one of a name counts."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1")))

    async def body(self, *, limit_bytes: int) -> bytes:
        """Return the whole body; the connection's guard sees to it that it comes in time.

        Raises:
            PayloadTooLarge: It is larger than the limit; the rest is not read.
            InvalidRequest: The client left in the middle of it.
        """
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit_bytes:
            raise PayloadTooLarge(
                f"The body has {int(declared)} bytes; {limit_bytes} are accepted."
            )
        message = await self.receive()
        if not message.get("more_body"):
            return self._part(message)
        parts = [self._part(message)]
        size_bytes = len(parts[0])
        while message.get("more_body"):
            message = await self.receive()
            parts.append(self._part(message))
            size_bytes += len(parts[-1])
            if size_bytes > limit_bytes:
                raise PayloadTooLarge(f"The body is larger than {limit_bytes} bytes.")
        return b"".join(parts)

    @staticmethod
    def _part(message: Message) -> bytes:
        if message["type"] != "http.request":
            raise InvalidRequest("The client left before the body was complete.")
        return message.get("body", b"")

    async def reply(
        self, status: int, body: bytes, headers: Headers = (), *, kind: bytes = JSON
    ) -> None:
        """Send a whole response."""
        self.started = True
        length = str(len(body)).encode()
        fields = [(b"content-type", kind), (b"content-length", length), *headers]
        await self.send({"type": "http.response.start", "status": status, "headers": fields})
        await self.send({"type": "http.response.body", "body": body})

    async def start_stream(self, headers: Headers = (), *, kind: bytes = EVENTS) -> None:
        """Send the header of a stream, which no proxy may buffer."""
        self.started = True
        fields = [
            (b"content-type", kind),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            *headers,
        ]
        await self.send({"type": "http.response.start", "status": 200, "headers": fields})

    async def write(self, data: bytes) -> None:
        """Send a piece of the stream; waits while the client is slow."""
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece."""
        await self.send({"type": "http.response.body", "body": data})


Serve = Callable[[Http], Awaitable[None]]
"""Answers one request."""
