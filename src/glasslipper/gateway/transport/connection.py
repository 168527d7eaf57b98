"""One connection to an upstream, one exchange after another.

A connection carries one exchange at a time. It feeds what arrives to the parser, hands the body
over as it comes, stops reading while its consumer lags, and returns itself to its keeper as soon
as the answer is whole. It holds no timer: its keeper asks it now and then whether it is overdue.
It knows nothing of pools, names, TLS or proxies.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from msgspec import Struct

from glasslipper.gateway.transport.reply import Pushed, Reply
from glasslipper.kernel.errors import (
    GlasslipperError,
    StreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)

HEAD_MAX_BYTES = 64 * 1024
"""The longest header section, interim ones included, that an upstream may send."""

_CRLF = b"\r\n"

LAG_MAX_BYTES = 256 * 1024
"""Reading stops while a consumer is this far behind, and goes on when it is half as far."""


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long an upstream may take, in seconds; `None` is for ever.

    `connect_s` covers name, connection and TLS; `first_byte_s` the time from then to the end of
    the header section; `between_bytes_s` each silence after that, while somebody is reading;
    `total_s` everything. A limit is noticed up to a quarter of a second late, never early.
    """

    connect_s: float | None = 10.0
    first_byte_s: float | None = 120.0
    between_bytes_s: float | None = 60.0
    total_s: float | None = None


class Keeper(Protocol):
    """Whoever keeps connections between exchanges."""

    def returned(self, connection: Connection) -> None:
        """Take back a connection that is ready for another exchange."""
        ...

    def lost(self, connection: Connection) -> None:
        """Forget a connection: it is closed."""
        ...


