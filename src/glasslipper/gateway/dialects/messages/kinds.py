"""What the Messages dialect says beyond the kernel's words: kinds of those words that keep it.

Each type is one of the kernel's with more on it, so that whoever does not know it takes it for
the plain one, and Anthropic's own codec can say again what the client said. `cache` marks the
end of a prefix worth caching; `more` holds members, as JSON-able values by name, that mean
something to Anthropic alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import field

from glasslipper.kernel.messages import (
    FilePart,
    ImagePart,
    Message,
    Reasoning,
    Request,
    TextPart,
    Tool,
    ToolCall,
)

Cache = Literal["5m", "1h"] | None
More = Mapping[str, object]

DIALECT = "messages"
"""The name of this dialect."""

FORMAT = "anthropic-claude-v1"
"""Names reasoning that Anthropic's models signed or encrypted."""


class MessagesText(TextPart, frozen=True, kw_only=True, omit_defaults=True):
    """Words with citations."""

    more: More = field(default_factory=dict[str, object])


class MessagesImage(ImagePart, frozen=True, kw_only=True, omit_defaults=True):
    """A picture with a cache mark, or with what is to be done to it."""

    cache: Cache = None
    more: More = field(default_factory=dict[str, object])


class MessagesFile(FilePart, frozen=True, kw_only=True, omit_defaults=True):
    """A document with a cache mark, its context, or the wish to have it cited."""

    cache: Cache = None
    more: More = field(default_factory=dict[str, object])


class MessagesCall(ToolCall, frozen=True, kw_only=True, omit_defaults=True):
    """A tool call with a cache mark, or made by something else than the model itself."""

    cache: Cache = None
    more: More = field(default_factory=dict[str, object])


class MessagesTool(Tool, frozen=True, kw_only=True, omit_defaults=True):
    """A tool with a cache mark, examples, or rules about who may call it."""

    cache: Cache = None
    more: More = field(default_factory=dict[str, object])


class MessagesResult(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A tool's result with a cache mark, or with the word that it is an error or not."""

    is_error: bool | None = None
    cache: Cache = None
    more: More = field(default_factory=dict[str, object])


class MessagesTurn(Message, frozen=True, kw_only=True, omit_defaults=True):
    """An assistant's turn that says something after a tool call.

    `parts_before` counts, for each tool call, the parts that stand before it.
    """

    parts_before: tuple[int, ...] = ()


class MessagesReasoning(Reasoning, frozen=True, kw_only=True, omit_defaults=True):
    """A wish to think; `thinking` is the object that the client wrote, empty if it wrote none."""

    thinking: More = field(default_factory=dict[str, object])


class MessagesRequest(Request, frozen=True, kw_only=True, omit_defaults=True):
    """A request in Anthropic's own words. `betas` are the features that it opted into."""

    betas: tuple[str, ...] = ()
