"""What a client says in Messages must reach Anthropic as it was meant, and come back so too."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.messages import EventEncoder, decode, encode_answer
from glasslipper.gateway.providers.anthropic.answer import Reading
from glasslipper.gateway.providers.anthropic.refusal import Refusals
from glasslipper.gateway.providers.anthropic.request import encode_request
from glasslipper.kernel.events import Answer, Event, fold
from glasslipper.kernel.messages import Request
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.usage import Usage

HEAD = Head(id="gen-01", model="maker/model", created_s=1_790_000_000, provider="anthropic")

WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
SIGNED = st.text("abcXYZ019+/=", min_size=1, max_size=12)
IDS = st.from_regex(r"toolu_[A-Za-z0-9]{1,6}", fullmatch=True)
MARK = st.sampled_from(
    [
        None,
        {"type": "ephemeral"},
        {"type": "ephemeral", "ttl": "5m"},
        {"type": "ephemeral", "ttl": "1h"},
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
OBJECT = st.dictionaries(WORDS, JSON, max_size=3)


def block(kind: str, *, optional: Any = None, **members: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"type": st.just(kind), **members}, optional=optional)


BASE64 = block("base64", media_type=st.sampled_from(["image/png", "application/pdf"]), data=SIGNED)
ADDRESS = block("url", url=st.just("https://example.com/a,b.png"))
FILE = block("file", file_id=st.just("file_1"))
PLAIN = block("text", media_type=st.just("text/plain"), data=WORDS)
CITATIONS = st.fixed_dictionaries({"enabled": st.booleans()})

CITED = st.lists(block("char_location", cited_text=WORDS), min_size=1, max_size=1)
TEXT = block("text", text=WORDS, optional={"cache_control": MARK, "citations": CITED})
IMAGE = block(
    "image",
    source=BASE64 | ADDRESS,
    optional={"cache_control": MARK, "transformations": st.just({"oversized_image": "error"})},
)
CALLER = block("code_execution_20250825", tool_id=IDS)
DOCUMENT = block(
    "document",
    source=BASE64 | ADDRESS | FILE | PLAIN,
    optional={
        "title": WORDS,
        "context": WORDS,
        "citations": CITATIONS,
        "cache_control": MARK,
    },
)
RESULT = block(
    "tool_result",
    tool_use_id=IDS,
    optional={
        "content": WORDS | st.lists(TEXT | IMAGE | DOCUMENT, max_size=2),
        "is_error": st.booleans(),
        "cache_control": MARK,
    },
)
CALL = block(
    "tool_use",
    id=IDS,
    name=WORDS,
    input=OBJECT,
    optional={"cache_control": MARK, "caller": CALLER},
)
THINKING = block("thinking", thinking=st.text(max_size=5).filter(str.isascii), signature=SIGNED)
REDACTED = block("redacted_thinking", data=SIGNED)

SYSTEM = st.fixed_dictionaries(
    {"role": st.just("system"), "content": WORDS | st.lists(TEXT, min_size=1, max_size=2)}
)
USER = st.fixed_dictionaries(
    {
        "role": st.just("user"),
        "content": WORDS | st.lists(TEXT | IMAGE | DOCUMENT | RESULT, min_size=1, max_size=4),
    }
)
ASSISTANT = st.fixed_dictionaries(
    {
        "role": st.just("assistant"),
        "content": WORDS | st.lists(TEXT | THINKING | REDACTED | CALL, max_size=4),
    }
)
TOOL = st.fixed_dictionaries(
    {"name": st.just("f"), "input_schema": OBJECT},
    optional={
        "type": st.just("custom"),
        "description": WORDS,
        "strict": st.booleans(),
        "cache_control": MARK,
        "eager_input_streaming": st.booleans(),
        "input_examples": st.lists(OBJECT, max_size=1),
    },
)
PARALLEL = {"disable_parallel_tool_use": st.booleans()}
CHOICE = (
    block("auto", optional=PARALLEL)
    | block("any", optional=PARALLEL)
    | block("tool", name=st.just("f"), optional=PARALLEL)
    | block("none")
)
DISPLAY = {"display": st.sampled_from(["summarized", "omitted"])}
THINK = (
    block("enabled", budget_tokens=st.integers(1024, 4999), optional=DISPLAY)
    | block("adaptive", optional=DISPLAY)
    | block("disabled")
    | block("between_tools")
)
OUTPUT = st.fixed_dictionaries(
    {},
    optional={
        "effort": st.sampled_from(["low", "medium", "high", "xhigh", "max"]),
        "format": st.fixed_dictionaries({"type": st.just("json_schema"), "schema": OBJECT}),
    },
)
BODIES = st.fixed_dictionaries(
    {
        "model": st.just("m"),
        "max_tokens": st.integers(5000, 64_000),
        "messages": st.lists(USER | ASSISTANT | SYSTEM, max_size=4).map(
            lambda turns: [{"role": "user", "content": "Hi"}, *turns]
        ),
    },
    optional={
        "system": WORDS | st.lists(TEXT, max_size=3),
        "temperature": st.sampled_from([0.0, 0.25, 1.0]),
        "top_p": st.sampled_from([0.5, 1.0]),
        "top_k": st.integers(0, 100),
        "stop_sequences": st.lists(WORDS, min_size=1, max_size=3),
        "stream": st.booleans(),
        "thinking": THINK,
        "output_config": OUTPUT,
        "metadata": st.fixed_dictionaries({"user_id": WORDS}),
        "service_tier": st.sampled_from(["auto", "standard_only"]),
        "context_management": OBJECT,
        "cache_control": MARK,
    },
)
WITH_TOOLS = st.builds(
    lambda body, tool, choice: (
        body | {"tools": [tool]} | ({"tool_choice": choice} if choice else {})
    ),
    BODIES,
    TOOL,
    st.none() | CHOICE,
)


def bare(told: Any) -> Any:
    """An object without nulls, and without the default of how long to cache."""
    made = {name: each for name, each in told.items() if each is not None}
    if made.get("cache_control", {}).get("ttl") == "5m":
        made["cache_control"] = {"type": "ephemeral"}
    return made


def blocks(content: Any) -> list[Any]:
    """Content as a list of blocks, each in its shortest form."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    made = [bare(each) for each in content]
    for each in made:
        inner = blocks(each.pop("content", []))
        if inner:
            each["content"] = inner
    return made


