"""A request to OpenAI's Responses API as clients write it, with OpenRouter's extras.

These types say which JSON is well formed and nothing about what it means; `request`
and `items` do. Members that are not declared here have no effect.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from glasslipper.gateway.dialects.chat.wire import (
    CacheControl,
    Effort,
    Name,
    NonNegative,
    Penalty,
    Positive,
    ProviderWishes,
    Share,
    Sound,
)

Status = Literal["in_progress", "completed", "incomplete"]
Mode = Literal["auto", "none", "required"]


class InputText(Struct, frozen=True, tag="input_text"):
    """A part: words that go in."""

    text: str
    cache_control: CacheControl | None = None


class OutputText(Struct, frozen=True, tag="output_text"):
    """A part: words that came out earlier."""

    text: str


class PlainText(Struct, frozen=True, tag="text"):
    """A part: words, as some clients name them."""

    text: str


class SummaryText(Struct, frozen=True, tag="summary_text"):
    """A part of a reasoning item: words that sum up the thinking."""

    text: str


class ReasoningText(Struct, frozen=True, tag="reasoning_text"):
    """A part of a reasoning item: words of the thinking."""

    text: str


class Refusal(Struct, frozen=True, tag="refusal"):
    """A part: the model's words for declining."""

    refusal: str


class Image(Struct, frozen=True, tag="input_image"):
    """A part: a picture, by address."""

    image_url: Name | None = None
    file_id: str | None = None
    detail: str | None = None


class File(Struct, frozen=True, tag="input_file"):
    """A part: a document, by data, address or a provider's id."""

    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Audio(Struct, frozen=True, tag="input_audio"):
    """A part: sound."""

    input_audio: Sound


Part = (
    InputText
    | OutputText
    | PlainText
    | SummaryText
    | ReasoningText
    | Refusal
    | Image
    | File
    | Audio
)
Content = str | list[Part]


class Item(Struct, frozen=True):
    """An input item. Which members belong to which type is not said here.

    An item with a role may leave out its type, and so may a reference.
    """

    type: str | None = None
    id: str | None = None
    role: Literal["user", "system", "developer", "assistant"] | None = None
    content: Content | None = None
    call_id: Name | None = None
    name: Name | None = None
    namespace: Name | None = None
    arguments: str | None = None
    input: str | None = None
    output: Content | None = None
    summary: list[SummaryText] | None = None
    encrypted_content: str | None = None


class TextFormat(Struct, frozen=True, omit_defaults=True):
    """What the text for a custom tool is: anything, or by a grammar."""

    type: str = "text"
    syntax: str | None = None
    definition: str | None = None


class Tool(Struct, frozen=True):
    """A tool, or a namespace of some. Which members belong to which type is not said here."""

    type: str
    name: Name | None = None
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None
    format: TextFormat | None = None
    tools: list[Tool] | None = None


class NamedTool(Struct, frozen=True, omit_defaults=True):
    """A tool, by name."""

    type: str
    name: Name | None = None
    namespace: Name | None = None


class Choice(Struct, frozen=True, omit_defaults=True):
    """The wish that one tool be called, or that only some may be."""

    type: str
    name: Name | None = None
    namespace: Name | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[NamedTool] | None = None


class Format(Struct, frozen=True):
    """The shape that the answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    name: Name | None = None
    description: str | None = None
    schema: dict[str, object] | None = None
    strict: bool | None = None


class Text(Struct, frozen=True):
    """What the words of the answer must be like."""

    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Struct, frozen=True):
    """How much the model should think, and what it should show of it."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    max_tokens: Positive | None = None
    enabled: bool | None = None
    exclude: bool | None = None


class ResponsesRequest(Struct, frozen=True, kw_only=True):
    """The body of a request."""

    model: Name | None = None
    models: list[Name] | None = None
    input: str | list[Item] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Positive | None = None
    max_tool_calls: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    top_k: NonNegative | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Tool] | None = None
    tool_choice: Mode | Choice | None = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    include: list[str] | None = None
    store: bool | None = None
    previous_response_id: Name | None = None
    background: bool | None = None
    conversation: object = None
    prompt: object = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: dict[str, str] | None = None
    service_tier: Name | None = None
    user: str | None = None
    session_id: Annotated[str, Meta(max_length=256)] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    provider: ProviderWishes | None = None
