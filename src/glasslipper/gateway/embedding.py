"""Embeddings as an exchange: the same hold, attempts and record, with vectors instead of words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from msgspec import Struct, structs

from glasslipper.gateway.auth import Caller
from glasslipper.gateway.desk import Caption, Desk, Outcome
from glasslipper.gateway.dialects.embeddings import EmbeddingsRequest
from glasslipper.gateway.dialects.envelope import Head
from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.exchange import Exchange
from glasslipper.kernel.errors import Unsupported
from glasslipper.kernel.events import Event, Finished
from glasslipper.kernel.messages import Message, Request, Sampling, TextPart
from glasslipper.kernel.ports import Attempted, Embedder
from glasslipper.kernel.usage import Usage


class Embedded(Struct, frozen=True, kw_only=True):
    """Vectors, one for each text, and what they cost."""

    head: Head
    vectors: Sequence[Sequence[float]]
    outcome: Outcome


class _Vectors:
    """An upstream that embeds: its only event is the end, and the vectors stay with it."""

    def __init__(self, embedder: Embedder, request: EmbeddingsRequest) -> None:
        self._embedder = embedder
        self._request = request
        self.vectors: Sequence[Sequence[float]] = ()

    async def send(self, attempt: Attempted) -> AsyncIterator[Event]:
        request = self._request
        made = await self._embedder.embed(attempt.upstream_model, request.texts, request.dimensions)
        self.vectors = made.vectors
        attempt.usage = Usage(
            input=made.tokens,
            cpu_us=made.cpu_us,
            requests=1,
            reported_nanousd=made.reported_nanousd,
        )
        yield Finished(reason="stop")


async def embed(
    desk: Desk,
    caller: Caller,
    request: EmbeddingsRequest,
    *,
    offered: Sequence[Endpoint],
    caption: Caption,
) -> Embedded:
    """Embed the texts at one of the endpoints.

    Raises:
        Unsupported: The model does not embed.
        GlasslipperError: As an exchange raises it.
    """
    if not desk.keyring.is_empty:
        offered = desk.keyring.equip(offered, caller.account)
    upstreams = [_Vectors(end.embedder, request) for end in offered if end.embedder is not None]
    if not upstreams:
        raise Unsupported(f"{request.model} does not make embeddings.", param="$.model")
    embedding = [end for end in offered if end.embedder is not None]
    wrapped = [
        structs.replace(end, upstream=upstream)
        for end, upstream in zip(embedding, upstreams, strict=True)
    ]
    asked = Request(
        model=request.model,
        messages=tuple(
            Message(role="user", parts=(TextPart(text=text),)) for text in request.texts
        ),
        sampling=Sampling(max_tokens=0),
        user=request.user,
    )
    async with Exchange(desk, caller, asked, offered=wrapped, caption=caption) as exchange:
        await exchange.begin()
        await exchange.whole()
        outcome = await exchange.settle()
        head = Head(
            id=exchange.id,
            model=exchange.model,
            created_s=exchange.created_ms // 1000,
            provider=exchange.provider,
        )
    vectors = next(upstream.vectors for upstream in upstreams if upstream.vectors)
    return Embedded(head=head, vectors=vectors, outcome=outcome)
