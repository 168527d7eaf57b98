"""The server's side of one client connection: uvicorn's, with what a public face needs besides.

A client has a limited time for its header and for its body, and a limited size for its header;
whoever serves it learns at once when it leaves. A client that closes its sending half counts as
gone, because TCP cannot tell it from one that closed both. What is written within one turn of
the event loop goes out in one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from glasslipper.gateway.dialects.errors import encode_error
from glasslipper.kernel.errors import BadJSON, GlasslipperError, InvalidRequest, SlowBody

MOST_HEADER_BYTES = 64 << 10
GUARD = "glasslipper.guard"


def guarded(*, header_timeout_s: float, body_timeout_s: float) -> type[HttpToolsProtocol]:
    """Return the protocol class for connections with these limits."""

    class Guarded(GuardedConnection):
        header_s = header_timeout_s
        body_s = body_timeout_s

    return Guarded


class _Gathering:
    """A transport whose writes wait for the end of the event loop's turn, to go out as one."""

    __slots__ = ("_loop", "_pieces", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces) if len(pieces) > 1 else pieces[0])

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GuardedConnection(HttpToolsProtocol):
    """A client connection that is watched."""

    header_s: float = 20.0
    body_s: float = 60.0

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.gone = False
        self.on_gone: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._phase: Literal["header", "body", "answer"] = "header"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first header."""
        super().connection_made(cast("asyncio.Transport", _Gathering(transport, self.loop)))
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever serves the client that it is gone."""
        self.gone = True
        self._rest()
        super().connection_lost(exc)
        if self.on_gone is not None:
            self.on_gone()

    def data_received(self, data: bytes) -> None:
        """Watch what does not arrive whole."""
        if self._phase != "body":
            self._header_bytes += len(data)
        super().data_received(data)
        if self._phase == "header" and self._header_bytes > MOST_HEADER_BYTES:
            self._refuse(431, InvalidRequest("The header is too large.", hint="Send less."))
        elif self._phase == "answer":
            self._rest()
        elif self._timer is None:
            self._watch()

    def on_message_begin(self) -> None:
        """Let handlers reach this connection."""
        super().on_message_begin()
        self._phase = "header"
        self.scope[GUARD] = self  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        """Give the body its own time."""
        self._phase = "body"
        self._rest()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the clock: the request is whole."""
        self._phase = "answer"
        self._header_bytes = 0
        super().on_message_complete()

    def _watch(self) -> None:
        limit_s = self.body_s if self._phase == "body" else self.header_s
        self._timer = self.loop.call_later(limit_s, self._too_slow)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._is_answering():  # the request before this one: judge this one later
            self._watch()
        elif self._phase == "body" or self._header_bytes:
            part = "body" if self._phase == "body" else "header"
            hint = f"Send the {part} at once."
            self._refuse(408, SlowBody(f"The {part} did not arrive in time.", hint=hint))
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        cycle = self.cycle
        waits = bool(self.pipeline)
        return waits or (self._phase == "header" and bool(cycle) and not cycle.response_complete)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP in the shape of every other error."""
        self._refuse(400, BadJSON(msg, hint="Speak HTTP/1.1."))

    def _refuse(self, status: int, error: GlasslipperError) -> None:
        if self.transport.is_closing():
            return
        body = encode_error(error)
        length = str(len(body)).encode()
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: "
        self.transport.write(STATUS_LINE[status] + head + length + b"\r\n\r\n" + body)
        self.transport.close()
