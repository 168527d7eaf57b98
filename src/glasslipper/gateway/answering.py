"""From a decoded request to an answer on the wire, whole or streamed, in any dialect.

A dialect's handler decodes the body and says how answers are spoken; everything between is the
same for all of them and stands here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec
from msgspec import structs

from glasslipper.gateway.auth import Caller
from glasslipper.gateway.desk import Caption, Outcome
from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.exchange import Exchange
from glasslipper.gateway.house import House
from glasslipper.gateway.http import EVENTS, Headers, Http
from glasslipper.gateway.idempotency import Recorded, place_of
from glasslipper.gateway.rerouting import HEADER, OFF, Rerouted
from glasslipper.gateway.routing import choices
from glasslipper.kernel.errors import GlasslipperError, ModelUnknown
from glasslipper.kernel.events import Answer, Event
from glasslipper.kernel.messages import Request
from glasslipper.kernel.record import Dialect

MOST_CAPTION_LETTERS = 256
MOST_SESSION_LETTERS = 256


class Encoder(Protocol):
    """Speaks one stream, piece by piece."""

    def encode(self, event: Event, /) -> bytes:
        """Return what an event is on the wire; may be nothing."""
        ...

    def finish(self, bill: Bill, /) -> bytes:
        """Return what follows the last event of a whole answer."""
        ...

    def error(self, error: GlasslipperError, /) -> bytes:
        """Return what tells that the stream ends here, broken."""
        ...


class Speaker(Protocol):
    """How one request's answer is spoken."""

    def whole(self, answer: Answer, head: Head, bill: Bill, /) -> bytes:
        """Return the body of a whole answer."""
        ...

    def stream(self, head: Head, /) -> Encoder:
        """Return the encoder of a streamed answer."""
        ...


class Heard:
    """A request as it was heard: who asks, what, in which dialect, and how to answer."""

    __slots__ = ("before_end", "body", "caller", "dialect", "headers", "kind", "request", "speaker")

    def __init__(
        self,
        *,
        caller: Caller,
        request: Request,
        body: bytes,
        dialect: Dialect,
        speaker: Speaker,
        kind: bytes = EVENTS,
        before_end: Callable[[], Awaitable[None]] | None = None,
        headers: Headers = (),
    ) -> None:
        """`kind` is the content type of streams; `before_end` runs before the end is told.

        `headers` go with the answer.
        """
        self.caller = caller
        self.request = request
        self.body = body
        self.dialect: Dialect = dialect
        self.speaker = speaker
        self.kind = kind
        self.before_end = before_end
        self.headers = headers


async def answer(house: House, http: Http, heard: Heard) -> None:
    """Serve a request and send the answer.

    With an idempotency key, an answer that was given is given again.
    """
    place = place_of(http, heard.caller.key.id)
    if place is None:
        await _serve(house, http, heard)
        return
    replay = await house.replays.find(place, heard.body)
    if replay is not None:
        await replay.again(http)
        return
    replay = house.replays.begin(place, heard.body)
    whole = False
    try:
        whole = await _serve(house, Recorded(http, replay), heard)
    finally:
        house.replays.end(place, replay, whole=whole)


async def _serve(house: House, http: Http, heard: Heard) -> bool:
    """Serve a request; tell whether its answer is whole."""
    request = _as_heard(heard.request, heard.dialect, http)
    conducting = house.conducting
    if conducting is not None and conducting.conducts(request.model):
        return await conducting.answer(house, http, heard, request, caption_of(http, heard.dialect))
    request, rerouted = _rerouted(house, http, heard, request)
    try:
        offered = choices(house.offer, request)
    except ModelUnknown:
        if not await house.suppliers.catch_up():
            raise
        offered = choices(house.offer, request)
    async with Exchange(
        house.desk,
        heard.caller,
        request,
        offered=offered,
        caption=caption_of(http, heard.dialect),
        rerouted=rerouted,
    ) as exchange:
        await exchange.begin()
        return await finish(exchange, http, heard)


def _rerouted(
    house: House, http: Http, heard: Heard, request: Request
) -> tuple[Request, Rerouted | None]:
    """Return the request as a rule about its workload wants it, unless the client will not."""
    rules, key_id = house.suppliers.rerouting, heard.caller.key.id
    if key_id not in rules.keys or (http.header(HEADER) or "").lower() == OFF:
        return request, None
    app = caption_of(http, heard.dialect).app
    return rules.apply(request, house.offer, key_id=key_id, app=app, salt=house.desk.salt)


