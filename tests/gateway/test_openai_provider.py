from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, structs

from glasslipper.gateway.dialects.chat import ChunkEncoder, Head, decode, encode_answer
from glasslipper.gateway.providers.openai import OpenAICompatible
from glasslipper.gateway.providers.openai_answer import Reading
from glasslipper.gateway.providers.openai_refusal import Refusals
from glasslipper.gateway.providers.openai_request import encode_request
from glasslipper.gateway.providers.table import PROVIDERS, Provider, enabled, provider
from glasslipper.gateway.transport import Timeouts, Transport
from glasslipper.kernel.errors import (
    ContextTooLong,
    GlasslipperError,
    InvalidRequest,
    SetupMissing,
    StreamBroken,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from glasslipper.kernel.events import (
    Answer,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Spent,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    fold,
)
from glasslipper.kernel.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.usage import Usage
from glasslipper.testing import FakeUpstream

KEY = "sk-very-secret-0123456789"
WAIT_S = 20


def row(slug: str) -> Provider:
    found = provider(slug)
    assert found is not None
    return found


OPENAI, CUSTOM = row("openai"), row("custom")
HI = Request(model="m", messages=(Message(role="user", parts=(TextPart(text="Hi"),)),))
HI_STREAM = structs.replace(HI, stream=True)


@dataclass
class Peer:
    """A server on a socket that gives one fixed answer and notes what it was asked."""

    answer: bytes
    hangs: bool = False
    port: int = 0
    heads: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            size = next(line for line in head.lower().split("\r\n") if "content-length" in line)
            self.heads.append(head)
            self.bodies.append(json.loads(await reader.readexactly(int(size.split(":")[1]))))
            writer.write(self.answer)
            await writer.drain()
            if self.hangs:
                await reader.read()
                self.left.set()
        except ConnectionError:
            self.left.set()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[str]:
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def calling(
    base_url: str, known: Provider = OPENAI, *, timeouts: Timeouts | None = None
) -> AsyncIterator[OpenAICompatible]:
    transport = Transport()
    try:
        yield OpenAICompatible(transport, known, key=KEY, base_url=base_url, timeouts=timeouts)
    finally:
        await transport.close()


@dataclass
class Outcome:
    events: list[Event]
    attempt: Attempted
    error: GlasslipperError | None
    peer: Peer

    @property
    def answer(self) -> Answer:
        assert self.error is None
        return fold(self.events)


def http(
    body: bytes, *, status: int = 200, kind: str = "application/json", more: str = ""
) -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n{more}\r\n"
    return head.encode() + body


def sse(*chunks: object, done: bool = True) -> bytes:
    datas = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    body = "".join(f"data: {data}\n\n" for data in [*datas, *(["[DONE]"] if done else [])])
    return http(body.encode(), kind="text/event-stream")


def chunk(delta: object = None, finish: str | None = None, **more: object) -> dict[str, object]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "up-1", "model": "real", "choices": [choice]} | more


def whole(message: object, finish: str | None = "stop", **more: object) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return http(json.dumps({"id": "up-1", "model": "real", "choices": [choice]} | more).encode())


def call(answer: bytes, request: Request = HI_STREAM, known: Provider = OPENAI) -> Outcome:
    async def run() -> Outcome:
        peer = Peer(answer)
        attempt = Attempted(id="att-1", request=request, upstream_model="real")
        outcome = Outcome([], attempt, None, peer)
        async with listening(peer) as url, calling(url, known) as upstream:
            try:
                async for event in upstream.send(attempt):
                    outcome.events.append(event)
            except GlasslipperError as error:
                outcome.error = error
        return outcome

    return asyncio.run(asyncio.wait_for(run(), WAIT_S))


def sent(request: Request, known: Provider = OPENAI) -> dict[str, Any]:
    return json.loads(encode_request(request, provider=known, upstream_model="real"))


# What is sent.


