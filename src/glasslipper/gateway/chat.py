"""The chat-completions and embeddings endpoints: from a body to an answer, whole or streamed."""

from __future__ import annotations

from glasslipper.gateway.auth import Caller
from glasslipper.gateway.dialects import chat as dialect
from glasslipper.gateway.dialects import embeddings
from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.embedding import embed
from glasslipper.gateway.exchange import Caption, Exchange, Outcome
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Headers, Http
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.record import Dialect

MOST_CAPTION_LETTERS = 256


async def completions(house: House, http: Http) -> None:
    """Answer `POST /chat/completions`."""
    caller = house.gatekeeper.admit(http.header(b"authorization"))
    request = dialect.decode(await read_body(house, http))
    exchange = Exchange(
        house.desk,
        caller,
        request,
        offered=house.offer.find(request.model),
        caption=caption_of(http, "chat"),
    )
    async with exchange:
        await exchange.begin()
        if request.stream:
            await _stream(exchange, http)
        else:
            await _whole(exchange, http)


async def _whole(exchange: Exchange, http: Http) -> None:
    answer = (await exchange.whole()).answer()
    outcome = await exchange.settle()
    body = dialect.encode_answer(answer, _head(exchange), _bill(outcome))
    await http.reply(200, body, _headers(exchange))


async def _stream(exchange: Exchange, http: Http) -> None:
    encoder = dialect.ChunkEncoder(_head(exchange))
    await http.start_stream(_headers(exchange))
    try:
        async for event in exchange.events():
            if frame := encoder.encode(event):
                await http.write(frame)
    except GlasslipperError as error:
        await exchange.fail(error)
        await http.end(encoder.error(error))
        return
    outcome = await exchange.settle()
    await http.end(encoder.finish(_bill(outcome)))


async def embeddings_endpoint(house: House, http: Http) -> None:
    """Answer `POST /embeddings`."""
    caller: Caller = house.gatekeeper.admit(http.header(b"authorization"))
    request = embeddings.decode(await read_body(house, http))
    made = await embed(
        house.desk,
        caller,
        request,
        offered=house.offer.find(request.model),
        caption=caption_of(http, "embeddings"),
    )
    body = embeddings.encode(
        made.vectors, head=made.head, bill=_bill(made.outcome), encoding=request.encoding
    )
    await http.reply(200, body, [(b"x-generation-id", made.head.id.encode())])


async def read_body(house: House, http: Http) -> bytes:
    """Return the body within the limits of the settings."""
    return await http.body(limit_bytes=house.settings.max_body_bytes)


def caption_of(http: Http, name: Dialect) -> Caption:
    """Return what the headers say about the request."""

    def short(header: bytes) -> str | None:
        text = http.header(header)
        return text[:MOST_CAPTION_LETTERS] if text else None

    return Caption(
        dialect=name,
        app=short(b"x-openrouter-title") or short(b"x-title"),
        referer=short(b"http-referer") or short(b"referer"),
        user_agent=short(b"user-agent"),
    )


def _head(exchange: Exchange) -> Head:
    return Head(
        id=exchange.id,
        model=exchange.model,
        created_s=exchange.created_ms // 1000,
        provider=exchange.provider,
    )


def _bill(outcome: Outcome) -> Bill:
    return Bill(
        usage=outcome.usage,
        cost_nanousd=outcome.charged_nanousd,
        upstream_nanousd=outcome.billed_nanousd,
    )


def _headers(exchange: Exchange) -> Headers:
    headers = [(b"x-generation-id", exchange.id.encode())]
    if exchange.shrunk_to is not None:
        headers.append((b"x-max-tokens-shrunk-to", str(exchange.shrunk_to).encode()))
    return headers