def meant(body: Any) -> Any:
    """What a body means, by the words of the API's documentation."""
    told = bare(body)
    told["messages"] = turns(told["messages"])
    told["system"] = blocks(told.get("system") or [])
    tools = [tool(each) for each in told.pop("tools", [])]
    choice = told.pop("tool_choice", {"type": "auto"})
    if tools:
        told["tools"], told["tool_choice"] = tools, choice
    for member in ("stream", "output_config"):
        if not told.get(member):
            told.pop(member, None)
    return told


def turns(messages: Any) -> Any:
    made: list[Any] = []
    for message in messages:
        content = blocks(message["content"])
        if not content:
            continue
        if made and made[-1]["role"] == message["role"]:
            made[-1]["content"] += content
        else:
            made.append({"role": message["role"], "content": content})
    return made


def tool(told: Any) -> Any:
    made = bare(told)
    made.pop("type", None)
    made["input_schema"] = {"type": "object"} | made["input_schema"]
    return made


@given(BODIES | WITH_TOOLS)
@settings(max_examples=200, deadline=None)
def test_a_request_arrives_as_it_was_meant(body: Any) -> None:
    request = decode(json.dumps(body).encode())
    wire = encode_request(request, upstream_model="m", default_max_tokens=1)
    assert meant(json.loads(wire)) == meant(body)


@given(BODIES | WITH_TOOLS)
@settings(max_examples=60, deadline=None)
def test_what_was_passed_on_can_be_passed_on_again_unchanged(body: Any) -> None:
    def passed_on(wire: bytes) -> bytes:
        return encode_request(decode(wire), upstream_model="m", default_max_tokens=1)

    once = passed_on(json.dumps(body).encode())
    assert passed_on(once) == once


# Answers.

