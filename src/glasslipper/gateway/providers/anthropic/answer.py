"""From Anthropic's messages, whole or as a stream of events, to the events of an attempt.

Every tool call gets an index of its own and arguments, every block of words or thinking one index.
A stream is whole once `message_stop` has come. What only this dialect has words for, such as the
calls and results of tools that Anthropic runs itself, is kept as it stands; `blocks` gathers it.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw, structs
from msgspec.json import Decoder

from glasslipper.gateway.dialects.messages.kinds import DIALECT
from glasslipper.gateway.providers.anthropic import wire
from glasslipper.gateway.providers.anthropic.blocks import Blocks, decoded, is_said
from glasslipper.gateway.providers.anthropic.refusal import Refusals
from glasslipper.gateway.providers.anthropic.usage import Meter
from glasslipper.gateway.sse import Splitter
from glasslipper.kernel.errors import GlasslipperError
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

_messages = Decoder(wire.Message)
_events = Decoder(wire.StreamEvent)
_endings = Decoder(wire.Ending)
_usages = Decoder(wire.UsageObject)
_more_usages = Decoder(wire.MoreUsage)
_counts = Decoder(wire.TokenCount)


class Reading:
    """Turns what one attempt brings into events, and keeps the attempt's usage current."""

    def __init__(self, attempt: Attempted, refusals: Refusals) -> None:
        """Read for `attempt`; `refusals` puts errors into words."""
        self._attempt = attempt
        self._refusals = refusals
        self._splitter = Splitter()
        self._meter = Meter()
        self._blocks = Blocks()
        self._is_metered = False
        self._is_counted = False
        self._relayed_bytes = 0
        self._native: str | None = None
        self._stop: str | None = None
        self._more: dict[str, Raw] = {}
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
            yield from self._take(decoded(_events, frame.data))
            if self.is_done:
                return

    def whole(self, body: bytes) -> list[Event]:
        """Return the events of a whole message.

        Raises:
            StreamBroken: It is malformed.
            UpstreamFailed: It is an error instead.
            ContextTooLong: The error is that the prompt does not fit.
        """
        message = decoded(_messages, body)
        if message.type == "error" or message.error is not None:
            raise self._refusals.of_error(message.error)
        events = self._start(message)
        for index, block in enumerate(message.content or ()):
            events += self._blocks.open(index, block)
            events += self._blocks.close(index)
        self._end(message)
        self._is_counted = is_said(message.usage)
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
        events.append(
            Finished(reason=reason, native=self._native, stop=self._stop, more=self._more)
        )
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
            case "content_block_start" if is_said(event.content_block):
                return self._counted(self._blocks.open(event.index, event.content_block))
            case "content_block_delta" if is_said(event.delta):
                return self._counted(self._blocks.grow(event.index, event.delta))
            case "content_block_stop":
                return self._blocks.close(event.index)
            case "message_delta":
                self._note(event.usage)
                self._is_counted |= is_said(event.usage)
                self._keep(context_management=event.context_management)
                if is_said(event.delta):
                    self._end(decoded(_endings, event.delta))
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
        usage = self._note(message.usage)
        self._keep(container=message.container, context_management=message.context_management)
        return [
            Started(
                model=message.model or None,
                upstream_id=message.id or None,
                service_tier=usage.service_tier if usage else None,
                dialect=DIALECT,
            )
        ]

    def _end(self, told: wire.Ending) -> None:
        self._native = told.stop_reason or self._native
        self._stop = told.stop_sequence or self._stop
        self._keep(stop_details=told.stop_details, container=told.container)

    def _keep(self, **members: Raw) -> None:
        self._more |= {name: raw.copy() for name, raw in members.items() if is_said(raw)}

    def _note(self, told: Raw) -> wire.UsageObject | None:
        if not is_said(told):
            return None
        usage = decoded(_usages, told)
        self._is_metered = True
        self._meter.take(usage)
        self._attempt.usage = self._meter.usage()
        self._keep(**structs.asdict(decoded(_more_usages, told)))
        return usage

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
    return decoded(_counts, body).input_tokens
