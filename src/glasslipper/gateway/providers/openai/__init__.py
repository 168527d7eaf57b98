"""The codec for every provider that speaks OpenAI's chat completions and embeddings.

It says what to send, sends it once through the transport and reads what comes back. It does not
retry, choose, price or record; the provider's row in the table says what is done differently.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import cached_property

from msgspec import DecodeError, ValidationError
from msgspec.json import Decoder

from glasslipper import __version__
from glasslipper.gateway.providers.openai.answer import Reading
from glasslipper.gateway.providers.openai.refusal import Refusals
from glasslipper.gateway.providers.openai.request import encode_request, write_json
from glasslipper.gateway.providers.openai.usage import usage_of
from glasslipper.gateway.providers.openai.wire import Embeddings
from glasslipper.gateway.providers.table import Provider
from glasslipper.gateway.transport import Lane, Origin, Pushed, Reply, Timeouts, Transport
from glasslipper.kernel.errors import (
    GlasslipperError,
    SetupMissing,
    StreamBroken,
    UpstreamFailed,
)
from glasslipper.kernel.events import Event
from glasslipper.kernel.ids import new_id
from glasslipper.kernel.ports import Attempted, EmbeddingResult
from glasslipper.kernel.usage import Usage

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_REFUSAL_BYTES = 64 * 1024

LINGER_S = 0.05
"""How long the end of a body may follow the end of a stream for the connection to be kept."""

_MARK = b"glasslipper-request-id"
_USER_AGENT = f"glasslipper/{__version__}".encode()
_embeddings = Decoder(Embeddings)


class OpenAICompatible:
    """One provider, reached at one address with one key."""

    def __init__(
        self,
        transport: Transport,
        provider: Provider,
        *,
        key: str | None,
        base_url: str | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        """Reach `provider` through `transport`, at `base_url` or where its row says.

        Raises:
            SetupMissing: The key cannot be sent in a header.
            InvalidRequest: The base URL is none.
        """
        if key is not None and not (key.isascii() and key.isprintable()):
            raise SetupMissing(
                f"The key of {provider.name} contains what no HTTP header may contain.",
                hint="Set it again, without line breaks or special characters.",
            )
        self.provider = provider
        self._transport = transport
        self._origin, path = Origin.parse(base_url or provider.base_url)
        self._chat = f"{path}/chat/completions".encode("ascii")
        self._embeddings = f"{path}/embeddings".encode("ascii")
        self._timeouts = timeouts or Timeouts()
        self._refusals = Refusals(provider, key)
        self._headers: list[tuple[bytes, bytes]] = [
            (b"content-type", b"application/json"),
            (b"accept-encoding", b"identity"),
            (b"user-agent", _USER_AGENT),
        ]
        if key is not None:
            self._headers.append((b"authorization", b"Bearer " + key.encode("ascii")))
        self._whole_headers = [*self._headers, (b"accept", b"application/json")]
        self._stream_headers = [*self._headers, (b"accept", b"text/event-stream")]

    async def send(self, attempt: Attempted) -> AsyncGenerator[Event, None]:
        """Run the attempt and yield its events; closing the iterator ends the call.

        Raises:
            InvalidRequest: The request cannot be said in this provider's words.
            UpstreamFailed: What went wrong at the provider or on the way.
            ContextTooLong: The provider finds the prompt too long.
        """
        body = encode_request(
            attempt.request, provider=self.provider, upstream_model=attempt.upstream_model
        )
        streams = attempt.request.stream
        reply = await self._ask(self._chat, body, request_id=attempt.id, streams=streams)
        try:
            if not 200 <= reply.status < 300:
                raise await self._refusal(reply)
            reading = Reading(attempt, self._refusals)
            if is_stream(reply, expected=streams):
                while (data := await _next(reply, reading)) is not None:
                    for event in reading.feed(data):
                        yield event
            else:
                for event in reading.take(await reply.read(limit_bytes=MAX_ANSWER_BYTES)):
                    yield event
            for event in reading.end():
                yield event
            if reply.source is not None or reply.chunks:
                await _linger(reply)
        finally:
            reply.close()

    async def connect(self) -> None:
        """Have one more connection at rest.

        Raises:
            UpstreamFailed: There is no way to connect, or it took too long.
        """
        await self._transport.connect(self._origin, timeouts=self._timeouts)

    def ask_now(
        self,
        body: bytes,
        *,
        request_id: bytes,
        streams: bool,
        now_s: float,
        heard: Callable[[], None],
    ) -> Pushed | None:
        """Send a body over a connection that rests; `None` if there is none.

        `heard` is called whenever there is news. `request_id` holds nothing but letters, digits
        and hyphens.
        """
        connection = self._lane.take()
        if connection is None:
            return None
        head = self._stream_head if streams else self._whole_head
        request = head % (request_id, len(body), body)
        return connection.ask_now(request, timeouts=self._timeouts, now_s=now_s, heard=heard)

    def _head(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Return the head of every request, with places for its id, its length and its body."""
        asked = [*headers, (b"x-request-id", _MARK)]
        head = self._lane.encode(b"POST", self._chat, asked, b"").replace(b"%", b"%%")
        return head.replace(_MARK, b"%b").replace(
            b"content-length: 0\r\n\r\n", b"content-length: %d\r\n\r\n%b"
        )

    @cached_property
    def _lane(self) -> Lane:
        return self._transport.lane(self._origin)

    @cached_property
    def _whole_head(self) -> bytes:
        return self._head(self._whole_headers)

    @cached_property
    def _stream_head(self) -> bytes:
        return self._head(self._stream_headers)

    def reading(self, attempt: Attempted) -> Reading:
        """Return what turns the answer to an attempt into events."""
        return Reading(attempt, self._refusals)

    def refusal(self, reply: Reply, body: bytes) -> GlasslipperError:
        """Return what an answer that is no success says."""
        return self._refusals.of_reply(reply.status, reply.headers, body[:MAX_REFUSAL_BYTES])

    async def embed(
        self, model: str, texts: Sequence[str], dimensions: int | None
    ) -> EmbeddingResult:
        """Return one vector for each text.

        Raises:
            InvalidRequest: A text cannot be written as JSON.
            UpstreamFailed: What went wrong at the provider or on the way.
            ContextTooLong: The provider finds a text too long.
        """
        ask: dict[str, object] = {"model": model, "input": texts, "encoding_format": "float"}
        if dimensions is not None:
            ask["dimensions"] = dimensions
        reply = await self._ask(
            self._embeddings, write_json(ask), request_id=new_id("emb"), streams=False
        )
        try:
            if not 200 <= reply.status < 300:
                raise await self._refusal(reply)
            body = await reply.read(limit_bytes=MAX_ANSWER_BYTES)
        finally:
            reply.close()
        return self._vectors(body, count=len(texts))

    def _vectors(self, body: bytes, *, count: int) -> EmbeddingResult:
        name = self.provider.name
        try:
            answer = _embeddings.decode(body)
        except (ValidationError, DecodeError, UnicodeError, RecursionError) as error:
            raise StreamBroken(f"{name} sent what is no answer: {error}.") from None
        if answer.error is not None:
            raise self._refusals.of_error(answer.error)
        by_index = {vector.index: vector.embedding for vector in answer.data}
        if sorted(by_index) != list(range(count)):
            raise StreamBroken(f"{name} sent other vectors than one for each text.")
        usage = usage_of(answer.usage) if answer.usage else Usage()
        return EmbeddingResult(
            vectors=[by_index[at] for at in range(count)],
            tokens=usage.prompt_tokens,
            reported_nanousd=usage.reported_nanousd,
        )

    async def _ask(self, target: bytes, body: bytes, *, request_id: str, streams: bool) -> Reply:
        headers = [
            *(self._stream_headers if streams else self._whole_headers),
            (b"x-request-id", request_id.encode("ascii")),
        ]
        return await self._transport.send(
            self._origin, b"POST", target, headers, body, timeouts=self._timeouts
        )

    async def _refusal(self, reply: Reply) -> GlasslipperError:
        """Return what an answer that is no success says; a page too long to read says nothing."""
        try:
            body = await reply.read(limit_bytes=MAX_REFUSAL_BYTES)
        except UpstreamFailed:
            body = b""
        return self._refusals.of_reply(reply.status, reply.headers, body)


def is_stream(reply: Reply, *, expected: bool) -> bool:
    """Judge by what came, and only where that says nothing by what was asked for."""
    kind = reply.headers.get(b"content-type", b"").lower()
    if kind.startswith(b"text/event-stream"):
        return True
    return expected and b"json" not in kind


async def _next(reply: Reply, reading: Reading) -> bytes | None:
    """Return the next bytes of a stream, or `None` at its end.

    A failure after the answer has said why it ended takes nothing away from it.
    """
    if reading.is_done:
        return None
    try:
        return await anext(reply, None)
    except UpstreamFailed:
        if reading.has_finished:
            return None
        raise


async def _linger(reply: Reply) -> None:
    """Give the body a moment to end too, so that its connection can be used again."""
    try:
        async with asyncio.timeout(LINGER_S):
            async for _rest in reply:
                pass
    except (TimeoutError, UpstreamFailed):
        return
