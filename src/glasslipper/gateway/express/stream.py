"""A plain request that is answered in a stream.

The exchange counts what passes; frames of text pass by their edges, all others are decoded and
encoded as on the usual way. The header goes out with the first word, so that everything that
fails before it can still be served by somebody else. A client that reads slowly slows the
provider down; one that leaves ends the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from glasslipper.gateway.answering import bill_of_outcome, head_of
from glasslipper.gateway.auth import Caller
from glasslipper.gateway.dialects import chat as dialect
from glasslipper.gateway.ending import is_semantic
from glasslipper.gateway.exchange import Exchange
from glasslipper.gateway.express.errand import Errand
from glasslipper.gateway.express.frames import Edges
from glasslipper.gateway.http import EVENTS
from glasslipper.gateway.providers.openai import LINGER_S, OpenAICompatible, is_stream
from glasslipper.kernel.errors import GlasslipperError, StreamBroken
from glasslipper.kernel.events import Event


class StreamErrand(Errand):
    """One streamed answer on the short way."""

    __slots__ = ("_edges", "_encoder", "_has_begun", "_held", "_reading", "_timer")

    streams = True

    def walk(self, exchange: Exchange, caller: Caller, upstream: OpenAICompatible) -> None:
        """Go with an exchange whose first attempt is written down."""
        super().walk(exchange, caller, upstream)
        self._reading = upstream.reading(exchange.attempted)
        self._encoder = dialect.ChunkEncoder(head_of(exchange))
        self._edges = Edges()
        self._held: list[bytes] = []
        self._has_begun = False
        self._timer: asyncio.TimerHandle | None = None

    def go_on(self) -> None:
        """Pass on what was held back while the client did not read."""
        self._hear()

    def _hear(self) -> None:
        if self._timer is not None and self._heard_reply.is_whole:
            self._timer.cancel()  # the rest of a body whose stream was done
        super()._hear()

    def _tap(self) -> Callable[[bytes], bool]:
        """Return what passes on pieces that are nothing but words between the known edges.

        It is called for every frame of most streams, so it looks up nothing twice.
        """
        edges, chunks = self._edges, self._heard_reply.chunks
        flow, write = self._connection.flow, self._connection.write_now
        count = self._exchange_here.count_text
        before, after = self._encoder.around_text
        around_bytes = len(before) + len(after)

        def pass_by(data: bytes) -> bool:
            if flow.write_paused or chunks:
                return False
            words = edges.words(data)
            if words is None:
                return False
            if len(words) == 1:
                word = words[0]
                count(len(word))
                write(b"%x\r\n%b%b%b\r\n" % (around_bytes + len(word), before, word, after))
            else:
                count(sum(map(len, words)))
                write(_chunk(before + (after + before).join(words) + after))
            return True

        return pass_by

    def _take(self) -> None:
        if self._has_begun and self._connection.is_clogged:
            return
        reply = self._heard_reply
        if not reply.status and reply.error is None:
            return
        if 200 <= reply.status < 300 and is_stream(reply, expected=True):
            self._relay(reply.take())
            if self._is_over:
                return
            if reply.error is not None and not self._reading.has_finished:
                raise reply.error
            if reply.source is None:
                self._end()
        elif reply.error is not None:
            raise reply.error
        else:
            self._take_whole()

    def _take_whole(self) -> None:
        """Take an answer that is no stream: an error, or all at once."""
        data = self._whole_body()
        if data is None:
            return
        reply = self._heard_reply
        if not 200 <= reply.status < 300:
            raise self._upstream.refusal(reply, data)
        self._pass_on(self._reading.take(data))
        self._end()

    def _relay(self, data: bytes) -> None:
        """Pass frames on.

        Raises:
            UpstreamFailed: A frame says so, or is malformed.
        """
        reading = self._reading
        is_new = reading.at_boundary
        events = list[Event]()
        try:
            events.extend(reading.feed(data))
        finally:
            self._pass_on(events)  # what came before a fault is good
        if reading.is_done:
            self._end()
            return
        if is_new:
            self._edges.learn(data, reading.peek)
        passes = self._has_begun and self._edges.are_known and reading.at_boundary
        self._heard_reply.tap = self._tap() if passes else None

    def _pass_on(self, events: list[Event]) -> None:
        self._exchange_here.take_in(events)
        frames = b"".join(map(self._encoder.encode, events))
        if self._has_begun:
            self._send(frames)
            return
        self._held.append(frames)
        if any(map(is_semantic, events)):
            self._begin()

    def _begin(self) -> None:
        """Send the header with all that was held back."""
        self._has_begun = True
        frames, self._held = b"".join(self._held), []
        self._connection.write_now(
            b"HTTP/1.1 200 OK\r\n%bcontent-type: %b\r\ncache-control: no-store\r\n"
            b"x-accel-buffering: no\r\nx-generation-id: %b\r\ntransfer-encoding: chunked\r\n\r\n%b"
            % (self._connection.usual_head(), EVENTS, self.id.encode(), _chunk(frames))
        )

    def _send(self, frames: bytes) -> None:
        if frames:
            self._connection.write_now(_chunk(frames))

    def _end(self) -> None:
        """Say how the stream ended.

        Raises:
            StreamBroken: The provider never said so.
        """
        self._heard_reply.tap = None
        exchange = self._exchange_here
        if not self._reading.has_finished:
            what = "broke off before the answer ended"
            if not self._has_begun:
                what = "ended the stream before it said anything"
            raise StreamBroken(f"{exchange.provider} {what}.")
        self._pass_on(list(self._reading.end()))
        self._is_over = True
        outcome = exchange.settle_now()
        self._forget()
        last = self._encoder.finish(bill_of_outcome(outcome))
        self._connection.answer(_chunk(last) + _LAST)
        reply = self._heard_reply
        if reply.source is not None:
            self._timer = self._express.loop.call_later(LINGER_S, reply.close)

    def _go_on_after(self, error: GlasslipperError) -> None:
        if not self._has_begun:
            super()._go_on_after(error)
            return
        self._hang_up()
        self._exchange_here.fail_now(error)
        self._forget()
        self._connection.answer(_chunk(self._encoder.error(error)) + _LAST)


_LAST = b"0\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    """Return a piece of a body in HTTP's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
