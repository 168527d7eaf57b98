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


class Delta(Struct, frozen=True):
    """What a block grows by, or why the message ended."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class Message(Struct, frozen=True):
    """A whole message, or what opens a stream."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: UsageObject | None = None
    error: Anything = None


class StreamEvent(Struct, frozen=True):
    """An event of a stream."""

    type: str | None = None
    message: Message | None = None
    index: int = 0
    content_block: Block | None = None
    delta: Delta | None = None
    usage: UsageObject | None = None
    error: Anything = None


class TokenCount(Struct, frozen=True):
    """The answer of /messages/count_tokens."""

    input_tokens: int
