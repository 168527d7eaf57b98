"""A whole answer as a chat client reads it: the `chat.completion` object, and the usage in it.

Cost stands there twice: as the float of dollars that OpenRouter's clients expect, and as the
exact integer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from glasslipper import __version__
from glasslipper.gateway.dialects.chat.thoughts import Detail, details_of
from glasslipper.gateway.dialects.envelope import Bill, Head, known_tier
from glasslipper.kernel.events import Answer, Aside, Citation, TokenLogprob
from glasslipper.kernel.messages import ReasoningPart, ToolCall
from glasslipper.kernel.money import usd

LEAST_LOGPROB = -9999.0
"""What stands for a probability of zero: JSON has no infinity."""


class Alternative(Struct):
    """A token that might have come instead, or that did."""

    token: str
    logprob: float
    bytes: Sequence[int] | None


class Chosen(Alternative):
    """A token that came, with the likeliest alternatives."""

    top_logprobs: list[Alternative]


class Logprobs(Struct):
    """The tokens of an answer with their probabilities."""

    content: list[Chosen]
    refusal: None = None


class Function(Struct):
    """The name and arguments of a call."""

    name: str
    arguments: str


class Call(Struct):
    """A tool call."""

    id: str
    function: Function
    type: str = "function"


class UrlCitation(Struct, omit_defaults=True):
    """A page that some of the words rest on, counted in characters."""

    url: str
    title: str
    start_index: int
    end_index: int
    content: str | UnsetType = UNSET


class Annotation(Struct):
    """What is said about some of the words."""

    url_citation: UrlCitation
    type: str = "url_citation"


class Reply(Struct, omit_defaults=True):
    """The message of an answer."""

    role: str
    content: str | None
    refusal: str | None
    reasoning: str | UnsetType = UNSET
    reasoning_details: list[Detail] | UnsetType = UNSET
    tool_calls: list[Call] | UnsetType = UNSET
    annotations: list[Annotation | Raw] | UnsetType = UNSET
    images: list[Raw] | UnsetType = UNSET


class Choice(Struct):
    """The one choice of an answer."""

    message: Reply
    finish_reason: str
    native_finish_reason: str | None
    logprobs: Logprobs | None
    index: int = 0


class PromptDetails(Struct):
    """Of the prompt's tokens, how many are special."""

    cached_tokens: int
    cache_write_tokens: int
    audio_tokens: int


class CompletionDetails(Struct):
    """Of the completion's tokens, how many are special."""

    reasoning_tokens: int
    audio_tokens: int
    image_tokens: int


class CostDetails(Struct):
    """What the provider charges, in USD: in all, for the prompt, and for everything else."""

    upstream_inference_cost: float
    upstream_inference_prompt_cost: float
    upstream_inference_completions_cost: float


