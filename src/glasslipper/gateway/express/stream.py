"""A plain request that is answered in a stream.

Frames of text pass by their edges, all others are decoded and encoded as on the usual way. A
stream on a lane becomes an exchange as soon as it says more than words and calls. The header goes
out with the first word, so that everything that fails before it can still be served by somebody
else. A client that reads slowly slows the provider down; one that leaves ends the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from glasslipper.gateway.answering import bill_of_outcome, head_of
from glasslipper.gateway.auth import Caller
from glasslipper.gateway.dialects import chat as dialect
from glasslipper.gateway.dialects.chat.agent import AgentRequest
from glasslipper.gateway.dialects.chat.plain import PlainRequest
from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.ending import is_semantic
from glasslipper.gateway.exchange import Exchange
from glasslipper.gateway.express.errand import Errand
from glasslipper.gateway.express.frames import Edges
from glasslipper.gateway.express.lane import Lane
from glasslipper.gateway.express.told import Told
from glasslipper.gateway.http import EVENTS
from glasslipper.gateway.providers.openai import LINGER_S, OpenAICompatible, is_stream
from glasslipper.gateway.routing import ToolWatch
from glasslipper.kernel.errors import GlasslipperError, StoreFailed, StreamBroken
from glasslipper.kernel.events import Event
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.write.purse import BudgetHold


class StreamErrand(Errand):
    """One streamed answer on the short way."""

    __slots__ = ("_edges", "_encoder", "_has_begun", "_held", "_reading", "_timer", "_told")

    streams = True

    def ride(self, lane: Lane, hold: BudgetHold, ticks_ms: float) -> None:
        """Go on a lane, under a hold."""
        super().ride(lane, hold, ticks_ms)
        attempted = Attempted(
            id=self._attempt.decode(),
            request=lane.asked,
            upstream_model=lane.endpoint.upstream_model,
        )
        self._told = Told(attempted)
        self._prepare(attempted, lane.head(self.id, self._created_ms))

    def intend(self, lane: Lane, ask: PlainRequest | AgentRequest, units: int) -> None:
        """Write down that the lane's endpoint is about to be asked; so many units go in at most.

        Raises:
            StoreFailed: It cannot be written; nothing may be asked of anybody.
        """
        super().intend(lane, ask, units)
        if self._toolkit is not None:
            self._told.tools = ToolWatch(self._toolkit.tools)

    def walk(self, exchange: Exchange, caller: Caller, upstream: OpenAICompatible) -> None:
        """Go with an exchange whose first attempt is written down."""
        super().walk(exchange, caller, upstream)
        self._prepare(exchange.attempted, head_of(exchange))

    def _prepare(self, attempted: Attempted, head: Head) -> None:
        self._reading = self._upstream.reading(attempted)
        self._encoder = dialect.ChunkEncoder(head)
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
        count = self._count_text if self._exchange is None else self._exchange.count_text
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
        if self._exchange is None and self._told.takes(events):
            self._take_in(events)
        else:
            self._as_exchange().take_in(events)
        frames = b"".join(map(self._encoder.encode, events))
        if self._has_begun:
            self._send(frames)
            return
        self._held.append(frames)
        if any(map(is_semantic, events)):
            self._begin()

    def _take_in(self, events: list[Event]) -> None:
        told = self._told
        if told.first_token_ms is None and any(map(is_semantic, events)):
            told.first_token_ms = self._express.desk.clock.ticks_ms() - self._ticks_ms
        told.add(events)
        self._express.recorder.relayed[self._cell] = told.size_bytes

    def _count_text(self, size_bytes: int) -> None:
        self._told.pass_by(size_bytes)
        self._express.recorder.relayed[self._cell] = self._told.size_bytes

    def _as_exchange(self) -> Exchange:
        exchange = self._exchange
        if exchange is None:
            told = self._told
            exchange = super()._as_exchange()
            exchange.take_over(
                told.attempted,
                told.events,
                passed_bytes=told.passed_bytes,
                first_token_ms=told.first_token_ms,
            )
        return exchange

    def _begin(self) -> None:
        """Send the header with all that was held back."""
        self._has_begun = True
        frames, self._held = b"".join(self._held), []
        self._connection.write_now(
            b"HTTP/1.1 200 OK\r\n%bcontent-type: %b\r\ncache-control: no-store\r\n"
            b"x-accel-buffering: no\r\nx-generation-id: %b\r\ntransfer-encoding: chunked\r\n\r\n%b"
            % (self._connection.usual_head(), EVENTS, self._name, _chunk(frames))
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
        if not self._reading.has_finished:
            what = "broke off before the answer ended"
            if not self._has_begun:
                what = "ended the stream before it said anything"
            raise StreamBroken(f"{self._as_exchange().provider} {what}.")
        self._pass_on(list(self._reading.end()))
        self._is_over = True
        last = self._encoder.finish(self._settled())
        self._tell(_chunk(last) + _LAST)
        reply = self._heard_reply
        if reply.source is not None:
            self._timer = self._express.loop.call_later(LINGER_S, reply.close)

    def _settled(self) -> Bill:
        """Record that all went well, and return what it cost."""
        lane, said = self._lane, None
        if lane is not None and self._exchange is None:
            said = self._told.plain_end()
        if lane is None or said is None:
            outcome = self._as_exchange().settle_now()
            self._forget()
            return bill_of_outcome(outcome)
        cost = self._record(lane, said, self._told.first_token_ms, self._told.calls)
        return Bill(
            usage=Usage(input=said.prompt, output=said.completion, requests=1),
            cost_nanousd=cost.charged,
            upstream_nanousd=cost.billed,
            price=lane.row.price,
        )

    def _go_on_after(self, error: GlasslipperError) -> None:
        if not self._has_begun:
            super()._go_on_after(error)
            return
        self._hang_up()
        self._as_exchange().fail_now(error)
        self._forget()
        self._tell(_chunk(self._encoder.error(error)) + _LAST)

    def _explain(self, failure: StoreFailed) -> None:
        if self._has_begun:
            self._connection.answer(_chunk(self._encoder.error(failure)) + _LAST)
        else:
            super()._explain(failure)


_LAST = b"0\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    """Return a piece of a body in HTTP's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
