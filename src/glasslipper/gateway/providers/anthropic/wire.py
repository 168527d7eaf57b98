"""What Anthropic answers: whole messages, and the events of a stream.

Lenient, for others speak this too: almost every member may be missing or null, and blocks, deltas
and events of a type that nobody here knows are no errors. Says nothing about meaning.
"""

from __future__ import annotations

from msgspec import Raw, Struct, field

Count = int | float | None
Anything = dict[str, object] | list[object] | str | float | bool | None


class CacheCreation(Struct, frozen=True):
    """Tokens written to the cache, by time to live."""

    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


class OutputDetails(Struct, frozen=True):
    """Tokens that are part of the output count."""

    thinking_tokens: Count = None


class ServerTools(Struct, frozen=True):
    """What the provider's own tools did."""

    web_search_requests: Count = None


class UsageObject(Struct, frozen=True):
    """Tokens; in a stream each member is the total so far."""

    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    server_tool_use: ServerTools | None = None
    service_tier: str | None = None


class MoreUsage(Struct, frozen=True):
    """What a usage object says besides tokens, as it stands there."""

    server_tool_use: Raw = Raw()
    inference_geo: Raw = Raw()
    iterations: Raw = Raw()
    speed: Raw = Raw()


class Source(Struct, frozen=True):
    """What citations of every kind say of their source."""

    url: str | None = None
    source: str | None = None
    title: str | None = None
    document_title: str | None = None
    cited_text: str | None = None


class Block(Struct, frozen=True):
    """A block of an answer, whole or as it opens."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = field(default_factory=Raw)
    citations: list[Raw] | None = None
    caller: Raw = field(default_factory=Raw)
    toolset_name: Raw = field(default_factory=Raw)


class Delta(Struct, frozen=True):
    """What a block grows by, or why the message ended."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: Raw = field(default_factory=Raw)


class Ending(Struct, frozen=True):
    """Why a message ended, and what else is said of the whole of it."""

    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Raw = field(default_factory=Raw)
    container: Raw = field(default_factory=Raw)


class Message(Ending, frozen=True):
    """A whole message, or what opens a stream."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[Raw] | None = None
    usage: Raw = field(default_factory=Raw)
    context_management: Raw = field(default_factory=Raw)
    error: Anything = None


class StreamEvent(Struct, frozen=True):
    """An event of a stream."""

    type: str | None = None
    message: Message | None = None
    index: int = 0
    content_block: Raw = field(default_factory=Raw)
    delta: Raw = field(default_factory=Raw)
    usage: Raw = field(default_factory=Raw)
    context_management: Raw = field(default_factory=Raw)
    error: Anything = None


class TokenCount(Struct, frozen=True):
    """The answer of /messages/count_tokens."""

    input_tokens: int
