"""A stream as a Messages client reads it: blocks that open, grow and close, one after another.

Usage is not known when a stream opens: it is zero there and whole in `message_delta`, where
clients take it from. Tool calls whose arguments arrive interleaved stay open beside each other;
one whose arguments are whole is closed as soon as another block opens.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct, structs

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.messages.answer import (
    Block,
    MessageObject,
    RedactedBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
    UsageObject,
    is_object,
    stop_reason,
    stop_sequence,
    usage_object,
)
from glasslipper.gateway.dialects.messages.errors import encode_error
from glasslipper.gateway.dialects.messages.thinking import seal
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.events import (
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)
from glasslipper.kernel.ids import new_id
from glasslipper.kernel.messages import ReasoningPart


class Start(Struct, tag="message_start"):
    """The event that opens a stream."""

    message: MessageObject


class BlockStart(Struct, tag="content_block_start"):
    """The event that opens a block."""

    index: int
    content_block: Block


class TextGrowth(Struct, tag="text_delta"):
    """More words."""

    text: str


class ThinkingGrowth(Struct, tag="thinking_delta"):
    """More thinking."""

    thinking: str


class SignatureGrowth(Struct, tag="signature_delta"):
    """The signature of a thinking block, whole."""

    signature: str


class InputGrowth(Struct, tag="input_json_delta"):
    """More of a call's arguments."""

    partial_json: str


class BlockDelta(Struct, tag="content_block_delta"):
    """The event by which a block grows."""

    index: int
    delta: TextGrowth | ThinkingGrowth | SignatureGrowth | InputGrowth


class BlockStop(Struct, tag="content_block_stop"):
    """The event that closes a block."""

    index: int


class End(Struct):
    """Why the message ended."""

    stop_reason: str | None
    stop_sequence: str | None
    stop_details: None = None
    container: None = None


class MessageDelta(Struct, tag="message_delta"):
    """The event that tells why the message ended, and the usage of the whole."""

    delta: End
    usage: UsageObject


_Frame = Start | BlockStart | BlockDelta | BlockStop | MessageDelta

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
"""An event that says nothing, to keep a connection alive."""

_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

_encoder = msgspec.json.Encoder()


class _Thought:
    """An open thinking block: whose it is, and what has been learned about it."""

    def __init__(self, index: int, first: ReasoningDelta) -> None:
        self.index = index
        self.key = (first.index, first.kind)
        self._part = ReasoningPart(kind=first.kind)

    def learn(self, delta: ReasoningDelta) -> None:
        told = {
            name: value
            for name in ("signature", "encrypted", "format", "id")
            if (value := getattr(delta, name)) is not None
        }
        if told:
            self._part = structs.replace(self._part, **told)

    @property
    def sealed(self) -> str:
        return seal(structs.replace(self._part, text="…"))


