"""One plain request, from its intent to its record and its answer.

An errand goes on a lane or, where several endpoints may serve, with an `Exchange` of its own.
Only an answer that is plain is recorded and written here; whatever else comes is handed to the
exchange, and what goes wrong to the usual way.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from glasslipper.gateway.answering import Heard, bill_of_outcome, finish, head_of
from glasslipper.gateway.api.speaking import ChunkSpeaker
from glasslipper.gateway.auth import Caller
from glasslipper.gateway.desk import Begun
from glasslipper.gateway.dialects import chat as dialect
from glasslipper.gateway.dialects.chat.agent import AgentRequest, decode_ask, request_of
from glasslipper.gateway.dialects.chat.answer import calls_object
from glasslipper.gateway.dialects.chat.plain import PlainRequest
from glasslipper.gateway.exchange import Exchange
from glasslipper.gateway.express.lane import Lane
from glasslipper.gateway.express.records import as_json
from glasslipper.gateway.guard import GuardedConnection
from glasslipper.gateway.http import Http
from glasslipper.gateway.likeness import likeness_of
from glasslipper.gateway.providers.openai import MAX_ANSWER_BYTES, OpenAICompatible, is_stream
from glasslipper.gateway.providers.openai.plain import Said, read_calls, read_plain
from glasslipper.gateway.routing import Plain, judge
from glasslipper.gateway.transport import Pushed
from glasslipper.kernel.errors import (
    GlasslipperError,
    StoreFailed,
    StreamBroken,
    UpstreamUnreachable,
)
from glasslipper.kernel.events import Event, Folder
from glasslipper.kernel.ids import attempt_id, new_id
from glasslipper.kernel.messages import ToolCall
from glasslipper.kernel.money import NANO
from glasslipper.ledger.write.purse import BudgetHold

if TYPE_CHECKING:
    from glasslipper.gateway.express.dispatch import Express

_NULL = b"null"
_REASONS = {word: as_json(word) for word in ("stop", "length", "tool_calls")}

_log = logging.getLogger(__name__)


class Charge(Struct, frozen=True, gc=False):
    """What the ledger counts of an exchange; see `ledger.write.recorder.Charged`."""

    id: str
    key_id: str
    created_ms: int
    accounts: tuple[str, ...]
    charged_nanousd: int
    billed_nanousd: int
    is_byok: bool = False


class Beginning(Struct, frozen=True, gc=False):
    """Which exchange an intent begins; see `ledger.write.fresh.Begins`."""

    generation_id: str
    number: int = 1


class Cost(Struct, frozen=True, gc=False):
    """What an exchange costs, in nano-USD: in all, for the prompt, and as charged."""

    billed: int
    for_prompt: int
    charged: int


class Errand:
    """One request on the short way."""

    __slots__ = (
        "_attempt",
        "_body",
        "_caller",
        "_cell",
        "_connecting",
        "_connection",
        "_created_ms",
        "_exchange",
        "_express",
        "_hold",
        "_is_over",
        "_lane",
        "_likeness",
        "_name",
        "_pieces",
        "_reply",
        "_size_bytes",
        "_ticks_ms",
        "_toolkit",
        "_upstream",
        "_user",
        "id",
    )

    streams = False

    def __init__(self, express: Express, connection: GuardedConnection, body: bytes) -> None:
        self._express = express
        self._connection = connection
        self._body = body
        self._pieces: list[bytes] | None = None
        self._size_bytes = 0
        self._is_over = False
        self._reply: Pushed | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._lane: Lane | None = None
        self._exchange: Exchange | None = None

    # begin

    def ride(self, lane: Lane, hold: BudgetHold, ticks_ms: float) -> None:
        """Go on a lane, under a hold."""
        self._lane = lane
        self._upstream = lane.upstream
        self._caller = lane.caller
        self._hold = hold
        created_ms = self._created_ms = self._express.now_ms()
        self._ticks_ms = ticks_ms
        identity = self.id = new_id("gen", created_ms)
        self._name = identity.encode()
        self._attempt = attempt_id(identity, 1).encode()

    def intend(self, lane: Lane, ask: PlainRequest | AgentRequest, units: int) -> None:
        """Write down that the lane's endpoint is about to be asked; so many units go in at most.

        Raises:
            StoreFailed: It cannot be written; nothing may be asked of anybody.
        """
        recorder = self._express.recorder
        self._user = _NULL if ask.user is None else as_json(ask.user)
        cell = self._cell = recorder.take_cell()
        form = lane.stream_intent if self.streams else lane.whole_intent
        line = form % (
            self._name,
            self._attempt,
            self._created_ms,
            units,
            self._hold.nanousd,
            cell,
            self._user,
        )
        try:
            recorder.write_intent_line(Beginning(self.id), line, self._hold)
        except StoreFailed:
            recorder.give_cell(cell)
            raise
        if isinstance(ask, AgentRequest):
            said = [(turn.role, "".join(turn.texts)) for turn in ask.messages]
            kit = self._toolkit = ask.toolkit
        else:
            said = [(turn.role, turn.content) for turn in ask.messages]
            kit = self._toolkit = None
        system_print, turns = likeness_of(said, self._express.desk.salt)
        like = (_NULL if system_print is None else as_json(system_print), turns)
        self._likeness = like if kit is None else (*like, len(kit.tools))

    def walk(self, exchange: Exchange, caller: Caller, upstream: OpenAICompatible) -> None:
        """Go with an exchange whose first attempt is written down."""
        self._exchange = exchange
        self._upstream = upstream
        self._caller = caller
        self.id = exchange.id
        self._name = exchange.id.encode()
        self._attempt = exchange.attempted.id.encode()

    def ask(self, body: bytes) -> None:
        """Ask the provider, over a connection that rests or over a new one."""
        if not self._ask(body):
            self._connecting = self._express.loop.create_task(self._connect_and_ask(body))

    def ask_unless(self, body: bytes, failure: StoreFailed | None) -> None:
        """Ask the provider, unless the client has left or the intent could not be kept."""
        if self._is_over:
            return
        if failure is None:
            self.ask(body)
        else:
            self._go_on_after(failure)

    def _ask(self, body: bytes) -> bool:
        """Ask over a connection that rests; tell whether there was one."""
        self._reply = self._upstream.ask_now(
            body,
            request_id=self._attempt,
            streams=self.streams,
            now_s=self._express.now_s(),
            heard=self._hear,
        )
        return self._reply is not None

    async def _connect_and_ask(self, body: bytes) -> None:
        try:
            await self._upstream.connect()
            self._connecting = None
            if not self._ask(body):
                raise UpstreamUnreachable("the provider closed the connection at once")
        except GlasslipperError as error:
            self._connecting = None
            self._go_on_after(error)

    # hear

    def _hear(self) -> None:
        if self._is_over:
            return
        try:
            self._take()
        except GlasslipperError as error:
            self._go_on_after(error)
        except Exception:  # noqa: BLE001 - the edge of a callback: whatever it is, it is told
            _log.exception("serving %s failed", self.id)
            self._go_on_after(GlasslipperError("Something went wrong here."))

    def _take(self) -> None:
        reply = self._reply or self._heard_reply
        if reply.error is not None:
            raise reply.error
        if reply.source is None and self._pieces is None and len(reply.chunks) == 1:
            data = reply.chunks.popleft()  # the usual: all of it at once
        elif (data := self._whole_body()) is None:
            return
        if not 200 <= reply.status < 300:
            raise self._upstream.refusal(reply, data)
        lane = self._lane
        if lane is not None and (said := read_plain(data)) is not None and lane.answer is not None:
            self._is_over = True
            self._settle(lane, said, lane.answer, as_json(said.text))
        elif lane is not None and (said := self._calls(data)) is not None and lane.calling_answer:
            self._is_over = True
            calls = [
                ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
                for call in said.calls
            ]
            words = (as_json(said.text or None), as_json(calls_object(calls)))
            self._settle(lane, said, lane.calling_answer, *words)
        else:
            events = self._events(data)
            self._is_over = True
            self._answer(events)

    def _whole_body(self) -> bytes | None:
        """Return the body if all of it is here."""
        reply = self._heard_reply
        data = reply.take()
        if not reply.is_whole:
            self._keep(data)
            return None
        return data if self._pieces is None else b"".join((*self._pieces, data))

    def _keep(self, data: bytes) -> None:
        if self._pieces is None:
            self._pieces = []
        self._pieces.append(data)
        self._size_bytes += len(data)
        if self._size_bytes > MAX_ANSWER_BYTES:
            raise StreamBroken(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")

    # a plain answer on a lane

    def _calls(self, data: bytes) -> Said | None:
        """Return what an answer says if it calls tools that were offered, as they want it."""
        kit = self._toolkit
        said = None if kit is None else read_calls(data)
        if kit is None or said is None:
            return None
        functions = [call.function for call in said.calls]
        faults = [judge(kit.by_name, one.name, one.arguments) for one in functions]
        return None if any(faults) else said

    def _settle(self, lane: Lane, said: Said, form: bytes, *words: bytes) -> None:
        """Record and answer."""
        cost = self._record(lane, said, None)
        reason = native = _REASONS[said.finish]
        if said.native != said.finish:
            native = as_json(said.native)
        self._write(
            form
            % (
                self._name,
                self._created_ms // 1000,
                *words,
                reason,
                native,
                said.prompt,
                said.completion,
                said.prompt + said.completion,
                *divmod(cost.charged, NANO),
                cost.charged,
                *divmod(cost.billed, NANO),
                *divmod(cost.for_prompt, NANO),
                *divmod(cost.billed - cost.for_prompt, NANO),
            )
        )

    def _record(self, lane: Lane, said: Said, first_token_ms: float | None, calls: int = 0) -> Cost:
        """Record that all went well; `first_token_ms` is that of a stream."""
        calls = calls or len(said.calls)
        has_tools = self._toolkit is not None
        form = lane.generation(self.streams, has_tools, calls > 0)
        like = (*self._likeness, calls) if calls else self._likeness
        desk, recorder = self._express.desk, self._express.recorder
        ticks_ms = self._express.ticks_ms()
        duration_ms = int(ticks_ms - self._ticks_ms)
        first_ms = duration_ms if first_token_ms is None else int(first_token_ms)
        billed, for_prompt = lane.cost_nanousd(said.prompt, said.completion)
        hold = self._hold
        charged = billed
        if lane.budgets and billed > hold.nanousd:
            charged = hold.nanousd
            _log.warning("%s was billed %d nano-USD above its hold", self.id, billed - charged)
        upstream_id = as_json(said.upstream_id)
        line = form % (
            self._name,
            self._created_ms,
            _REASONS[said.finish],
            as_json(said.native),
            first_ms,
            duration_ms,
            said.prompt,
            said.completion,
            hold.nanousd,
            billed,
            charged,
            upstream_id,
            self._user,
            self._attempt,
            self._created_ms,
            duration_ms,
            first_ms,
            upstream_id,
            billed,
            *like,
        )
        key_id = lane.caller.account.key_id
        charge = Charge(self.id, key_id, self._created_ms, lane.accounts, charged, billed)
        recorder.write_generation_line(charge, line)
        recorder.give_cell(self._cell)
        desk.running.discard(self)
        desk.tally.note_plain(
            lane.served, said.prompt, said.completion, charged, duration_ms, first_ms
        )
        desk.router.report_plain(
            lane.endpoint,
            Plain(
                ticks_ms,
                ticks_ms - self._ticks_ms,
                said.prompt,
                said.completion,
                first_token_ms,
                has_tools,
            ),
        )
        return Cost(billed, for_prompt, charged)

    # any other answer

    def _events(self, data: bytes) -> list[Event]:
        """Return what a whole answer says.

        Raises:
            UpstreamFailed: It is none.
        """
        exchange = self._as_exchange()
        reading = self._upstream.reading(exchange.attempted)
        if is_stream(self._heard_reply, expected=False):
            events = list(reading.feed(data))
        else:
            events = reading.take(data)
        events += reading.end()
        if not reading.has_finished:
            raise StreamBroken(f"{exchange.provider} broke off before the answer ended.")
        return events

    def _answer(self, events: list[Event]) -> None:
        exchange = self._as_exchange()
        exchange.take_in(events)
        outcome = exchange.settle_now()
        self._forget()
        folder = Folder()
        for event in events:
            folder.add(event)
        bill = bill_of_outcome(outcome)
        self._write(dialect.encode_answer(folder.answer(), head_of(exchange), bill))

    def _write(self, body: bytes) -> None:
        self._tell(
            b"HTTP/1.1 200 OK\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n"
            b"x-generation-id: %b\r\n\r\n%b"
            % (self._connection.usual_head(), len(body), self._name, body)
        )

    def _tell(self, end: bytes) -> None:
        """Send the answer, or its end, once the record is as durable as promised."""
        recorder = self._express.recorder
        if recorder.is_instant:
            self._connection.answer(end)
        else:
            self._express.desk.running.add(self)
            recorder.once_durable(partial(self._tell_unless, end))

    def _tell_unless(self, end: bytes, failure: StoreFailed | None) -> None:
        self._forget()
        if self._connection.gone:
            return
        if failure is None:
            self._connection.answer(end)
        else:
            self._explain(failure)

    def _explain(self, failure: StoreFailed) -> None:
        """Tell the client that the record of its answer could not be kept."""

        async def serve(_: Http) -> None:
            raise failure

        self._connection.hand_over(self._express.usual(serve), self._body)

    # what goes wrong

    def leave(self) -> None:
        """Record that the client is gone, and hang up."""
        if self._is_over:
            return
        self._hang_up()
        try:
            self._as_exchange().abandon(None)
        except StoreFailed:
            _log.exception("recording the end of %s failed", self.id)
        finally:
            self._forget()

    def _hang_up(self) -> None:
        self._is_over = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._reply is not None:
            self._reply.close()

    def _forget(self) -> None:
        self._express.desk.running.discard(self)

    def go_on(self) -> None:
        """Nothing was held back."""

    def _go_on_after(self, error: GlasslipperError) -> None:
        """Let the usual way go on with the exchange, which met `error` at its first attempt."""
        self._hang_up()
        exchange = self._as_exchange()
        speaker = ChunkSpeaker(dialect.encode_answer, dialect.ChunkEncoder, exchange.request)
        heard = Heard(
            caller=self._caller,
            request=exchange.request,
            body=self._body,
            dialect="chat",
            speaker=speaker,
        )

        async def serve(http: Http) -> None:
            async with exchange:
                await exchange.begin_again(error)
                await finish(exchange, http, heard)

        self._forget()
        self._connection.hand_over(self._express.usual(serve), self._body)

    @property
    def _heard_reply(self) -> Pushed:
        if self._reply is None:
            raise RuntimeError("nobody has been asked yet")
        return self._reply

    def _as_exchange(self) -> Exchange:
        """Return the exchange that this is; the one begun on a lane is made up now."""
        if self._exchange is not None:
            return self._exchange
        lane, ask = self._lane, decode_ask(self._body)
        if lane is None or ask is None:
            raise RuntimeError("an errand goes on a lane or with an exchange")
        self._exchange = Exchange.adopt(
            self._express.desk,
            lane.caller,
            request_of(ask),
            offered=lane.offered,
            caption=lane.caption,
            begun=Begun(
                id=self.id,
                created_ms=self._created_ms,
                began_ms=self._ticks_ms,
                hold=self._hold,
                cell=self._cell,
            ),
        )
        return self._exchange
