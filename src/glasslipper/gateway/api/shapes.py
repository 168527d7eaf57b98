"""The JSON that the API's own paths answer with, as types: they encode it and describe it.

Shapes and names are OpenRouter's where it has them (its OpenAPI document, August 2026), with exact
nano-USD beside the dollars. Answers of models are the dialects' affair.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET, Struct, UnsetType

from glasslipper.kernel.record import Attempt, Candidate


class KeyShown(Struct, frozen=True, kw_only=True):
    """A key, never with its secret. Amounts are USD, or nano-USD where the name says so.

    The `byok_` amounts are what providers billed keys that accounts brought along, whether or
    not budgets pay for that, which `include_byok_in_limit` tells. Who made a key and when it was
    last changed is not kept.
    """

    id: str
    hash: str
    label: str
    name: str
    disabled: bool
    is_management_key: bool
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
    byok_usage: float
    byok_usage_daily: float
    byok_usage_weekly: float
    byok_usage_monthly: float
    include_byok_in_limit: bool
    held_nanousd: int
    generations: int
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    workspace_id: str
    updated_at: str | None = None
    creator_user_id: str | None = None
    external_user: str | None = None


class Budget(Struct, frozen=True, kw_only=True):
    """A budget that pays for a key's requests, in USD; what is held counts as spent.

    `scope` is `key_limit` for the key's own; otherwise what the account is that has it: `key`,
    `project`, `workspace` or `organisation`.
    """

    scope: str
    budget_id: str
    guardrail_id: str | None
    include_byok: bool
    limit_usd: float
    spend_usd: float
    remaining_usd: float
    reset_interval: str | None
    resets_at: str | None


class FreeRequests(Struct, frozen=True, kw_only=True):
    """How many requests to free models are granted a day; -1: they are not limited."""

    limit: int
    remaining: int
    used: int


class RateLimit(Struct, frozen=True, kw_only=True):
    """A limit of requests; -1: there is none."""

    requests: int
    interval: str
    note: str


class OwnKey(KeyShown, frozen=True, kw_only=True):
    """The key that asks, and every budget that pays for it, its own first."""

    budgets: list[Budget]
    effective_budget: Budget | None
    is_free_tier: bool
    is_provisioning_key: bool
    organization_id: str | None
    allowed_data_regions: list[str]
    free_model_daily_requests: FreeRequests
    rate_limit: RateLimit


class OwnKeyAnswer(Struct, frozen=True):
    """The key that asks."""

    data: OwnKey


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
    """What the tightest budget above a key allows and has spent.

    Without one `total_credits` is the greatest limit that a budget could have, for clients that
    reckon with it, and `total_credits_nanousd` is null.
    """

    total_credits: float
    total_usage: float
    total_credits_nanousd: int | None
    total_usage_nanousd: int


class CreditsAnswer(Struct, frozen=True):
    """The credits of a key."""

    data: Credits


class ProviderResponse(Struct, frozen=True, kw_only=True):
    """What a provider that was called answered; `status` is HTTP's, null if there was none."""

    id: str | UnsetType = UNSET
    endpoint_id: str
    provider_name: str
    model_permaslug: str
    status: int | None
    latency: int


class GenerationShown(Struct, frozen=True, kw_only=True):
    """One record: what was asked, what ran, how it ended, what it used and cost.

    Times are milliseconds; `latency` is that to the first token. What is not recorded is null.
    """

    id: str
    upstream_id: str | None
    session_id: str | None
    external_user: str | None
    api_type: str
    dialect: str
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
    native_tokens_completion_images: int
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
    cache_discount: float | None
    price_id: str | None
    is_byok: bool
    app: str | None
    http_referer: str | None
    origin: str
    user_agent: str | None
    labels: Mapping[str, str]
    workspace_id: str | None
    provider_responses: list[ProviderResponse]
    attempts: tuple[Attempt, ...]
    candidates: tuple[Candidate, ...]
    data_region: str = "global"
    app_id: int | None = None
    request_id: str | None = None
    moderation_latency: int | None = None
    num_fetches: int | None = None
    num_input_audio_prompt: int | None = None
    num_media_completion: int | None = None
    num_media_prompt: int | None = None
    num_search_results: int | None = None
    preset_id: str | None = None
    response_cache_source_id: str | None = None
    router: str | None = None
    service_tier: str | None = None
    web_search_engine: str | None = None


class GenerationAnswer(Struct, frozen=True):
    """One record."""

    data: GenerationShown


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
