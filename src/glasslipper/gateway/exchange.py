"""One client request and all that serves it, from the hold to the record.

    hold → route → attempt (→ next attempt) → relay → settle → record

What fails before the first word of an answer is invisible to the client while another endpoint
is left. What fails later ends the exchange as `truncated`. However it ends, by an answer, an
error or the client's leaving, one generation is recorded, before the client is told the end.
Knows no wire format and no HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from typing import cast

from msgspec import structs

from glasslipper.gateway.attempts import Attempts, Try
from glasslipper.gateway.auth import Caller
from glasslipper.gateway.desk import Begun, Caption, Desk, Outcome
from glasslipper.gateway.ending import is_refusal, is_semantic, slug_of, status_of
from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.keyring import own_keys_first
from glasslipper.gateway.likeness import likeness
from glasslipper.gateway.relayed import Relayed
from glasslipper.gateway.rerouting import Rerouted
from glasslipper.gateway.routing import with_thinking
from glasslipper.gateway.terms import Terms
from glasslipper.kernel.clock import day_of
from glasslipper.kernel.errors import (
    ContextTooLong,
    GlasslipperError,
    NoEndpointLeft,
    StreamBroken,
    Unsupported,
    UpstreamFailed,
    UpstreamRefused,
)
from glasslipper.kernel.events import Event, Folder, Started
from glasslipper.kernel.finish import Status
from glasslipper.kernel.ids import attempt_id, new_id
from glasslipper.kernel.messages import Request
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.record import Candidate, Generation, Intent, PriceRow
from glasslipper.ledger.write.purse import NO_HOLD


class Exchange:
    """Use it as an async context: `begin`, then `events` to their end, then `settle`.

    Leaving the context without having settled records how far it came.
    """

    def __init__(
        self,
        desk: Desk,
        caller: Caller,
        request: Request,
        *,
        offered: Sequence[Endpoint],
        caption: Caption,
        rerouted: Rerouted | None = None,
    ) -> None:
        self.id = new_id("gen")
        self.rerouted = rerouted
        self.created_ms = desk.clock.now_ms()
        self.request = with_thinking(request)
        self.shrunk_to: int | None = None
        self._may_shrink = False
        self._desk = desk
        self._caller = caller
        self._caption = caption
        self._began_ms = desk.clock.ticks_ms()
        if not desk.keyring.is_empty:
            offered = desk.keyring.equip(offered, caller.account)
        self._first_token_ms: int | None = None
        self._terms = Terms(self.request, self.created_ms)
        if caller.account.budgets:
            offered = self._terms.affordable(offered)
        self._route = desk.router.plan(self.request, offered, owner=caller.account.key_id)
        if not desk.keyring.is_empty:
            self._route = own_keys_first(self._route)
        self._candidates = self._route.candidates
        if rerouted is not None:
            models = {endpoint.id: endpoint.model for endpoint in offered}
            self._candidates = tuple(
                [rerouted.told(one, models.get(one.endpoint, "")) for one in self._candidates]
            )
        self._hold = NO_HOLD
        self._is_held = False
        self._cell: int | None = None
        self._relayed = Relayed(request)
        self._intended = False
        self._attempts = Attempts(
            desk,
            self._relayed,
            owner=caller.account.key_id,
            input_units=self._terms.input_units,
        )
        self._head: list[Event] = []
        self._outcome: Outcome | None = None

    @classmethod
    def adopt(
        cls,
        desk: Desk,
        caller: Caller,
        request: Request,
        *,
        offered: Sequence[Endpoint],
        caption: Caption,
        begun: Begun,
    ) -> Exchange:
        """Return the exchange that was begun elsewhere, with its first attempt under way."""
        exchange = cls(desk, caller, request, offered=offered, caption=caption)
        endpoint = exchange.first
        exchange.id = begun.id
        exchange.created_ms = begun.created_ms
        exchange._terms = Terms(exchange.request, begun.created_ms)
        exchange._began_ms = begun.began_ms
        exchange._hold = begun.hold
        exchange._is_held = exchange._intended = True
        exchange._cell = begun.cell
        current = exchange._attempts.open(
            Attempted(
                id=attempt_id(begun.id, 1), request=request, upstream_model=endpoint.upstream_model
            ),
            endpoint,
            endpoint.pricing.row(begun.created_ms, exchange._terms.input_units),
            started_ms=begun.created_ms,
        )
        current.began_ms = begun.began_ms
        return exchange

    async def __aenter__(self) -> Exchange:
        self._desk.running.add(self)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if self._outcome is None:
                await self._close(status_of(error, self._relayed.size_bytes), error)
        finally:
            self._desk.running.discard(self)

    @property
    def model(self) -> str:
        """The model that serves."""
        current = self._attempts.current
        return current.endpoint.model if current else self.request.model

    @property
    def provider(self) -> str:
        """The provider that serves."""
        current = self._attempts.current
        return current.endpoint.provider if current else ""

    @property
    def endpoint(self) -> str:
        """The endpoint that serves."""
        current = self._attempts.current
        return current.endpoint.id if current else ""

    @property
    def form_check(self) -> str | None:
        """Whether an answer that was to be JSON is: `ok` or a fault; `None` if it was not to be."""
        if self._relayed.form is None or self._relayed.finished is None:
            return None
        return self._relayed.form_fault or "ok"

    @property
    def first(self) -> Endpoint:
        """The endpoint that is to be tried first."""
        return self._route.order[0]

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The endpoints that might have served, and how likely each was to be first."""
        return self._candidates

    @property
    def tries(self) -> int:
        """How many upstreams have been called."""
        return len(self._attempts)

    # hold

    def hold_now(self) -> bool:
        """Take the hold if nobody has to be waited for; tell whether it is taken."""
        ceiling = self._most_nanousd()
        if ceiling is not None:
            hold = self._desk.ledger.purse.hold_now(self._caller.account, ceiling)
            if hold is None:
                return False
            self._hold = hold
        self._is_held = True
        return True

    async def _take_hold(self) -> None:
        ceiling = None if self._is_held else self._most_nanousd()
        if ceiling is None:
            return
        open_ended = self._may_shrink or self.request.sampling.max_tokens is None
        least = min(ceiling, self._terms.least_nanousd(self._route.order)) if open_ended else None
        self._hold = await self._desk.ledger.purse.hold(
            self._caller.account, ceiling, least_nanousd=least
        )
        now_ms = self._desk.clock.now_ms()
        if day_of(now_ms) != day_of(self.created_ms):
            self.created_ms = now_ms  # it waited past midnight: the new day's budget pays
            self._terms = Terms(self.request, now_ms)
        if self._hold.limited and self._hold.nanousd < ceiling:
            self.shrunk_to = self._terms.output_within(self._hold.nanousd, self._route.order)
            sampling = structs.replace(self.request.sampling, max_tokens=self.shrunk_to)
            self.request = structs.replace(self.request, sampling=sampling)

    def _most_nanousd(self) -> int | None:
        """Return the most that may have to be charged; `None` if nobody is charged anything."""
        if not self._caller.account.budgets:
            return None
        return self._terms.most_nanousd(self._route.order)

    # attempt

    async def begin(self) -> None:
        """Take the hold and try endpoints until one has something to say.

        Raises:
            BudgetExhausted: The budget does not cover the exchange.
            GlasslipperError: No endpoint could serve; the error of the last one tried.
        """
        await self._take_hold()
        failure = NoEndpointLeft(f"Nobody can serve {self.request.model}.")
        await self._try_each(self._route.order, failure)

    async def begin_again(self, error: GlasslipperError) -> None:
        """Go on after `error` ended the attempt that was opened by `open_now`.

        Raises:
            GlasslipperError: No endpoint could serve; the error of the last one tried.
        """
        first, *left = self._route.order
        await self._try_each(await self._left_after(error, first, left), error)

    async def _try_each(self, left: Sequence[Endpoint], failure: GlasslipperError) -> None:
        while left:
            endpoint, left = left[0], left[1:]
            try:
                await self._attempt(endpoint, left)
            except (UpstreamFailed, ContextTooLong, Unsupported) as error:
                failure = error
                left = await self._left_after(error, endpoint, left)
            else:
                return
        raise failure

    async def _left_after(
        self, error: GlasslipperError, failed: Endpoint, left: Sequence[Endpoint]
    ) -> Sequence[Endpoint]:
        await self._attempts.give_up(
            error,
            self.request,
            created_ms=self.created_ms,
            first_token_ms=self._first_token_ms,
        )
        return self._desk.router.left_after(
            error, failed=failed, left=left, request=self.request, tries=len(self._attempts)
        )

    def open_now(self) -> Attempted:
        """Write down the attempt at the first endpoint; whoever asks it feeds `take_in`.

        It must be durable before anybody is asked; see `Recorder.once_durable`.

        Raises:
            StoreFailed: It cannot be written; nothing may be asked of anybody.
        """
        self._open(self.first)
        return self._attempts.under_way.attempted

    @property
    def attempted(self) -> Attempted:
        """What was asked at the attempt that is under way."""
        return self._attempts.under_way.attempted

    def _open(self, endpoint: Endpoint) -> int:
        """Write down that an endpoint is about to be asked; return the journal's position."""
        if self._cell is None:
            self._cell = self._desk.ledger.recorder.take_cell()
        row = endpoint.pricing.row(self.created_ms, self._terms.input_units)
        attempted = Attempted(
            id=attempt_id(self.id, len(self._attempts) + 1),
            request=self.request,
            upstream_model=endpoint.upstream_model,
        )
        intent = self._intent(endpoint, attempted.id, row)
        self._attempts.current = None  # until the intent is written, nobody has been asked
        recorder = self._desk.ledger.recorder
        try:
            position = recorder.write_intent(intent, self._hold)
        finally:
            self._intended = recorder.is_open(self.id)
        self._head = []
        self._attempts.open(attempted, endpoint, row, started_ms=self._desk.clock.now_ms())
        return position

    async def _attempt(self, endpoint: Endpoint, left: Sequence[Endpoint]) -> None:
        position = self._open(endpoint)
        await self._desk.ledger.recorder.durable(position)
        current = self._attempts.under_way
        current.events = cast("AsyncGenerator[Event]", endpoint.upstream.send(current.attempted))
        async for event in current.events:
            self._head.append(event)
            if is_semantic(event):
                self._note_first(current)
                self._check_willing(event, endpoint, left)
                return
        raise StreamBroken(f"{endpoint.provider} ended the stream before it said anything.")

    def _note_first(self, current: Try) -> None:
        ticks_ms = self._desk.clock.ticks_ms()
        current.first_token_ms = ticks_ms - current.began_ms
        self._first_token_ms = int(ticks_ms - self._began_ms)

    def _check_willing(self, event: Event, endpoint: Endpoint, left: Sequence[Endpoint]) -> None:
        """Go on to another model that the client listed if this one declines to answer."""
        if self.request.models and is_refusal(event):
            if any(other.model != endpoint.model for other in left):
                raise UpstreamRefused(f"{endpoint.model} declined to answer.", upstream_status=403)

    def _intent(self, endpoint: Endpoint, attempt_id: str, row: PriceRow | None) -> Intent:
        ceiling = self._terms.dearest(endpoint)
        return Intent(
            generation_id=self.id,
            attempt_id=attempt_id,
            created_ms=self.created_ms,
            key_id=self._caller.account.key_id,
            accounts=self._caller.account.path,
            model=self._asked_for,
            endpoint=endpoint.id,
            provider=endpoint.provider,
            dialect=self._caption.dialect,
            streamed=self.request.stream,
            input_units=self._terms.input_units,
            held_nanousd=self._hold.nanousd,
            price=structs.replace(row, price=ceiling) if row and ceiling else row,
            cell=self._cell or 0,
            number=len(self._attempts) + 1,
            session_id=self.request.session_id,
            user=self.request.user,
            labels=self._labels,
            is_byok=endpoint.is_byok,
            uncharged=endpoint.uncharged,
        )

    @property
    def _asked_for(self) -> str:
        """The model that the client named."""
        return self.request.model if self.rerouted is None else self.rerouted.asked

    @property
    def _labels(self) -> dict[str, str]:
        return {**self.request.metadata, **self._caller.account.labels}

    # relay

    async def events(self) -> AsyncIterator[Event]:
        """Yield the answer's events, from the first to `Finished`.

        Bytes are counted in the exchange's cell before they are handed out.

        Raises:
            StreamBroken: The upstream broke off.
            UpstreamFailed: It failed midway.
        """
        current = self._attempts.current
        if current is None or current.events is None or self._cell is None:
            return
        relayed, cell = self._desk.ledger.recorder.relayed, self._cell
        for event in self._head:
            self._count(event)
            relayed[cell] = self._relayed.size_bytes
            yield event
        async for event in current.events:
            self._count(event)
            relayed[cell] = self._relayed.size_bytes
            yield event
        if self._relayed.finished is None:
            raise StreamBroken(f"{current.endpoint.provider} broke off before the answer ended.")

    def _count(self, event: Event) -> None:
        self._relayed.count(event)
        if isinstance(event, Started):
            self._attempts.under_way.started = event

    def take_in(self, events: Iterable[Event]) -> None:
        """Take in what came of the attempt that was opened by `open_now`, as it comes.

        Bytes are counted in the exchange's cell; hand the events out afterwards.
        """
        current, cell = self._attempts.current, self._cell
        if current is None or cell is None:
            return
        for event in events:
            if current.first_token_ms is None and is_semantic(event):
                self._note_first(current)
            self._count(event)
        self._desk.ledger.recorder.relayed[cell] = self._relayed.size_bytes

    def take_over(
        self,
        attempted: Attempted,
        events: Iterable[Event],
        *,
        passed_bytes: int,
        first_token_ms: float | None,
    ) -> None:
        """Take in what came of an adopted attempt so far; `attempted` goes on being filled."""
        current = self._attempts.under_way
        attempted.request = self.request
        current.attempted = attempted
        self.take_in(events)
        self.count_text(passed_bytes)
        if first_token_ms is not None:
            current.first_token_ms = first_token_ms
            self._first_token_ms = int(first_token_ms)

    def count_text(self, size_bytes: int) -> None:
        """Count text that is passed on as it came."""
        self._relayed.size_bytes += size_bytes
        if self._cell is not None:
            self._desk.ledger.recorder.relayed[self._cell] = self._relayed.size_bytes

    async def whole(self) -> Folder:
        """Read all events and return what they make up."""
        folder = Folder()
        async for event in self.events():
            folder.add(event)
        return folder

    # settle

    async def settle(self) -> Outcome:
        """Record the exchange as whole; return what it cost. Durable on return."""
        return await self._close("ok", None)

    async def fail(self, error: GlasslipperError) -> None:
        """Record that the exchange broke after something was relayed. Durable on return."""
        await self._close("truncated" if self._relayed.size_bytes else "error", error)

    async def _close(self, status: Status, error: BaseException | None) -> Outcome:
        if self._outcome is not None:
            return self._outcome
        current = self._attempts.current
        cancelled = None if current is None else await current.closed(self.id)
        outcome, position = self._end(status, error)
        if position is not None:
            await self._desk.ledger.recorder.durable(position)
        if cancelled is not None:
            raise cancelled
        return outcome

    def settle_now(self) -> Outcome:
        """Record the exchange as whole, durable or not; return what it cost."""
        outcome, _ = self._end("ok", None)
        return outcome

    def fail_now(self, error: GlasslipperError) -> None:
        """Record, durable or not, that it broke after something was relayed."""
        self._end("truncated" if self._relayed.size_bytes else "error", error)

    def abandon(self, error: BaseException | None) -> None:
        """Record, durable or not, that it ended early; `None`: the client left."""
        if self._outcome is None:
            self._end(status_of(error, self._relayed.size_bytes), error or asyncio.CancelledError())

    def _end(self, status: Status, error: BaseException | None) -> tuple[Outcome, int | None]:
        """Price and record; also return the journal's position to wait for, if any."""
        outcome = self._outcome = self._cost(status)
        try:
            return outcome, self._record(status, error, outcome)
        finally:
            recorder = self._desk.ledger.recorder
            if self._cell is not None and not recorder.is_open(self.id):
                recorder.give_cell(self._cell)
                self._cell = None

    def _record(self, status: Status, error: BaseException | None, outcome: Outcome) -> int | None:
        if self._intended:
            self._attempts.end(
                status,
                error,
                self.request,
                first_token_ms=self._first_token_ms,
                outcome=outcome,
            )
            record = self._generation(status, error, outcome)
            self._desk.tally.note(record, outcome.details)
            position = self._desk.ledger.recorder.write_generation(record)
            if self._desk.on_settled is not None:
                self._desk.on_settled(record, self.request)
            return position
        if self._hold.limited:
            self._desk.ledger.purse.release(self._hold)
        return None

    def _cost(self, status: Status) -> Outcome:
        return self._attempts.outcome(status, self._hold, created_ms=self.created_ms, name=self.id)

    def _generation(
        self, status: Status, error: BaseException | None, outcome: Outcome
    ) -> Generation:
        current = self._attempts.current
        finished, tools = self._relayed.finished, self._relayed.tools
        like = likeness(self.request, self._desk.salt)
        return Generation(
            id=self.id,
            created_ms=self.created_ms,
            key_id=self._caller.account.key_id,
            accounts=self._caller.account.path,
            model=self._asked_for,
            dialect=self._caption.dialect,
            status=status,
            model_served=self.model,
            endpoint=current.endpoint.id if current else None,
            provider=self.provider,
            streamed=self.request.stream,
            finish_reason=finished.reason if finished else None,
            native_finish_reason=finished.native if finished else None,
            error=slug_of(error),
            first_token_ms=self._first_token_ms,
            duration_ms=int(self._desk.clock.ticks_ms() - self._began_ms),
            usage=outcome.usage,
            estimated=current is not None and current.attempted.usage is None,
            held_nanousd=self._hold.nanousd,
            billed_nanousd=outcome.billed_nanousd,
            charged_nanousd=outcome.charged_nanousd,
            price_id=current.row.id if current and current.row else None,
            upstream_id=current.started.upstream_id if current else None,
            session_id=self.request.session_id,
            user=self.request.user,
            app=self._caption.app,
            referer=self._caption.referer,
            user_agent=self._caption.user_agent,
            labels=self._labels,
            attempts=tuple(self._attempts.records),
            candidates=self._candidates,
            is_byok=outcome.is_byok,
            system_print=like.system_print,
            turns=like.turns,
            tools_offered=like.tools_offered,
            tools_called=0 if tools is None else tools.calls,
        )
