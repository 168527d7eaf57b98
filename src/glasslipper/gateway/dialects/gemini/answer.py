"""A whole answer as a Gemini client reads it: one candidate, and the usage.

Cost stands in `usageMetadata` beside Google's counts, as a float of dollars and as the exact
integer. A call whose arguments are no JSON object cannot be said here: as with Google's own
models, the answer then ends with `MALFORMED_FUNCTION_CALL`, unless it was cut short, and tells
the call in `finishMessage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.gemini.signature import is_bare, write_signature
from glasslipper.kernel.events import Answer, TokenLogprob
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
    """What the model says."""

    parts: list[Part]
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


class Candidate(Wire, omit_defaults=False):
    """The one answer."""

    content: Content
    finish_reason: str | UnsetType = UNSET
    finish_message: str | UnsetType = UNSET
    logprobs_result: LogprobsResult | UnsetType = UNSET
    index: int = 0


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
    parts: list[Part] = []
    if shows_thoughts:
        parts.extend(thought_part(each) for each in answer.reasoning if not is_bare(each))
    calls, malformed = call_parts(answer.tool_calls, signatures)
    loose = [write_signature(each) or UNSET for each in bare if not each.id]
    loose.extend(signatures.values())
    text = answer.text + answer.refusal
    if text or not (calls or loose):
        parts.append(Part(text=text, thought_signature=loose.pop(0) if loose else UNSET))
    parts.extend(Part(text="", thought_signature=each) for each in loose)
    candidate = ending(answer.finish, answer.native_finish, malformed)
    candidate.content.parts = parts + calls
    if answer.logprobs:
        candidate.logprobs_result = logprobs_result(answer.logprobs)
    body = Response(head.model, head.id, head.provider, [candidate])
    if bill is not None:
        body.usage_metadata = usage_metadata(bill)
    return _encoder.encode(body)


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
    reason: FinishReason | None, native: str | None, malformed: Sequence[ToolCall]
) -> Candidate:
    """Return a candidate without content that says why the answer ended."""
    candidate = Candidate(Content([]))
    if malformed:
        call = malformed[0]
        candidate.finish_reason = "MAX_TOKENS" if reason == "length" else MALFORMED
        arguments = call.arguments.encode(errors="replace").decode()[:MAX_MALFORMED]
        candidate.finish_message = f"Malformed function call: {call.name}({arguments})"
    else:
        word, finer = _FINISH[reason or "error"]
        candidate.finish_reason = native if native in finer else word
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