def test_the_call_carries_the_key_the_request_id_and_the_upstream_model() -> None:
    peer = call(sse(chunk({"content": "x"}, "stop"))).peer
    head = peer.heads[0].lower()
    assert head.startswith("post /v1/chat/completions http/1.1\r\n")
    assert f"\r\nauthorization: bearer {KEY}\r\n" in head
    assert "\r\nx-request-id: att-1\r\n" in head
    assert peer.bodies[0] == {
        "model": "real",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_quirks_of_the_table_shape_the_body() -> None:
    request = structs.replace(
        HI_STREAM,
        messages=(Message(role="developer", parts=(TextPart(text="d"),)), *HI.messages),
        sampling=Sampling(max_tokens=5, seed=1),
    )
    openai, mistral = sent(request), sent(request, row("mistral"))
    assert openai["max_completion_tokens"] == 5
    assert openai["messages"][0]["role"] == "developer"
    assert mistral["max_tokens"] == 5
    assert mistral["random_seed"] == 1
    assert mistral["messages"][0]["role"] == "system"
    assert "stream_options" not in mistral


def test_unknown_members_go_on_verbatim_but_routing_only_to_those_who_take_it() -> None:
    wishes = {"order": ["x"], "only": ["x"], "allow_fallbacks": False, "ignore": ["y"], "zdr": True}
    extra = {
        "verbosity": Raw(b'"low"'),
        "plugins": Raw(b"[]"),
        "provider": Raw(json.dumps(wishes).encode()),
        "route": Raw(b'"fallback"'),
    }
    request = structs.replace(HI, extra=extra, session_id="s1", models=("m2",), service_tier="flex")
    assert b'"verbosity":"low"' in encode_request(request, provider=OPENAI, upstream_model="r")
    assert set(sent(request)) == {"model", "messages", "service_tier", "verbosity"}
    assert sent(request)["service_tier"] == "flex"
    openrouter = sent(request, row("openrouter"))
    assert openrouter["provider"] == {"ignore": ["y"], "zdr": True}
    assert (openrouter["session_id"], openrouter["plugins"]) == ("s1", [])
    assert not {"models", "route"} & set(openrouter)
    named = structs.replace(HI, extra={"provider": Raw(b'{"only":["openrouter"]}')})
    assert "provider" not in sent(named, row("openrouter"))


@pytest.mark.parametrize(
    ("wish", "openai", "openrouter", "deepseek", "qwen"),
    [
        (
            Reasoning(effort="high", exclude=True, summary="auto"),
            {"reasoning_effort": "high"},
            {"reasoning": {"effort": "high", "exclude": True, "summary": "auto"}},
            {"reasoning_effort": "high"},
            {"enable_thinking": True},
        ),
        (
            Reasoning(max_tokens=2_048),
            {"reasoning_effort": "low"},
            {"reasoning": {"max_tokens": 2_048}},
            {"reasoning_effort": "low"},
            {"enable_thinking": True, "thinking_budget": 2_048},
        ),
        (
            Reasoning(max_tokens=8_192, enabled=True),
            {"reasoning_effort": "medium"},
            {"reasoning": {"enabled": True, "max_tokens": 8_192}},
            {"thinking": {"type": "enabled"}, "reasoning_effort": "medium"},
            {"enable_thinking": True, "thinking_budget": 8_192},
        ),
        (
            Reasoning(max_tokens=8_193),
            {"reasoning_effort": "high"},
            {"reasoning": {"max_tokens": 8_193}},
            {"reasoning_effort": "high"},
            {"enable_thinking": True, "thinking_budget": 8_193},
        ),
        (
            Reasoning(effort="medium"),
            {"reasoning_effort": "medium"},
            {"reasoning": {"effort": "medium"}},
            {"reasoning_effort": "medium"},
            {"enable_thinking": True, "thinking_budget": 8_192},
        ),
        (
            Reasoning(enabled=True),
            {"reasoning_effort": "medium"},
            {"reasoning": {"enabled": True}},
            {"thinking": {"type": "enabled"}},
            {"enable_thinking": True},
        ),
        (
            Reasoning(enabled=False),
            {"reasoning_effort": "none"},
            {"reasoning": {"enabled": False}},
            {"thinking": {"type": "disabled"}},
            {"enable_thinking": False},
        ),
        (Reasoning(), {}, {}, {}, {}),
        (None, {}, {}, {}, {}),
    ],
)
def test_a_wish_to_think_is_said_in_the_providers_words(
    wish: Reasoning | None,
    openai: dict[str, Any],
    openrouter: dict[str, Any],
    deepseek: dict[str, Any],
    qwen: dict[str, Any],
) -> None:
    request = structs.replace(HI, reasoning=wish)
    bare = sent(HI)
    assert sent(request) == bare | openai
    assert sent(request, CUSTOM) == bare | openrouter
    assert sent(request, row("deepseek")) == bare | deepseek
    assert sent(request, row("qwen")) == bare | qwen


def test_earlier_thinking_goes_back_in_the_form_that_the_provider_takes() -> None:
    message = Message(
        role="assistant",
        parts=(
            ReasoningPart(text="t", signature="s"),
            ReasoningPart(text="u", kind="summary", encrypted="e", id="rs", format="f"),
        ),
        tool_calls=(ToolCall(id="c", name="f", arguments="{}"),),
    )
    request = structs.replace(HI, messages=(message,))
    assert sent(request, row("openrouter"))["messages"][0]["reasoning_details"] == [
        {"index": 0, "type": "reasoning.text", "text": "t", "signature": "s"},
        {"index": 1, "type": "reasoning.summary", "summary": "u", "id": "rs", "format": "f"},
        {"index": 1, "type": "reasoning.encrypted", "data": "e", "id": "rs", "format": "f"},
    ]
    assert sent(request, row("deepseek"))["messages"][0]["reasoning_content"] == "tu"
    assert set(sent(request)["messages"][0]) == {"role", "content", "tool_calls"}


def test_what_json_cannot_hold_is_an_invalid_request() -> None:
    schema: dict[str, object] = {}
    inner = schema
    for _level in range(100_000):
        inner["a"] = inner = {}
    deep = structs.replace(HI, tools=(Tool(name="f", parameters=schema),))
    half = structs.replace(HI, user="\ud800")
    for request in (deep, half):
        with pytest.raises(InvalidRequest):
            encode_request(request, provider=OPENAI, upstream_model="r")
    while schema:
        schema = schema.pop("a")  # type: ignore[assignment]


TEXT = st.text(max_size=6)
NAME = st.text(min_size=1, max_size=6)
SPOKEN = st.one_of(
    st.builds(TextPart, text=TEXT, cache=st.sampled_from([None, "5m", "1h"])),
    st.builds(ImagePart, url=NAME, detail=st.none() | NAME),
    st.builds(AudioPart, data=TEXT, format=TEXT),
    st.builds(FilePart, url=NAME, file_id=st.none() | NAME, filename=st.none() | NAME),
    st.builds(RefusalPart, text=TEXT),
)
THOUGHT = st.one_of(
    st.builds(
        ReasoningPart,
        text=NAME,
        kind=st.sampled_from(["text", "summary"]),
        signature=st.none() | NAME,
        encrypted=st.none() | NAME,
        format=st.none() | NAME,
        id=st.none() | NAME,
    ),
    st.builds(ReasoningPart, encrypted=NAME, format=st.none() | NAME, id=st.none() | NAME),
)
MESSAGES = st.one_of(
    st.builds(
        Message,
        role=st.sampled_from(["system", "developer", "user"]),
        parts=st.lists(SPOKEN, min_size=1, max_size=3).map(tuple),
        name=st.none() | NAME,
    ),
    st.builds(
        Message,
        role=st.just("tool"),
        parts=st.lists(SPOKEN, min_size=1, max_size=2).map(tuple),
        tool_call_id=NAME,
    ),
    st.builds(
        Message,
        role=st.just("assistant"),
        parts=st.tuples(st.lists(THOUGHT, max_size=2), st.lists(SPOKEN, max_size=2)).map(
            lambda both: (*both[0], *both[1])
        ),
        tool_calls=st.lists(
            st.builds(ToolCall, id=NAME, name=NAME, arguments=TEXT), max_size=2
        ).map(tuple),
    ),
)
SHARE = st.none() | st.floats(0, 1)
SAMPLINGS = st.builds(
    Sampling,
    max_tokens=st.none() | st.integers(1, 2**31 - 1),
    temperature=st.none() | st.floats(0, 2),
    top_p=SHARE,
    min_p=SHARE,
    top_k=st.none() | st.integers(0, 100),
    seed=st.none() | st.integers(-(2**63), 2**63 - 1),
    stop=st.lists(NAME, max_size=3).map(tuple),
    frequency_penalty=st.none() | st.floats(-2, 2),
    presence_penalty=st.none() | st.floats(-2, 2),
    repetition_penalty=st.none() | st.floats(0, 2),
    logit_bias=st.none() | st.dictionaries(NAME, st.floats(-100, 100), max_size=2),
    logprobs=st.just(True),
    top_logprobs=st.none() | st.integers(0, 20),
)
SCHEMA = st.dictionaries(TEXT, st.integers() | TEXT | st.none(), max_size=3)
REQUESTS = st.builds(
    Request,
    model=NAME,
    messages=st.lists(MESSAGES, min_size=1, max_size=4).map(tuple),
    stream=st.booleans(),
    sampling=SAMPLINGS,
    tools=st.lists(
        st.builds(
            Tool,
            name=NAME,
            description=TEXT,
            parameters=SCHEMA,
            strict=st.none() | st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
    tool_choice=st.builds(ToolChoice, mode=st.sampled_from(["auto", "none"])),
    parallel_tool_calls=st.none() | st.booleans(),
    response_format=st.sampled_from([ResponseFormat(), ResponseFormat(kind="json_object")])
    | st.builds(
        ResponseFormat,
        kind=st.just("json_schema"),
        name=NAME,
        description=st.none() | TEXT,
        schema=SCHEMA,
    ),
    reasoning=st.none()
    | st.builds(
        Reasoning,
        enabled=st.none() | st.booleans(),
        effort=st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        max_tokens=st.none() | st.integers(1, 99),
        exclude=st.booleans(),
        summary=st.none() | TEXT,
    ),
    service_tier=st.none() | NAME,
    user=st.none() | TEXT,
    session_id=st.none() | TEXT,
    metadata=st.dictionaries(TEXT, TEXT, max_size=2),
    extra=st.just({"verbosity": Raw(b'"low"')}),
)


@given(REQUESTS)
@settings(max_examples=200, deadline=None)
def test_what_the_codec_writes_the_dialect_reads_back_unchanged(request: Request) -> None:
    known = structs.replace(CUSTOM, knows_developer=True)
    body = encode_request(request, provider=known, upstream_model=request.model)
    assert decode(body) == request


# What is read.


def test_a_stream_becomes_events_in_order_with_usage_last() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 6,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
        "cost": 0.000123456789012,
    }
    outcome = call(
        sse(
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Hel"}),
            chunk({"content": "lo"}),
            chunk({}, "length"),
            chunk(usage=usage) | {"choices": []},
        )
    )
    spent = Usage(
        input=6, cache_read=4, output=4, reasoning=2, requests=1, reported_nanousd=123_457
    )
    assert outcome.error is None
    assert outcome.events == [
        Started(model="real", upstream_id="up-1"),
        TextDelta(text="Hel"),
        TextDelta(text="lo"),
        Finished(reason="length", native="length"),
        Spent(usage=spent),
    ]
    assert outcome.attempt.usage == spent


def test_a_whole_answer_becomes_the_same_events() -> None:
    message = {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "hm",
        "refusal": None,
        "tool_calls": [
            {"id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}},
            {"id": "b", "function": {"name": "g", "arguments": {"y": [2]}}},
            {"id": "c", "function": {"name": "h", "arguments": ""}},
        ],
    }
    outcome = call(whole(message, usage={"prompt_tokens": 3, "completion_tokens": 2}), HI)
    assert "stream" not in outcome.peer.bodies[0]
    answer = outcome.answer
    assert (answer.text, answer.reasoning) == ("Hi", (ReasoningPart(text="hm"),))
    assert answer.tool_calls == (
        ToolCall(id="a", name="f", arguments='{"x": 1}'),
        ToolCall(id="b", name="g", arguments='{"y":[2]}'),
        ToolCall(id="c", name="h", arguments="{}"),
    )
    assert (answer.finish, answer.native_finish) == ("tool_calls", "stop")
    assert answer.usage == Usage(input=3, output=2, requests=1)


def tool(index: int | None, *, arguments: object = None, **more: object) -> dict[str, object]:
    name = more.pop("name", None)
    piece: dict[str, object] = {"function": {"name": name, "arguments": arguments}} | more
    return piece if index is None else piece | {"index": index}


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [
                [tool(0, id="a", name="f", arguments="")],
                [tool(1, id="b", name="g", arguments="")],
                [tool(0, arguments='{"x"')],
                [tool(1, arguments="{}")],
                [tool(0, arguments=":1}")],
            ],
            id="interleaved by index",
        ),
        pytest.param(
            [
                [tool(0, id="a", name="f", arguments='{"x":1}')],
                [tool(0, id="b", name="g", arguments="{}")],
            ],
            id="all at index 0, told apart by id",
        ),
        pytest.param(
            [
                [tool(None, id="a", name="f", arguments='{"x":')],
                [tool(None, arguments="1}")],
                [tool(None, id="b", name="g", arguments={})],
            ],
            id="without index",
        ),
        pytest.param(
            [
                [
                    tool(None, id="a", name="f", arguments='{"x":1}'),
                    tool(None, id="b", name="g", arguments="{}"),
                ]
            ],
            id="both at once without index",
        ),
        pytest.param(
            [
                [tool(3, id="a", name="f", arguments='{"x":')],
                [tool(3, id="a", name="f", arguments="1}")],
                [tool(5, id="b", name="g", arguments=None)],
            ],
            id="odd indexes, repeated id and name, no arguments",
        ),
    ],
)
def test_tool_calls_come_together_however_they_are_cut(pieces: list[list[object]]) -> None:
    chunks = [chunk({"tool_calls": piece}) for piece in pieces]
    answer = call(sse(*chunks, chunk({}, "tool_calls"))).answer
    assert answer.tool_calls == (
        ToolCall(id="a", name="f", arguments='{"x":1}'),
        ToolCall(id="b", name="g", arguments="{}"),
    )
    assert answer.finish == "tool_calls"


