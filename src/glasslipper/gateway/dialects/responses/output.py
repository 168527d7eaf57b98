"""What a model gave, as the output items of the Responses format.

An item is built here once it is whole; `stream` tells how it grew. Item ids say which
response they belong to, and a reasoning item carries all that its provider needs to see again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from msgspec import UNSET, Struct, UnsetType, field

from glasslipper.gateway.dialects.chat.answer import LEAST_LOGPROB
from glasslipper.gateway.dialects.responses.ids import item_id
from glasslipper.gateway.dialects.responses.seal import seal
from glasslipper.gateway.dialects.responses.tools import Origin, text_of
from glasslipper.gateway.dialects.responses.wire import Status
from glasslipper.kernel.events import Answer, Citation, TokenLogprob
from glasslipper.kernel.messages import ReasoningPart, ToolCall


class Alternative(Struct):
    """A token that might have come instead, or that did."""

    token: str
    logprob: float
    bytes: Sequence[int]


class Chosen(Alternative):
    """A token that came, with the likeliest alternatives."""

    top_logprobs: list[Alternative] = field(default_factory=list[Alternative])


class UrlCitation(Struct, tag="url_citation"):
    """A page that some of the words rest on, counted in characters."""

    url: str
    title: str
    start_index: int
    end_index: int


class OutputText(Struct, tag="output_text"):
    """A part: words of the answer."""

    text: str
    annotations: list[UrlCitation] = field(default_factory=list[UrlCitation])
    logprobs: list[Chosen] = field(default_factory=list[Chosen])


class OutputRefusal(Struct, tag="refusal"):
    """A part: words of a refusal."""

    refusal: str


class SummaryText(Struct, tag="summary_text"):
    """A part of a reasoning item: words that sum up the thinking."""

    text: str


class ReasoningText(Struct, tag="reasoning_text"):
    """A part of a reasoning item: words of the thinking."""

    text: str


class MessageItem(Struct, tag="message"):
    """What the model said."""

    id: str
    status: Status
    content: list[OutputText | OutputRefusal]
    role: str = "assistant"


class CallItem(Struct, tag="function_call"):
    """A wish to call a tool."""

    id: str
    status: Status
    call_id: str
    name: str
    arguments: str
    namespace: str | UnsetType = UNSET


class TextCallItem(Struct, tag="custom_tool_call"):
    """A wish to call a tool that takes text."""

    id: str
    call_id: str
    name: str
    input: str
    namespace: str | UnsetType = UNSET


class ReasoningItem(Struct, tag="reasoning"):
    """What the model thought."""

    id: str
    status: Status
    summary: list[SummaryText]
    content: list[ReasoningText]
    encrypted_content: str | UnsetType = UNSET


OutputItem = MessageItem | CallItem | TextCallItem | ReasoningItem


def output_of(
    answer: Answer,
    generation_id: str,
    *,
    status: Status,
    shows_thoughts: bool,
    origins: Mapping[str, Origin],
) -> list[OutputItem]:
    """Return the items of a whole answer; one that says nothing is an empty message.

    `origins` tells what the functions were that the client knows in another form.
    """
    thoughts = answer.reasoning if shows_thoughts else ()
    content: list[OutputText | OutputRefusal] = []
    if answer.text or not (answer.refusal or answer.tool_calls or thoughts):
        cited = [page for one in answer.citations if (page := url_citation(one)) is not None]
        content.append(OutputText(answer.text, cited, logprob_list(answer.logprobs)))
    if answer.refusal:
        content.append(OutputRefusal(answer.refusal))
    places = count()

    def name(kind: str) -> str:
        return item_id(kind, generation_id, next(places))

    return [
        *(reasoning_item(name("rs"), part, status="completed") for part in thoughts),
        *(MessageItem(name("msg"), status, parts) for parts in [content] if parts),
        *(
            call_item(name(kind_of(origin)), call, origin, status=status)
            for call in answer.tool_calls
            for origin in [origins.get(call.name)]
        ),
    ]


def url_citation(citation: Citation) -> UrlCitation | None:
    """Return a source in the words of this dialect, if it is a page."""
    if not citation.url:
        return None
    return UrlCitation(citation.url, citation.title or "", citation.start or 0, citation.end or 0)


def reasoning_item(name: str, part: ReasoningPart, *, status: Status) -> ReasoningItem:
    """Return the item of a part of the thinking."""
    is_summary = part.kind == "summary"
    return ReasoningItem(
        id=name,
        status=status,
        summary=[SummaryText(part.text)] if is_summary and part.text else [],
        content=[] if is_summary or not part.text else [ReasoningText(part.text)],
        encrypted_content=seal(part) or UNSET,
    )


def kind_of(origin: Origin | None) -> str:
    """Return what the id of a call's item begins with."""
    return "ctc" if origin is not None and origin.kind == "custom" else "fc"


def call_item(
    name: str, call: ToolCall, origin: Origin | None, *, status: Status
) -> CallItem | TextCallItem:
    """Return the item of a tool call, in the form in which the client knows the tool."""
    if origin is None:
        return CallItem(name, status, call_id=call.id, name=call.name, arguments=call.arguments)
    space = origin.namespace or UNSET
    if origin.kind == "custom":
        return TextCallItem(name, call.id, origin.name, text_of(call.arguments), space)
    return CallItem(name, status, call.id, origin.name, call.arguments, space)


def logprob_list(tokens: Sequence[TokenLogprob]) -> list[Chosen]:
    """Return tokens and their probabilities in OpenAI's shape; every token has its bytes."""
    return [
        Chosen(
            token.token,
            max(LEAST_LOGPROB, token.logprob),
            _bytes(token),
            [
                Alternative(other.token, max(LEAST_LOGPROB, other.logprob), _bytes(other))
                for other in token.top
            ],
        )
        for token in tokens
    ]


def _bytes(token: TokenLogprob) -> Sequence[int]:
    return tuple(token.token.encode()) if token.raw is None else token.raw