ANSWER_BLOCKS = (
    st.lists(THINKING | REDACTED, max_size=2),
    st.lists(block("text", text=WORDS), max_size=1),
    st.lists(block("tool_use", id=IDS, name=WORDS, input=OBJECT), max_size=2),
)
CONTENT = st.tuples(*ANSWER_BLOCKS).map(lambda parts: list(itertools.chain(*parts)))
REASONS = st.sampled_from(
    [
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
    ]
)
USAGE = st.builds(
    lambda counts: {
        "input_tokens": counts[0],
        "cache_read_input_tokens": counts[1],
        "cache_creation_input_tokens": counts[2] + counts[3],
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts[2],
            "ephemeral_1h_input_tokens": counts[3],
        },
        "output_tokens": counts[4] + counts[5],
        "output_tokens_details": {"thinking_tokens": counts[5]} if counts[5] else None,
        "service_tier": "standard",
    },
    st.tuples(*[st.integers(0, 10_000)] * 6),
)


def reading() -> Reading:
    attempt = Attempted(id="att-1", request=Request(model="m", messages=()), upstream_model="m")
    return Reading(attempt, Refusals(None))


def bill(answer: Answer) -> Bill:
    return Bill(usage=answer.usage or Usage(), cost_nanousd=1)


def told(content: Any) -> Any:
    """The content of an answer, without what only says that there is nothing to say."""
    members = ("type", "text", "thinking", "signature", "data", "id", "name", "input")
    return [{name: each[name] for name in members if name in each} for each in content]


@given(CONTENT, REASONS, USAGE)
@settings(max_examples=100, deadline=None)
def test_a_whole_answer_arrives_as_it_was_given(content: Any, reason: str, usage: Any) -> None:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": "A" if reason == "stop_sequence" else None,
        "usage": usage,
    }
    reads = reading()
    answer = fold([*reads.whole(json.dumps(body).encode()), *reads.end()])
    shown = json.loads(encode_answer(answer, HEAD, bill(answer), stops=("A",)))
    assert told(shown["content"]) == content
    assert shown["stop_reason"] == reason
    assert shown["stop_sequence"] == body["stop_sequence"]
    assert {name: shown["usage"][name] for name in usage} == usage


def pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def streamed(content: Any, *, reason: str, usage: Any, size: int) -> bytes:
    """The content as Anthropic streams it, in pieces of `size` letters."""
    opening = {"input_tokens": 0, "output_tokens": 1, "service_tier": usage["service_tier"]}
    events: list[Any] = [
        {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": opening}}
    ]

    def grow(index: int, kind: str, **delta: str) -> None:
        growth = {"type": kind, **delta}
        events.append({"type": "content_block_delta", "index": index, "delta": growth})

    for index, each in enumerate(content):
        empty = {"text": "", "thinking": "", "signature": "", "input": {}}
        start = {name: empty.get(name, value) for name, value in each.items()}
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        for piece in pieces(each.get("text", ""), size):
            grow(index, "text_delta", text=piece)
        for piece in pieces(each.get("thinking", ""), size):
            grow(index, "thinking_delta", thinking=piece)
        if "signature" in each:
            grow(index, "signature_delta", signature=each["signature"])
        for piece in pieces(json.dumps(each["input"]) if "input" in each else "", size):
            grow(index, "input_json_delta", partial_json=piece)
        events.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": reason, "stop_sequence": None}
    events += [{"type": "message_delta", "delta": ending, "usage": usage}, {"type": "message_stop"}]
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events
    )


def events_of(wire: bytes, cuts: list[int]) -> list[Event]:
    reads = reading()
    edges = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]
    events = [
        event for start, end in itertools.pairwise(edges) for event in reads.feed(wire[start:end])
    ]
    return events + reads.end()


@given(CONTENT, REASONS, USAGE, st.integers(1, 5), st.lists(st.integers(1, 4000), max_size=12))
@settings(max_examples=100, deadline=None)
def test_a_stream_arrives_as_it_was_given_wherever_it_is_cut(
    content: Any, reason: str, usage: Any, size: int, cuts: list[int]
) -> None:
    events = events_of(streamed(content, reason=reason, usage=usage, size=size), cuts)
    answer = fold(events)
    encoder = EventEncoder(HEAD)
    passed_on = b"".join(map(encoder.encode, events)) + encoder.finish(bill(answer))
    again = fold(events_of(passed_on, cuts))
    whole = json.loads(encode_answer(again, HEAD, bill(again)))
    assert told(whole["content"]) == content
    assert again.finish == answer.finish
    assert again.native_finish == reason
    assert again.usage == answer.usage
    assert {name: whole["usage"][name] for name in usage} == usage
