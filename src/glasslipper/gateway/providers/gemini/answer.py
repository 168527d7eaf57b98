"""From Google's answer, whole or in pieces, to the events of an attempt.

Calls come whole and get an id where they have none. A signature on words or on a call becomes
encrypted thinking beside them, that of a call with the call's id, ahead of it. The finish is held
back until the end; the usage, which every piece tells anew, comes once, last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec
from msgspec import Raw, structs
from msgspec.json import Decoder

from glasslipper.gateway.dialects.gemini.wire import member
from glasslipper.gateway.providers.gemini import wire
from glasslipper.gateway.providers.gemini.refusal import NAME, Refusals
from glasslipper.gateway.providers.gemini.turns import DIALECT, FORMAT
from glasslipper.gateway.providers.gemini.usage import usage_of
from glasslipper.gateway.sse import Splitter
from glasslipper.kernel.errors import StreamBroken
from glasslipper.kernel.events import (
    Aside,
    Event,
    Finished,
    ReasoningDelta,
    Spent,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)
from glasslipper.kernel.finish import FinishReason
from glasslipper.kernel.ids import new_id
from glasslipper.kernel.ports import Attempted

_FINISH: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MALFORMED_FUNCTION_CALL": "error",
    "MALFORMED_RESPONSE": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "NO_IMAGE": "error",
    "OTHER": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "UNEXPECTED_TOOL_CALL": "error",
}
"""Google's words for an end; one that is not listed means that the answer is whole."""

T = TypeVar("T")