def test_a_tool_call_without_an_id_gets_one() -> None:
    pieces = chunk({"tool_calls": [tool(0, name="f", arguments="{}")]})
    (made,) = call(sse(pieces, chunk({}, "tool_calls"))).answer.tool_calls
    assert made.id.startswith("call-")


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm"},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
    ],
)
def test_thinking_is_found_wherever_it_is_and_counted_once(delta: object) -> None:
    answer = call(sse(chunk(delta), chunk({"content": "yes"}, "stop"))).answer
    assert (answer.reasoning, answer.text) == ((ReasoningPart(text="hm"),), "yes")


def test_the_parts_of_the_thinking_are_kept_apart_and_whole() -> None:
    def detail(kind: str, index: int, **more: str) -> dict[str, object]:
        return {"type": f"reasoning.{kind}", "index": index, "format": "f"} | more

    pieces: list[dict[str, object]] = [
        detail("text", 0, text="h"),
        detail("text", 0, text="m"),
        detail("text", 0, signature="sig"),
        detail("encrypted", 1, data="xyz"),
        detail("summary", 2, summary="in", id="rs_1"),
        detail("summary", 2, summary=" short", id="rs_1"),
        detail("encrypted", 2, data="abc", id="rs_1"),
    ]
    streamed = [chunk({"reasoning_details": [piece]}) for piece in pieces]
    expected = (
        ReasoningPart(text="hm", signature="sig", format="f"),
        ReasoningPart(encrypted="xyz", format="f"),
        ReasoningPart(text="in short", kind="summary", encrypted="abc", format="f", id="rs_1"),
    )
    assert call(sse(*streamed, chunk({}, "stop"))).answer.reasoning == expected
    assert call(whole({"reasoning_details": pieces}), HI).answer.reasoning == expected


