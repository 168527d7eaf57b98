"""The codec for Anthropic's Messages, and for every service that speaks them.

It says what to send, sends it once through the transport and reads what comes back. It does not
retry, choose, price or record.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from msgspec import structs

from glasslipper import __version__
from glasslipper.gateway.dialects.messages.kinds import MessagesRequest
from glasslipper.gateway.providers.anthropic.answer import Reading, token_count
from glasslipper.gateway.providers.anthropic.models import DEFAULT_MAX_TOKENS
from glasslipper.gateway.providers.anthropic.refusal import NAME, Refusals
from glasslipper.gateway.providers.anthropic.request import encode_count, encode_request
from glasslipper.gateway.transport import Origin, Reply, Timeouts, Transport
from glasslipper.kernel.errors import GlasslipperError, SetupMissing, UpstreamFailed
from glasslipper.kernel.events import Event
from glasslipper.kernel.ids import new_id
from glasslipper.kernel.messages import Request
from glasslipper.kernel.ports import Attempted

BASE_URL = "https://api.anthropic.com"
API_VERSION = b"2023-06-01"

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_REFUSAL_BYTES = 64 * 1024

LINGER_S = 0.05
"""How long the end of a body may follow the end of a stream for the connection to be kept."""

_USER_AGENT = f"glasslipper/{__version__}".encode()


class Anthropic:
    """Anthropic's API, or one like it, reached at one address with one key."""

    def __init__(
        self,
        transport: Transport,
        *,
        key: str | None,
        base_url: str = BASE_URL,
        timeouts: Timeouts | None = None,
        max_tokens: Mapping[str, int] | None = None,
    ) -> None:
        """Reach the API through `transport` at `base_url`, which may end in `/v1` or not.

        `max_tokens` says, by upstream model, how long an answer may be where a request does not.

        Raises:
            SetupMissing: The key cannot be sent in a header.
            InvalidRequest: The base URL is none.
        """
        if key is not None and not (key.isascii() and key.isprintable()):
            raise SetupMissing(
                f"The key of {NAME} contains what no HTTP header may contain.",
                hint="Set it again, without line breaks or special characters.",
            )
        self._transport = transport
        self._origin, path = Origin.parse(base_url)
        self._target = f"{path.removesuffix('/v1')}/v1/messages".encode("ascii")
        self._timeouts = timeouts or Timeouts()
        self._max_tokens = max_tokens or {}
        self._refusals = Refusals(key)
        self._headers: list[tuple[bytes, bytes]] = [
            (b"content-type", b"application/json"),
            (b"accept-encoding", b"identity"),
            (b"user-agent", _USER_AGENT),
            (b"anthropic-version", API_VERSION),
        ]
        if key is not None:
            self._headers.append((b"x-api-key", key.encode("ascii")))

    async def send(self, attempt: Attempted) -> AsyncGenerator[Event, None]:
        """Run the attempt and yield its events; closing the iterator ends the call.

        Raises:
            InvalidRequest: The request cannot be said in Anthropic's words.
            UpstreamFailed: What went wrong at the provider or on the way.
            ContextTooLong: The provider finds the prompt too long.
        """
        request, model = attempt.request, attempt.upstream_model
        body = encode_request(
            request, upstream_model=model, default_max_tokens=self._default(model)
        )
        reply = await self._ask(self._target, body, request=request, request_id=attempt.id)
        reading = Reading(attempt, self._refusals)
        try:
            if not 200 <= reply.status < 300:
                raise await self._refusal(reply)
            if _is_stream(reply, expected=attempt.request.stream):
                while not reading.is_done and (data := await anext(reply, None)) is not None:
                    for event in reading.feed(data):
                        yield event
            else:
                for event in reading.whole(await reply.read(limit_bytes=MAX_ANSWER_BYTES)):
                    yield event
            for event in reading.end():
                yield event
            await _linger(reply)
        finally:
            reading.settle()
            reply.close()

    async def count(self, request: Request, *, upstream_model: str) -> int:
        """Return how many tokens the prompt of a request has for a model.

        Raises:
            InvalidRequest: The request cannot be said in Anthropic's words.
            UpstreamFailed: What went wrong at the provider or on the way.
            ContextTooLong: The provider finds the prompt too long.
        """
        body = encode_count(
            request,
            upstream_model=upstream_model,
            default_max_tokens=self._default(upstream_model),
        )
        whole = structs.replace(request, stream=False)
        target = self._target + b"/count_tokens"
        reply = await self._ask(target, body, request=whole, request_id=new_id("cnt"))
        try:
            if not 200 <= reply.status < 300:
                raise await self._refusal(reply)
            return token_count(await reply.read(limit_bytes=MAX_REFUSAL_BYTES))
        finally:
            reply.close()

    def _default(self, model: str) -> int:
        return self._max_tokens.get(model, DEFAULT_MAX_TOKENS)

    async def _ask(self, target: bytes, body: bytes, *, request: Request, request_id: str) -> Reply:
        headers = [
            *self._headers,
            (b"accept", b"text/event-stream" if request.stream else b"application/json"),
            (b"x-request-id", request_id.encode("ascii")),
        ]
        if isinstance(request, MessagesRequest) and request.betas:
            headers.append((b"anthropic-beta", ",".join(request.betas).encode("ascii")))
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


def _is_stream(reply: Reply, *, expected: bool) -> bool:
    """Judge by what came, and only where that says nothing by what was asked for."""
    kind = reply.headers.get(b"content-type", b"").lower()
    if kind.startswith(b"text/event-stream"):
        return True
    return expected and b"json" not in kind


async def _linger(reply: Reply) -> None:
    """Give the body a moment to end too, so that its connection can be used again."""
    try:
        async with asyncio.timeout(LINGER_S):
            async for _rest in reply:
                pass
    except (TimeoutError, UpstreamFailed):
        return
