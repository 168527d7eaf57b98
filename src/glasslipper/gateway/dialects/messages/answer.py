"""A whole answer as a Messages client reads it: the `message` object, and the usage in it.

Thinking stands before text and text before tool calls, unless the answer tells another order. What
Anthropic says in words that nobody else has stands there as it came. Cost stands in the usage
twice, as a float of dollars and as the exact integer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field
from msgspec.json import Decoder

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.messages.kinds import DIALECT
from glasslipper.gateway.dialects.messages.thinking import seal
from glasslipper.kernel.events import Answer, Aside, Called, Citation, Passage, Said
from glasslipper.kernel.finish import FinishReason
from glasslipper.kernel.messages import ReasoningPart, ToolCall
from glasslipper.kernel.money import usd
from glasslipper.kernel.usage import Usage

STOP_REASONS: dict[FinishReason, str | None] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "error": None,
}
"""This dialect's word for each of the kernel's; a broken answer has none."""

_OWN_WORDS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

NOTHING: Mapping[str, Raw] = {}
_TIERS = ("standard", "priority", "batch")


class TextBlock(Struct, tag="text"):
    """A block: words, and the sources that they rest on."""

    text: str
    citations: list[Raw] | None = None


class ThinkingBlock(Struct, tag="thinking"):
    """A block: the model's thinking."""

    thinking: str
    signature: str


class RedactedBlock(Struct, tag="redacted_thinking"):
    """A block: thinking that only the provider can read."""

    data: str


class Caller(Struct):
    """Who makes a tool call: the model itself."""

    type: str = "direct"


class ToolUseBlock(Struct, tag="tool_use"):
    """A block: a tool call."""

    id: str
    name: str
    input: Raw | dict[str, str]
    caller: Raw | Caller = field(default_factory=Caller)
    toolset_name: Raw | UnsetType = UNSET


class WebCitation(Struct, tag="web_search_result_location"):
    """A source that somebody else than Anthropic found."""

    url: str
    title: str | None
    cited_text: str
    encrypted_index: str = ""


Block = TextBlock | ThinkingBlock | RedactedBlock | ToolUseBlock


class CacheCreation(Struct):
    """Tokens written to the cache, by time to live."""

    ephemeral_5m_input_tokens: int
    ephemeral_1h_input_tokens: int


class OutputDetails(Struct):
    """Of the output's tokens, how many were spent on thinking."""

    thinking_tokens: int


class ServerTools(Struct):
    """What the provider's own tools did."""

    web_search_requests: int
    web_fetch_requests: int = 0


class CostDetails(Struct):
    """What the provider charges, in USD, where that is known."""

    upstream_inference_cost: float | None


