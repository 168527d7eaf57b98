"""What providers answer in OpenAI's chat format: whole completions, chunks, usage, errors.

Lenient where providers are known to be: almost every member may be missing or null, numbers
of tokens may be floats, arguments may be an object instead of text. What remains wrong is
malformed. Says nothing about meaning.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Raw, Struct, field

Count = int | float | None
Anything = dict[str, object] | list[object] | str | float | bool | None


class Thought(Struct, frozen=True):
    """A piece of a `thinking` part (Mistral)."""

    text: str | None = None


class ContentPart(Struct, frozen=True):
    """A part of a content that is a list (Mistral): words, or thinking."""

    type: str | None = None
    text: str | None = None
    thinking: str | list[Thought] | None = None


class ReasoningDetail(Struct, frozen=True):
    """A piece of thinking in OpenRouter's carrier."""

    type: str | None = None
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None
    id: str | None = None
    format: str | None = None
    index: Count = None


class Function(Struct, frozen=True):
    """The name and arguments of a call, or some of them."""

    name: str | None = None
    arguments: str | dict[str, object] | None = None


class Call(Struct, frozen=True):
    """A tool call, or some of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(Struct, frozen=True):
    """A message, or what a chunk adds to it: both have the same members."""

    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    tool_calls: list[Call] | None = None
    annotations: list[Raw] | None = None


class UrlCitation(Struct, frozen=True):
    """A page that words rest on."""

    url: str | None = None
    title: str | None = None
    content: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Annotation(Struct, frozen=True):
    """What is said about some words; only citations of pages mean something here."""

    type: str | None = None
    url_citation: UrlCitation | None = None


class Alternative(Struct, frozen=True):
    """A token that might have come."""

    token: str
    logprob: float | None = None
    bytes: list[int] | None = None


class Chosen(Struct, frozen=True):
    """A token that came."""

    token: str
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: list[Alternative] | None = None


class Logprobs(Struct, frozen=True):
    """The tokens of a piece with their probabilities."""

    content: list[Chosen] | None = None


class PromptDetails(Struct, frozen=True):
    """Tokens that are part of the prompt count."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None


class CompletionDetails(Struct, frozen=True):
    """Tokens that are part of the completion count."""

    reasoning_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None


class UsageObject(Struct, frozen=True):
    """Tokens, in every place where providers put them, and OpenRouter's cost in USD."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    cached_tokens: Count = None
    prompt_cache_hit_tokens: Count = None
    cost: Decimal | None = None


class Choice(Struct, frozen=True):
    """A choice of a completion (`message`) or of a chunk (`delta`)."""

    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    logprobs: Logprobs | None = None
    usage: UsageObject | None = None
    index: int | None = None


class GroqExtras(Struct, frozen=True):
    """Where Groq's streams tell usage."""

    usage: UsageObject | None = None


class Chunk(Struct, frozen=True):
    """A whole completion, or a chunk of one."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: UsageObject | None = None
    service_tier: str | None = None
    x_groq: GroqExtras | None = None
    error: Anything = None


class Vector(Struct, frozen=True):
    """One embedding."""

    embedding: list[float]
    index: int


class Embeddings(Struct, frozen=True):
    """The answer of /embeddings."""

    data: list[Vector] = field(default_factory=list[Vector])
    usage: UsageObject | None = None
    error: Anything = None
