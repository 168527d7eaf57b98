"""A plain chat request: words in, words out, and nothing that anybody reads differently.

Most requests are of this kind. What is plain means the same to every provider that speaks
OpenAI's format, so that it can be passed on without a detour through what it means: its members
are checked, and written again. A body with any other member is not plain; `request` reads it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import DecodeError, Meta, Struct, ValidationError
from msgspec.json import Decoder

from glasslipper.gateway.dialects.chat import wire
from glasslipper.kernel.messages import Message, Request, Sampling, TextPart


class PlainTurn(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A message that is nothing but text."""

    role: Literal["system", "user", "assistant"]
    content: str


class Asking(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of a chat request but for its messages, with the checks of `wire.ChatRequest`."""

    model: wire.Name
    stream: bool | None = None
    stream_options: wire.StreamOptions | None = None
    max_tokens: wire.Positive | None = None
    max_completion_tokens: wire.Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: wire.Share | None = None
    frequency_penalty: wire.Penalty | None = None
    presence_penalty: wire.Penalty | None = None
    stop: wire.Stop | wire.Stops | None = None
    user: str | None = None


class PlainRequest(Asking, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of a plain chat request."""

    messages: Annotated[list[PlainTurn], Meta(min_length=1)]


_decoder = Decoder(PlainRequest)


def decode_plain(body: bytes) -> PlainRequest | None:
    """Return what a body says if it is plain, else `None`."""
    try:
        ask = _decoder.decode(body)
    except (ValidationError, DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if is_odd(ask) else ask


def is_odd(ask: Asking) -> bool:
    """Tell whether a body that is well formed has more to it: two limits, or a wish in a name."""
    both_limits = ask.max_completion_tokens is not None and ask.max_tokens is not None
    return both_limits or ":" in ask.model


def request_of(ask: PlainRequest) -> Request:
    """Return the request that a plain body makes: the one that `decode` would return."""
    return Request(
        model=ask.model,
        messages=tuple(
            [Message(role=turn.role, parts=(TextPart(text=turn.content),)) for turn in ask.messages]
        ),
        stream=bool(ask.stream),
        sampling=sampling_of(ask),
        user=ask.user,
        heard_as="chat",
    )


def sampling_of(ask: Asking) -> Sampling:
    """Return how tokens are to be chosen."""
    stop, limit = ask.stop, ask.max_tokens
    return Sampling(
        max_tokens=ask.max_completion_tokens if limit is None else limit,
        temperature=ask.temperature,
        top_p=ask.top_p,
        stop=() if stop is None else (stop,) if isinstance(stop, str) else tuple(stop),
        frequency_penalty=ask.frequency_penalty,
        presence_penalty=ask.presence_penalty,
    )
