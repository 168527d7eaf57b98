"""A Messages request as clients write it: Anthropic's, with OpenRouter's extras.

These types say which JSON is well formed and nothing about what it means; `request` and `turns`
do. Top-level members that are not declared here are not errors: they travel on
as raw JSON.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from glasslipper.gateway.dialects.chat.wire import ProviderWishes

NonNegative = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Budget = Annotated[int, Meta(ge=1024, le=2**31 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Name = Annotated[str, Meta(min_length=1)]
Stops = Annotated[list[Name], Meta(max_length=8192)]


class CacheControl(Struct, frozen=True):
    """Marks the end of a prefix worth caching."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class Base64(Struct, frozen=True, tag="base64"):
    """A source: data in base64."""

    media_type: Name
    data: Name


class Address(Struct, frozen=True, tag="url"):
    """A source: where the data is."""

    url: Name


class FileId(Struct, frozen=True, tag="file"):
    """A source: a file that the provider keeps."""

    file_id: Name


class Plain(Struct, frozen=True, tag="text"):
    """A source: a text."""

    data: str
    media_type: Literal["text/plain"] = "text/plain"


class Text(Struct, frozen=True, tag="text"):
    """A block: words."""

    text: str
    cache_control: CacheControl | None = None
    citations: object = None


class Image(Struct, frozen=True, tag="image"):
    """A block: a picture."""

    source: Base64 | Address
    cache_control: CacheControl | None = None
    transformations: object = None


class Document(Struct, frozen=True, tag="document"):
    """A block: a document."""

    source: Base64 | Address | FileId | Plain
    title: str | None = None
    context: str | None = None
    citations: object = None
    cache_control: CacheControl | None = None


class ToolUse(Struct, frozen=True, tag="tool_use"):
    """A block: a tool call in the history."""

    id: Name
    name: Name
    input: Raw
    cache_control: CacheControl | None = None
    caller: dict[str, object] | None = None
    toolset_name: str | None = None


class ToolResult(Struct, frozen=True, tag="tool_result"):
    """A block: what a tool call brought. Its blocks are those that a user may say."""

    tool_use_id: Name
    content: str | list[Raw] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None
    toolset_name: str | None = None


class Thinking(Struct, frozen=True, tag="thinking"):
    """A block: the model's thinking, with the signature that proves it."""

    thinking: str
    signature: str = ""


class RedactedThinking(Struct, frozen=True, tag="redacted_thinking"):
    """A block: thinking that only the provider can read."""

    data: str


class SearchResult(Struct, frozen=True, tag="search_result"):
    """A block: something that was found, to be cited."""

    source: str
    title: str
    content: list[Text]


Block = Text | Image | Document | ToolUse | ToolResult | Thinking | RedactedThinking

TYPES = frozenset(
    {"text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"}
)
"""Types of blocks that have a meaning here; any other is Anthropic's own."""

SOURCES = frozenset({"base64", "url", "file", "text"})
"""Types of sources that have a meaning here."""


class Kind(Struct, frozen=True):
    """Of which type something is."""

    type: str
    source: Raw = Raw()


class Turn(Struct, frozen=True):
    """A message. Which blocks there are, and which belong to which role, is not said here."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Raw]


class Tool(Struct, frozen=True):
    """A tool. Types other than `custom` are the provider's own."""

    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, object] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None
    allowed_callers: object = None
    defer_loading: bool | None = None
    eager_input_streaming: bool | None = None
    input_examples: object = None


class ToolChoice(Struct, frozen=True):
    """Whether a tool, any tool or a certain tool must be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Think(Struct, frozen=True, omit_defaults=True):
    """Whether and how the model should think."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Budget | None = None
    display: Literal["summarized", "omitted"] | None = None


class Format(Struct, frozen=True):
    """The shape that the answer must have."""

    type: Literal["json_schema"]
    schema: dict[str, object]


class OutputConfig(Struct, frozen=True):
    """How much effort the answer is worth, and its shape."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: Format | None = None


class Metadata(Struct, frozen=True):
    """Who is behind the request."""

    user_id: str | None = None


class Fallback(Struct, frozen=True, forbid_unknown_fields=True):
    """A model to try after the others."""

    model: Name


class CountRequest(Struct, frozen=True, kw_only=True):
    """The body of a request to count tokens: whatever goes into the prompt."""

    model: Name
    messages: Annotated[list[Turn], Meta(min_length=1)]
    system: str | list[Text] | None = None
    tools: list[Raw] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Think | None = None
    output_config: OutputConfig | None = None


class MessagesRequest(CountRequest, frozen=True, kw_only=True):
    """The body of a Messages request."""

    max_tokens: NonNegative
    stream: bool | None = None
    stop_sequences: Stops | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: NonNegative | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None
    models: list[Name] | None = None
    fallbacks: Annotated[list[Fallback], Meta(max_length=3)] | None = None
    provider: ProviderWishes | None = None
    session_id: Annotated[str, Meta(max_length=256)] | None = None


CHECKED_ONLY = frozenset({"provider"})
"""Members whose shape is checked here, and which travel on as raw JSON all the same."""
