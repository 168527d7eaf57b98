"""A stream as a chat client reads it: one server-sent event for each piece of the answer.

Everything in a frame that stays the same is encoded once; the common frame, some words of text,
costs one JSON encoding of those words. The encoder keeps the order of the events it is given.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field, structs

from glasslipper.gateway.dialects.chat.answer import (
    Annotation,
    Logprobs,
    UsageObject,
    annotations_of,
    logprobs_object,
    usage_object,
)
from glasslipper.gateway.dialects.chat.thoughts import Detail, details_of
from glasslipper.gateway.dialects.envelope import Bill, Head, known_tier
from glasslipper.gateway.dialects.errors import ErrorObject, error_object
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.events import (
    Aside,
    Cited,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    placed,
)
from glasslipper.kernel.finish import FinishReason

DONE = b"data: [DONE]\n\n"


class Function(Struct, omit_defaults=True):
    """Some of a call's name and arguments."""

    arguments: str
    name: str | UnsetType = UNSET


class Call(Struct, omit_defaults=True):
    """Some of a tool call."""

    index: int
    function: Function
    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET


class Delta(Struct, omit_defaults=True):
    """What a frame adds to the message."""

    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_details: list[Detail] | UnsetType = UNSET
    tool_calls: list[Call] | UnsetType = UNSET
    annotations: list[Annotation | Raw] | UnsetType = UNSET
    images: list[Raw] | UnsetType = UNSET


class Choice(Struct):
    """The one choice of a stream."""

    delta: Delta
    finish_reason: FinishReason | None = None
    native_finish_reason: str | None = None
    logprobs: Logprobs | None = None
    index: int = 0


class Opening(Struct):
    """What every frame of a stream begins with."""

    id: str
    created: int
    model: str
    provider: str
    object: str = "chat.completion.chunk"
    service_tier: str | UnsetType = UNSET


class Content(Struct):
    """What a frame brings."""

    choices: list[Choice]


class Closing(Struct):
    """What the last frame brings: no choices any more, but the usage of the whole."""

    usage: UsageObject
    choices: list[Choice] = field(default_factory=list[Choice])


class Failure(Struct):
    """What the frame brings that ends a broken stream."""

    error: ErrorObject
    choices: list[Choice]


_encoder = msgspec.json.Encoder()


class ChunkEncoder:
    """Writes the frames of one stream, in order.

    The first frame with a choice names the role.
    """

    def __init__(self, head: Head, *, shows_thoughts: bool = True) -> None:
        """Prepare what every frame of the stream of `head` has in common.

        Whoever asked for `reasoning.exclude` is not shown the thoughts.
        """
        self._begun = False
        self._letters = 0
        self._shows_thoughts = shows_thoughts
        self._open(Opening(head.id, head.created_s, head.model, head.provider))

    def _open(self, opening: Opening) -> None:
        self._head = opening
        self._opening = b"data: " + _encoder.encode(opening)[:-1] + b","
        self._before_text = self._opening + b'"choices":[{"delta":{"content":'

    def encode(self, event: Event) -> bytes:
        """Return the frame of an event, or nothing where the event has none."""
        if type(event) is TextDelta:
            self._letters += len(event.text)
            if not self._begun or event.logprobs:
                return self._encode(event)
            return self._before_text + _encoder.encode(event.text) + _AFTER_TEXT
        return self._encode(event)

    def _encode(self, event: Event) -> bytes:
        if type(event) is Cited:
            event = Cited(citation=placed(event.citation, 0, self._letters))
        if type(event) is Started and known_tier(event.service_tier):
            self._open(structs.replace(self._head, service_tier=event.service_tier))
        if type(event) is ReasoningDelta and not self._shows_thoughts:
            return b""
        choice = _choice(event)
        if choice is None:
            return b""
        if not self._begun:
            self._begun = True
            choice.delta.role = "assistant"
            if choice.delta.content is UNSET:
                choice.delta.content = ""
        return self._frame(Content([choice]))

    @property
    def around_text(self) -> tuple[bytes, bytes]:
        """What a frame has before and after words that stand in JSON as they are.

        Of frames after the first.
        """
        return self._before_text + b'"', b'"' + _AFTER_TEXT

    def finish(self, bill: Bill | None) -> bytes:
        """Return the last frames: usage and cost, where there is a bill, and the end mark."""
        if bill is None:
            return DONE
        return self._frame(Closing(usage=usage_object(bill))) + DONE

    def error(self, error: GlasslipperError) -> bytes:
        """Return the frame that says why the stream ends here.

        Nothing follows it: a stream that broke off must not end like a whole one.
        """
        broken = Choice(Delta(content=""), finish_reason="error", native_finish_reason="error")
        return self._frame(Failure(error=error_object(error), choices=[broken]))

    def _frame(self, rest: Content | Closing | Failure) -> bytes:
        return self._opening + _encoder.encode(rest)[1:] + b"\n\n"


_AFTER_TEXT = _encoder.encode(Choice(Delta())).removeprefix(b'{"delta":{') + b"]}\n\n"


def _choice(event: Event) -> Choice | None:
    match event:
        case TextDelta(text=text, logprobs=tokens):
            logprobs = logprobs_object(tokens) if tokens else None
            return Choice(Delta(content=text), logprobs=logprobs)
        case ToolCallDelta():
            return Choice(Delta(tool_calls=[_call(event)]))
        case ReasoningDelta():
            return _reasoning(event)
        case RefusalDelta(text=text):
            return Choice(Delta(refusal=text))
        case Aside(dialect="chat", raw=raw):
            return Choice(Delta(images=[raw]))
        case Cited(citation=citation):
            annotations = annotations_of([citation])
            return Choice(Delta(annotations=annotations)) if annotations else None
        case Finished(reason=reason, native=native):
            return Choice(Delta(), finish_reason=reason, native_finish_reason=native)
        case _:
            return None


def _call(delta: ToolCallDelta) -> Call:
    call = Call(index=delta.index, function=Function(delta.arguments, delta.name or UNSET))
    if delta.id:
        call.id, call.type = delta.id, "function"
    return call


def _reasoning(event: ReasoningDelta) -> Choice | None:
    details = details_of(event, event.index)
    if not details:
        return None
    return Choice(Delta(reasoning=event.text or UNSET, reasoning_details=details))