class Connection(asyncio.Protocol):
    """Speaks HTTP/1.1 over one transport, one exchange after another."""

    def __init__(self, keeper: Keeper) -> None:
        """Belong to `keeper`, which is told when an exchange is over and when all is."""
        self._keeper = keeper
        self._transport: asyncio.Transport | None = None
        self.is_open = False
        """Whether the transport is there and not closing."""
        self._reply: Reply | None = None
        self._timeouts = Timeouts()
        self._started_s = self._asked_s = self._since_s = 0.0
        self._heard = self._paused = False
        self._whole = self._reusable = False
        self._is_between_chunks = False
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self._parser = HttpResponseParser(self)
        self._feed = self._parser.feed_data

    def ask(self, request: bytes, *, timeouts: Timeouts, started_s: float, now_s: float) -> Reply:
        """Write a request and return the reply to come; times are the loop's."""
        reply = self._reply = Reply(self)
        self._timeouts = timeouts
        self._started_s = started_s
        self._asked_s = now_s
        if self._transport is None:
            self.fail(UpstreamUnreachable("the connection was closed before the request"))
        else:
            self._transport.write(request)
        return reply

    def ask_now(
        self, request: bytes, *, timeouts: Timeouts, now_s: float, heard: Callable[[], None]
    ) -> Pushed:
        """Write a request and return the reply that will tell `heard` of itself."""
        reply = self._reply = Pushed(self, heard)
        self._timeouts = timeouts
        self._started_s = self._asked_s = now_s
        if self._transport is None:
            self.fail(UpstreamUnreachable("the connection was closed before the request"))
        else:
            self._transport.write(request)
        return reply

    def caught_up(self, lag_bytes: int) -> None:
        """Go on reading if the consumer has caught up enough."""
        if self._paused and lag_bytes * 2 <= LAG_MAX_BYTES:
            self._resume()

    def fail(self, error: GlasslipperError) -> None:
        """End the exchange with an error and close the connection."""
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.source = None
            reply.error = error
            reply.wake()
        self.drop()

    def drop(self) -> None:
        """Close the connection at once, whatever is still to be sent or read."""
        transport, self._transport = self._transport, None
        self.is_open = False
        if transport is not None:
            transport.abort()

    def check(self, now_s: float, *, idle_s: float) -> None:
        """Fail the exchange if it has exceeded a limit; close what rested for `idle_s`."""
        if self._heard or self._paused:
            self._heard = False
            self._since_s = now_s
        reply = self._reply
        if reply is None:
            if now_s - self._since_s > idle_s:
                self.drop()
            return
        limits = self._timeouts
        if limits.total_s is not None and now_s - self._started_s > limits.total_s:
            self._time_out("total_s", limits.total_s)
        elif not reply.status:
            if limits.first_byte_s is not None and now_s - self._asked_s > limits.first_byte_s:
                self._time_out("first_byte_s", limits.first_byte_s)
        elif limits.between_bytes_s is not None and now_s - self._since_s > limits.between_bytes_s:
            self._time_out("between_bytes_s", limits.between_bytes_s)

    def _time_out(self, limit: str, seconds: float) -> None:
        self.fail(UpstreamTimeout(f"the provider exceeded {limit}, {seconds:g} seconds"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; small writes go out without delay."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True
        link = transport.get_extra_info("socket")
        if link is not None and link.family in (socket.AF_INET, socket.AF_INET6):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then tell the reply once about all that these bytes brought."""
        reply = self._reply
        if reply is None:
            self.drop()  # nobody asked: whatever this is, the next answer would be mixed with it
            return
        self._heard = True
        if reply.tap is not None and self._is_between_chunks:
            body = whole_chunks(data)
            if body and reply.tap(body):
                return  # the parser missed nothing: it is between chunks still
        begins = not reply.status
        if begins:
            reply.head += data
        try:
            self._feed(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._reusable = False
            if not self._whole:
                self._hand_over(reply)  # what came before the fault is good
                self.fail(StreamBroken(f"the provider's answer is not valid HTTP: {error}"))
                return
        if not data.endswith(_CRLF):
            self._is_between_chunks = False
        if begins and len(reply.head) > HEAD_MAX_BYTES and _head_too_long(reply):
            self.fail(StreamBroken("the header section is too long"))
        elif reply.status:
            self._hand_over(reply)

    def _hand_over(self, reply: Reply) -> None:
        pieces = self._pieces
        if pieces:
            chunk = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            reply.chunks.append(chunk)
            reply.lag_bytes += len(chunk)
        if self._whole:
            self._finish(reply)
        elif reply.lag_bytes > LAG_MAX_BYTES and not self._paused and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True
        reply.wake()

    def _finish(self, reply: Reply) -> None:
        """Let go of a reply that is whole; it can be read without the connection."""
        self._reply = reply.source = None
        self._whole = False
        transport = self._transport
        if transport is None:
            return
        if self._paused:
            self._resume()
        if self._reusable and not transport.get_write_buffer_size():
            self._keeper.returned(self)
        else:
            self.drop()

    def _resume(self) -> None:
        self._paused = False
        if self._transport is not None:
            self._transport.resume_reading()

    def eof_received(self) -> None:
        """Close from this side too; `connection_lost` judges whether it was the end."""
        if self._reply is None:
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Judge what the end of the connection means for the exchange."""
        self._transport = None
        self.is_open = False
        self._keeper.lost(self)
        reply = self._reply
        if reply is None:
            return
        if exc is None and reply.status and _ends_with_connection(reply):
            self._finish(reply)
            reply.wake()
        elif reply.head:
            self.fail(StreamBroken("the connection ended before the answer did"))
        else:
            self.fail(UpstreamUnreachable("the provider closed the connection without an answer"))

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request."""
        if self._whole:
            raise HttpParserError("bytes after the answer")

    def on_headers_complete(self) -> None:
        """Note the status, unless it is interim."""
        self._is_between_chunks = False
        status = self._parser.get_status_code()
        if status >= 200 and self._reply is not None:
            self._reply.status = status

    def on_chunk_header(self) -> None:
        """Note that a chunk has begun."""
        self._is_between_chunks = False

    def on_chunk_complete(self) -> None:
        """Note that a chunk is whole; bytes of the next one may follow it."""
        self._is_between_chunks = True

    def on_message_complete(self) -> None:
        """Note that the answer is whole, unless it is interim."""
        if self._reply is not None and self._reply.status:
            self._whole = True
            self._reusable = self._parser.should_keep_alive()


def whole_chunks(data: bytes) -> bytes | None:
    """Return the body in `data` if that is nothing but whole chunks as they are usually written.

    Usual is a size without leading zeros, without extensions; the last chunk, of size 0, is left
    to the parser (RFC 9112, section 7.1).
    """
    end = data.find(_CRLF)
    size_bytes = len(data) - end - 4
    if data[:end].lower() == b"%x" % size_bytes and size_bytes > 0 and data.endswith(_CRLF):
        return data[end + 2 : -2]
    return _several_chunks(data)


def _several_chunks(data: bytes) -> bytes | None:
    pieces = list[bytes]()
    at = 0
    while at < len(data):
        end = data.find(_CRLF, at, at + 10)
        digits = data[at:end]
        if end < 0 or not digits.isalnum():
            return None
        try:
            size_bytes = int(digits, 16)
        except ValueError:
            return None
        start, at = end + 2, end + 4 + size_bytes
        if digits.lower() != b"%x" % size_bytes or not size_bytes or data[at - 2 : at] != _CRLF:
            return None
        pieces.append(data[start : at - 2])
    return b"".join(pieces)


def _head_too_long(reply: Reply) -> bool:
    """Judge a head that came together with the body, or did not come to an end."""
    return not reply.status or reply.headers.size_bytes > HEAD_MAX_BYTES


def _ends_with_connection(reply: Reply) -> bool:
    codings = reply.headers.get(b"transfer-encoding")
    if codings is not None:
        return codings.lower().rpartition(b",")[2].strip() != b"chunked"
    return b"content-length" not in reply.headers
