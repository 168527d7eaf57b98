"""Plain requests as a provider wants them, tools or not, and plain answers as it gives them.

A plain request is written again, with the provider's own names: the same that `encode_request`
writes of it. A plain answer is nothing but words, an end and two numbers of tokens; whatever else
an answer has is read by `answer`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

from msgspec import DecodeError, Meta, Raw, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from glasslipper.gateway.dialects.chat.agent import AgentRequest, Toolkit, lean
from glasslipper.gateway.dialects.chat.plain import PlainRequest
from glasslipper.gateway.dialects.chat.wire import Name, StreamOptions
from glasslipper.gateway.providers.openai.request import tool_object
from glasslipper.gateway.providers.openai.usage import plain_usage
from glasslipper.gateway.providers.openai.wire import UsageObject
from glasslipper.gateway.providers.table import Provider

_encoder = Encoder()
_WITH_USAGE = StreamOptions(include_usage=True)


def write_plain(
    ask: PlainRequest | AgentRequest, *, provider: Provider, upstream_model: str
) -> bytes | None:
    """Return the body for a provider, or `None` where it cannot be written; changes `ask`."""
    if isinstance(ask, AgentRequest):
        ask.messages = lean(ask.messages)
        if ask.toolkit is not None:
            written = _written(ask.toolkit)
            if written is None:
                return None
            ask.tools = written
        if ask.tool_choice == "auto":
            ask.tool_choice = None
    limit = ask.max_completion_tokens if ask.max_tokens is None else ask.max_tokens
    ask.max_tokens = ask.max_completion_tokens = None
    if limit is not None:
        if provider.max_tokens_field == "max_tokens":
            ask.max_tokens = limit
        else:
            ask.max_completion_tokens = limit
    ask.model = upstream_model
    if isinstance(ask.stop, str):
        ask.stop = [ask.stop]
    elif not ask.stop:
        ask.stop = None
    ask.stream = ask.stream or None
    ask.stream_options = _WITH_USAGE if ask.stream and provider.takes_stream_options else None
    try:
        return _encoder.encode(ask)
    except UnicodeEncodeError:
        return None


@lru_cache(maxsize=64)
def _written(toolkit: Toolkit) -> Raw | None:
    """Return tools as a provider wants them; they are the same in request after request."""
    try:
        return Raw(_encoder.encode([tool_object(tool) for tool in toolkit.tools]))
    except (UnicodeEncodeError, RecursionError):
        return None


class Bare(Struct, frozen=True, kw_only=True, gc=False):
    """What else a message may have, null or empty."""

    refusal: Literal[""] | None = None
    reasoning: Literal[""] | None = None
    reasoning_content: Literal[""] | None = None
    reasoning_details: None = None
    annotations: Annotated[list[Raw], Meta(max_length=0)] | None = None
    images: Annotated[list[Raw], Meta(max_length=0)] | None = None


class PlainMessage(Bare, frozen=True, kw_only=True, gc=False):
    """Words; the other members are null, or unknown to everybody here."""

    content: str
    tool_calls: None = None


class CalledFunction(Struct, frozen=True, gc=False):
    """What is to be called, with arguments as JSON text."""

    name: Name
    arguments: Annotated[str, Meta(min_length=1)]


class MadeCall(Struct, frozen=True, gc=False):
    """A whole tool call."""

    id: Name
    function: CalledFunction
    index: int | None = None


class CallingMessage(Bare, frozen=True, kw_only=True, gc=False):
    """Tool calls, perhaps with words before them."""

    content: str | None = None
    tool_calls: Annotated[list[MadeCall], Meta(min_length=1)]


class Lone(Struct, frozen=True, kw_only=True):
    """What else a choice may have."""

    native_finish_reason: str | None = None
    index: Literal[0] | None = None
    logprobs: None = None
    usage: None = None


class PlainChoice(Lone, frozen=True, kw_only=True):
    """The one choice: words."""

    message: PlainMessage
    finish_reason: Literal["stop", "length"]


class CallingChoice(Lone, frozen=True, kw_only=True):
    """The one choice: calls."""

    message: CallingMessage
    finish_reason: Literal["tool_calls"]


class Whole(Struct, frozen=True, kw_only=True):
    """What else a whole completion has."""

    usage: UsageObject
    id: str | None = None
    service_tier: None = None
    error: None = None


class PlainAnswer(Whole, frozen=True, kw_only=True):
    """A whole completion that is plain, as far as types can tell."""

    choices: tuple[PlainChoice]


class CallingAnswer(Whole, frozen=True, kw_only=True):
    """A whole completion that is plain but for its calls."""

    choices: tuple[CallingChoice]


_answers = Decoder(PlainAnswer)
_calling = Decoder(CallingAnswer)


class Said(Struct, frozen=True, gc=False):
    """What a plain answer says."""

    text: str
    finish: Literal["stop", "length", "tool_calls"]
    native: str
    prompt: int
    completion: int
    upstream_id: str | None
    calls: tuple[MadeCall, ...] = ()


def read_plain(body: bytes) -> Said | None:
    """Return what an answer says if it is plain, else `None`."""
    try:
        answer = _answers.decode(body)
    except (ValidationError, DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _said(answer, answer.choices[0])


def read_calls(body: bytes) -> Said | None:
    """Return what an answer says if it is plain but for its calls, each as whole as can be."""
    try:
        answer = _calling.decode(body)
    except (ValidationError, DecodeError, UnicodeDecodeError, RecursionError):
        return None
    choice = answer.choices[0]
    calls = choice.message.tool_calls
    if any(call.index not in (None, place) for place, call in enumerate(calls)):
        return None
    return _said(answer, choice, tuple(calls))


def _said(
    answer: Whole, choice: PlainChoice | CallingChoice, calls: tuple[MadeCall, ...] = ()
) -> Said | None:
    tokens = plain_usage(answer.usage)
    if tokens is None:
        return None
    return Said(
        choice.message.content or "",
        choice.finish_reason,
        choice.native_finish_reason or choice.finish_reason,
        tokens.input,
        tokens.output,
        answer.id or None,
        calls,
    )
