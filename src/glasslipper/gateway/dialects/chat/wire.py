"""A chat request as clients write it: OpenAI's chat completions with OpenRouter's extras.

These types say which JSON is well formed and nothing about what it means; `request` does.
Members that are not declared here are not errors: they travel on as raw JSON.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from glasslipper.gateway.dialects.chat.thoughts import Detail

NonNegative = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Stop = Annotated[str, Meta(min_length=1)]
Stops = Annotated[list[Stop], Meta(max_length=64)]
Name = Annotated[str, Meta(min_length=1)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class CacheControl(Struct, frozen=True):
    """Marks the end of a prefix worth caching."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class Text(Struct, frozen=True, tag="text"):
    """A part: words."""

    text: str
    cache_control: CacheControl | None = None


class ImageAddress(Struct, frozen=True):
    """Where a picture is."""

    url: Name
    detail: str | None = None


class Image(Struct, frozen=True, tag="image_url"):
    """A part: a picture; some clients write the address as a bare string."""

    image_url: ImageAddress | Name


class Sound(Struct, frozen=True):
    """Base64 data and its format."""

    data: str
    format: str


class Audio(Struct, frozen=True, tag="input_audio"):
    """A part: sound."""

    input_audio: Sound


class Document(Struct, frozen=True):
    """A document's data or address, or a provider's id of it."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class File(Struct, frozen=True, tag="file"):
    """A part: a document."""

    file: Document


class Refusal(Struct, frozen=True, tag="refusal"):
    """A part: the model's words for declining."""

    refusal: str


class Place(Struct, frozen=True):
    """Where something is."""

    url: Name


class Video(Struct, frozen=True, tag="video_url"):
    """A part: a film, which only some who speak this dialect look at."""

    video_url: Place


class SoundPlace(Struct, frozen=True, tag="audio_url"):
    """A part: sound by address, which only some who speak this dialect listen to."""

    audio_url: Place


Content = str | list[Text | Image | Audio | File | Refusal | Video | SoundPlace]


class FunctionCall(Struct, frozen=True):
    """The name of a function and its arguments as JSON text."""

    name: Name
    arguments: str = ""


class Call(Struct, frozen=True):
    """A tool call in the history."""

    id: Name
    function: FunctionCall
    type: Literal["function"] = "function"


class Turn(Struct, frozen=True):
    """A message. Which members belong to which role is not said here."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    function_call: FunctionCall | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[Detail] | None = None
    annotations: list[object] | None = None
    audio: object = None


class Function(Struct, frozen=True):
    """A function that may be called, its parameters as a JSON Schema."""

    name: Name
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class FunctionTool(Struct, frozen=True):
    """A tool. Types other than `function` are the provider's own."""

    type: str
    function: Function | None = None


class FunctionName(Struct, frozen=True):
    """A function by name."""

    name: Name


class NamedTool(Struct, frozen=True):
    """A tool by name."""

    type: Literal["function"]
    function: FunctionName | None = None


class AllowedTools(Struct, frozen=True):
    """Tools that may, or must, be called; no others may."""

    mode: Literal["auto", "required"]
    tools: list[NamedTool]


class NamedChoice(Struct, frozen=True):
    """The wish that one tool be called, or that only some may be."""

    type: str
    function: FunctionName | None = None
    allowed_tools: AllowedTools | None = None


class Schema(Struct, frozen=True):
    """A JSON Schema with its name."""

    name: Name
    description: str | None = None
    schema: dict[str, object] | None = None
    strict: bool | None = None


class Format(Struct, frozen=True):
    """The shape that the answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: Schema | None = None


class StreamOptions(Struct, frozen=True):
    """Accepted and without effect: usage always comes."""

    include_usage: bool | None = None


class Reasoning(Struct, frozen=True):
    """How much a model should think, in OpenRouter's words."""

    effort: Effort | None = None
    max_tokens: Positive | None = None
    exclude: bool | None = None
    enabled: bool | None = None
    summary: str | None = None


class MaxPrice(Struct, frozen=True):
    """The most that a client pays: USD per million tokens, or per request or image."""

    prompt: float | str | None = None
    completion: float | str | None = None
    request: float | str | None = None
    image: float | str | None = None
    audio: float | str | None = None


class Percentiles(Struct, frozen=True):
    """A wish about speed at several percentiles."""

    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p99: float | None = None


class Sort(Struct, frozen=True):
    """What to order endpoints by, within each model or across them."""

    by: Literal["price", "throughput", "latency"] | None = None
    partition: Literal["model", "none"] | None = None


class ProviderWishes(Struct, frozen=True):
    """OpenRouter's `provider` object: which endpoints may serve, and in which order."""

    order: list[str] | None = None
    only: list[str] | None = None
    ignore: list[str] | None = None
    allow_fallbacks: bool | None = None
    require_parameters: bool | None = None
    data_collection: Literal["allow", "deny"] | None = None
    zdr: bool | None = None
    enforce_distillable_text: bool | None = None
    quantizations: list[str] | None = None
    sort: Literal["price", "throughput", "latency"] | Sort | None = None
    preferred_min_throughput: float | Percentiles | None = None
    preferred_max_latency: float | Percentiles | None = None
    max_price: MaxPrice | None = None


class ChatRequest(Struct, frozen=True, kw_only=True):
    """The body of a chat request."""

    model: Name | None = None
    messages: Annotated[list[Turn], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Positive | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    top_k: NonNegative | None = None
    min_p: Share | None = None
    seed: Seed | None = None
    stop: Stop | Stops | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(ge=0, le=2)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["auto", "none", "required", "any"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: object = None
    function_call: object = None
    response_format: Format | None = None
    modalities: list[str] | None = None
    user: str | None = None
    session_id: Annotated[str, Meta(max_length=256)] | None = None
    metadata: dict[str, str] | None = None
    models: list[Name] | None = None
    provider: ProviderWishes | None = None
    reasoning: Reasoning | None = None
    reasoning_effort: Effort | None = None
    include_reasoning: bool | None = None
    service_tier: Name | None = None


CHECKED_ONLY = frozenset({"modalities", "provider"})
"""Members whose shape is checked here, and which travel on as raw JSON all the same."""
