"""The codec for Google's Gemini API: `generateContent`, its stream, counts and embeddings.

It says what to send, sends it once through the transport and reads what comes back. It does not
retry, choose, price or record. `gemini_request`, `gemini_turns` and `gemini_media` write,
`gemini_answer`, `gemini_usage` and `gemini_refusal` read, in the types of `gemini_wire`;
`gemini_models` knows what the generations of models take.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import msgspec
from msgspec.json import Decoder

from glasslipper import __version__
from glasslipper.gateway.providers.gemini.answer import Reading
from glasslipper.gateway.providers.gemini.models import resource
from glasslipper.gateway.providers.gemini.refusal import NAME, Refusals
from glasslipper.gateway.providers.gemini.request import (
    encode_count,
    encode_request,
    write_json,
)
from glasslipper.gateway.providers.gemini.usage import usage_of
from glasslipper.gateway.providers.gemini.wire import Embeddings, TokenCount
from glasslipper.gateway.transport import Origin, Reply, Timeouts, Transport
from glasslipper.kernel.errors import GlasslipperError, SetupMissing, StreamBroken, UpstreamFailed
from glasslipper.kernel.events import Event
from glasslipper.kernel.ids import new_id
from glasslipper.kernel.messages import Request
from glasslipper.kernel.ports import Attempted, EmbeddingResult

BASE_URL = "https://generativelanguage.googleapis.com/v1beta"
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_REFUSAL_BYTES = 64 * 1024

EMBED_AT_ONCE = 100
"""Texts that Google takes in one request."""

_USER_AGENT = f"glasslipper/{__version__}".encode()
_embeddings = Decoder(Embeddings)
_counts = Decoder(TokenCount)


class Gemini:
    """Google's models, reached at one address with one key."""

    def __init__(
        self,
        transport: Transport,
        *,
        key: str,
        base_url: str = BASE_URL,
        timeouts: Timeouts | None = None,
    ) -> None:
        """Reach Google through `transport` at `base_url`; the key goes in a header only.

        Raises:
            SetupMissing: The key cannot be sent in a header.
            InvalidRequest: The base URL is none.
        """
        if not (key and key.isascii() and key.isprintable()):
            raise SetupMissing(
                f"The key of {NAME} is empty or contains what no HTTP header may contain.",
                hint="Set it again, without line breaks or special characters.",
            )
        self._transport = transport
        self._origin, self._path = Origin.parse(base_url)
        self._base_url = base_url.rstrip("/")
        self._timeouts = timeouts or Timeouts()
        self._refusals = Refusals(key)
        self._headers: list[tuple[bytes, bytes]] = [
            (b"content-type", b"application/json"),
            (b"accept-encoding", b"identity"),
            (b"user-agent", _USER_AGENT),
            (b"x-goog-api-key", key.encode("ascii")),
        ]

    async def send(self, attempt: Attempted) -> AsyncGenerator[Event, None]:
        """Run the attempt and yield its events; closing the iterator ends the call.

        Raises:
            InvalidRequest: The request cannot be said in Gemini's words.
            UpstreamFailed: What went wrong at Google or on the way.
            ContextTooLong: Google finds the prompt too long.
        """
        request = attempt.request
        model = resource(attempt.upstream_model)
        body = encode_request(
            request, upstream_model=attempt.upstream_model, base_url=self._base_url
        )
        method = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
        reply = await self._ask(
            f"{model}:{method}", body, request_id=attempt.id, streams=request.stream
        )
        try:
            if not 200 <= reply.status < 300:
                raise await self._refusal(reply)
            reading = Reading(attempt, self._refusals)
            if _is_stream(reply, expected=request.stream):
                while (data := await _next(reply, reading)) is not None:
                    for event in reading.feed(data):
                        yield event
            else:
                for event in reading.take(await reply.read(limit_bytes=MAX_ANSWER_BYTES)):
                    yield event
            for event in reading.end():
                yield event
        finally:
            reply.close()

    async def count(self, request: Request, *, upstream_model: str) -> int:
        """Return how many tokens the prompt of a request has for a model.

        Raises:
            InvalidRequest: The request cannot be said in Gemini's words.
            UpstreamFailed: What went wrong at Google or on the way.
            ContextTooLong: Google finds the prompt too long.
        """
        body = encode_count(request, upstream_model=upstream_model, base_url=self._base_url)
        target = f"{resource(upstream_model)}:countTokens"
        reply = await self._ask(target, body, request_id=new_id("cnt"), streams=False)
        try:
            if not 200 <= reply.status < 300:
                raise await self._refusal(reply)
            told = await reply.read(limit_bytes=MAX_REFUSAL_BYTES)
        finally:
            reply.close()
        try:
            return _counts.decode(told).total_tokens
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise StreamBroken(f"{NAME} sent what is no answer: {error}.") from None

    async def embed(
        self, model: str, texts: Sequence[str], dimensions: int | None
    ) -> EmbeddingResult:
        """Return one vector for each text; `tokens` is 0 where Google does not count them.

        Raises:
            InvalidRequest: A text cannot be written as JSON, or Google has no such model.
            UpstreamFailed: What went wrong at Google or on the way.
            ContextTooLong: Google finds a text too long.
        """
        vectors: list[Sequence[float]] = []
        tokens = 0
        for start in range(0, len(texts), EMBED_AT_ONCE):
            some = texts[start : start + EMBED_AT_ONCE]
            result = await self._embed(resource(model), some, dimensions)
            vectors.extend(result.vectors)
            tokens += result.tokens
        return EmbeddingResult(vectors=vectors, tokens=tokens)

    async def _embed(
        self, model: str, texts: Sequence[str], dimensions: int | None
    ) -> EmbeddingResult:
        wish = {} if dimensions is None else {"outputDimensionality": dimensions}
        asks = [{"model": model, "content": {"parts": [{"text": each}]}, **wish} for each in texts]
        body = write_json({"requests": asks})
        reply = await self._ask(
            f"{model}:batchEmbedContents", body, request_id=new_id("emb"), streams=False
        )
        try:
            if not 200 <= reply.status < 300:
                raise await self._refusal(reply)
            return self._vectors(await reply.read(limit_bytes=MAX_ANSWER_BYTES), count=len(texts))
        finally:
            reply.close()

    def _vectors(self, body: bytes, *, count: int) -> EmbeddingResult:
        try:
            answer = _embeddings.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise StreamBroken(f"{NAME} sent what is no answer: {error}.") from None
        if answer.error is not None:
            raise self._refusals.of_error(answer.error)
        vectors = [vector.values for vector in answer.embeddings or ()]
        if len(vectors) != count:
            raise StreamBroken(f"{NAME} sent other vectors than one for each text.")
        told = answer.usage_metadata
        return EmbeddingResult(vectors=vectors, tokens=usage_of(told).prompt_tokens if told else 0)

    async def _ask(self, target: str, body: bytes, *, request_id: str, streams: bool) -> Reply:
        headers = [
            *self._headers,
            (b"accept", b"text/event-stream" if streams else b"application/json"),
            (b"x-request-id", request_id.encode("ascii")),
        ]
        path = f"{self._path}/{target}".encode("ascii")
        return await self._transport.send(
            self._origin, b"POST", path, headers, body, timeouts=self._timeouts
        )

    async def _refusal(self, reply: Reply) -> GlasslipperError:
        """Return what an answer that is no success says; a page too long to read says nothing."""
        try:
            body = await reply.read(limit_bytes=MAX_REFUSAL_BYTES)
        except UpstreamFailed:
            body = b""
        return self._refusals.of_reply(reply.status, reply.headers, body)


def _is_stream(reply: Reply, *, expected: bool) -> bool:
    """Judge by what came, and only where that says nothing by what was asked for."""
    kind = reply.headers.get(b"content-type", b"").lower()
    return kind.startswith(b"text/event-stream") or (expected and b"json" not in kind)


async def _next(reply: Reply, reading: Reading) -> bytes | None:
    """Return the next bytes of a stream, or `None` at its end.

    A failure after the answer has said why it ended takes nothing away from it.
    """
    try:
        return await anext(reply, None)
    except UpstreamFailed:
        if reading.has_finished:
            return None
        raise
