"""Thinking in OpenRouter's carrier, `reasoning_details`, to and from the kernel's words.

One part of the thinking is one or two details with the same index: its words, as text or as a
summary, and its encrypted form. The chat dialect and the codec of chat providers share this;
whether a detail is well formed they judge themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from glasslipper.kernel.events import ReasoningDelta, fold
from glasslipper.kernel.messages import ReasoningPart

Kind = Literal["text", "summary"]

TEXT, SUMMARY, ENCRYPTED = "reasoning.text", "reasoning.summary", "reasoning.encrypted"


class Detail(Struct, frozen=True, omit_defaults=True):
    """A piece of thinking as it is written: what is not known is left out."""

    type: str
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None
    id: str | None = None
    format: str | None = None
    index: int | float | None = None


def details_of(thought: ReasoningPart | ReasoningDelta, index: int) -> list[Detail]:
    """Return the details that a part, or a piece of one, is written as."""
    name, form = thought.id, thought.format
    details: list[Detail] = []
    if thought.text or thought.signature is not None:
        is_summary = thought.kind == "summary"
        details.append(
            Detail(
                type=SUMMARY if is_summary else TEXT,
                text=None if is_summary else thought.text,
                summary=thought.text if is_summary else None,
                signature=thought.signature,
                id=name,
                format=form,
                index=index,
            )
        )
    if thought.encrypted is not None:
        details.append(
            Detail(type=ENCRYPTED, data=thought.encrypted, id=name, format=form, index=index)
        )
    return details


class _Part:
    """What is known of a part whose details are coming."""

    def __init__(self, index: int, kind: Kind) -> None:
        self.index = index
        self.kind: Kind = kind
        self.name: str | None = None
        self.is_sealed = False
        self.is_signed = False

    def takes(self, detail: Detail) -> bool:
        """Tell whether a detail that claims to belong here does.

        Two encrypted forms are two parts, and so are details that differ in id. Where no index
        says otherwise, a part ends with its proof.
        """
        if detail.id is not None and self.name is not None and detail.id != self.name:
            return False
        if detail.data is not None:
            return not self.is_sealed
        return detail.index is not None or not (self.is_sealed or self.is_signed)

    def note(self, detail: Detail) -> None:
        """Remember what a detail of this part says."""
        self.name = self.name or detail.id
        self.is_sealed |= detail.data is not None
        self.is_signed |= detail.signature is not None


class Thoughts:
    """Reads the details of one answer, whole or in pieces, in the order in which they come."""

    def __init__(self) -> None:
        self._parts: dict[tuple[float | None, Kind], _Part] = {}
        self._latest: dict[float | None, _Part] = {}
        self._count = 0

    def add(self, detail: Detail) -> ReasoningDelta | None:
        """Return the delta that a detail makes, or nothing where it says nothing."""
        text = (detail.summary if detail.type == SUMMARY else detail.text) or ""
        if not (text or detail.signature is not None or detail.data is not None):
            return None
        part = self._part(detail)
        part.note(detail)
        return ReasoningDelta(
            text=text,
            kind=part.kind,
            signature=detail.signature,
            encrypted=detail.data,
            format=detail.format,
            id=detail.id,
            index=part.index,
        )

    def plain(self, text: str) -> ReasoningDelta:
        """Return the delta of thinking that came as text alone."""
        return ReasoningDelta(text=text, index=self._part(Detail(type=TEXT)).index)

    def _part(self, detail: Detail) -> _Part:
        if detail.type == ENCRYPTED:
            kind: Kind = "text"
            part = self._latest.get(detail.index)
        else:
            kind = "summary" if detail.type == SUMMARY else "text"
            part = self._parts.get((detail.index, kind))
            if detail.index is None and part is not self._latest.get(None):
                part = None
        if part is None or not part.takes(detail):
            part = _Part(self._count, kind)
            self._count += 1
        self._parts[detail.index, part.kind] = self._latest[detail.index] = part
        return part


def parts_of(details: Iterable[Detail]) -> tuple[ReasoningPart, ...]:
    """Return the parts that the details of a whole answer make up."""
    thoughts = Thoughts()
    deltas = (thoughts.add(detail) for detail in details)
    return fold(delta for delta in deltas if delta is not None).reasoning
