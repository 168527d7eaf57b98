"""What Google answers: whole answers, pieces of a stream, usage, vectors.

Lenient: almost every member may be missing or null. What remains wrong is malformed. Says nothing
about meaning; members that are never asked for are not declared.
"""

from __future__ import annotations

from msgspec import Raw, Struct

Count = int | float | None
Anything = dict[str, object] | list[object] | str | float | bool | None


class FunctionCall(Struct, frozen=True, rename="camel"):
    """A whole call."""

    name: str = ""
    id: str | None = None
    args: Raw = Raw()


class Part(Struct, frozen=True, rename="camel"):
    """Words, a thought, or a call; anything else is Google's own."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None


class Content(Struct, frozen=True, rename="camel"):
    """What the model says; without parts where it had no tokens left to say it."""

    parts: list[Raw] | None = None


class LogprobsCandidate(Struct, frozen=True, rename="camel"):
    """A token and its probability."""

    token: str | None = None
    log_probability: float | None = None


class LogprobsTop(Struct, frozen=True, rename="camel"):
    """The likeliest tokens at one place."""

    candidates: list[LogprobsCandidate] | None = None


class LogprobsResult(Struct, frozen=True, rename="camel"):
    """Tokens with their probabilities."""

    chosen_candidates: list[LogprobsCandidate] | None = None
    top_candidates: list[LogprobsTop] | None = None


class Candidate(Struct, frozen=True, rename="camel"):
    """An answer, or a piece of it."""

    content: Content | None = None
    finish_reason: str | None = None
    logprobs_result: LogprobsResult | None = None
    index: int | None = None
    avg_logprobs: Raw = Raw()
    citation_metadata: Raw = Raw()
    finish_message: Raw = Raw()
    grounding_metadata: Raw = Raw()
    safety_ratings: Raw = Raw()
    url_context_metadata: Raw = Raw()


class ModalityCount(Struct, frozen=True, rename="camel"):
    """Tokens of one kind."""

    modality: str | None = None
    token_count: Count = None


class UsageMetadata(Struct, frozen=True, rename="camel"):
    """Tokens so far."""

    prompt_token_count: Count = None
    cached_content_token_count: Count = None
    tool_use_prompt_token_count: Count = None
    candidates_token_count: Count = None
    thoughts_token_count: Count = None
    total_token_count: Count = None
    prompt_tokens_details: list[ModalityCount] | None = None
    cache_tokens_details: list[ModalityCount] | None = None
    candidates_tokens_details: list[ModalityCount] | None = None


class PromptFeedback(Struct, frozen=True, rename="camel"):
    """Why nothing is answered."""

    block_reason: str | None = None


class Chunk(Struct, frozen=True, rename="camel"):
    """A whole answer, or a piece of one."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Raw = Raw()
    usage_metadata: UsageMetadata | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Anything = None


class TokenCount(Struct, frozen=True, rename="camel"):
    """The answer of `countTokens`."""

    total_tokens: int


class Vector(Struct, frozen=True):
    """One embedding."""

    values: list[float]


class Embeddings(Struct, frozen=True, rename="camel"):
    """The answer of `batchEmbedContents`."""

    embeddings: list[Vector] | None = None
    usage_metadata: UsageMetadata | None = None
    error: Anything = None
