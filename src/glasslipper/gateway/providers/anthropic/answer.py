"""From Anthropic's messages, whole or as a stream of events, to the events of an attempt.

Every tool call gets an index of its own and arguments, every thinking block one index. A stream is
whole once `message_stop` has come; blocks of types that nobody here knows are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from glasslipper.gateway.dialects.messages.kinds import FORMAT
from glasslipper.gateway.providers.anthropic import wire
from glasslipper.gateway.providers.anthropic.refusal import NAME, Refusals
from glasslipper.gateway.providers.anthropic.usage import Meter
from glasslipper.gateway.sse import Splitter
from glasslipper.kernel.errors import GlasslipperError, StreamBroken
from glasslipper.kernel.events import (
    Event,
    Finished,
    ReasoningDelta,
    Spent,
    Started,
    TextDelta,
    ToolCallDelta,
)
from glasslipper.kernel.finish import FinishReason
from glasslipper.kernel.ids import new_id
from glasslipper.kernel.ports import Attempted

_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Why an answer ended; a word that is not listed means that it is whole."""

T = TypeVar("T")

_messages = Decoder(wire.Message)
_events = Decoder(wire.StreamEvent)
_counts = Decoder(wire.TokenCount)


class Reading:
    """Turns what one attempt brings into events, and keeps the attempt's usage current."""

    def __init__(self, attempt: Attempted, refusals: Refusals) -> None:
        """Read for `attempt`; `refusals` puts errors into words."""
        self._attempt = attempt
        self._refusals = refusals
        self._splitter = Splitter()
        self._meter = Meter()
        self._blocks = _Blocks()
        self._is_metered = False
        self._is_counted = False
        self._relayed_bytes = 0
        self._native: str | None = None
        self.is_done = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events of the next bytes of a stream; `is_done` once it says so.

        Raises:
            StreamBroken: A frame is malformed; what came before it has been yielded.
            UpstreamFailed: A frame is an error instead.
            ContextTooLong: The error is that the prompt does not fit.
        """
        for frame in self._splitter.feed(data):
            if frame.event == b"error":
                raise self._failure(self._refusals.of_event(frame.data))
            if frame.event == b"ping":
                continue
            yield from self._take(_decode(_events, frame.data))
            if self.is_done:
                return

    def whole(self, body: bytes) -> list[Event]:
        """Return the events of a whole message.

        Raises:
            StreamBroken: It is malformed.
            UpstreamFailed: It is an error instead.
            ContextTooLong: The error is that the prompt does not fit.
        """
        message = _decode(_messages, body)
        if message.type == "error" or message.error is not None:
            raise self._refusals.of_error(message.error)
        events = self._start(message)
        for index, block in enumerate(message.content or ()):
            events += self._blocks.open(index, block)
            events += self._blocks.close(index)
        self._native = message.stop_reason
        self._is_counted = message.usage is not None
        self.is_done = self._native is not None
        return events

    def end(self) -> list[Event]:
        """Return what belongs at the end: nothing, where the answer is not whole."""
        if not self.is_done:
            return []
        reason = _FINISH.get(self._native or "", "stop")
        if reason == "stop" and self._blocks.has_calls and self._native is None:
            reason = "tool_calls"
        events: list[Event] = [*self._blocks.close_all()]
        events.append(Finished(reason=reason, native=self._native))
        if self._attempt.usage is not None:
            events.append(Spent(usage=self._attempt.usage))
        return events

    def settle(self) -> None:
        """Put down as output what came of an answer that was cut off before it was counted."""
        if self._is_metered and not self._is_counted:
            self._attempt.usage = self._meter.usage(relayed_bytes=self._relayed_bytes)

    def _take(self, event: wire.StreamEvent) -> list[Event]:
        match event.type:
            case "message_start" if event.message is not None:
                return self._start(event.message)
            case "content_block_start" if event.content_block is not None:
                return self._counted(self._blocks.open(event.index, event.content_block))
            case "content_block_delta" if event.delta is not None:
                return self._counted(self._blocks.grow(event.index, event.delta))
            case "content_block_stop":
                return self._blocks.close(event.index)
            case "message_delta":
                self._note(event.usage)
                self._is_counted |= event.usage is not None
                if event.delta is not None:
                    self._native = event.delta.stop_reason or self._native
            case "message_stop":
                self.is_done = True
            case "error":
                raise self._failure(self._refusals.of_error(event.error))
            case _:
                pass
        return []

    def _failure(self, error: GlasslipperError) -> GlasslipperError:
        """Take back what was said about usage if nothing came of it: failures cost nothing."""
        if not self._relayed_bytes:
            self._is_metered = False
            self._attempt.usage = None
        return error

    def _start(self, message: wire.Message) -> list[Event]:
        self._note(message.usage)
        return [
            Started(
                model=message.model or None,
                upstream_id=message.id or None,
                service_tier=message.usage.service_tier if message.usage else None,
            )
        ]

    def _note(self, told: wire.UsageObject | None) -> None:
        if told is not None:
            self._is_metered = True
            self._meter.take(told)
            self._attempt.usage = self._meter.usage()

    def _counted(self, events: list[Event]) -> list[Event]:
        for event in events:
            match event:
                case TextDelta(text=text) | ReasoningDelta(text=text):
                    self._relayed_bytes += len(text.encode("utf-8", "surrogatepass"))
                case ToolCallDelta():
                    self._relayed_bytes += len(event.arguments) + len(event.name or "")
                case _:
                    pass
        return events


def token_count(body: bytes) -> int:
    """Return the tokens that an answer of /messages/count_tokens tells.

    Raises:
        StreamBroken: It is malformed.
    """
    return _decode(_counts, body).input_tokens


class _Blocks:
    """The blocks of one answer: what each is, and which of its kind."""

    def __init__(self) -> None:
        self._thoughts: dict[int, int] = {}
        self._calls: dict[int, int] = {}
        self._inputs: dict[int, str] = {}

    @property
    def has_calls(self) -> bool:
        return bool(self._calls)

    def open(self, index: int, block: wire.Block) -> list[Event]:
        match block.type:
            case "text":
                return [TextDelta(text=block.text)] if block.text else []
            case "thinking":
                at = self._thoughts[index] = len(self._thoughts)
                return _thought(at, text=block.thinking, signature=block.signature)
            case "redacted_thinking":
                at = self._thoughts[index] = len(self._thoughts)
                return [ReasoningDelta(encrypted=block.data or "", format=FORMAT, index=at)]
            case "tool_use":
                at = self._calls[index] = len(self._calls)
                self._inputs[index] = _arguments(block.input)
                return [ToolCallDelta(index=at, id=block.id or new_id("toolu"), name=block.name)]
            case _:
                return []

    def grow(self, index: int, delta: wire.Delta) -> list[Event]:
        match delta.type:
            case "text_delta":
                return [TextDelta(text=delta.text)] if delta.text else []
            case "thinking_delta" | "signature_delta":
                at = self._thoughts.setdefault(index, len(self._thoughts))
                return _thought(at, text=delta.thinking, signature=delta.signature)
            case "input_json_delta" if delta.partial_json and index in self._calls:
                self._inputs.pop(index, None)
                return [ToolCallDelta(index=self._calls[index], arguments=delta.partial_json)]
            case _:
                return []

    def close(self, index: int) -> list[Event]:
        """Give a call whose arguments did not come in pieces those it opened with."""
        arguments = self._inputs.pop(index, None)
        if arguments is None:
            return []
        return [ToolCallDelta(index=self._calls[index], arguments=arguments)]

    def close_all(self) -> list[Event]:
        return [event for index in tuple(self._inputs) for event in self.close(index)]


def _thought(index: int, *, text: str | None, signature: str | None) -> list[Event]:
    if not (text or signature):
        return []
    return [
        ReasoningDelta(text=text or "", signature=signature or None, format=FORMAT, index=index)
    ]


def _arguments(told: Raw) -> str:
    try:
        text = str(told, "utf-8")
    except UnicodeDecodeError as error:
        raise StreamBroken(f"{NAME} sent what is no answer: {error}.") from None
    return "{}" if text in ("", "null") else text


def _decode(decoder: Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise StreamBroken(f"{NAME} sent what is no answer: {error}.") from None