def test_the_service_tier_is_told_at_the_start() -> None:
    events = call(sse(chunk({"content": "x"}, "stop", service_tier="flex"))).events
    assert events[0] == Started(model="real", upstream_id="up-1", service_tier="flex")


def test_content_in_parts_refusals_and_logprobs_are_read() -> None:
    logprobs = {
        "content": [
            {
                "token": "a",
                "logprob": -0.5,
                "bytes": [97],
                "top_logprobs": [{"token": "b", "logprob": -2, "bytes": None}],
            }
        ]
    }
    first = chunk({"content": "a"})
    first["choices"][0]["logprobs"] = logprobs  # type: ignore[index]
    events = call(
        sse(
            first,
            chunk({"content": [{"type": "text", "text": "b"}]}),
            chunk({"refusal": "No."}),
            chunk({}, "stop"),
        )
    ).events
    top = (TokenLogprob(token="b", logprob=-2),)
    token = TokenLogprob(token="a", logprob=-0.5, raw=(97,), top=top)
    assert events[1:4] == [
        TextDelta(text="a", logprobs=(token,)),
        TextDelta(text="b"),
        RefusalDelta(text="No."),
    ]


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("function_call", "tool_calls"),
        ("insufficient_system_resource", "error"),
        ("something new", "stop"),
    ],
)
def test_ends_are_told_in_five_words_and_in_the_providers_own(native: str, reason: str) -> None:
    events = call(sse(chunk({"content": "x"}), chunk({}, native))).events
    assert events[-1] == Finished(reason=reason, native=native)  # type: ignore[arg-type]


