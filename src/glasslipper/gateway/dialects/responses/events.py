"""The events of a Responses stream, one type for each, and how one is written as a frame.

The names and members are OpenAI's. In which order they come is `stream`'s concern.
"""

from __future__ import annotations

from typing import TypedDict

import msgspec
from msgspec import Raw, Struct, field

from glasslipper.gateway.dialects.responses.output import (
    Chosen,
    OutputItem,
    OutputRefusal,
    OutputText,
    ReasoningText,
    SummaryText,
    UrlCitation,
)

DONE = b"data: [DONE]\n\n"


class AtItem(TypedDict):
    """Which item an event is about."""

    output_index: int
    item_id: str


class AtPart(AtItem):
    """Which part of an item's content an event is about."""

    content_index: int


class AtSummary(AtItem):
    """Which part of a summary an event is about."""

    summary_index: int


class Numbered(Struct, kw_only=True):
    """Every event has its number in the stream."""

    sequence_number: int = 0


class Told(Numbered, kw_only=True):
    """An event that tells the whole response."""

    response: Raw


class Created(Told, tag="response.created"):
    """The response exists."""


class InProgress(Told, tag="response.in_progress"):
    """Its making has begun."""


class Completed(Told, tag="response.completed"):
    """It is whole."""


class Incomplete(Told, tag="response.incomplete"):
    """It was cut."""


class Failed(Told, tag="response.failed"):
    """It broke off."""


class OfItem(Numbered, kw_only=True):
    """An event about the item at a place of the output."""

    output_index: int


class ItemAdded(OfItem, tag="response.output_item.added", kw_only=True):
    """An item begins."""

    item: OutputItem


class ItemDone(OfItem, tag="response.output_item.done", kw_only=True):
    """An item is whole."""

    item: OutputItem


class OfPart(OfItem, kw_only=True):
    """An event about a part of an item's content."""

    item_id: str
    content_index: int


class PartAdded(OfPart, tag="response.content_part.added", kw_only=True):
    """A part begins."""

    part: OutputText | OutputRefusal | ReasoningText


class PartDone(OfPart, tag="response.content_part.done", kw_only=True):
    """A part is whole."""

    part: OutputText | OutputRefusal | ReasoningText


class TextDelta(OfPart, tag="response.output_text.delta", kw_only=True):
    """Some words of the answer."""

    delta: str
    logprobs: list[Chosen] = field(default_factory=list[Chosen])


class Annotated(OfPart, tag="response.output_text.annotation.added", kw_only=True):
    """One more source of the words."""

    annotation_index: int
    annotation: UrlCitation


class TextDone(OfPart, tag="response.output_text.done", kw_only=True):
    """All words of a part of the answer."""

    text: str
    logprobs: list[Chosen] = field(default_factory=list[Chosen])


class RefusalDelta(OfPart, tag="response.refusal.delta", kw_only=True):
    """Some words of a refusal."""

    delta: str


class RefusalDone(OfPart, tag="response.refusal.done", kw_only=True):
    """All words of a refusal."""

    refusal: str


class ThoughtDelta(OfPart, tag="response.reasoning_text.delta", kw_only=True):
    """Some words of the thinking."""

    delta: str


class ThoughtDone(OfPart, tag="response.reasoning_text.done", kw_only=True):
    """All words of a part of the thinking."""

    text: str


class OfSummary(OfItem, kw_only=True):
    """An event about a part of a reasoning item's summary."""

    item_id: str
    summary_index: int


class SummaryAdded(OfSummary, tag="response.reasoning_summary_part.added", kw_only=True):
    """A part of a summary begins."""

    part: SummaryText


class SummaryDone(OfSummary, tag="response.reasoning_summary_part.done", kw_only=True):
    """A part of a summary is whole."""

    part: SummaryText


class SummaryDelta(OfSummary, tag="response.reasoning_summary_text.delta", kw_only=True):
    """Some words of a summary."""

    delta: str


class SummaryTextDone(OfSummary, tag="response.reasoning_summary_text.done", kw_only=True):
    """All words of a part of a summary."""

    text: str


class OfCall(OfItem, kw_only=True):
    """An event about a tool call."""

    item_id: str


class ArgumentsDelta(OfCall, tag="response.function_call_arguments.delta", kw_only=True):
    """Some of the arguments."""

    delta: str


class ArgumentsDone(OfCall, tag="response.function_call_arguments.done", kw_only=True):
    """All of the arguments."""

    arguments: str


class InputDelta(OfCall, tag="response.custom_tool_call_input.delta", kw_only=True):
    """Some of the text for a tool."""

    delta: str


class InputDone(OfCall, tag="response.custom_tool_call_input.done", kw_only=True):
    """All of the text for a tool."""

    input: str


_encoder = msgspec.json.Encoder()


def frame_of(event: Numbered) -> bytes:
    """Return the server-sent event that an event is written as."""
    name = event.__struct_config__.tag
    return b"event: %b\ndata: %b\n\n" % (str(name).encode(), _encoder.encode(event))