class _Call:
    """An open tool call, and its arguments so far."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.arguments: list[str] = []

    @property
    def is_whole(self) -> bool:
        return is_object("".join(self.arguments))


class EventEncoder:
    """Writes the events of one stream, in order."""

    def __init__(self, head: Head, *, stops: Sequence[str] = ()) -> None:
        """Begin the stream of `head`; `stops` are the stop sequences that were asked for."""
        self._head = head
        self._stops = stops
        self._tier: str | None = None
        self._begun = False
        self._next = 0
        self._before_text: bytes | None = None
        self._text_index = 0
        self._thought: _Thought | None = None
        self._calls: dict[int, _Call] = {}
        self._ended: set[int] = set()
        self._refused = False
        self._finished: Finished | None = None

    def encode(self, event: Event) -> bytes:
        """Return the frames of an event, or nothing where the event has none."""
        if type(event) is TextDelta and self._before_text is not None:
            return self._before_text + _encoder.encode(event.text) + b"}}\n\n"
        opening = b"" if self._begun else self._begin(event)
        match event:
            case TextDelta(text=text):
                return opening + self._words(text)
            case RefusalDelta(text=text):
                self._refused = True
                return opening + self._words(text)
            case ReasoningDelta():
                return opening + self._think(event)
            case ToolCallDelta():
                return opening + self._call(event)
            case Finished():
                self._finished = event
                return opening
            case _:
                return opening

    def finish(self, bill: Bill | None) -> bytes:
        """Return the last frames: why the answer ended, usage and cost, and the end mark."""
        opening = b"" if self._begun else self._begin(None)
        ended = self._finished
        reason = stop_reason(
            ended.reason if ended else None, ended.native if ended else None, refused=self._refused
        )
        closing = MessageDelta(
            delta=End(reason, stop_sequence(reason, self._stops)),
            usage=usage_object(bill, service_tier=self._tier),
        )
        return opening + self._close(calls=True) + _frame(closing) + _STOP

    def error(self, error: GlasslipperError) -> bytes:
        """Return the frame that says why the stream ends here.

        Nothing follows it: a stream that broke off must not end like a whole one.
        """
        return b"event: error\ndata: " + encode_error(error, request_id=self._head.id) + b"\n\n"

    def _begin(self, event: Event | None) -> bytes:
        self._begun = True
        if isinstance(event, Started):
            self._tier = event.service_tier
        message = MessageObject(
            id=self._head.id,
            model=self._head.model,
            provider=self._head.provider,
            content=[],
            stop_reason=None,
            stop_sequence=None,
            usage=usage_object(None, service_tier=self._tier),
        )
        return _frame(Start(message))

    def _words(self, text: str) -> bytes:
        if not text:
            return b""
        frames = b""
        if self._before_text is None:
            frames = self._close() + self._open(TextBlock(""))
            self._text_index = self._next - 1
            growth = _frame(BlockDelta(self._text_index, TextGrowth("")))
            self._before_text = growth.removesuffix(b'""}}\n\n')
        return frames + (self._before_text or b"") + _encoder.encode(text) + b"}}\n\n"

    def _think(self, delta: ReasoningDelta) -> bytes:
        thought, frames = self._thought, b""
        if thought is None or thought.key != (delta.index, delta.kind):
            if delta.encrypted and not (delta.text or delta.signature):
                return self._close() + self._redacted(delta)
            if not (delta.text or delta.signature):
                return b""
            frames = self._close() + self._open(ThinkingBlock("", ""))
            thought = self._thought = _Thought(self._next - 1, delta)
        thought.learn(delta)
        if delta.text:
            frames += _frame(BlockDelta(thought.index, ThinkingGrowth(delta.text)))
        return frames

    def _redacted(self, delta: ReasoningDelta) -> bytes:
        part = ReasoningPart(
            kind=delta.kind, encrypted=delta.encrypted, format=delta.format, id=delta.id
        )
        return self._open(RedactedBlock(seal(part))) + _frame(BlockStop(self._next - 1))

    def _call(self, delta: ToolCallDelta) -> bytes:
        if delta.index in self._ended:
            return b""
        call, frames = self._calls.get(delta.index), b""
        if call is None:
            block = ToolUseBlock(delta.id or new_id("toolu"), delta.name or "", {})
            frames = self._close() + self._open(block)
            call = self._calls[delta.index] = _Call(self._next - 1)
        if delta.arguments:
            call.arguments.append(delta.arguments)
            frames += _frame(BlockDelta(call.index, InputGrowth(delta.arguments)))
        return frames

    def _open(self, block: Block) -> bytes:
        index, self._next = self._next, self._next + 1
        return _frame(BlockStart(index, block))

    def _close(self, *, calls: bool = False) -> bytes:
        """Return the frames that close what is open; of the calls only the whole, or all."""
        frames = b""
        if self._before_text is not None:
            self._before_text = None
            frames += _frame(BlockStop(self._text_index))
        if self._thought is not None:
            index, sealed = self._thought.index, self._thought.sealed
            self._thought = None
            if sealed:
                frames += _frame(BlockDelta(index, SignatureGrowth(sealed)))
            frames += _frame(BlockStop(index))
        for number, call in tuple(self._calls.items()):
            if calls or call.is_whole:
                del self._calls[number]
                self._ended.add(number)
                frames += _frame(BlockStop(call.index))
        return frames


def _frame(frame: _Frame) -> bytes:
    name = type(frame).__struct_config__.tag
    return b"event: %b\ndata: %b\n\n" % (str(name).encode("ascii"), _encoder.encode(frame))
