"""A Gemini request as clients write it.

These types say which JSON is well formed and nothing about what it means; `gemini_request` does.
Names are spelled in camel case here; `gemini_spelling` brings the other spelling into this one.
Members typed as plain objects are Google's own and go to Google only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Stop = Annotated[str, Meta(min_length=1)]
Stops = Annotated[list[Stop], Meta(max_length=64)]
Name = Annotated[str, Meta(min_length=1)]

ABSENT = Raw()
"""Stands for a member of raw JSON that is not there."""


class Wire(Struct, frozen=True, kw_only=True, rename="camel"):
    """The root of all types here: written in snake case, read in camel case."""


class Blob(Wire, frozen=True):
    """Data in base64, in either of its alphabets."""

    mime_type: Name
    data: str
    display_name: str | None = None


class FileData(Wire, frozen=True):
    """Where data is."""

    file_uri: Name
    mime_type: str | None = None
    display_name: str | None = None


class FunctionCall(Wire, frozen=True):
    """A call in the history; older models gave it no id."""

    name: Name
    id: str | None = None
    args: Raw = ABSENT


class ResponsePart(Wire, frozen=True):
    """Media beside the words of a result."""

    inline_data: Blob | None = None
    file_data: FileData | None = None


class FunctionResponse(Wire, frozen=True):
    """What a function gave back."""

    name: Name
    id: str | None = None
    response: Raw = ABSENT
    parts: list[ResponsePart] | None = None
    will_continue: bool | None = None


class Part(Wire, frozen=True):
    """One of several things, and with it how it relates to the model's thinking."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    executable_code: object = None
    code_execution_result: object = None
    tool_call: object = None
    tool_response: object = None
    video_metadata: object = None


DATA = ("text", "inline_data", "file_data", "function_call", "function_response")
"""Members of which a part has at most one."""

OWN_PARTS = (
    "executable_code",
    "code_execution_result",
    "tool_call",
    "tool_response",
    "video_metadata",
)
"""Members of parts that only Google has words for."""


class Content(Wire, frozen=True):
    """A turn. A lone part need not stand in an array."""

    parts: list[Part] | Part | None = None
    role: Literal["user", "model", "function"] | None = None


class SystemContent(Wire, frozen=True):
    """The system's words; which role they claim has no effect."""

    parts: list[Part] | Part | None = None
    role: str | None = None


class Function(Wire, frozen=True):
    """A function that may be called; its parameters in either kind of schema."""

    name: Name
    description: str | None = None
    parameters: dict[str, object] | None = None
    parameters_json_schema: dict[str, object] | None = None


class Tool(Wire, frozen=True):
    """Functions, or something that Google hosts."""

    function_declarations: list[Function] | None = None


class CallingConfig(Wire, frozen=True):
    """Whether functions may or must be called, and which."""

    mode: Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"] | None = None
    allowed_function_names: list[Name] | None = None


class ToolConfig(Wire, frozen=True):
    """How tools are used."""

    function_calling_config: CallingConfig | None = None


class ThinkingConfig(Wire, frozen=True):
    """How much to think: a level, or a budget in tokens where -1 leaves it to the model."""

    thinking_budget: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    thinking_level: str | None = None
    include_thoughts: bool | None = None


class GenerationConfig(Wire, frozen=True):
    """How tokens are chosen, when to stop, and which shape the answer has."""

    max_output_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    top_k: Annotated[float, Meta(ge=0, le=2**31 - 1)] | None = None
    stop_sequences: Stops | None = None
    candidate_count: Positive | None = None
    seed: Seed | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, object] | None = None
    response_json_schema: dict[str, object] | None = None
    response_logprobs: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_modalities: list[str] | None = None
    thinking_config: ThinkingConfig | None = None


class GenerateRequest(Wire, frozen=True):
    """The body of `generateContent` and of `streamGenerateContent`."""

    contents: Annotated[list[Content], Meta(min_length=1)] | Content
    model: str | None = None
    system_instruction: SystemContent | None = None
    tools: list[Raw] | None = None
    tool_config: ToolConfig | None = None
    generation_config: GenerationConfig | None = None
    service_tier: str | None = None
    cached_content: Raw = ABSENT
    safety_settings: Raw = ABSENT


class CountRequest(Wire, frozen=True):
    """The body of `countTokens`: contents alone, or a whole request."""

    contents: list[Content] | Content | None = None
    generate_content_request: Raw = ABSENT
    model: str | None = None


class EmbedRequest(Wire, frozen=True):
    """The body of `embedContent`, or one of several in `batchEmbedContents`."""

    content: Content
    model: str | None = None
    output_dimensionality: Annotated[int, Meta(ge=1, le=65_536)] | None = None


class BatchEmbedRequest(Wire, frozen=True):
    """The body of `batchEmbedContents`."""

    requests: Annotated[list[EmbedRequest], Meta(min_length=1, max_length=2048)]


STRUCTS: tuple[type[Wire], ...] = (
    Blob,
    FileData,
    FunctionCall,
    ResponsePart,
    FunctionResponse,
    Part,
    Content,
    Function,
    Tool,
    CallingConfig,
    ToolConfig,
    ThinkingConfig,
    GenerationConfig,
    GenerateRequest,
    CountRequest,
    EmbedRequest,
    BatchEmbedRequest,
)
"""Every type whose members may come in either spelling."""


def member(name: str) -> str:
    """Return the name of a member as the wire spells it.

    >>> member("function_call")
    'functionCall'
    """
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
