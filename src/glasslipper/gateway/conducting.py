"""Requests that a conductor answers: many exchanges behind one answer.

The conductor (a port; `cli` plugs it in) calls models through an `AccountCaller`, and each of
its calls is an exchange like any other: held, recorded, settled, for the same account. What the
client gets is one answer in its own dialect, with what all calls took and a breakdown.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from types import MappingProxyType

import msgspec
from msgspec import structs

from glasslipper.gateway import endpoints as ends
from glasslipper.gateway.able import is_able
from glasslipper.gateway.answering import Encoder, Heard
from glasslipper.gateway.auth import Caller
from glasslipper.gateway.desk import Caption, Outcome
from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.endpoints import DEFAULT_OUTPUT_TOKENS, Endpoint
from glasslipper.gateway.exchange import Exchange
from glasslipper.gateway.house import House
from glasslipper.gateway.http import EVENTS, Headers, Http
from glasslipper.gateway.routing import choices
from glasslipper.gateway.routing.wishes import read_wishes
from glasslipper.kernel.errors import (
    BudgetExhausted,
    GlasslipperError,
    InvalidRequest,
    NoEndpointLeft,
    PriceUnknown,
)
from glasslipper.kernel.events import Event, Folder
from glasslipper.kernel.finish import Status
from glasslipper.kernel.ids import new_id
from glasslipper.kernel.messages import Request
from glasslipper.kernel.money import FREE, Price
from glasslipper.kernel.ports import Conductor, Playable, Played, Receipt, Step, Voice
from glasslipper.kernel.record import Intent, LateFact, PriceRow

_encode = msgspec.json.Encoder().encode


class Conducting:
    """What a house needs to serve a conductor."""

    def __init__(self, conductor: Conductor) -> None:
        """Serve this one."""
        self._conductor = conductor
        self.conducts = conductor.conducts
        self.cards = conductor.cards
        self.close = conductor.close

    async def answer(
        self, house: House, http: Http, heard: Heard, request: Request, caption: Caption
    ) -> bool:
        """Serve a request that the conductor answers; tell whether its answer is whole."""
        caller = AccountCaller(house, self._conductor, heard.caller, caption)
        plan = self._conductor.plan(request, caller)
        if plan is not None:
            told = {"object": "glasslipper.plan", **msgspec.structs.asdict(plan)}
            await http.reply(200, _encode(told))
            return True
        is_told = request.stream and self._conductor.wants_steps(request)
        is_told = is_told and heard.kind == EVENTS  # a JSON array has no place for them
        show = _Show(house, http, heard, request, is_told=is_told)
        playing = self._conductor.run(request, caller)
        try:
            async for piece in playing:
                await show.take(piece)
        except GlasslipperError as error:
            if not await show.break_off(error):
                raise
            return False
        finally:
            await _close(playing)
        await show.end(caller)
        return True


class _Show:
    """What the client sees of an episode, whole or streamed."""

    def __init__(
        self, house: House, http: Http, heard: Heard, request: Request, *, is_told: bool
    ) -> None:
        self._is_told = is_told
        self._house = house
        self._http = http
        self._heard = heard
        self._streams = request.stream
        self._created_s = house.clock.now_ms() // 1000
        self._folder = Folder()
        self._encoder: Encoder | None = None
        self._id = new_id("gen")
        self._model = request.model
        self._played: Played | None = None

    async def take(self, piece: Event | Step | Voice | Played) -> None:
        """Show a piece, or keep it until the end."""
        if isinstance(piece, Played):
            self._played = piece
        elif isinstance(piece, Voice):
            self._id, self._model = piece.generation_id, piece.model
        elif isinstance(piece, Step):
            if self._is_told:
                await self._open()
                await self._http.write(
                    b"event: glasslipper.step\ndata: " + _encode(piece) + b"\n\n"
                )
        elif self._streams:
            await self._open()
            if self._encoder is None:
                self._encoder = self._heard.speaker.stream(self._head())
            if frame := self._encoder.encode(piece):
                await self._http.write(frame)
        else:
            self._folder.add(piece)

    async def break_off(self, error: GlasslipperError) -> bool:
        """Tell the client in the stream that it ends here; `False` if none has begun."""
        if not self._http.started:
            return False
        encoder = self._encoder or self._heard.speaker.stream(self._head())
        await self._http.end(encoder.error(error))
        return True

    async def end(self, caller: AccountCaller) -> None:
        """Finish the answer: what it took, and how it came about."""
        played = self._played
        if played is None:
            raise NoEndpointLeft("The episode ended without an answer.")
        bill = Bill(usage=played.usage, cost_nanousd=played.charged_nanousd)
        await caller.note(played)
        played = structs.replace(played, opening=None)
        if self._encoder is not None:
            if self._is_told:
                told = b"event: glasslipper.played\ndata: " + _encode(played) + b"\n\n"
                await self._http.write(told)
            last = self._encoder.finish(bill)
        else:
            last = _with(
                self._heard.speaker.whole(self._folder.answer(), self._head(), bill), played
            )
        if self._heard.before_end is not None:
            await self._heard.before_end()
        if self._encoder is not None:
            await self._http.end(last)
        else:
            await self._http.reply(200, last, [*self._headers(played), *self._heard.headers])

    async def _open(self) -> None:
        if not self._http.started:
            headers = [(b"x-generation-id", self._id.encode())] if not self._is_told else []
            await self._http.start_stream([*headers, *self._heard.headers], kind=self._heard.kind)

    def _head(self) -> Head:
        return Head(
            id=self._id, model=self._model, created_s=self._created_s, provider="glasslipper"
        )

    def _headers(self, played: Played) -> Headers:
        return [
            (b"x-generation-id", played.replay_id.encode()),
            (b"x-replay-id", played.replay_id.encode()),
            (b"x-model", played.model.encode()),
            (b"x-policy", played.policy.encode()),
            (b"x-calls", str(len(played.steps)).encode()),
        ]


class AccountCaller:
    """A `kernel.ports.Caller` for one key."""

    def __init__(
        self, house: House, conductor: Conductor, caller: Caller, caption: Caption
    ) -> None:
        self._house = house
        self._conductor = conductor
        self._caller = caller
        self._caption = caption
        self._shortened: Request | None = None

    @property
    def owner(self) -> str:
        """The key's id."""
        return self._caller.key.id

    def models(self, request: Request) -> Sequence[Playable]:
        """Return every model that answers in words, the cheapest first.

        Raises:
            InvalidRequest: What the request wishes of providers is not well formed.
        """
        now_ms, wishes = self._house.clock.now_ms(), read_wishes(request)
        lets_in, account = self._house.desk.keyring.lets_in, self._caller.account
        found: list[Playable] = []
        for model, endpoints in self._house.offer:
            usable = [one for one in endpoints if not one.embeds_only and lets_in(one, account)]
            able = [one for one in usable if is_able(one, request, wishes, now_ms=now_ms)]
            if usable:
                found.append(_playable(model, (able or usable)[0], now_ms, able=bool(able)))
        return sorted(found, key=lambda one: (one.input + 2 * one.output, one.model))

    def within(self, request: Request, nanousd: int | None) -> tuple[Request, int]:
        """Return the request as an amount can pay for it, and the most that it may cost."""
        endpoints = choices(self._house.offer, request)
        units = ends.input_ceiling(request)
        now_ms = self._house.clock.now_ms()
        prices = [endpoint.pricing.ceiling(now_ms, units) for endpoint in endpoints]
        if nanousd is not None and None in prices:
            raise PriceUnknown(f"`max_cost_usd` is set, and nobody knows {request.model}'s price.")
        most = max(
            _ceiling(price, units, endpoint.output_ceiling(request))
            for price, endpoint in zip(prices, endpoints, strict=True)
        )
        if nanousd is None or most <= nanousd:
            return request, most
        tokens = min(
            ends.output_within(price or FREE, input_units=units, nanousd=nanousd)
            for price in prices
        )
        if tokens < 1:
            raise BudgetExhausted(
                f"What is left of `max_cost_usd` does not pay for {request.model}.",
                left_nanousd=nanousd,
                hint="Raise `auto.max_cost_usd`, or allow a cheaper model.",
            )
        tokens = min(tokens, DEFAULT_OUTPUT_TOKENS)
        sampling = structs.replace(request.sampling, max_tokens=tokens)
        self._shortened = structs.replace(request, sampling=sampling)
        return self._shortened, nanousd

    async def call(
        self,
        request: Request,
        *,
        ceiling_nanousd: int | None,
        receipt: Receipt,
        labels: Mapping[str, str],
    ) -> AsyncGenerator[Event]:
        """Run one exchange; see `kernel.ports.Caller`."""
        if self._conductor.conducts(request.model):
            raise InvalidRequest(f"{request.model} may not call itself.")
        receipt.called = False
        exchange = _Capped(
            self._house.desk,
            self._caller,
            request,
            offered=choices(self._house.offer, request),
            caption=self._caption,
        )
        exchange.most_nanousd = ceiling_nanousd
        exchange.labels = labels
        if request is self._shortened:
            exchange.may_shrink()
        receipt.generation_id = exchange.id
        try:
            async with exchange:
                await exchange.begin()
                receipt.model = exchange.model
                async for event in exchange.events():
                    yield event
                await exchange.settle()
        finally:
            receipt.called = exchange.tries > 0
            if exchange.paid is not None:
                receipt.usage = exchange.paid.usage
                receipt.charged_nanousd = exchange.paid.charged_nanousd
                receipt.billed_nanousd = exchange.paid.billed_nanousd
                receipt.spent_nanousd = exchange.spent_nanousd

    async def note(self, played: Played) -> None:
        """Write down how an episode went, for whoever learns from it."""
        steps = [structs.replace(step, text="") for step in played.steps]
        fact = LateFact(
            id=new_id("fact"),
            kind="episode",
            noted_ms=self._house.clock.now_ms(),
            key_id=self._caller.key.id,
            generation_id=played.replay_id,
            body={
                "policy": played.policy,
                "why": played.why,
                "steps": msgspec.to_builtins(steps),
                "opening": msgspec.to_builtins(played.opening),
            },
        )
        await self._house.ledger.recorder.note(fact)


