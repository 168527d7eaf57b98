"""The blocks of one answer of Anthropic's: what each is, and which of its kind.

A block of a type that nobody else has words for, such as a search that Anthropic ran and what it
found, is kept as it stands and handed on once it is whole.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from glasslipper.gateway.dialects.messages.kinds import DIALECT, FORMAT
from glasslipper.gateway.providers.anthropic import wire
from glasslipper.gateway.providers.anthropic.refusal import NAME
from glasslipper.kernel.errors import StreamBroken
from glasslipper.kernel.events import (
    Aside,
    Citation,
    Cited,
    Event,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from glasslipper.kernel.ids import new_id

T = TypeVar("T")

_blocks = Decoder(wire.Block)
_deltas = Decoder(wire.Delta)
_sources = Decoder(wire.Source)
_members: Decoder[dict[str, Raw]] = Decoder(dict[str, Raw])
_texts: Decoder[str] = Decoder(str)
_encoder = msgspec.json.Encoder()


def is_said(raw: Raw) -> bool:
    """Tell whether a member is there and is not null."""
    return bytes(raw) not in (b"", b"null")


def decoded(decoder: Decoder[T], data: bytes | Raw) -> T:
    """Return what a decoder makes of data.

    Raises:
        StreamBroken: It makes nothing of it.
    """
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise StreamBroken(f"{NAME} sent what is no answer: {error}.") from None


class Blocks:
    """Turns blocks, as they open, grow and close, into events."""

    def __init__(self) -> None:
        self._texts: dict[int, int] = {}
        self._thoughts: dict[int, int] = {}
        self._calls: dict[int, int] = {}
        self._inputs: dict[int, str] = {}
        self._asides: dict[int, _Growing] = {}

    @property
    def has_calls(self) -> bool:
        """Whether the client's tools have been called."""
        return bool(self._calls)

    def open(self, index: int, raw: Raw) -> list[Event]:
        """Return the events of a block that opens, or that is there whole."""
        block = decoded(_blocks, raw)
        match block.type:
            case "text":
                at = self._text(index)
                events: list[Event] = []
                if block.text:
                    events.append(TextDelta(text=block.text, index=at))
                return events + [_cited(at, citation) for citation in block.citations or ()]
            case "thinking":
                at = self._thoughts[index] = len(self._thoughts)
                return _thought(at, text=block.thinking, signature=block.signature)
            case "redacted_thinking":
                at = self._thoughts[index] = len(self._thoughts)
                return [ReasoningDelta(encrypted=block.data or "", format=FORMAT, index=at)]
            case "tool_use":
                at = self._calls[index] = len(self._calls)
                self._inputs[index] = _arguments(block.input)
                more = {
                    name: value.copy()
                    for name, value in (
                        ("caller", block.caller),
                        ("toolset_name", block.toolset_name),
                    )
                    if is_said(value)
                }
                name = block.id or new_id("toolu")
                return [ToolCallDelta(index=at, id=name, name=block.name, more=more)]
            case None:
                return []
            case _:
                self._asides[index] = _Growing(raw)
                return []

    def grow(self, index: int, raw: Raw) -> list[Event]:
        """Return the events of what a block grows by."""
        delta = decoded(_deltas, raw)
        if index in self._asides:
            self._asides[index].grow(delta, raw)
            return []
        match delta.type:
            case "text_delta":
                if not delta.text:
                    return []
                return [TextDelta(text=delta.text, index=self._text(index))]
            case "citations_delta" if is_said(delta.citation):
                return [_cited(self._text(index), delta.citation)]
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
        aside = self._asides.pop(index, None)
        if aside is not None:
            return [Aside(dialect=DIALECT, raw=aside.whole())]
        arguments = self._inputs.pop(index, None)
        if arguments is None:
            return []
        return [ToolCallDelta(index=self._calls[index], arguments=arguments)]

    def close_all(self) -> list[Event]:
        """Return the events of closing what is still open."""
        left = sorted({*self._inputs, *self._asides})
        return [event for index in left for event in self.close(index)]

    def _text(self, index: int) -> int:
        return self._texts.setdefault(index, len(self._texts))


class _Growing:
    """A block that is kept as it stands, while it grows."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw.copy()
        self._input: list[str] = []
        self._grown: dict[str, Raw] = {}

    def grow(self, delta: wire.Delta, raw: Raw) -> None:
        """Take in JSON of an input piece by piece; of anything else, texts are joined."""
        if delta.type == "input_json_delta":
            self._input.append(delta.partial_json or "")
            return
        for name, value in decoded(_members, raw).items():
            before = self._grown.get(name)
            if name == "type":
                continue
            if before is not None and bytes(before)[:1] == bytes(value)[:1] == b'"':
                joined = decoded(_texts, before) + decoded(_texts, value)
                self._grown[name] = Raw(_encoder.encode(joined))
            else:
                self._grown[name] = value.copy()

    def whole(self) -> Raw:
        """Return the block as it would be in an answer that is not streamed."""
        written = "".join(self._input).strip()
        if not (written or self._grown):
            return self._raw
        members = decoded(_members, self._raw) | self._grown
        if written:
            decoded(_members, written.encode("utf-8", "surrogatepass"))
            members["input"] = Raw(written.encode())
        return Raw(_encoder.encode(members))


def _cited(at: int, raw: Raw) -> Cited:
    source = decoded(_sources, raw)
    citation = Citation(
        dialect=DIALECT,
        raw=raw.copy(),
        url=source.url or source.source,
        title=source.title or source.document_title,
        text=source.cited_text,
    )
    return Cited(citation=citation, index=at)


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
