"""A stream as a Messages client reads it: blocks that open, grow and close, one after another.

Usage is not known when a stream opens: it is zero there and whole in `message_delta`, where
clients take it from. Tool calls whose arguments arrive interleaved stay open beside each other;
one whose arguments are whole is closed as soon as another block opens. A block that only
Anthropic has words for comes whole, its input as the one piece by which it grows.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs
from msgspec.json import Decoder

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.messages.answer import (
    NOTHING,
    Block,
    MessageObject,
    RedactedBlock,
    TextBlock,
    ThinkingBlock,
    UsageObject,
    call_block,
    citation_of,
    is_object,
    stop_reason,
    stop_sequence,
    usage_object,
)
from glasslipper.gateway.dialects.messages.errors import encode_error
from glasslipper.gateway.dialects.messages.kinds import DIALECT
from glasslipper.gateway.dialects.messages.thinking import seal
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
)
from glasslipper.kernel.ids import new_id
from glasslipper.kernel.messages import ReasoningPart


class Start(Struct, tag="message_start"):
    """The event that opens a stream."""

    message: MessageObject


class BlockStart(Struct, tag="content_block_start"):
    """The event that opens a block."""

    index: int
    content_block: Block | Raw


class TextGrowth(Struct, tag="text_delta"):
    """More words."""

    text: str


class ThinkingGrowth(Struct, tag="thinking_delta"):
    """More thinking."""

    thinking: str


class CitationGrowth(Struct, tag="citations_delta"):
    """One more source that the words rest on."""

    citation: Raw


class SignatureGrowth(Struct, tag="signature_delta"):
    """The signature of a thinking block, whole."""

    signature: str


class InputGrowth(Struct, tag="input_json_delta"):
    """More of a call's arguments."""

    partial_json: str


class BlockDelta(Struct, tag="content_block_delta"):
    """The event by which a block grows."""

    index: int
    delta: TextGrowth | CitationGrowth | ThinkingGrowth | SignatureGrowth | InputGrowth


class BlockStop(Struct, tag="content_block_stop"):
    """The event that closes a block."""

    index: int


class End(Struct):
    """Why the message ended."""

    stop_reason: str | None
    stop_sequence: str | None
    stop_details: Raw | None = None
    container: Raw | None = None


class MessageDelta(Struct, tag="message_delta"):
    """The event that tells why the message ended, and the usage of the whole."""

    delta: End
    usage: UsageObject
    context_management: Raw | UnsetType = UNSET


_Frame = Start | BlockStart | BlockDelta | BlockStop | MessageDelta

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
"""An event that says nothing, to keep a connection alive."""

_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

_encoder = msgspec.json.Encoder()
_members: Decoder[dict[str, Raw]] = Decoder(dict[str, Raw])


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
        self._passage = 0
        self._is_own = False
        self._thought: _Thought | None = None
        self._calls: dict[int, _Call] = {}
        self._ended: set[int] = set()
        self._refused = False
        self._finished: Finished | None = None

    def encode(self, event: Event) -> bytes:
        """Return the frames of an event, or nothing where the event has none."""
        if (
            type(event) is TextDelta
            and self._before_text is not None
            and event.index == self._passage
        ):
            return self._before_text + _encoder.encode(event.text) + b"}}\n\n"
        opening = b"" if self._begun else self._begin(event)
        match event:
            case TextDelta(text=text):
                return opening + self._words(text, event.index)
            case RefusalDelta(text=text):
                self._refused = True
                return opening + self._words(text, self._passage)
            case Cited():
                return opening + self._cite(event)
            case Aside() if event.dialect == DIALECT:
                return opening + self._aside(event.raw)
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
            ended.reason if ended else None,
            ended.native if ended else None,
            refused=self._refused,
            is_own=self._is_own,
        )
        more = ended.more if ended and self._is_own else NOTHING
        stopped_by = (ended.stop if ended else None) or stop_sequence(reason, self._stops)
        closing = MessageDelta(
            delta=End(reason, stopped_by, more.get("stop_details"), more.get("container")),
            usage=usage_object(bill, service_tier=self._tier, more=more),
            context_management=more.get("context_management", UNSET),
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
            self._is_own = event.dialect == DIALECT
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

    def _words(self, text: str, passage: int) -> bytes:
        if not text:
            return b""
        frames = self._turn_to(passage)
        return frames + (self._before_text or b"") + _encoder.encode(text) + b"}}\n\n"

    def _turn_to(self, passage: int) -> bytes:
        """Return the frames that make a passage the open one."""
        if self._before_text is not None and passage == self._passage:
            return b""
        frames = self._close() + self._open(TextBlock(""))
        self._passage, self._text_index = passage, self._next - 1
        growth = _frame(BlockDelta(self._text_index, TextGrowth("")))
        self._before_text = growth.removesuffix(b'""}}\n\n')
        return frames

    def _cite(self, event: Cited) -> bytes:
        frames = self._turn_to(event.index)
        growth = CitationGrowth(citation_of(event.citation))
        return frames + _frame(BlockDelta(self._text_index, growth))

    def _aside(self, raw: Raw) -> bytes:
        members = _members.decode(raw)
        written, growth = members.get("input"), b""
        frames = self._close()
        index = self._next
        if written is not None and bytes(written)[:1] == b"{":
            members["input"] = Raw(b"{}")
            growth = _frame(BlockDelta(index, InputGrowth(bytes(written).decode())))
        opening = self._open(Raw(_encoder.encode(members)))
        return frames + opening + growth + _frame(BlockStop(index))

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
            block = call_block(delta.id or new_id("toolu"), delta.name or "", delta.more)
            frames = self._close() + self._open(block)
            call = self._calls[delta.index] = _Call(self._next - 1)
        if delta.arguments:
            call.arguments.append(delta.arguments)
            frames += _frame(BlockDelta(call.index, InputGrowth(delta.arguments)))
        return frames

    def _open(self, block: Block | Raw) -> bytes:
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
