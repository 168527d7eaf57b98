"""From a provider's completion, whole or in chunks, to the events of an attempt.

What providers do differently is evened out here: events come in a well-formed order, every tool
call has an index of its own, an id and arguments, and usage, wherever and however often it is
told, comes once, last. The finish is held back until the end, since some say more after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw, ValidationError, structs
from msgspec.json import Decoder

from glasslipper.gateway.dialects.chat.thoughts import ENCRYPTED, SUMMARY, TEXT, Detail, Thoughts
from glasslipper.gateway.providers.openai import wire
from glasslipper.gateway.providers.openai.refusal import Refusals
from glasslipper.gateway.providers.openai.usage import usage_of
from glasslipper.gateway.sse import Splitter
from glasslipper.kernel.errors import StreamBroken
from glasslipper.kernel.events import (
    Citation,
    Cited,
    Event,
    Finished,
    RefusalDelta,
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
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "error": "error",
    "abort": "error",
    "insufficient_system_resource": "error",
}
"""Providers' words for an end; one that is not listed means that the answer is whole."""

LEAST_LOGPROB = -9999.0

_decoder = Decoder(wire.Chunk)
_annotations = Decoder(wire.Annotation)


class Reading:
    """Turns what one attempt brings into events, and notes its usage on the attempt."""

    def __init__(self, attempt: Attempted, refusals: Refusals) -> None:
        """Read for `attempt`; `refusals` puts the provider's own errors into words."""
        self._attempt = attempt
        self._refusals = refusals
        self._calls = _Calls()
        self._thoughts = Thoughts()
        self._started = False
        self._finish: str | None = None
        self._native: str | None = None
        self._splitter = Splitter()
        self.is_done = False

    @property
    def has_finished(self) -> bool:
        """Whether the provider has said why the answer ended."""
        return self._finish is not None

    @property
    def at_boundary(self) -> bool:
        """Whether no frame has begun and not ended."""
        return self._splitter.at_boundary

    def peek(self, data: bytes) -> list[Event]:
        """Return the events that a chunk would make, without taking it in."""
        other = Reading(Attempted(**structs.asdict(self._attempt)), self._refusals)
        other._started = True
        return other.take(data)

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events of the next bytes of a stream of chunks; `is_done` once it says so.

        Raises:
            StreamBroken: A frame is malformed; what came before it has been yielded.
            UpstreamFailed: A frame is an error instead.
            ContextTooLong: The error is that the prompt does not fit.
        """
        for frame in self._splitter.feed(data):
            if frame.data == b"[DONE]":
                self.is_done = True
                return
            if frame.event == b"error":
                raise self._refusals.of_event(frame.data)
            yield from self.take(frame.data)

    def take(self, data: bytes) -> list[Event]:
        """Return the events of a chunk, or of a whole completion.

        Raises:
            StreamBroken: It is malformed.
            UpstreamFailed: It is an error instead.
            ContextTooLong: The error is that the prompt does not fit.
        """
        try:
            chunk = _decoder.decode(data)
        except (ValidationError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise StreamBroken(f"{self._refusals.name} sent what is no answer: {error}.") from None
        if chunk.error is not None:
            raise self._refusals.of_error(chunk.error)
        self._note_usage(chunk)
        events: list[Event] = []
        if not self._started and (chunk.id or chunk.model or chunk.choices):
            self._started = True
            events.append(
                Started(
                    model=chunk.model or None,
                    upstream_id=chunk.id or None,
                    service_tier=chunk.service_tier or None,
                )
            )
        if chunk.choices:
            for choice in chunk.choices:
                if not choice.index:
                    self._add(choice, events)
        return events

    def end(self) -> list[Event]:
        """Return what belongs at the end: nothing, where the provider never said why it ended."""
        if self._finish is None:
            return []
        reason = _FINISH.get(self._finish.lower(), "stop")
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        events: list[Event] = [*self._calls.completed()]
        events.append(Finished(reason=reason, native=self._native or self._finish))
        if self._attempt.usage is not None:
            events.append(Spent(usage=self._attempt.usage))
        return events

    def _note_usage(self, chunk: wire.Chunk) -> None:
        told = chunk.usage
        if told is None and chunk.x_groq is not None:
            told = chunk.x_groq.usage
        if told is None and chunk.choices:
            told = chunk.choices[0].usage
        if told is None:
            return
        if told.prompt_tokens or told.completion_tokens or told.total_tokens:
            self._attempt.usage = usage_of(told)

    def _add(self, choice: wire.Choice, events: list[Event]) -> None:
        piece = choice.delta or choice.message
        if piece is not None:
            if piece.reasoning or piece.reasoning_content or piece.reasoning_details:
                events.extend(self._think(piece))
            if piece.content or choice.logprobs is not None:
                events.extend(self._say(piece.content, _logprobs(choice.logprobs)))
            if piece.annotations:
                events.extend(map(_cited, piece.annotations))
            if piece.refusal:
                events.append(RefusalDelta(text=piece.refusal))
            if piece.tool_calls:
                events.extend(
                    self._calls.add(call, position)
                    for position, call in enumerate(piece.tool_calls)
                )
        if choice.finish_reason and self._finish is None:
            self._finish = choice.finish_reason
            self._native = choice.native_finish_reason

    def _think(self, piece: wire.Delta) -> Iterator[Event]:
        """Yield the thinking of a piece once, though it may be told twice."""
        plain = piece.reasoning or piece.reasoning_content or ""
        for told in piece.reasoning_details or ():
            thought = self._thoughts.add(_detail(told))
            if thought is not None:
                plain = "" if thought.text else plain
                yield thought
        if plain:
            yield self._thoughts.plain(plain)

    def _say(
        self,
        content: str | Sequence[wire.ContentPart] | None,
        logprobs: tuple[TokenLogprob, ...],
    ) -> Iterator[Event]:
        if content is None or isinstance(content, str):
            if content or logprobs:
                yield TextDelta(text=content or "", logprobs=logprobs)
            return
        for part in content:
            if part.thinking:
                yield self._thoughts.plain(_thinking(part.thinking))
            if part.text:
                yield TextDelta(text=part.text)


def _cited(told: Raw) -> Cited:
    try:
        page = _annotations.decode(told).url_citation or wire.UrlCitation()
    except (msgspec.DecodeError, UnicodeError):
        page = wire.UrlCitation()
    return Cited(
        citation=Citation(
            dialect="chat",
            raw=told.copy(),
            url=page.url,
            title=page.title,
            text=page.content,
            start=page.start_index,
            end=page.end_index,
        )
    )


def _thinking(told: str | Sequence[wire.Thought]) -> str:
    return told if isinstance(told, str) else "".join(thought.text or "" for thought in told)


def _detail(told: wire.ReasoningDetail) -> Detail:
    kind = told.type
    if kind not in (TEXT, SUMMARY, ENCRYPTED):
        kind = SUMMARY if told.summary else ENCRYPTED if told.data else TEXT
    return Detail(
        type=kind,
        text=told.text or told.summary,
        summary=told.summary or told.text,
        data=told.data or None,
        signature=told.signature or None,
        id=told.id or None,
        format=told.format or None,
        index=told.index,
    )


def _logprobs(told: wire.Logprobs | None) -> tuple[TokenLogprob, ...]:
    if told is None or not told.content:
        return ()
    return tuple(
        _logprob(chosen, tuple(_logprob(other) for other in chosen.top_logprobs or ()))
        for chosen in told.content
    )


def _logprob(
    told: wire.Chosen | wire.Alternative, top: tuple[TokenLogprob, ...] = ()
) -> TokenLogprob:
    return TokenLogprob(
        token=told.token,
        logprob=LEAST_LOGPROB if told.logprob is None else told.logprob,
        raw=None if told.bytes is None else tuple(told.bytes),
        top=top,
    )


class _Calls:
    """The tool calls of one answer: which delta belongs to which.

    A delta names its call by index. Where there is none, or where every call claims the same
    one, a new id means a new call.
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._has_name: list[bool] = []
        self._has_arguments: list[bool] = []
        self._at: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._ids)

    def add(self, call: wire.Call, position: int) -> ToolCallDelta:
        """Return the delta of a piece, which stood at `position` among its siblings."""
        claimed = position if call.index is None else call.index
        ours = self._at.get(claimed)
        if ours is None and call.index is None and not call.id and self._ids:
            ours = len(self._ids) - 1
        if ours is None or (call.id and call.id != self._ids[ours]):
            ours = self._open(call.id, claimed)
            first_id: str | None = self._ids[ours]
        else:
            first_id = None
        return self._delta(call, ours, first_id)

    def _open(self, call_id: str | None, claimed: int) -> int:
        ours = self._at[claimed] = len(self._ids)
        self._ids.append(call_id or new_id("call"))
        self._has_name.append(False)
        self._has_arguments.append(False)
        return ours

    def _delta(self, call: wire.Call, ours: int, first_id: str | None) -> ToolCallDelta:
        function = call.function or wire.Function()
        name = None if self._has_name[ours] else function.name or None
        arguments = function.arguments or ""
        if not isinstance(arguments, str):
            arguments = msgspec.json.encode(arguments).decode()
        self._has_name[ours] |= name is not None
        self._has_arguments[ours] |= bool(arguments)
        return ToolCallDelta(index=ours, id=first_id, name=name, arguments=arguments)

    def completed(self) -> Iterator[Event]:
        """Give an empty object to every call that came without arguments."""
        for index, has_arguments in enumerate(self._has_arguments):
            if not has_arguments:
                yield ToolCallDelta(index=index, arguments="{}")