class _Capped(Exchange):
    """An exchange of which no more than an amount is charged, whatever the provider says."""

    most_nanousd: int | None = None
    paid: Outcome | None = None
    labels: Mapping[str, str] = MappingProxyType({})

    @property
    def _labels(self) -> dict[str, str]:
        """What the record keeps; a provider is told no more than the client's own metadata."""
        return {**super()._labels, **self.labels}

    def may_shrink(self) -> None:
        """Shrink the answer to what a budget has left: its length is no wish of the client's."""
        self._may_shrink = True

    @property
    def spent_nanousd(self) -> int:
        """What has been charged, or billed to a key of the account's own; up to the bound."""
        if self.paid is None or not self.paid.is_byok:
            return 0 if self.paid is None else self.paid.charged_nanousd
        billed, most = self.paid.billed_nanousd, self.most_nanousd
        return billed if most is None else min(billed, most)

    def _intent(self, endpoint: Endpoint, attempt_id: str, row: PriceRow | None) -> Intent:
        """Let whoever closes it after a crash know the bound too."""
        intent = super()._intent(endpoint, attempt_id, row)
        most, held = self.most_nanousd, intent.held_nanousd
        if most is None:
            return intent
        return structs.replace(intent, held_nanousd=min(held, most) if held else most)

    def _cost(self, status: Status) -> Outcome:
        outcome = super()._cost(status)
        if self.most_nanousd is not None and outcome.charged_nanousd > self.most_nanousd:
            outcome = structs.replace(outcome, charged_nanousd=self.most_nanousd)
        self.paid = outcome
        return outcome


def _playable(model: str, endpoint: Endpoint, now_ms: int, *, able: bool) -> Playable:
    row = endpoint.pricing.row(now_ms, 0)
    price = row.price if row else FREE
    if price.cpu_us and not price.input:
        known = endpoint.pricing.ceiling(now_ms, 0)
        price = known or price
    return Playable(
        model=model,
        input=price.input,
        output=price.output,
        cached=price.rate("cache_read"),
        context_tokens=endpoint.context_tokens,
        is_local=endpoint.is_local,
        able=able,
    )


def _ceiling(price: Price | None, input_units: int, output_units: int) -> int:
    return ends.cost_ceiling(price or FREE, input_units=input_units, output_units=output_units)


def _with(body: bytes, played: Played) -> bytes:
    """Return an answer, a JSON object, with one more member."""
    return body[:-1] + b',"glasslipper":' + _encode(played) + b"}"


async def _close(playing: AsyncIterator[object]) -> None:
    close = getattr(playing, "aclose", None)
    if close is not None:
        await close()
