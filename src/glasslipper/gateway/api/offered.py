"""The JSON about what is offered, as types: models, their endpoints and who serves them.

Shapes and names are OpenRouter's (its OpenAPI document, November 2026), so that its generated
clients take them; `local`, `price_source` and what else it lacks stand beside. What nobody knows
is null where it may be. Where it may not, a price of `-1` means one that is not known, as
OpenRouter writes those that vary, and a context length of 0 one that nobody states.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET, Struct, UnsetType

Card = Mapping[str, object]
"""What there is to know about a policy."""


class Architecture(Struct, frozen=True, kw_only=True):
    """What goes in and what comes out.

    How it is tokenised and prompted is not known here. Of the two shapes that OpenRouter has,
    that of a model leaves the tokeniser out then, and that of its endpoints says null.
    """

    modality: str
    input_modalities: list[str]
    output_modalities: list[str]
    tokenizer: str | UnsetType | None = UNSET
    instruct_type: str | None = None


class TopProvider(Struct, frozen=True, kw_only=True):
    """The limits of the first endpoint."""

    context_length: int | None
    max_completion_tokens: int | None
    is_moderated: bool


class Override(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Prices that take the place of the others, in USD per token as exact text, and when.

    An entry applies when all of its conditions do, and of those that apply the last one counts.
    Times are of the UTC day, written as OpenRouter writes them: the hour and the minute as one
    number, half past eight in the evening being 2030; the end is not part of it.
    """

    prompt: str
    completion: str
    input_cache_read: str
    input_cache_write: str
    input_cache_write_1h: str
    audio: str
    min_prompt_tokens: int | None = None
    utc_start: int | None = None
    utc_end: int | None = None


class Pricing(Struct, frozen=True, kw_only=True):
    """USD per token, request, search or CPU second, as exact text, and when it differs."""

    prompt: str
    completion: str
    request: str | UnsetType = UNSET
    image_token: str | UnsetType = UNSET
    audio: str | UnsetType = UNSET
    audio_output: str | UnsetType = UNSET
    web_search: str | UnsetType = UNSET
    internal_reasoning: str | UnsetType = UNSET
    input_cache_read: str | UnsetType = UNSET
    input_cache_write: str | UnsetType = UNSET
    input_cache_write_1h: str | UnsetType = UNSET
    overrides: list[Override] | UnsetType = UNSET
    cpu_second: str | UnsetType = UNSET


class DefaultParameters(Struct, frozen=True, kw_only=True):
    """What the model's makers recommend where a request says nothing."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None


class Limits(Struct, frozen=True, kw_only=True):
    """The most tokens of one request; nobody is limited so here."""

    prompt_tokens: float
    completion_tokens: float


class ModelLinks(Struct, frozen=True):
    """Where more about a model stands."""

    details: str


class ModelShown(Struct, frozen=True, kw_only=True):
    """A model that is offered; `policy` is the card of one that stands for many."""

    id: str
    canonical_slug: str
    object: str
    owned_by: str
    name: str
    created: int
    description: str
    context_length: int | None
    architecture: Architecture
    top_provider: TopProvider
    pricing: Pricing
    price_source: str | None
    supported_parameters: list[str]
    default_parameters: DefaultParameters | None
    per_request_limits: Limits | None
    supported_voices: list[str] | None
    links: ModelLinks
    endpoints: list[str]
    local: bool
    policy: Card | UnsetType = UNSET


class PageLinks(Struct, frozen=True):
    """Where the next page is; there is only the one."""

    next: str | None


class ModelsAnswer(Struct, frozen=True, kw_only=True):
    """All models."""

    object: str
    data: list[ModelShown]
    total_count: int
    links: PageLinks


class Percentiles(Struct, frozen=True):
    """The distribution of a quantity."""

    p50: float
    p75: float
    p90: float
    p99: float


class ToolChoices(Struct, frozen=True):
    """Which ways there are to say whether a tool is to be called."""

    auto: bool
    function: bool
    none: bool
    required: bool


class EndpointShown(Struct, frozen=True, kw_only=True):
    """An endpoint of a model.

    Health is that of this process's last five minutes; over longer times none is kept, and
    without a call nothing is known. Uptime is the percentage of attempts that ended well among
    those that could have. Latencies are milliseconds to the first token of streams, throughput
    is tokens per second.
    """

    name: str
    tag: str
    id: str
    model_id: str
    model_name: str
    provider_name: str
    context_length: int
    max_completion_tokens: int | None
    max_prompt_tokens: int | None
    pricing: Pricing
    price_source: str | None
    quantization: str | None
    service_tier: str | None
    supported_parameters: list[str]
    supports_tool_choice: ToolChoices
    supports_implicit_caching: bool
    supports_diarization: bool
    native_tools: Mapping[str, Mapping[str, str]]
    status: int
    uptime_last_5m: float | None
    uptime_last_30m: float | None
    uptime_last_1d: float | None
    latency_last_5m: Percentiles | None
    latency_last_30m: Percentiles | None
    throughput_last_5m: Percentiles | None
    throughput_last_30m: Percentiles | None
    local: bool


class Endpoints(Struct, frozen=True, kw_only=True):
    """A model with its endpoints."""

    id: str
    name: str
    created: int
    description: str
    architecture: Architecture
    endpoints: list[EndpointShown]


class EndpointsAnswer(Struct, frozen=True):
    """A model with its endpoints."""

    data: Endpoints


class ProviderShown(Struct, frozen=True, kw_only=True):
    """Who serves models; what stands at its own pages is not repeated here."""

    slug: str
    name: str
    privacy_policy_url: str | None = None
    terms_of_service_url: str | None = None
    status_page_url: str | None = None
    headquarters: str | None = None
    datacenters: list[str] | None = None


class ProvidersAnswer(Struct, frozen=True):
    """Everybody who serves models."""

    data: list[ProviderShown]
