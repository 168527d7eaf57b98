"""The server's side of one client connection: uvicorn's, with what a public face needs besides.

A client has a limited time for its header and for its body, to read what it is sent, and a
limited size for its header; whoever serves it learns at once when it leaves. A client that
closes its sending half counts as gone, because TCP cannot tell it from one that closed both.
What is written within one turn of the event loop goes out in one piece. A request that a
shortcut may serve is kept until it is whole; a header that the parser found well-formed once is
known again by its bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from glasslipper.gateway.dialects.errors import encode_error
from glasslipper.gateway.http import Application
from glasslipper.kernel.errors import BadJSON, GlasslipperError, InvalidRequest, SlowBody

if TYPE_CHECKING:
    from httptools import HttpRequestParser

MOST_HEADER_BYTES = 64 << 10
_LENGTH = b"\r\ncontent-length: "
_MOST_DIGITS = 8
MOST_KEPT_BYTES = 1 << 20
"""The largest body that is kept for a shortcut."""

GUARD = "glasslipper.guard"


class Shortcut(Protocol):
    """Serves some requests without a task, without a scope, without anything to wait for."""

    paths: frozenset[bytes]
    """The targets of POST requests that it may serve."""

    def greet(self, fields: Mapping[bytes, bytes]) -> Any:
        """Return what the shortcut makes of a header; `None` if it serves no such request."""
        ...

    def begin(self, connection: GuardedConnection, asker: Any, body: bytes) -> Errand | None:
        """Begin to serve a request; `None`, and nothing done, if the usual way must be taken.

        When the answer is there it goes to `connection.answer`.
        """
        ...


class Errand(Protocol):
    """A request that a shortcut is serving."""

    def leave(self) -> None:
        """Know that the client is gone."""
        ...

    def go_on(self) -> None:
        """Know that the client reads again."""
        ...


def guarded(
    *,
    header_timeout_s: float,
    body_timeout_s: float,
    write_timeout_s: float = 120.0,
    by: Shortcut | None = None,
) -> type[HttpToolsProtocol]:
    """Return the protocol class for connections with these limits, and with a shortcut."""

    class Guarded(GuardedConnection):
        header_s = header_timeout_s
        body_s = body_timeout_s
        write_s = write_timeout_s
        shortcut = by

    return Guarded


class _Gathering:
    """A transport whose writes wait for the end of the event loop's turn, to go out as one."""

    __slots__ = ("_loop", "_pieces", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self.is_closing = transport.is_closing
        self._loop = loop
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self.is_closing():
            self._transport.write(b"".join(pieces) if len(pieces) > 1 else pieces[0])

    def write_now(self, data: bytes) -> None:
        """Write a piece of an answer, after what waits."""
        if self._pieces:
            self._pieces.append(data)
            self._flush()
        elif not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Usual:
    """The lines that every response begins with, until uvicorn makes new ones."""

    fields: list[tuple[bytes, bytes]] | None = None
    lines = b""


_usual = _Usual()


class GuardedConnection(HttpToolsProtocol):
    """A client connection that is watched."""

    app: Any
    header_s: float = 20.0
    body_s: float = 60.0
    write_s: float = 120.0
    shortcut: Shortcut | None = None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.gone = False
        self.on_gone: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._phase: Literal["header", "body", "answer"] = "header"
        self._kept: list[bytes] | None = None
        self._kept_whole = False
        self._errand: Errand | None = None
        self._early = bytearray()
        self._asker: Any = None
        self._known: tuple[bytes, bytes, Any] | None = None
        self._is_last = False
        self._answered_s = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first header."""
        self._gathering = _Gathering(transport, self.loop)
        self.write_now = self._gathering.write_now
        super().connection_made(cast("asyncio.Transport", self._gathering))
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever serves the client that it is gone."""
        self.gone = True
        self._rest()
        self._heed()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)
        if self._errand is not None:
            self._errand.leave()
            self._errand = None
        if self.on_gone is not None:
            self.on_gone()

    def data_received(self, data: bytes) -> None:
        """Watch what does not arrive whole."""
        if self._errand is not None:
            self._keep_for_later(data)
            return
        if self._known is not None and self._is_known(data, *self._known):
            return
        is_new = self._phase == "answer" or not self._header_bytes
        if self._phase != "body":
            self._header_bytes += len(data)
        super().data_received(data)
        if self._kept_whole:
            if is_new:
                self._learn(data)
            self._cut_short()
        if self._phase == "header" and self._header_bytes > MOST_HEADER_BYTES:
            self._refuse(431, InvalidRequest("The header is too large.", hint="Send less."))
        elif self._phase == "answer":
            self._rest()
        elif self._timer is None:
            self._watch()

    def on_message_begin(self) -> None:
        """Begin a request; one that came with it and waits takes the usual way."""
        if self._kept_whole:
            self._go_the_usual_way()
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._phase = "header"

    def on_headers_complete(self) -> None:
        """Give the body its own time, and keep it if there may be a shortcut."""
        self._phase = "body"
        self._rest()
        if self.shortcut is not None and self._may_be_short(self.shortcut):
            self._kept = []
        else:
            self._begin_scope()
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take in a piece of the body."""
        if self._kept is None:
            super().on_body(body)
        else:
            self._kept.append(body)

    def on_message_complete(self) -> None:
        """Stop the clock: the request is whole."""
        self._phase = "answer"
        self._header_bytes = 0
        if self._kept is None:
            super().on_message_complete()
        else:
            self._kept_whole = True

    # the shortcut

    def _may_be_short(self, shortcut: Shortcut) -> bool:
        if self.url not in shortcut.paths or self.expect_100_continue:
            return False
        parser = cast("HttpRequestParser", self.parser)
        if self._is_busy() or parser.get_method() != b"POST":
            return False
        if parser.get_http_version() != "1.1" or parser.should_upgrade():
            return False
        fields = dict(self.headers)
        size = fields.get(b"content-length", b"")
        if not (size.isdigit() and int(size) <= MOST_KEPT_BYTES) or self._is_last:
            return False
        if len(fields) < len(self.headers) or not parser.should_keep_alive():
            return False
        self._asker = shortcut.greet(fields)
        return self._asker is not None

    def _is_busy(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _learn(self, data: bytes) -> None:
        """Remember the header of a request that came in one piece, around its length.

        The same bytes mean the same: what the parser found well-formed once need not be parsed
        again, whatever the number of the length is.
        """
        head, _, body = data.partition(b"\r\n\r\n")
        at = head.lower().find(_LENGTH)
        size = b"%d" % len(body)
        start = at + len(_LENGTH)
        if at < 0 or not head.startswith(size, start) or b"".join(self._kept or ()) != body:
            return
        rest = head[start + len(size) :] + b"\r\n\r\n"
        if rest.startswith(b"\r\n") and head.lower().count(_LENGTH) == 1:
            self._known = (head[:start], rest, self._asker)

    def _is_known(self, data: bytes, before: bytes, after: bytes, asker: Any) -> bool:
        """Serve a request whose header is the one that is known; tell whether that was done."""
        if not data.startswith(before) or self.shortcut is None or self._phase != "answer":
            return False
        start = len(before)
        end = data.find(after, start, start + _MOST_DIGITS + len(after))
        size = data[start:end]
        body_at = end + len(after)
        if end < 0 or not size.isdigit() or int(size) != len(data) - body_at or size[0] == 48:
            return False
        if self._is_busy() or self._gathering.is_closing():
            return False
        self._errand = self.shortcut.begin(self, asker, data[body_at:])
        if self._errand is None:
            return False
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        return True

    def _cut_short(self) -> None:
        kept = self._kept or [b""]
        body = kept[0] if len(kept) == 1 else b"".join(kept)
        errand = None
        if self.shortcut is not None and not self.transport.is_closing():
            errand = self.shortcut.begin(self, self._asker, body)
        if errand is None:
            self._go_the_usual_way()
        else:
            self._kept, self._kept_whole = None, False
            self._errand = errand

    @property
    def is_clogged(self) -> bool:
        """Whether the client does not read what has been written."""
        return self.flow.write_paused

    def usual_head(self) -> bytes:
        """Return the lines that every response begins with, the date among them."""
        fields = self.server_state.default_headers
        if fields is not _usual.fields:
            _usual.fields = fields
            _usual.lines = b"".join([b"%b: %b\r\n" % one for one in fields])
        return _usual.lines

    def _go_the_usual_way(self) -> None:
        """Hand the request that was kept to the application."""
        self.hand_over(None, b"".join(self._kept or ()))

    def hand_over(self, app: Application | None, body: bytes) -> None:
        """Let an application, or the usual one, answer the request that was kept or served."""
        self._kept, self._kept_whole, self._errand = None, False, None
        self._begin_scope()
        usual = self.app
        self.app = usual if app is None else app
        super().on_headers_complete()
        self.app = usual
        self.scope["method"] = "POST"  # the parser may be at the next request already
        self.cycle.keep_alive = not self._is_last
        self.cycle.body += body
        super().on_message_complete()
        self._hear_early()

    def _begin_scope(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        self.scope[GUARD] = self  # type: ignore[literal-required]

    def answer(self, data: bytes) -> None:
        """Write the whole answer of an errand, or the rest of it; the errand is over."""
        self._errand = None
        self.write_now(data)
        self.server_state.total_requests += 1
        if self._is_last:
            self.transport.close()
            return
        self._answered_s = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._look_if_idle)
        if self._early:
            self._hear_early()

    def _look_if_idle(self) -> None:
        """Close a connection that has rested for long; one timer serves many answers."""
        self._idle_timer = None
        is_used = self._errand is not None or self._kept_whole or self._phase != "answer"
        if is_used or self._is_busy() or self.timeout_keep_alive_task is not None:
            return  # whoever answers next arms a timer
        left_s = self._answered_s + self.timeout_keep_alive - self.loop.time()
        if left_s <= 0:
            self.timeout_keep_alive_handler()
        else:
            self._idle_timer = self.loop.call_later(left_s, self._look_if_idle)

    def _keep_for_later(self, data: bytes) -> None:
        """Keep what a client sends before it has been answered."""
        self._early += data
        if len(self._early) > MOST_KEPT_BYTES:
            self.flow.pause_reading()

    def _hear_early(self) -> None:
        if self._early:
            data, self._early = bytes(self._early), bytearray()
            self.flow.resume_reading()
            if self.parser is not None:
                self.data_received(data)

    def shutdown(self) -> None:
        """Close once what is being answered has been."""
        if self._errand is not None or self._kept_whole:
            self._is_last = True
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """Stop: the client does not read; give it some time to begin again."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.write_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client reads again."""
        self._heed()
        super().resume_writing()
        if self._errand is not None:
            self._errand.go_on()

    # limits

    def _heed(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

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