def test_the_finish_comes_once_and_after_everything_that_is_still_said() -> None:
    outcome = call(
        sse(
            chunk({"content": "a"}, ""),
            chunk({}, "stop", usage={"prompt_tokens": 1, "completion_tokens": 1}),
            chunk({"content": "b"}),
            chunk({}, "length", usage={"prompt_tokens": 1, "completion_tokens": 2}),
        )
    )
    spent = Usage(input=1, output=2, requests=1)
    assert outcome.events[1:] == [
        TextDelta(text="a"),
        TextDelta(text="b"),
        Finished(reason="stop", native="stop"),
        Spent(usage=spent),
    ]


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2.0}, Usage(input=5, output=2)),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "prompt_cache_hit_tokens": 3},
            Usage(input=2, cache_read=3, output=2),
        ),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 4},
            Usage(input=1, cache_read=4, output=2),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 10,
                "prompt_tokens_details": {
                    "cached_tokens": 2,
                    "cache_write_tokens": 3,
                    "audio_tokens": 1,
                    "image_tokens": 1,
                },
                "completion_tokens_details": {
                    "reasoning_tokens": 4,
                    "audio_tokens": 2,
                    "image_tokens": 1,
                },
            },
            Usage(
                input=3,
                cache_read=2,
                cache_write=3,
                input_audio=1,
                input_image=1,
                output=3,
                reasoning=4,
                output_audio=2,
                output_image=1,
            ),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 35,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(input=10, output=5, reasoning=20),
        ),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": -7,
                "prompt_tokens_details": {"cached_tokens": 9},
            },
            Usage(cache_read=3),
        ),
        (
            {"completion_tokens": 2, "total_tokens": 9, "prompt_tokens_details": None},
            Usage(input=7, output=2),
        ),
        ({"prompt_tokens": 1, "cost": 1e-9}, Usage(input=1, reported_nanousd=1)),
        ({"prompt_tokens": 1, "cost": 0}, Usage(input=1, reported_nanousd=0)),
        ({"prompt_tokens": 1, "cost": -5}, Usage(input=1)),
        ({"prompt_tokens": 1, "cost": "NaN"}, Usage(input=1)),
    ],
)
def test_usage_is_told_apart_into_classes(told: object, usage: Usage) -> None:
    answer = call(whole({"content": "x"}, usage=told), HI).answer
    assert answer.usage == structs.replace(usage, requests=1)


def test_a_monstrous_cost_is_not_believed() -> None:
    body = (
        b'{"choices":[{"message":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"cost":%b}}'
    )
    for cost in (b"1E+999999999", b"1e400", b"10000000"):
        usage = call(http(body % cost), HI).answer.usage
        assert usage is not None
        assert usage.reported_nanousd is None


COUNTS = st.none() | st.integers(-5, 50) | st.floats(0, 50)


@given(
    prompt=st.integers(1, 50),
    completion=st.integers(0, 50),
    inner=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["cached_tokens", "cache_write_tokens", "audio_tokens"], COUNTS)
    ),
    outer=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["reasoning_tokens", "audio_tokens"], COUNTS)
    ),
)
@settings(deadline=None)
def test_classes_add_up_to_what_the_provider_counts(
    prompt: int, completion: int, inner: dict[str, Any], outer: dict[str, Any]
) -> None:
    told = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": inner,
        "completion_tokens_details": outer,
    }
    attempt = Attempted(id="a", request=HI, upstream_model="m")
    body = {"choices": [{"message": {}, "finish_reason": "stop"}], "usage": told}
    Reading(attempt, Refusals(OPENAI, None)).take(json.dumps(body).encode())
    usage = attempt.usage or Usage()
    assert usage.prompt_tokens == prompt
    reasoning = int(outer.get("reasoning_tokens") or 0)
    added = reasoning if reasoning > completion else 0
    assert usage.completion_tokens == completion + added
    assert all(value >= 0 for value in structs.asdict(usage).values() if value is not None)


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk({"content": "x"}, "stop", usage={"prompt_tokens": 1, "completion_tokens": 2})],
        [
            chunk({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 1}),
            chunk({}, "stop", usage={"prompt_tokens": 1, "completion_tokens": 2}),
        ],
        [
            chunk({"content": "x"}, "stop"),
            {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
        ],
        [
            chunk({"content": "x"}, "stop"),
            chunk({"content": ""}, usage={"prompt_tokens": 1, "completion_tokens": 2}),
        ],
        [
            chunk({"content": "x"}),
            chunk({}, "stop", x_groq={"usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
        ],
    ],
    ids=["with the end", "in every chunk", "alone", "with an empty delta", "Groq"],
)
def test_usage_is_found_in_whichever_chunk_it_comes(chunks: list[object]) -> None:
    outcome = call(sse(*chunks))
    assert outcome.events[-2:] == [
        Finished(reason="stop", native="stop"),
        Spent(usage=Usage(input=1, output=2, requests=1)),
    ]


def test_without_usage_nothing_is_spent() -> None:
    outcome = call(sse(chunk({"content": "x"}, "stop", usage=None)))
    assert outcome.events[-1] == Finished(reason="stop", native="stop")
    assert outcome.attempt.usage is None


def test_a_json_answer_to_a_stream_request_is_understood() -> None:
    assert call(whole({"content": "x"})).answer.text == "x"


def test_frames_may_be_framed_oddly() -> None:
    body = (
        b"\xef\xbb\xbf: comment\r\n\r\n"
        b'event: message\r\ndata: {"choices":[{"delta":\r\n'
        b'data: {"content":"\xf0\x9f\x98\x80"}}]}\r\n\r\n'
        b'data:{"choices":[{"delta":{},"finish_reason":"stop"}]}\r\r'
        b"data: [DONE]\r\n\r\n"
        b"data: whatever follows\r\n\r\n"
    )
    assert (
        call(http(body, kind="text/event-stream; charset=utf-8")).answer.text == "\N{GRINNING FACE}"
    )


# What goes wrong.


def test_a_missing_end_mark_is_tolerated_after_the_finish() -> None:
    outcome = call(sse(chunk({"content": "x"}, "stop"), done=False))
    assert outcome.answer.finish == "stop"


def test_a_stream_without_finish_just_ends() -> None:
    for done in (True, False):
        outcome = call(sse(chunk({"content": "x"}), done=done))
        assert outcome.error is None
        assert outcome.events[1:] == [TextDelta(text="x")]


@pytest.mark.parametrize(
    "data", ['{"choices":', "hello", "[]", '{"choices":[{"delta":{"content":5}}]}', "[" * 9999]
)
def test_a_malformed_frame_breaks_the_stream_after_what_came_before(data: str) -> None:
    outcome = call(sse(chunk({"content": "x"}), data, chunk({}, "stop")))
    assert isinstance(outcome.error, StreamBroken)
    assert TextDelta(text="x") in outcome.events
    assert not any(isinstance(event, Finished) for event in outcome.events)


def test_a_malformed_whole_answer_is_broken() -> None:
    for body in (b"", b"<html>", b'{"choices":"\xff"}'):
        assert isinstance(call(http(body), HI).error, StreamBroken)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "it burns", "code": None}, UpstreamFailed),
        ("it burns", UpstreamFailed),
        ({"code": 429, "message": "it burns"}, UpstreamRateLimited),
        ({"code": 502, "message": "it burns", "metadata": {}}, UpstreamRefused),
        ({"code": "context_length_exceeded", "message": "it burns"}, ContextTooLong),
    ],
)
def test_an_error_inside_a_good_answer_is_a_failure(
    error: object, kind: type[GlasslipperError]
) -> None:
    inside = call(sse(chunk({"content": "x"}), {"error": error}))
    assert TextDelta(text="x") in inside.events
    event = b"event: error\ndata: %b\n\n" % json.dumps(error).encode()
    named = call(http(event, kind="text/event-stream"))
    bare = call(http(json.dumps({"error": error}).encode()), HI)
    for outcome in (inside, named, bare):
        assert isinstance(outcome.error, kind)
        assert "it burns" in outcome.error.message


