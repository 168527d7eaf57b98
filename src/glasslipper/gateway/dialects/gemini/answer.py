"""A whole answer as a Gemini client reads it: one candidate, and the usage.

Cost stands in `usageMetadata` beside Google's counts, as a float of dollars and as the exact
integer. A call whose arguments are no JSON object cannot be said here: as with Google's own
models, the answer then ends with `MALFORMED_FUNCTION_CALL`, unless it was cut short, and tells
the call in `finishMessage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.gemini.signature import is_bare, write_signature
from glasslipper.gateway.dialects.gemini.turns import DIALECT
from glasslipper.gateway.dialects.gemini.wire import member
from glasslipper.kernel.events import Answer, Aside, Citation, Passage, Said, TokenLogprob
from glasslipper.kernel.finish import FinishReason
from glasslipper.kernel.messages import ReasoningPart, ToolCall
from glasslipper.kernel.money import usd

LEAST_LOGPROB = -9999.0
"""What stands for a probability of zero: JSON has no infinity."""

MAX_MALFORMED = 1000
"""Characters of malformed arguments that are told."""

MALFORMED = "MALFORMED_FUNCTION_CALL"

_FINISH: dict[FinishReason, tuple[str, frozenset[str]]] = {
    "stop": ("STOP", frozenset()),
    "tool_calls": ("STOP", frozenset()),
    "length": ("MAX_TOKENS", frozenset()),
    "content_filter": (
        "SAFETY",
        frozenset(
            {
                "BLOCKLIST",
                "IMAGE_PROHIBITED_CONTENT",
                "IMAGE_RECITATION",
                "IMAGE_SAFETY",
                "LANGUAGE",
                "MODEL_ARMOR",
                "PROHIBITED_CONTENT",
                "RECITATION",
                "SPII",
            }
        ),
    ),
    "error": (
        "OTHER",
        frozenset(
            {
                MALFORMED,
                "MALFORMED_RESPONSE",
                "MISSING_THOUGHT_SIGNATURE",
                "TOO_MANY_TOOL_CALLS",
                "UNEXPECTED_TOOL_CALL",
            }
        ),
    ),
}
"""Google's word for each of our reasons, and its finer words, used where the model said them."""


_BLOCKED = frozenset({"", "FINISH_REASON_UNSPECIFIED"})


class Wire(Struct, omit_defaults=True, rename="camel"):
    """The root of all types here."""


class Call(Wire):
    """A function call."""

    id: str
    name: str
    args: Raw


class Part(Wire):
    """Words, a thought, or a call."""

    text: str | UnsetType = UNSET
    thought: bool | UnsetType = UNSET
    function_call: Call | UnsetType = UNSET
    thought_signature: str | UnsetType = UNSET


class Content(Wire, omit_defaults=False):
    """What the model says; parts that only Google has words for stand as they came."""

    parts: list[Part | Raw]
    role: str = "model"


class LogprobsCandidate(Wire):
    """A token and its probability."""

    token: str
    log_probability: float


class LogprobsTop(Wire):
    """The likeliest tokens at one place."""

    candidates: list[LogprobsCandidate]


class LogprobsResult(Wire):
    """The tokens of an answer with their probabilities."""

    chosen_candidates: list[LogprobsCandidate]
    top_candidates: list[LogprobsTop]


class CitationSource(Wire):
    """A source that some of the words rest on, counted in characters."""

    uri: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    start_index: int | UnsetType = UNSET
    end_index: int | UnsetType = UNSET


class CitationMetadata(Wire):
    """The sources of an answer."""

    citation_sources: list[CitationSource]


class Candidate(Wire, omit_defaults=False):
    """The one answer; what Google alone says of it stands there as it came."""

    content: Content
    finish_reason: str | UnsetType = UNSET
    finish_message: Raw | str | UnsetType = UNSET
    logprobs_result: LogprobsResult | UnsetType = UNSET
    index: int = 0
    avg_logprobs: Raw | UnsetType = UNSET
    citation_metadata: Raw | CitationMetadata | UnsetType = UNSET
    grounding_metadata: Raw | UnsetType = UNSET
    safety_ratings: Raw | UnsetType = UNSET
    url_context_metadata: Raw | UnsetType = UNSET

    def tell(self, more: Mapping[str, Raw]) -> None:
        """Say what Google said of the answer besides."""
        for name in OWN:
            if (raw := more.get(member(name))) is not None:
                setattr(self, name, raw)


