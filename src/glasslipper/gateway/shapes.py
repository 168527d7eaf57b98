"""The JSON that the API's own paths answer with, as types: they encode it and describe it.

Shapes and names are OpenRouter's where it has them (its OpenAPI document, August 2026), with exact
nano-USD beside the dollars. Answers of models are the dialects' affair.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET, Struct, UnsetType

from glasslipper.kernel.record import Attempt, Candidate

Card = Mapping[str, object]
"""What there is to know about a policy."""


class KeyShown(Struct, frozen=True, kw_only=True):
    """A key, never with its secret. Amounts are USD, or nano-USD where the name says so."""

    id: str
    hash: str
    label: str
    name: str
    disabled: bool
    is_management_key: bool
    is_free_tier: bool
    labels: Mapping[str, str]
    limit: float | None
    limit_nanousd: int | None
    limit_remaining: float | None
    limit_remaining_nanousd: int | None
    limit_reset: str | None
    resets_at: str | None
    usage: float
    usage_nanousd: int
    usage_daily: float
    usage_weekly: float
    usage_monthly: float
    held_nanousd: int
    generations: int
    created_at: str
    expires_at: str | None


class KeyAnswer(Struct, frozen=True):
    """One key."""

    data: KeyShown


class KeysAnswer(Struct, frozen=True):
    """All keys."""

    data: list[KeyShown]


class KeyMade(Struct, frozen=True):
    """A key just made, with its secret, this once."""

    data: KeyShown
    key: str


class Deleted(Struct, frozen=True):
    """What was taken away."""

    deleted: bool
    id: str


class ResponseDeleted(Struct, frozen=True, kw_only=True):
    """A response that is kept no more."""

    id: str
    object: str
    deleted: bool


class Credits(Struct, frozen=True, kw_only=True):
    """What the tightest budget above a key allows and has spent; `None` without one."""

    total_credits: float | None
    total_usage: float
    total_credits_nanousd: int | None
    total_usage_nanousd: int


class CreditsAnswer(Struct, frozen=True):
    """The credits of a key."""

    data: Credits


class GenerationShown(Struct, frozen=True, kw_only=True):
    """One record: what was asked, what ran, how it ended, what it used and cost."""

    id: str
    upstream_id: str | None
    session_id: str | None
    external_user: str | None
    api_type: str
    created_at: str
    model: str
    model_requested: str
    provider_name: str | None
    endpoint: str | None
    status: str
    error: str | None
    streamed: bool
    cancelled: bool
    finish_reason: str | None
    native_finish_reason: str | None
    latency: int | None
    generation_time: int
    tokens_prompt: int
    tokens_completion: int
    native_tokens_prompt: int
    native_tokens_completion: int
    native_tokens_reasoning: int
    native_tokens_cached: int
    cpu_us: int
    estimated: bool
    usage: float
    total_cost: float
    charged_nanousd: int
    billed_nanousd: int
    held_nanousd: int
    upstream_inference_cost: float
    price_id: str | None
    is_byok: bool
    app: str | None
    http_referer: str | None
    user_agent: str | None
    labels: Mapping[str, str]
    provider_responses: tuple[Attempt, ...]
    candidates: tuple[Candidate, ...]


class GenerationAnswer(Struct, frozen=True):
    """One record."""

    data: GenerationShown


class Architecture(Struct, frozen=True, kw_only=True):
    """What goes in and what comes out."""

    modality: str
    input_modalities: list[str]
    output_modalities: list[str]


class TopProvider(Struct, frozen=True, kw_only=True):
    """The limits of the first endpoint."""

    context_length: int | None
    max_completion_tokens: int | None
    is_moderated: bool


class Pricing(Struct, frozen=True, kw_only=True):
    """USD per token, request or CPU second, as exact text."""

    prompt: str
    completion: str
    request: str
    input_cache_read: str
    input_cache_write: str
    cpu_second: str | UnsetType = UNSET


class ModelShown(Struct, frozen=True, kw_only=True):
    """A model that is offered; `policy` is the card of one that stands for many."""

    id: str
    canonical_slug: str
    object: str
    owned_by: str
    name: str
    created: int
    context_length: int | None
    architecture: Architecture
    top_provider: TopProvider
    pricing: Pricing | None
    price_source: str | None
    endpoints: list[str]
    local: bool
    policy: Card | UnsetType = UNSET


class ModelsAnswer(Struct, frozen=True, kw_only=True):
    """All models."""

    object: str
    data: list[ModelShown]


class EndpointShown(Struct, frozen=True, kw_only=True):
    """An endpoint of a model."""

    name: str
    tag: str
    id: str
    model_name: str
    provider_name: str
    context_length: int | None
    max_completion_tokens: int | None
    pricing: Pricing | None
    price_source: str | None
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


class ProviderShown(Struct, frozen=True):
    """Who serves models."""

    slug: str
    name: str


class ProvidersAnswer(Struct, frozen=True):
    """Everybody who serves models."""

    data: list[ProviderShown]


class Named(Struct, frozen=True):
    """The id of what was made."""

    id: str


class NamedAnswer(Struct, frozen=True):
    """The id of what was made."""

    data: Named


class Spent(Struct, frozen=True, kw_only=True):
    """What a group of generations cost and consumed."""

    group: str
    name: str
    generations: int
    charged_nanousd: int
    charged_usd: float
    billed_nanousd: int
    prompt_tokens: int
    completion_tokens: int


class SpentAnswer(Struct, frozen=True):
    """What was spent, the dearest group first."""

    data: list[Spent]


class Health(Struct, frozen=True, kw_only=True):
    """Whether the process lives."""

    status: str
    version: str
    running: int


class Readiness(Struct, frozen=True):
    """Whether requests are taken."""

    status: str