REFUSALS: list[tuple[int, object]] = [
    (500, {"error": {"message": "it burns", "type": "server_error", "code": None}}),
    (422, {"object": "error", "message": "it burns", "type": "invalid"}),
    (404, {"detail": "it burns"}),
    (422, {"detail": [{"loc": ["body"], "msg": "it burns"}]}),
    (400, [{"error": {"code": 400, "message": "it burns"}}]),
    (400, {"error": "it burns"}),
    (403, {"error": {"message": "it\r\n burns"}}),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_a_refusal_repeats_the_providers_words_and_status(status: int, body: object) -> None:
    error = call(http(json.dumps(body).encode(), status=status)).error
    assert isinstance(error, UpstreamRefused)
    assert error.upstream_status == status
    assert error.message == f"OpenAI answered {status}: it burns"


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"x" * 100_000, b"[" * 9999])
def test_of_an_error_page_only_the_status_is_told(body: bytes) -> None:
    error = call(http(body, status=502, kind="text/html")).error
    assert isinstance(error, UpstreamRefused)
    assert error.message == "OpenAI answered 502."


def test_a_redirect_is_not_followed() -> None:
    error = call(http(b"", status=302, more="location: http://127.0.0.1:1/\r\n")).error
    assert isinstance(error, UpstreamRefused)
    assert error.upstream_status == 302


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("", None),
        ("retry-after: 7\r\n", 7),
        ("retry-after: 1.2\r\n", 2),
        ("retry-after-ms: 1500\r\nretry-after: 9\r\n", 2),
        ("retry-after: -3\r\n", 0),
        ("retry-after: 1e300\r\n", 86_400),
        ("retry-after: nan\r\n", None),
        ("retry-after: soon\r\n", None),
        ("retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n", 0),
        ("retry-after: Wed, 21 Oct 9999 07:28:00 GMT\r\n", 86_400),
    ],
)
def test_a_pause_is_as_long_as_the_provider_says(header: str, wait_s: int | None) -> None:
    error = call(http(b"{}", status=429, more=header)).error
    assert isinstance(error, UpstreamRateLimited)
    assert error.retry_after_s == wait_s


def test_an_empty_account_is_no_reason_to_wait() -> None:
    body = json.dumps({"error": {"message": "quota", "code": "insufficient_quota"}}).encode()
    error = call(http(body, status=429)).error
    assert isinstance(error, UpstreamRefused)
    assert (error.upstream_status, error.retry_after_s) == (429, None)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "x", "code": "context_length_exceeded"}),
        (400, {"message": "x", "type": "exceed_context_size_error"}),
        (400, {"message": "This model's maximum context length is 8 tokens."}),
        (413, {"message": "Prompt is too long"}),
        (422, {"message": "too large for model with 32 maximum context length"}),
    ],
)
def test_a_prompt_that_does_not_fit_is_recognised(status: int, error: object) -> None:
    found = call(http(json.dumps({"error": error}).encode(), status=status)).error
    assert isinstance(found, ContextTooLong)
    assert found.param == "$.messages"


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_the_key_is_never_repeated(status: int) -> None:
    words = {"error": {"message": f"Incorrect API key provided: {KEY}. " + "x" * 600}}
    error = call(http(json.dumps(words).encode(), status=status)).error
    assert error is not None
    told = f"{error.message} {error.hint} {error!r}"
    assert KEY not in told
    assert len(error.message) < 600
    if status == 401:
        assert "Incorrect" not in told
        assert "OPENAI_API_KEY" in error.hint


def test_a_key_that_no_header_may_hold_is_refused_without_repeating_it() -> None:
    with pytest.raises(SetupMissing) as caught:
        OpenAICompatible(Transport(), OPENAI, key="sk-\nsecret")
    assert "secret" not in str(caught.value)