class UsageObject(Struct, omit_defaults=True):
    """Tokens as Anthropic counts them, where cached ones are no part of the input, and money."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    cache_creation: CacheCreation
    output_tokens_details: OutputDetails | None
    server_tool_use: Raw | ServerTools | None
    inference_geo: Raw | None
    service_tier: str | None
    iterations: Raw | UnsetType = UNSET
    speed: Raw | UnsetType = UNSET
    cost: float | UnsetType = UNSET
    cost_nanousd: int | UnsetType = UNSET
    cost_details: CostDetails | UnsetType = UNSET
    is_byok: bool | UnsetType = UNSET


class MessageObject(Struct):
    """The body of an answer, and what opens a stream."""

    id: str
    model: str
    provider: str
    content: list[Block | Raw]
    stop_reason: str | None
    stop_sequence: str | None
    usage: UsageObject
    type: str = "message"
    role: str = "assistant"
    stop_details: Raw | None = None
    container: Raw | None = None
    context_management: Raw | UnsetType = UNSET


class Count(Struct):
    """How many tokens a prompt has."""

    input_tokens: int


_encoder = msgspec.json.Encoder()
_objects: Decoder[dict[str, Raw]] = Decoder(dict[str, Raw])


def encode_answer(
    answer: Answer, head: Head, bill: Bill | None, *, stops: Sequence[str] = ()
) -> bytes:
    """Return the JSON body of a whole answer.

    `stops` are the stop sequences that were asked for: where there is one, an answer that was
    stopped names it. Without a bill the usage is what the answer itself holds.
    """
    reason = stop_reason(
        answer.finish,
        answer.native_finish,
        refused=bool(answer.refusal),
        is_own=answer.dialect == DIALECT,
    )
    more = answer.more if answer.dialect == DIALECT else NOTHING
    message = MessageObject(
        id=head.id,
        model=head.model,
        provider=head.provider,
        content=_content(answer),
        stop_reason=reason,
        stop_sequence=answer.stop or stop_sequence(reason, stops),
        usage=usage_object(bill, usage=answer.usage, service_tier=answer.service_tier, more=more),
        stop_details=more.get("stop_details"),
        container=more.get("container"),
        context_management=more.get("context_management", UNSET),
    )
    return _encoder.encode(message)


def encode_count(tokens: int) -> bytes:
    """Return the JSON body that tells how many tokens a prompt has."""
    return _encoder.encode(Count(tokens))


def stop_reason(
    finish: FinishReason | None,
    native: str | None,
    *,
    refused: bool = False,
    is_own: bool = False,
) -> str | None:
    """Return why an answer ended: in the provider's word if it is one of ours.

    `is_own` says that the provider speaks this dialect: then its word is, even if it is new.
    """
    if finish is None:
        return None
    if native is not None and (is_own or _OWN_WORDS.get(native) == finish):
        return native
    if refused and finish == "stop":
        return "refusal"
    return STOP_REASONS[finish]


def stop_sequence(reason: str | None, stops: Sequence[str]) -> str | None:
    """Return the sequence that stopped an answer, if only one can have done so."""
    return stops[0] if reason == "stop_sequence" and len(stops) == 1 else None


def usage_object(
    bill: Bill | None,
    *,
    usage: Usage | None = None,
    service_tier: str | None = None,
    more: Mapping[str, Raw] | None = None,
) -> UsageObject:
    """Return usage and cost in the words of this dialect; the bill's usage goes first.

    `more` is what Anthropic itself said besides.
    """
    more = more or NOTHING
    searches: Raw | ServerTools | None = more.get("server_tool_use")
    spent = (bill.usage if bill else usage) or Usage()
    told = UsageObject(
        input_tokens=spent.input + spent.input_audio + spent.input_image,
        output_tokens=spent.completion_tokens,
        cache_creation_input_tokens=spent.cache_write + spent.cache_write_1h,
        cache_read_input_tokens=spent.cache_read,
        cache_creation=CacheCreation(spent.cache_write, spent.cache_write_1h),
        output_tokens_details=OutputDetails(spent.reasoning) if spent.reasoning else None,
        server_tool_use=searches or (ServerTools(spent.searches) if spent.searches else None),
        inference_geo=more.get("inference_geo"),
        service_tier=service_tier if service_tier in _TIERS else None,
        iterations=more.get("iterations", UNSET),
        speed=more.get("speed", UNSET),
    )
    if bill is not None:
        upstream = bill.upstream_nanousd
        told.cost = usd(bill.cost_nanousd)
        told.cost_nanousd = bill.cost_nanousd
        told.cost_details = CostDetails(None if upstream is None else usd(upstream))
        told.is_byok = bill.is_byok
    return told


def is_object(arguments: str) -> bool:
    """Tell whether a call's arguments are a whole JSON object."""
    try:
        _objects.decode(arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _content(answer: Answer) -> list[Block | Raw]:
    if answer.order:
        blocks = [block for said in answer.order if (block := _block(said)) is not None]
        return [*blocks, *([TextBlock(answer.refusal)] if answer.refusal else [])]
    blocks: list[Block | Raw] = []
    blocks.extend(block for part in answer.reasoning if (block := thought(part)) is not None)
    blocks.extend(TextBlock(text) for text in (answer.text, answer.refusal) if text)
    blocks.extend(_tool_use(call) for call in answer.tool_calls)
    return blocks


def _block(said: Said) -> Block | Raw | None:
    """Return the block of something that was said, or nothing where nobody here has words."""
    match said:
        case Passage():
            cited = [citation_of(citation) for citation in said.citations]
            return TextBlock(said.text, cited or None) if said.text or cited else None
        case ReasoningPart():
            return thought(said)
        case Called():
            return _tool_use(said.call, said.more)
        case Aside():
            return said.raw if said.dialect == DIALECT else None


def citation_of(citation: Citation) -> Raw:
    """Return a citation in the words of this dialect."""
    if citation.dialect == DIALECT:
        return citation.raw
    found = WebCitation(citation.url or "", citation.title, citation.text or "")
    return Raw(_encoder.encode(found))


def thought(part: ReasoningPart) -> Block | None:
    """Return the block of a piece of thinking, or nothing where there is nothing in it."""
    sealed = seal(part)
    if part.text or part.signature is not None:
        return ThinkingBlock(part.text, sealed)
    return RedactedBlock(sealed) if sealed else None


def call_block(name: str, tool: str, more: Mapping[str, Raw]) -> ToolUseBlock:
    """Return the block of a call whose arguments are still to come."""
    block = ToolUseBlock(name, tool, {})
    if "caller" in more:
        block.caller = more["caller"]
    block.toolset_name = more.get("toolset_name", UNSET)
    return block


def _tool_use(call: ToolCall, more: Mapping[str, Raw] = NOTHING) -> ToolUseBlock:
    """Return the block of a call; arguments that are no object are shown as they came."""
    if not call.arguments.strip():
        arguments: Raw | dict[str, str] = {}
    elif is_object(call.arguments):
        arguments = Raw(call.arguments.encode("utf-8"))
    else:
        arguments = {"unparsed_arguments": call.arguments}
    block = call_block(call.id, call.name, more)
    block.input = arguments
    return block