class ModalityCount(Wire):
    """Tokens of one kind of input or output."""

    modality: str
    token_count: int


class CostDetails(Wire, omit_defaults=False):
    """What the provider charges, in USD, where that is known."""

    upstream_inference_cost: float | None


class UsageMetadata(Wire):
    """Tokens in Google's counts, and money."""

    prompt_token_count: int
    candidates_token_count: int
    total_token_count: int
    cost: float
    cost_nanousd: int
    cost_details: CostDetails
    is_byok: bool
    thoughts_token_count: int | UnsetType = UNSET
    cached_content_token_count: int | UnsetType = UNSET
    prompt_tokens_details: list[ModalityCount] | UnsetType = UNSET
    candidates_tokens_details: list[ModalityCount] | UnsetType = UNSET


class Response(Wire):
    """The body of an answer, or of one piece of a stream."""

    model_version: str
    response_id: str
    provider: str
    candidates: list[Candidate] | UnsetType = UNSET
    usage_metadata: UsageMetadata | UnsetType = UNSET
    prompt_feedback: Raw | UnsetType = UNSET


OWN = (
    "avg_logprobs",
    "citation_metadata",
    "finish_message",
    "grounding_metadata",
    "safety_ratings",
    "url_context_metadata",
)
"""Members of a candidate that Google alone says something in."""

_encoder = msgspec.json.Encoder()
_object: Decoder[dict[str, Raw]] = Decoder(dict[str, Raw])


def encode_answer(
    answer: Answer, head: Head, bill: Bill | None, *, shows_thoughts: bool = True
) -> bytes:
    """Return the JSON body of a whole answer; without a bill it says nothing of usage.

    Whoever did not ask for the thoughts is not shown them, but still Gemini's signatures of words
    and calls.
    """
    bare = [thought for thought in answer.reasoning if is_bare(thought)]
    signatures = {each.id: write_signature(each) or "" for each in bare if each.id}
    is_own = answer.dialect == DIALECT
    parts: list[Part | Raw] = []
    if shows_thoughts:
        parts.extend(thought_part(each) for each in answer.reasoning if not is_bare(each))
    asides = [said for said in answer.order if isinstance(said, Aside) and said.dialect == DIALECT]
    if asides:
        # What Google's own tools brought stands between the words that are about it.
        parts.extend(_in_order(answer.order))
        text = answer.refusal
    else:
        text = answer.text + answer.refusal
    calls, malformed = call_parts(answer.tool_calls, signatures)
    loose = [write_signature(each) or UNSET for each in bare if not each.id]
    loose.extend(signatures.values())
    if text or not (calls or loose or asides):
        parts.append(Part(text=text, thought_signature=loose.pop(0) if loose else UNSET))
    parts.extend(Part(text="", thought_signature=each) for each in loose)
    candidate = ending(answer.finish, answer.native_finish, malformed, is_own=is_own)
    candidate.content.parts = [*parts, *calls]
    candidate.citation_metadata = citation_metadata(answer.citations)
    if answer.logprobs:
        candidate.logprobs_result = logprobs_result(answer.logprobs)
    body = Response(head.model, head.id, head.provider, [candidate])
    if is_own:
        candidate.tell(answer.more)
        body.prompt_feedback = answer.more.get("promptFeedback", UNSET)
    if bill is not None:
        body.usage_metadata = usage_metadata(bill)
    return _encoder.encode(body)


def _in_order(order: Iterable[Said]) -> Iterator[Part | Raw]:
    for said in order:
        if isinstance(said, Passage) and said.text:
            yield Part(text=said.text)
        elif isinstance(said, Aside) and said.dialect == DIALECT:
            yield said.raw