def test_closing_the_iterator_leaves_the_provider_and_keeps_what_is_known() -> None:
    async def run() -> None:
        used = {"prompt_tokens": 1, "completion_tokens": 1}
        peer = Peer(sse(chunk({"content": "x"}, usage=used), done=False), hangs=True)
        attempt = Attempted(id="a", request=HI_STREAM, upstream_model="m")
        async with listening(peer) as url, calling(url) as upstream:
            events = upstream.send(attempt)
            assert isinstance(await anext(events), Started)
            assert not peer.left.is_set()
            await events.aclose()
            await peer.left.wait()
        assert attempt.usage == Usage(input=1, output=1, requests=1)

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def test_cancelling_the_task_leaves_the_provider() -> None:
    async def run() -> None:
        peer = Peer(sse(chunk({"content": "x"}), done=False), hangs=True)
        attempt = Attempted(id="a", request=HI_STREAM, upstream_model="m")
        async with listening(peer) as url, calling(url) as upstream:
            heard = asyncio.Event()

            async def listen() -> None:
                async for event in upstream.send(attempt):
                    if isinstance(event, TextDelta):
                        heard.set()

            task = asyncio.create_task(listen())
            await heard.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await peer.left.wait()

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def test_a_provider_that_hangs_after_the_end_mark_holds_nobody_up() -> None:
    async def run() -> None:
        peer = Peer(sse(chunk({"content": "x"}, "stop")), hangs=True)
        attempt = Attempted(id="a", request=HI_STREAM, upstream_model="m")
        async with listening(peer) as url, calling(url) as upstream:
            events = [event async for event in upstream.send(attempt)]
            await peer.left.wait()
        assert events[-1] == Finished(reason="stop", native="stop")

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def test_a_connection_is_used_again_after_a_stream_whose_end_follows_the_end_mark() -> None:
    async def run() -> int:
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            body = sse(chunk({"content": "x"}, "stop")).partition(b"\r\n\r\n")[2]
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            head += b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(body)
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    asked = await reader.readuntil(b"\r\n\r\n")
                    size = asked.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                    await reader.readexactly(int(size))
                    writer.write(head + body + b"\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.005)  # so that the two writes are read apart
                    writer.write(b"0\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with calling(f"http://127.0.0.1:{port}/v1") as upstream:
            for _turn in range(3):
                attempt = Attempted(id="a", request=HI_STREAM, upstream_model="m")
                assert fold([event async for event in upstream.send(attempt)]).text == "x"
        server.close()
        await server.wait_closed()
        return connections

    assert asyncio.run(asyncio.wait_for(run(), WAIT_S)) == 1


# Both ways.

HEAD = Head(id="gen-1", model="m", created_s=1, provider="p")
SOME = st.text(min_size=1, max_size=5)
DELTAS = st.one_of(
    st.builds(TextDelta, text=SOME),
    st.builds(
        TextDelta,
        text=SOME,
        logprobs=st.lists(
            st.builds(TokenLogprob, token=TEXT, logprob=st.floats(-50, 0)), min_size=1, max_size=2
        ).map(tuple),
    ),
    st.builds(
        ReasoningDelta,
        text=SOME,
        kind=st.sampled_from(["text", "summary"]),
        signature=st.none() | SOME,
        format=st.none() | SOME,
        index=st.integers(0, 2),
    ),
    st.builds(RefusalDelta, text=SOME),
)
CALLS = st.lists(
    st.tuples(st.uuids().map(str), SOME, st.lists(SOME, min_size=1, max_size=3)), max_size=3
)


def call_deltas(calls: Iterable[tuple[str, str, list[str]]]) -> list[Event]:
    return [
        ToolCallDelta(
            index=index,
            id=None if at else call_id,
            name=None if at else name,
            arguments=arguments,
        )
        for index, (call_id, name, pieces) in enumerate(calls)
        for at, arguments in enumerate(pieces)
    ]


@given(
    deltas=st.lists(DELTAS, max_size=6),
    calls=CALLS,
    cuts=st.lists(st.integers(1, 400), max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_what_the_dialect_streams_the_codec_reads_back(
    deltas: list[Event], calls: list[tuple[str, str, list[str]]], cuts: list[int]
) -> None:
    finished = Finished(reason="tool_calls" if calls else "stop", native="n")
    events = [*deltas, *call_deltas(calls), finished]
    encoder = ChunkEncoder(HEAD)
    stream = b"".join([*(encoder.encode(event) for event in events), encoder.finish(None)])
    reading = Reading(Attempted(id="a", request=HI, upstream_model="m"), Refusals(CUSTOM, None))
    heard: list[Event] = []
    for size in [*cuts, len(stream)]:
        heard.extend(reading.feed(stream[:size]))
        stream = stream[size:]
    heard.extend(reading.end())
    assert reading.is_done
    expected = structs.replace(fold(events), model="m", upstream_id="gen-1")
    assert fold(heard) == expected


@given(
    st.builds(
        Answer,
        text=TEXT,
        reasoning=st.lists(THOUGHT, max_size=3).map(tuple),
        service_tier=st.sampled_from([None, "default", "flex"]),
        refusal=TEXT,
        finish=st.just("length"),
        native_finish=SOME,
        tool_calls=st.lists(
            st.builds(ToolCall, id=st.uuids().map(str), name=SOME, arguments=SOME), max_size=3
        ).map(tuple),
    )
)
@settings(max_examples=100, deadline=None)
def test_what_the_dialect_answers_the_codec_reads_back(answer: Answer) -> None:
    reading = Reading(Attempted(id="a", request=HI, upstream_model="m"), Refusals(CUSTOM, None))
    heard = [*reading.take(encode_answer(answer, HEAD, None)), *reading.end()]
    assert fold(heard) == structs.replace(answer, model="m", upstream_id="gen-1")


# Against the fake provider, in a process of its own.


@pytest.fixture(scope="module")
def fake() -> Iterable[FakeUpstream]:
    with FakeUpstream(tokens=3) as upstream:
        yield upstream


def ask_fake(
    fake: FakeUpstream, knobs: str, *, stream: bool = True, timeouts: Timeouts | None = None
) -> tuple[list[Event], GlasslipperError | None]:
    async def run() -> tuple[list[Event], GlasslipperError | None]:
        request = structs.replace(HI, stream=stream)
        attempt = Attempted(id="att-9", request=request, upstream_model=f"fake?{knobs}")
        events: list[Event] = []
        async with calling(fake.url, timeouts=timeouts) as upstream:
            try:
                async for event in upstream.send(attempt):
                    events.append(event)  # noqa: PERF401 - they are kept when it fails
            except GlasslipperError as error:
                return events, error
        return events, None

    return asyncio.run(asyncio.wait_for(run(), WAIT_S))


@pytest.mark.parametrize("stream", [True, False])
def test_the_fake_provider_answers(fake: FakeUpstream, *, stream: bool) -> None:
    knobs = "text=Hello+there&cached_tokens=4&reasoning_tokens=1&cost=0.0000015"
    events, error = ask_fake(fake, knobs, stream=stream)
    assert error is None
    answer = fold(events)
    assert answer.text == "Hello there"
    assert answer.usage == Usage(
        input=6, cache_read=4, output=1, reasoning=1, requests=1, reported_nanousd=1500
    )
    assert fake.calls()[-1]["request_id"] == "att-9"


@pytest.mark.parametrize("stream", [True, False])
def test_the_fake_provider_calls_a_tool(fake: FakeUpstream, *, stream: bool) -> None:
    events, _error = ask_fake(fake, "tool=weather", stream=stream)
    (made,) = fold(events).tool_calls
    assert (made.name, made.arguments) == ("weather", '{"city": "Paris"}')


@pytest.mark.parametrize(
    ("knobs", "kind"),
    [
        ("fault=refuse", UpstreamUnreachable),
        ("fault=cut&after=1", StreamBroken),
        ("fault=reset&after=1", StreamBroken),
        ("fault=malformed_json&after=1", StreamBroken),
        ("fault=malformed_http&after=1", StreamBroken),
        ("fault=huge_frame&after=1", StreamBroken),
        ("fault=error_event&after=1", UpstreamFailed),
        ("status=503", UpstreamRefused),
        ("status=429&retry_after=3", UpstreamRateLimited),
    ],
)
def test_every_fault_of_a_stream_has_its_error(
    fake: FakeUpstream, knobs: str, kind: type[GlasslipperError]
) -> None:
    events, error = ask_fake(fake, knobs)
    assert isinstance(error, kind)
    assert not any(isinstance(event, Finished) for event in events)


def test_a_provider_that_falls_silent_times_out(fake: FakeUpstream) -> None:
    _events, error = ask_fake(fake, "fault=stall&after=1", timeouts=Timeouts(between_bytes_s=0.3))
    assert isinstance(error, UpstreamTimeout)


def test_the_fake_provider_embeds(fake: FakeUpstream) -> None:
    async def run() -> None:
        async with calling(fake.url) as upstream:
            result = await upstream.embed("fake?dimensions=4", ["a", "b", "c"], None)
            assert result.vectors == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
            assert result.tokens == 10
            with pytest.raises(UpstreamRateLimited):
                await upstream.embed("fake?status=429", ["a"], 4)

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def test_what_embedding_cost_is_told_where_the_provider_says_it() -> None:
    async def run() -> None:
        body = b'{"data":[{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":3,"cost":0.000002}}'
        async with listening(Peer(http(body))) as url, calling(url) as upstream:
            result = await upstream.embed("m", ["a"], None)
            assert (result.tokens, result.reported_nanousd) == (3, 2_000)

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[]}',
        b'{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}',
        b'{"data":[{"index":5,"embedding":[1]},{"index":0,"embedding":[1]}]}',
        b'{"data":[{"index":0,"embedding":["x"]}]}',
        b"no",
    ],
)
def test_vectors_that_are_not_one_for_each_text_are_refused(body: bytes) -> None:
    async def run() -> None:
        async with listening(Peer(http(body))) as url, calling(url) as upstream:
            with pytest.raises(StreamBroken):
                await upstream.embed("m", ["a", "b"], 8)

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


# The table.


def test_a_provider_is_enabled_by_its_key() -> None:
    assert enabled({}) == []
    environ = {"MISTRAL_API_KEY": " k ", "OPENAI_API_KEY": "", "GROQ_API_KEY": "g"}
    assert [each.slug for each in enabled(environ)] == ["mistral", "groq"]
    assert row("mistral").key(environ) == "k"


def test_a_local_server_is_enabled_by_its_address_and_an_address_may_move() -> None:
    environ = {
        "GLASSLIPPER_LLAMA_CPP_BASE_URL": "http://box:1/v1",
        "OLLAMA_API_KEY": "k",
        "GLASSLIPPER_OPENAI_BASE_URL": "http://proxy/v1",
    }
    assert [each.slug for each in enabled(environ)] == ["llama.cpp"]
    assert row("llama.cpp").address(environ) == "http://box:1/v1"
    assert row("openai").address(environ) == "http://proxy/v1"
    assert row("openai").address({}) == "https://api.openai.com/v1"


@pytest.mark.parametrize("known", PROVIDERS, ids=lambda each: each.slug)
def test_every_row_can_be_called(known: Provider) -> None:
    assert provider(known.slug) is known
    base_url = known.base_url or "http://127.0.0.1:1/v1"
    assert OpenAICompatible(Transport(), known, key=None, base_url=base_url).provider is known
