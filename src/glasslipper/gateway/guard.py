"""The server's side of one client connection: uvicorn's, with what a public face needs besides.

A client has a limited time and size for its header; whoever serves it learns at once when it
leaves. A client that closes its sending half counts as gone, because TCP cannot tell it from
one that closed both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from glasslipper.gateway.dialects.errors import encode_error
from glasslipper.kernel.errors import BadJSON, GlasslipperError, InvalidRequest, SlowBody

MOST_HEADER_BYTES = 64 << 10
GUARD = "glasslipper.guard"


def guarded(header_timeout_s: float) -> type[HttpToolsProtocol]:
    """Return the protocol class for connections with this limit."""

    class Guarded(GuardedConnection):
        timeout_s = header_timeout_s

    return Guarded


class GuardedConnection(HttpToolsProtocol):
    """A client connection that is watched."""

    timeout_s: float = 20.0

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.gone = False
        self.on_gone: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._in_header = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first header."""
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever serves the client that it is gone."""
        self.gone = True
        self._disarm()
        super().connection_lost(exc)
        if self.on_gone is not None:
            self.on_gone()

    def data_received(self, data: bytes) -> None:
        """Count header bytes on the way to the parser."""
        if self._in_header:
            self._header_bytes += len(data)
            if self._timer is None:
                self._arm()
        super().data_received(data)
        if self._in_header and self._header_bytes > MOST_HEADER_BYTES:
            self._refuse(431, InvalidRequest("The header is too large.", hint="Send less."))

    def on_message_begin(self) -> None:
        """Let handlers reach this connection."""
        super().on_message_begin()
        self._in_header = True
        self.scope[GUARD] = self  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        """Stop the clock: the header is whole."""
        self._in_header = False
        self._header_bytes = 0
        self._disarm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect another header."""
        super().on_message_complete()
        self._in_header = True

    def _arm(self) -> None:
        self._timer = self.loop.call_later(self.timeout_s, self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._header_bytes:
            hint = "Send the header at once."
            self._refuse(408, SlowBody("The header did not arrive in time.", hint=hint))
        else:
            self.transport.close()

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