class UsageObject(Struct):
    """Tokens and money, as OpenRouter writes them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails
    cost: float
    cost_nanousd: int
    cost_details: CostDetails | None
    is_byok: bool
    upstream_details: Mapping[str, float] | UnsetType = UNSET


class Completion(Struct):
    """The body of an answer."""

    id: str
    created: int
    model: str
    provider: str
    choices: list[Choice]
    service_tier: str | UnsetType = UNSET
    usage: UsageObject | UnsetType = UNSET
    object: str = field(default="chat.completion")
    system_fingerprint: str = ""


_encoder = msgspec.json.Encoder()


def encode_answer(
    answer: Answer, head: Head, bill: Bill | None, *, shows_thoughts: bool = True
) -> bytes:
    """Return the JSON body of a whole answer; without a bill it says nothing of usage.

    Whoever asked for `reasoning.exclude` is not shown the thoughts.
    """
    choice = Choice(
        message=_reply(answer, answer.reasoning if shows_thoughts else ()),
        finish_reason=answer.finish or "error",
        native_finish_reason=answer.native_finish,
        logprobs=logprobs_object(answer.logprobs) if answer.logprobs else None,
    )
    body = Completion(
        id=head.id,
        created=head.created_s,
        model=head.model,
        provider=head.provider,
        choices=[choice],
        service_tier=known_tier(answer.service_tier) or UNSET,
        usage=UNSET if bill is None else usage_object(bill),
        system_fingerprint=fingerprint(head.provider, head.model),
    )
    return _encoder.encode(body)


@lru_cache(maxsize=1024)
def fingerprint(provider: str, model: str) -> str:
    """Return what tells one backend from another: the model, who runs it, and our own version.

    Clients of OpenRouter and OpenAI's schema both demand one; of what is behind a provider
    nothing is known here.
    """
    served_by = f"{provider} {model} {__version__}".encode("utf-8", "surrogatepass")
    return f"fp_{hashlib.sha256(served_by).hexdigest()[:10]}"


def _reply(answer: Answer, thoughts: Sequence[ReasoningPart]) -> Reply:
    reply = Reply(
        role="assistant",
        content=answer.text or (None if answer.tool_calls or answer.refusal else ""),
        refusal=answer.refusal or None,
    )
    if thoughts:
        reply.reasoning = "".join(thought.text for thought in thoughts)
        reply.reasoning_details = [
            detail
            for index, thought in enumerate(thoughts)
            for detail in details_of(thought, index)
        ]
    if annotations := annotations_of(answer.citations):
        reply.annotations = annotations
    pictures = [
        said.raw for said in answer.order if isinstance(said, Aside) and said.dialect == "chat"
    ]
    if pictures:
        reply.images = pictures
    if answer.tool_calls:
        reply.tool_calls = calls_object(answer.tool_calls)
    return reply


def calls_object(calls: Iterable[ToolCall]) -> list[Call]:
    """Return tool calls in the words of this dialect."""
    return [Call(id=call.id, function=Function(call.name, call.arguments)) for call in calls]


def annotations_of(citations: Iterable[Citation]) -> list[Annotation | Raw]:
    """Return sources in the words of this dialect, as far as it has any for them."""
    return [
        one.raw
        if one.dialect == "chat"
        else Annotation(
            UrlCitation(
                one.url or "",
                one.title or "",
                one.start or 0,
                one.end or 0,
                one.text or UNSET,
            )
        )
        for one in citations
        if one.dialect == "chat" or one.url
    ]


def usage_object(bill: Bill) -> UsageObject:
    """Return the usage and cost of a bill in the words of this dialect."""
    usage = bill.usage
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    return UsageObject(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptDetails(
            cached_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write + usage.cache_write_1h,
            audio_tokens=usage.input_audio,
        ),
        completion_tokens_details=CompletionDetails(
            reasoning_tokens=usage.reasoning,
            audio_tokens=usage.output_audio,
            image_tokens=usage.output_image,
        ),
        cost=usd(bill.cost_nanousd),
        cost_nanousd=bill.cost_nanousd,
        cost_details=cost_details(bill),
        is_byok=bill.is_byok,
        upstream_details=bill.details or UNSET,
    )


def cost_details(bill: Bill) -> CostDetails | None:
    """Return what the provider charges, where that and its parts are known."""
    parts = bill.parts_nanousd
    if parts is None:
        return None
    prompt, rest = parts
    return CostDetails(usd(prompt + rest), usd(prompt), usd(rest))


def logprobs_object(tokens: Sequence[TokenLogprob]) -> Logprobs:
    """Return tokens and their probabilities in OpenAI's shape."""
    return Logprobs(
        content=[
            Chosen(
                token=token.token,
                logprob=max(LEAST_LOGPROB, token.logprob),
                bytes=token.raw,
                top_logprobs=[
                    Alternative(
                        token=other.token,
                        logprob=max(LEAST_LOGPROB, other.logprob),
                        bytes=other.raw,
                    )
                    for other in token.top
                ],
            )
            for token in tokens
        ]
    )