async def finish(exchange: Exchange, http: Http, heard: Heard) -> bool:
    """Send the answer of an exchange that has begun; tell whether it is whole."""
    if heard.request.stream:
        return await _stream(exchange, http, heard)
    await _whole(exchange, http, heard)
    return True


def _as_heard(request: Request, dialect: Dialect, http: Http) -> Request:
    session = http.header(b"x-session-id")
    if session and request.session_id is None:
        request = structs.replace(request, session_id=session[:MOST_SESSION_LETTERS])
    return structs.replace(request, heard_as=dialect)


async def _whole(exchange: Exchange, http: Http, heard: Heard) -> None:
    said = (await exchange.whole()).answer()
    outcome = await exchange.settle()
    body = heard.speaker.whole(said, head_of(exchange), bill_of_outcome(outcome))
    if heard.before_end is not None:
        await heard.before_end()
    await http.reply(200, body, [*headers_of(exchange, http), *heard.headers])


async def _stream(exchange: Exchange, http: Http, heard: Heard) -> bool:
    encoder = heard.speaker.stream(head_of(exchange))
    headers = [*headers_of(exchange, http), *heard.headers]
    await http.start_stream(headers, kind=heard.kind)
    try:
        async for event in exchange.events():
            if frame := encoder.encode(event):
                await http.write(frame)
    except GlasslipperError as error:
        await exchange.fail(error)
        await http.end(encoder.error(error))
        return False
    outcome = await exchange.settle()
    last = encoder.finish(bill_of_outcome(outcome))
    if heard.before_end is not None:
        await heard.before_end()
    await http.end(last)
    return True


def caption_of(http: Http, name: Dialect) -> Caption:
    """Return what the headers say about the request."""
    return caption_of_fields(http.headers, name)


def caption_of_fields(fields: Mapping[bytes, bytes], name: Dialect) -> Caption:
    """Return what header fields, by lower-case name, say about the request."""

    def short(header: bytes) -> str | None:
        value = fields.get(header)
        return value.decode("latin-1")[:MOST_CAPTION_LETTERS] if value else None

    return Caption(
        dialect=name,
        app=short(b"x-openrouter-title") or short(b"x-title"),
        referer=short(b"http-referer") or short(b"referer"),
        user_agent=short(b"user-agent"),
    )


def head_of(exchange: Exchange) -> Head:
    """Return what is written around an exchange's answer."""
    return Head(
        id=exchange.id,
        model=exchange.model,
        created_s=exchange.created_ms // 1000,
        provider=exchange.provider,
    )


def bill_of_outcome(outcome: Outcome) -> Bill:
    """Return what an exchange cost, as dialects write it."""
    return Bill(
        usage=outcome.usage,
        cost_nanousd=outcome.charged_nanousd,
        upstream_nanousd=outcome.billed_nanousd,
        is_byok=outcome.is_byok,
        price=outcome.price,
        details=outcome.details,
    )


def headers_of(exchange: Exchange, http: Http) -> Headers:
    """Return the headers of an answer; how it was routed is told to who asks for it."""
    headers = [(b"x-generation-id", exchange.id.encode())]
    if exchange.rerouted is not None and exchange.model == exchange.rerouted.to:
        headers.append((b"x-rerouted-by", exchange.rerouted.rule.encode()))
        headers.append((b"x-rerouted-from", exchange.rerouted.asked.encode("ascii", "replace")))
    if exchange.shrunk_to is not None:
        headers.append((b"x-max-tokens-shrunk-to", str(exchange.shrunk_to).encode()))
    if exchange.form_check is not None:
        headers.append((b"x-schema-check", exchange.form_check.encode()))
    if (http.header(b"x-openrouter-metadata") or "").lower() == "enabled":
        headers.append((b"x-route", msgspec.json.encode(_explained(exchange))))
    return headers


def _explained(exchange: Exchange) -> Mapping[str, object]:
    return {
        "endpoint": exchange.endpoint,
        "candidates": [msgspec.to_builtins(one) for one in exchange.candidates],
        "attempts": exchange.tries,
    }