_NO_REASON = frozenset({"", "FINISH_REASON_UNSPECIFIED"})
_NO_BLOCK = frozenset({"", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"})
LEAST_LOGPROB = -9999.0

_OWN = (
    "avg_logprobs",
    "citation_metadata",
    "finish_message",
    "grounding_metadata",
    "safety_ratings",
    "url_context_metadata",
)
"""Members of a candidate that other dialects have no words for."""

_decoder: Decoder[wire.Chunk | list[wire.Chunk]] = Decoder(wire.Chunk | list[wire.Chunk])
_parts = Decoder(wire.Part)
_feedbacks = Decoder(wire.PromptFeedback)


class Reading:
    """Turns what one attempt brings into events, and notes its usage on the attempt."""

    def __init__(self, attempt: Attempted, refusals: Refusals) -> None:
        """Read for `attempt`; `refusals` puts Google's own errors into words."""
        self._attempt = attempt
        self._refusals = refusals
        self._splitter = Splitter()
        self._started = False
        self._finish: FinishReason | None = None
        self._native = ""
        self._calls = 0
        self._thoughts = 0
        self._is_thinking = False
        self._passage = 0
        self._more: dict[str, Raw] = {}

    @property
    def has_finished(self) -> bool:
        """Whether Google has said why the answer ended."""
        return self._finish is not None

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events of the next bytes of a stream of pieces.

        Raises:
            StreamBroken: A frame is malformed; what came before it has been yielded.
            UpstreamFailed: A frame is an error instead.
            ContextTooLong: The error is that the prompt does not fit.
        """
        for frame in self._splitter.feed(data):
            yield from self.take(frame.data)

    def take(self, data: bytes) -> list[Event]:
        """Return the events of a piece, of a whole answer, or of an array of pieces.

        Raises:
            StreamBroken: It is malformed.
            UpstreamFailed: It is an error instead.
            ContextTooLong: The error is that the prompt does not fit.
        """
        try:
            decoded = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise StreamBroken(f"{NAME} sent what is no answer: {error}.") from None
        events: list[Event] = []
        for chunk in [decoded] if isinstance(decoded, wire.Chunk) else decoded:
            if chunk.error is not None:
                raise self._refusals.of_error(chunk.error)
            events.extend(self._chunk(chunk))
        return events

    def end(self) -> list[Event]:
        """Return what belongs at the end: nothing, where Google never said why it ended."""
        if self._finish is None:
            return []
        reason = self._finish
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        events: list[Event] = [Finished(reason=reason, native=self._native, more=self._more)]
        if self._attempt.usage is not None:
            events.append(Spent(usage=self._attempt.usage))
        return events

    def _chunk(self, chunk: wire.Chunk) -> Iterator[Event]:
        told = chunk.usage_metadata
        if told is not None and (told.prompt_token_count or told.total_token_count):
            self._attempt.usage = usage_of(told)
        if not self._started and (chunk.response_id or chunk.model_version or chunk.candidates):
            self._started = True
            yield Started(
                model=chunk.model_version or None,
                upstream_id=chunk.response_id or None,
                dialect=DIALECT,
            )
        for candidate in chunk.candidates or ():
            if not candidate.index:
                yield from self._candidate(candidate)
        if not _is_said(chunk.prompt_feedback):
            return
        self._more["promptFeedback"] = chunk.prompt_feedback.copy()
        blocked = _decoded(_feedbacks, chunk.prompt_feedback).block_reason or ""
        if blocked not in _NO_BLOCK and self._finish is None:
            self._finish, self._native = "content_filter", blocked

    def _candidate(self, candidate: wire.Candidate) -> Iterator[Event]:
        logprobs = _logprobs(candidate.logprobs_result)
        for name in _OWN:
            if _is_said(raw := getattr(candidate, name)):
                self._more[member(name)] = raw.copy()
        for raw in (candidate.content and candidate.content.parts) or ():
            for event in self._part(_decoded(_parts, raw), raw):
                if logprobs and isinstance(event, TextDelta):
                    event = structs.replace(event, logprobs=logprobs)
                    logprobs = ()
                yield event
        if logprobs:
            yield TextDelta(text="", logprobs=logprobs)
        word = candidate.finish_reason or ""
        if word not in _NO_REASON and self._finish is None:
            self._finish, self._native = _FINISH.get(word, "stop"), word

    def _part(self, part: wire.Part, raw: Raw) -> Iterator[Event]:
        if part.thought and part.function_call is None:
            yield from self._thought(part)
            return
        if self._is_thinking:
            self._is_thinking = False
            self._thoughts += 1
        if part.function_call is not None:
            yield from self._call(part.function_call, part.thought_signature)
            return
        if part.text is None and not part.thought_signature and bytes(raw) != b"{}":
            yield Aside(dialect=DIALECT, raw=raw.copy())
            self._passage += 1
            return
        if part.text:
            yield TextDelta(text=part.text, index=self._passage)
        if part.thought_signature:
            yield self._signature(part.thought_signature, None)

    def _thought(self, part: wire.Part) -> Iterator[Event]:
        signature = part.thought_signature or None
        if part.text or signature:
            self._is_thinking = signature is None
            yield ReasoningDelta(
                text=part.text or "", signature=signature, format=FORMAT, index=self._thoughts
            )
            self._thoughts += signature is not None

    def _call(self, call: wire.FunctionCall, signature: str | None) -> Iterator[Event]:
        call_id = call.id or new_id("call")
        if signature:
            yield self._signature(signature, call_id)
        arguments = bytes(call.args)
        if arguments in (b"", b"null"):
            arguments = b"{}"
        yield ToolCallDelta(
            index=self._calls,
            id=call_id,
            name=call.name,
            arguments=arguments.decode(errors="replace"),
        )
        self._calls += 1

    def _signature(self, signature: str, call_id: str | None) -> ReasoningDelta:
        index = self._thoughts
        self._thoughts += 1
        return ReasoningDelta(encrypted=signature, format=FORMAT, id=call_id, index=index)


def _is_said(raw: Raw) -> bool:
    return bytes(raw) not in (b"", b"null")


def _decoded(decoder: Decoder[T], raw: Raw) -> T:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise StreamBroken(f"{NAME} sent what is no answer: {error}.") from None


def _logprobs(told: wire.LogprobsResult | None) -> tuple[TokenLogprob, ...]:
    if told is None or not told.chosen_candidates:
        return ()
    tops = told.top_candidates or []
    return tuple(
        _logprob(chosen, tops[index].candidates or [] if index < len(tops) else [])
        for index, chosen in enumerate(told.chosen_candidates)
    )


def _logprob(told: wire.LogprobsCandidate, top: list[wire.LogprobsCandidate]) -> TokenLogprob:
    return TokenLogprob(
        token=told.token or "",
        logprob=LEAST_LOGPROB if told.log_probability is None else told.log_probability,
        top=tuple(_logprob(other, []) for other in top),
    )
