"""The short way of a plain chat request: no task, no scope, nothing waited for.

A request that is nothing but words, to a provider that speaks the same dialect over a connection
that rests, is served by the callbacks of its two connections. Everything that matters is the
same as on the usual way, for an `Exchange` holds, records and prices both. Whatever is unusual
takes the usual way: before anything is asked of anybody the whole request, afterwards the
exchange with the failure that it met.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from glasslipper.gateway.answering import (
    Caption,
    Heard,
    bill_of_outcome,
    caption_of_fields,
    finish,
    head_of,
)
from glasslipper.gateway.api.speaking import ChunkSpeaker
from glasslipper.gateway.auth import Caller
from glasslipper.gateway.dialects import chat as dialect
from glasslipper.gateway.dialects.chat.plain import PlainRequest, decode_plain, request_of
from glasslipper.gateway.exchange import Exchange
from glasslipper.gateway.guard import GuardedConnection
from glasslipper.gateway.house import House
from glasslipper.gateway.http import EVENTS, Http
from glasslipper.gateway.providers.openai import MAX_ANSWER_BYTES, OpenAICompatible, is_stream
from glasslipper.gateway.routing import choices
from glasslipper.kernel.errors import GlasslipperError, StoreFailed, StreamBroken
from glasslipper.kernel.events import Event, Folder
from glasslipper.kernel.messages import Request
from glasslipper.kernel.ports import Attempted

UNUSUAL = frozenset(
    {b"idempotency-key", b"x-session-id", b"x-openrouter-metadata", b"transfer-encoding"}
)
"""Headers that ask for more than words."""

Serve = Callable[[Http], Awaitable[None]]

_log = logging.getLogger(__name__)


class Express:
    """The shortcut of one house; see `guard.Shortcut`."""

    paths = frozenset({b"/api/v1/chat/completions", b"/v1/chat/completions"})

    def __init__(self, house: House, usual: Callable[[Serve], object]) -> None:
        """Serve `house`; `usual` makes an application of what serves one request."""
        self.house = house
        self.usual = usual
        self.loop = asyncio.get_running_loop()
        self._instant = house.ledger.recorder.is_instant

    def begin(
        self, connection: GuardedConnection, fields: dict[bytes, bytes], body: bytes
    ) -> Errand | None:
        """Begin to serve a request if it is plain and everything for it is at hand."""
        authorization = fields.get(b"authorization")
        if authorization is None or not self._instant or self.house.draining:
            return None
        if not UNUSUAL.isdisjoint(fields) or (ask := decode_plain(body)) is None or ask.stream:
            return None
        try:
            caller = self.house.gatekeeper.admit(authorization.decode("latin-1"))
            request = request_of(ask)
            offered = choices(self.house.offer, request)
            if not all(isinstance(one.upstream, OpenAICompatible) for one in offered):
                return None
            caption = caption_of_fields(fields, "chat")
            exchange = Exchange(self.house.desk, caller, request, offered=offered, caption=caption)
        except GlasslipperError:
            return None  # the usual way meets the same error, and explains it
        return self._dispatch(Errand(self, connection, exchange, caller, request, body), ask)

    def _dispatch(self, errand: Errand, ask: PlainRequest) -> Errand | None:
        """Send an errand on its way, unless something would have to be waited for."""
        exchange = errand.exchange
        upstream = exchange.first.upstream
        if not isinstance(upstream, OpenAICompatible) or not upstream.is_ready:
            return None
        body = upstream.write(ask, exchange.first.upstream_model)
        if body is None or not exchange.hold_now():
            return None
        try:
            attempted = exchange.open_now()
        except StoreFailed as error:
            exchange.abandon(error)
            return None
        self.house.desk.running.add(exchange)
        errand.go(upstream, attempted, body)
        return errand


class Errand:
    """One request on the short way."""

    __slots__ = (
        "_body",
        "_caller",
        "_connection",
        "_express",
        "_is_over",
        "_pieces",
        "_reading",
        "_reply",
        "_request",
        "_size_bytes",
        "_upstream",
        "exchange",
    )

    def __init__(
        self,
        express: Express,
        connection: GuardedConnection,
        exchange: Exchange,
        caller: Caller,
        request: Request,
        body: bytes,
    ) -> None:
        self._express = express
        self._connection = connection
        self.exchange = exchange
        self._caller = caller
        self._request = request
        self._body = body
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._is_over = False

    def go(self, upstream: OpenAICompatible, attempted: Attempted, body: bytes) -> None:
        """Ask the provider."""
        self._upstream = upstream
        self._reading = upstream.reading(attempted)
        self._reply = upstream.ask_now(
            body,
            attempted,
            streams=self._request.stream,
            now_s=self._express.loop.time(),
            heard=self._hear,
        )

    def leave(self) -> None:
        """Record that the client is gone, and hang up."""
        self._is_over = True
        self._reply.close()
        self._close(None)

    def go_on(self) -> None:
        """Nothing was held back."""

    def _hear(self) -> None:
        if self._is_over:
            return
        try:
            self._take()
        except GlasslipperError as error:
            self._go_on_after(error)
        except Exception:  # noqa: BLE001 - the edge of a callback: whatever it is, it is told
            _log.exception("serving %s failed", self.exchange.id)
            self._go_on_after(GlasslipperError("Something went wrong here."))

    def _take(self) -> None:
        reply = self._reply
        if reply.error is not None:
            raise reply.error
        if not reply.is_whole:
            self._keep(reply.take())
            return
        data = reply.take()
        if self._pieces:
            data = b"".join((*self._pieces, data))
        if not 200 <= reply.status < 300:
            raise self._upstream.refusal(reply, data)
        events = self._events(data)
        self._is_over = True
        self._answer(events)

    def _keep(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size_bytes += len(data)
        if self._size_bytes > MAX_ANSWER_BYTES:
            raise StreamBroken(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")

    def _events(self, data: bytes) -> list[Event]:
        """Return what a whole answer says.

        Raises:
            UpstreamFailed: It is none.
        """
        reading = self._reading
        if is_stream(self._reply, expected=False):
            events = list(reading.feed(data))
        else:
            events = reading.take(data)
        events += reading.end()
        if not reading.has_finished:
            raise StreamBroken(f"{self.exchange.provider} broke off before the answer ended.")
        return events

    def _answer(self, events: list[Event]) -> None:
        exchange = self.exchange
        exchange.take_in(events)
        outcome = exchange.settle_now()
        self._express.house.desk.running.discard(exchange)
        folder = Folder()
        for event in events:
            folder.add(event)
        body = dialect.encode_answer(folder.answer(), head_of(exchange), bill_of_outcome(outcome))
        connection = self._connection
        connection.answer(
            b"HTTP/1.1 200 OK\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n"
            b"x-generation-id: %b\r\n\r\n%b"
            % (_default_head(connection), len(body), exchange.id.encode(), body)
        )

    def _go_on_after(self, error: GlasslipperError) -> None:
        """Let the usual way go on with the exchange, which `error` met at its first attempt."""
        self._is_over = True
        self._reply.close()
        self._connection.hand_over(self._express.usual(self._serve_after(error)), self._body)

    def _serve_after(self, error: GlasslipperError) -> Serve:
        speaker = ChunkSpeaker(dialect.encode_answer, dialect.ChunkEncoder, self._request)
        heard = Heard(
            caller=self._caller,
            request=self._request,
            body=self._body,
            dialect="chat",
            speaker=speaker,
            kind=EVENTS,
        )

        async def serve(http: Http) -> None:
            async with self.exchange as exchange:
                await exchange.begin_again(error)
                await finish(exchange, http, heard)

        return serve

    def _close(self, error: BaseException | None) -> None:
        try:
            self.exchange.abandon(error)
        except StoreFailed:
            _log.exception("recording the end of %s failed", self.exchange.id)
        finally:
            self._express.house.desk.running.discard(self.exchange)


def _default_head(connection: GuardedConnection) -> bytes:
    """Return the lines that every response begins with, the date among them."""
    return b"".join([b"%b: %b\r\n" % one for one in connection.server_state.default_headers])
