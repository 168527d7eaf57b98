"""What is said: messages, their parts, and the tools that a model may call.

These are the types in the middle. Dialects decode into them and codecs encode from them; they
know no wire format. A part that a dialect cannot express is an error there, never dropped here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Raw, Struct, field

Role = Literal["system", "developer", "user", "assistant", "tool"]


class TextPart(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="text"):
    """Words. `cache` marks the end of a prefix worth caching, with its time to live."""

    text: str
    cache: Literal["5m", "1h"] | None = None


class AsidePart(TextPart, frozen=True, kw_only=True, omit_defaults=True):
    """Something that only one dialect has words for: `raw` is the JSON that stands for it there.

    Whoever speaks another dialect reads no more of it than `text`, which may be empty.
    """

    dialect: str = ""
    raw: Raw = Raw()


class ImagePart(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="image"):
    """A picture by URL; inline data is a `data:` URL."""

    url: str
    detail: str | None = None


class AudioPart(Struct, frozen=True, kw_only=True, tag="audio"):
    """Sound: base64 data and its format, such as `wav`."""

    data: str
    format: str


class FilePart(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="file"):
    """A document: a `data:` URL or address, or a provider's file id."""

    url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class ReasoningPart(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="reasoning"):
    """A model's thinking, with whatever the provider needs to see again to continue it.

    `signature` proves the text to the provider; `encrypted` stands instead of text or beside a
    summary. `format` names whose reasoning it is, such as `anthropic-claude-v1`: it means
    nothing to another provider. `id` is the provider's own name for the part.
    """

    text: str = ""
    kind: Literal["text", "summary"] = "text"
    signature: str | None = None
    encrypted: str | None = None
    format: str | None = None
    id: str | None = None


class RefusalPart(Struct, frozen=True, kw_only=True, tag="refusal"):
    """The model's words for declining."""

    text: str


Part = TextPart | ImagePart | AudioPart | FilePart | ReasoningPart | RefusalPart


class ToolCall(Struct, frozen=True, kw_only=True):
    """A model's wish to call a tool. `arguments` is JSON text exactly as the model wrote it."""

    id: str
    name: str
    arguments: str


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn of the conversation."""

    role: Role
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """All words of the message, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


class Tool(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A function that the model may call. `parameters` is a JSON Schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    strict: bool | None = None


class HostedTool(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool that the provider runs itself: `raw` is the JSON that stands for it in `dialect`.

    `place` counts the functions that stand before it.
    """

    dialect: str
    name: str
    raw: Raw
    place: int = 0


class Need(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something in a request that can be said to nobody but who speaks `dialect`.

    `path` is where it stands, as a JSON path, and `what` its name there. With `provider`, only
    providers of that name know it.
    """

    dialect: str
    path: str
    what: str
    provider: str | None = None


class ToolChoice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether the model may (`auto`), must (`required`) or must not (`none`) call a tool.

    With `name` it must call that one.
    """

    mode: Literal["auto", "required", "none"] = "auto"
    name: str | None = None


class ResponseFormat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The shape that the answer must have: free text, any JSON object, or one JSON Schema."""

    kind: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema: Mapping[str, object] | None = None
    strict: bool | None = None


class Sampling(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How tokens are chosen and when to stop. `None` leaves it to the model's default."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool = False
    top_logprobs: int | None = None


class Reasoning(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much the model should think, and whether the client wants to see it.

    `effort` is a word of the provider's scale; `max_tokens` a budget for thinking. `exclude`
    keeps the thoughts from the client, not from the bill.
    """

    enabled: bool | None = None
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    max_tokens: int | None = None
    exclude: bool = False
    summary: str | None = None


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing asked of a model, free of any wire format.

    `models` are to be tried after `model`, in order. `heard_as` names the dialect in which the
    request was made. `needs` tells why only some may serve it. `extra` carries the fields that a
    dialect let through without understanding them, as raw JSON by name, so that a codec of the
    same dialect can pass them on.
    """

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    tools: tuple[Tool, ...] = ()
    hosted: tuple[HostedTool, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat = field(default_factory=ResponseFormat)
    reasoning: Reasoning | None = None
    models: tuple[str, ...] = ()
    service_tier: str | None = None
    user: str | None = None
    session_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    heard_as: str | None = None
    needs: Need | None = None
    extra: Mapping[str, Raw] = field(default_factory=dict[str, Raw])
