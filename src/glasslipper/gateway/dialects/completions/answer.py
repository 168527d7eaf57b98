"""Answers as a legacy completions client reads them: the `text_completion` object, whole or cut.

A piece of a stream has the same shape as the whole. Probabilities stand in parallel lists, with
the place of each token in the text counted in characters. A refusal is text like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from glasslipper.gateway.dialects.chat.answer import LEAST_LOGPROB, UsageObject, usage_object
from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.errors import ErrorObject, error_object
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.events import (
    Answer,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TokenLogprob,
)
from glasslipper.kernel.finish import FinishReason

DONE = b"data: [DONE]\n\n"


class Logprobs(Struct):
    """Tokens, their probabilities, the likeliest alternatives and where each token begins."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class Choice(Struct, omit_defaults=True):
    """The one answer, or a piece of it."""

    text: str
    index: int
    logprobs: Logprobs | None
    finish_reason: str | None
    native_finish_reason: str | None
    reasoning: str | UnsetType = UNSET


class Completion(Struct, omit_defaults=True):
    """The body of an answer, or a frame of a stream."""

    id: str
    object: str
    created: int
    model: str
    provider: str
    choices: list[Choice]
    usage: UsageObject | UnsetType = UNSET
    error: ErrorObject | UnsetType = UNSET


class Offsets(Struct):
    """How much text has been written, in characters, for the places of tokens."""

    written: int = field(default=0)


_encoder = msgspec.json.Encoder()


def encode_answer(
    answer: Answer, head: Head, bill: Bill | None, *, shows_thoughts: bool = True
) -> bytes:
    """Return the JSON body of a whole answer; without a bill it says nothing of usage.

    Whoever asked for `reasoning.exclude` is not shown the thoughts.
    """
    choice = _choice(answer.text + answer.refusal)
    choice.finish_reason = _reason(answer.finish)
    choice.native_finish_reason = answer.native_finish
    if answer.logprobs:
        choice.logprobs = _logprobs(answer.logprobs, Offsets())
    if shows_thoughts and answer.reasoning_text:
        choice.reasoning = answer.reasoning_text
    body = _completion(head, [choice])
    if bill is not None:
        body.usage = usage_object(bill)
    return _encoder.encode(body)


class ChunkEncoder:
    """Writes the frames of one stream, in order."""

    def __init__(self, head: Head, *, shows_thoughts: bool = True) -> None:
        """Prepare the stream of `head`.

        Whoever asked for `reasoning.exclude` is not shown the thoughts.
        """
        self._head = head
        self._shows_thoughts = shows_thoughts
        self._offsets = Offsets()

    def encode(self, event: Event) -> bytes:
        """Return the frame of an event, or nothing where the event has none."""
        choice = self._choice(event)
        return b"" if choice is None else _frame(_completion(self._head, [choice]))

    def finish(self, bill: Bill | None) -> bytes:
        """Return the last frames: usage and cost, where there is a bill, and the end mark."""
        if bill is None:
            return DONE
        closing = _completion(self._head, [])
        closing.usage = usage_object(bill)
        return _frame(closing) + DONE

    def error(self, error: GlasslipperError) -> bytes:
        """Return the frame that says why the stream ends here.

        Nothing follows it: a stream that broke off must not end like a whole one.
        """
        choice = _choice("")
        choice.finish_reason = choice.native_finish_reason = "error"
        failure = _completion(self._head, [choice])
        failure.error = error_object(error)
        return _frame(failure)

    def _choice(self, event: Event) -> Choice | None:
        match event:
            case TextDelta(text=text, logprobs=tokens):
                choice = _choice(text)
                if tokens:
                    choice.logprobs = _logprobs(tokens, self._offsets)
                return choice
            case RefusalDelta(text=text):
                return _choice(text)
            case ReasoningDelta(text=text) if text and self._shows_thoughts:
                choice = _choice("")
                choice.reasoning = text
                return choice
            case Finished(reason=reason, native=native):
                choice = _choice("")
                choice.finish_reason, choice.native_finish_reason = _reason(reason), native
                return choice
            case _:
                return None


def _completion(head: Head, choices: list[Choice]) -> Completion:
    return Completion(
        head.id, "text_completion", head.created_s, head.model, head.provider, choices
    )


def _choice(text: str) -> Choice:
    return Choice(text, 0, None, None, None)


def _frame(completion: Completion) -> bytes:
    return b"data: " + _encoder.encode(completion) + b"\n\n"


def _reason(reason: FinishReason | None) -> str:
    return "stop" if reason == "tool_calls" else reason or "error"


def _logprobs(tokens: Iterable[TokenLogprob], offsets: Offsets) -> Logprobs:
    told = Logprobs([], [], None, [])
    tops: list[dict[str, float]] = []
    for token in tokens:
        told.tokens.append(token.token)
        told.token_logprobs.append(max(LEAST_LOGPROB, token.logprob))
        told.text_offset.append(offsets.written)
        tops.append({other.token: max(LEAST_LOGPROB, other.logprob) for other in token.top})
        offsets.written += len(token.token)
    told.top_logprobs = tops if any(tops) else None
    return told