def citation_metadata(citations: Iterable[Citation]) -> CitationMetadata | UnsetType:
    """Return where the words come from, as far as it can be said in Google's words."""
    sources = [
        CitationSource(
            uri=one.url,
            title=one.title or UNSET,
            start_index=UNSET if one.start is None else one.start,
            end_index=UNSET if one.end is None else one.end,
        )
        for one in citations
        if one.url
    ]
    return CitationMetadata(sources) if sources else UNSET


def thought_part(thought: ReasoningPart) -> Part:
    """Return the part that shows a thought and carries its proof."""
    return Part(
        text=thought.text, thought=True, thought_signature=write_signature(thought) or UNSET
    )


def call_parts(
    calls: Iterable[ToolCall], signatures: dict[str, str]
) -> tuple[list[Part], list[ToolCall]]:
    """Return the parts of the calls that are well formed, and the calls that are not.

    The signature of a call is taken out of `signatures`, where it lies under the call's id.
    """
    parts: list[Part] = []
    malformed: list[ToolCall] = []
    for call in calls:
        args = _arguments(call.arguments)
        if args is None:
            malformed.append(call)
            continue
        signature = signatures.pop(call.id, UNSET)
        parts.append(
            Part(function_call=Call(call.id, call.name, args), thought_signature=signature)
        )
    return parts, malformed


def _arguments(text: str) -> Raw | None:
    if not text.strip():
        return Raw(b"{}")
    try:
        json = text.encode()
        _object.decode(json)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return Raw(json)


def ending(
    reason: FinishReason | None,
    native: str | None,
    malformed: Sequence[ToolCall],
    *,
    is_own: bool = False,
) -> Candidate:
    """Return a candidate without content that says why the answer ended.

    `is_own` says that the provider is Google: then its word is, even if it is new.
    """
    candidate = Candidate(Content([]))
    if malformed:
        call = malformed[0]
        candidate.finish_reason = "MAX_TOKENS" if reason == "length" else MALFORMED
        arguments = call.arguments.encode(errors="replace").decode()[:MAX_MALFORMED]
        candidate.finish_message = f"Malformed function call: {call.name}({arguments})"
    else:
        word, finer = _FINISH[reason or "error"]
        is_new = is_own and native is not None and reason == "stop" and native not in _BLOCKED
        candidate.finish_reason = native if native and (is_new or native in finer) else word
    return candidate


def usage_metadata(bill: Bill) -> UsageMetadata:
    """Return the usage and cost of a bill in the words of this dialect."""
    usage = bill.usage
    upstream = bill.upstream_nanousd
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    told = UsageMetadata(
        prompt_token_count=prompt,
        candidates_token_count=completion - usage.reasoning,
        total_token_count=prompt + completion,
        cost=usd(bill.cost_nanousd),
        cost_nanousd=bill.cost_nanousd,
        cost_details=CostDetails(None if upstream is None else usd(upstream)),
        is_byok=bill.is_byok,
    )
    if usage.reasoning:
        told.thoughts_token_count = usage.reasoning
    if usage.cache_read:
        told.cached_content_token_count = usage.cache_read
    audio, image = usage.input_audio, usage.input_image
    told.prompt_tokens_details = _details(prompt, audio=audio, image=image)
    audio, image = usage.output_audio, usage.output_image
    told.candidates_tokens_details = _details(
        completion - usage.reasoning, audio=audio, image=image
    )
    return told


def _details(total: int, *, audio: int, image: int) -> list[ModalityCount] | UnsetType:
    counts = {"TEXT": total - audio - image, "AUDIO": audio, "IMAGE": image}
    if total == counts["TEXT"]:
        return UNSET
    return [ModalityCount(kind, count) for kind, count in counts.items() if count]


def logprobs_result(tokens: Iterable[TokenLogprob]) -> LogprobsResult:
    """Return tokens and their probabilities in Google's shape."""
    result = LogprobsResult([], [])
    for token in tokens:
        result.chosen_candidates.append(_logprob(token))
        result.top_candidates.append(LogprobsTop([_logprob(other) for other in token.top]))
    return result


def _logprob(token: TokenLogprob) -> LogprobsCandidate:
    return LogprobsCandidate(token.token, max(LEAST_LOGPROB, token.logprob))
