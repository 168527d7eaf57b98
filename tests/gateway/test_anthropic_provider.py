from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, structs

from glasslipper.gateway.dialects.messages.kinds import FORMAT, MessagesReasoning, MessagesRequest
from glasslipper.gateway.providers.anthropic import Anthropic
from glasslipper.gateway.providers.anthropic.answer import Reading
from glasslipper.gateway.providers.anthropic.models import traits
from glasslipper.gateway.providers.anthropic.refusal import Refusals
from glasslipper.gateway.providers.anthropic.request import encode_request
from glasslipper.gateway.transport import Timeouts, Transport
from glasslipper.kernel.errors import (
    ContextTooLong,
    GlasslipperError,
    InvalidRequest,
    SetupMissing,
    StreamBroken,
    Unsupported,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from glasslipper.kernel.events import (
    Answer,
    Event,
    Finished,
    ReasoningDelta,
    Spent,
    Started,
    TextDelta,
    fold,
)
from glasslipper.kernel.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
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
from glasslipper.kernel.messages import Reasoning as Wish
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.usage import Usage

KEY = "sk-ant-very-secret-0123456789"
WAIT_S = 20
OLD, MIDDLE, NEW = "claude-sonnet-4-5", "claude-sonnet-4-6", "claude-opus-4-8"

HI = Request(model="m", messages=(Message(role="user", parts=(TextPart(text="Hi"),)),))
HI_STREAM = structs.replace(HI, stream=True)
FUNCTION = Tool(name="f", parameters={"properties": {}})


@dataclass
class Peer:
    """A server on a socket that gives one fixed answer and notes what it was asked."""

    answer: bytes
    hangs: bool = False
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
async def calling(
    peer: Peer,
    *,
    path: str = "",
    timeouts: Timeouts | None = None,
    max_tokens: Mapping[str, int] | None = None,
) -> AsyncIterator[Anthropic]:
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    transport = Transport()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
    try:
        yield Anthropic(transport, key=KEY, base_url=url, timeouts=timeouts, max_tokens=max_tokens)
    finally:
        await transport.close()
        server.close()
        await server.wait_closed()


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


def sse(*events: dict[str, Any]) -> bytes:
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return body.encode()


def stream(*events: dict[str, Any]) -> bytes:
    return http(sse(*events), kind="text/event-stream; charset=utf-8")


def failure(kind: str, words: str) -> bytes:
    return json.dumps(
        {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"}
    ).encode()


def whole(*content: object, reason: str | None = "end_turn", **usage: object) -> bytes:
    return json.dumps(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "real",
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": {"input_tokens": 5, "output_tokens": 9} | usage,
        }
    ).encode()


def call(answer: bytes, request: Request = HI_STREAM, *, path: str = "") -> Outcome:
    async def run() -> Outcome:
        peer = Peer(answer)
        attempt = Attempted(id="att-1", request=request, upstream_model="real")
        outcome = Outcome([], attempt, None, peer)
        async with calling(peer, path=path) as upstream:
            try:
                async for event in upstream.send(attempt):
                    outcome.events.append(event)
            except GlasslipperError as error:
                outcome.error = error
        return outcome

    return asyncio.run(asyncio.wait_for(run(), WAIT_S))


def sent(request: Request, model: str = OLD, **members: Any) -> dict[str, Any]:
    asked = structs.replace(request, **members)
    return json.loads(encode_request(asked, upstream_model=model, default_max_tokens=8192))


def said(*messages: Message) -> list[Any]:
    return sent(HI, messages=messages)["messages"]


START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "real",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 11,
            "cache_creation_input_tokens": 30,
            "cache_read_input_tokens": 200,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 10,
                "ephemeral_1h_input_tokens": 20,
            },
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
}
PING = {"type": "ping"}
STOP = {"type": "message_stop"}


def opens(index: int, **block: object) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def grows(index: int, kind: str, **delta: object) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **delta}}


def closes(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ends(reason: str = "end_turn", **usage: object) -> dict[str, Any]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": 42} | usage,
    }


TOOL_STREAM = (
    START,
    opens(0, type="thinking", thinking="", signature=""),
    PING,
    grows(0, "thinking_delta", thinking="Let me "),
    grows(0, "thinking_delta", thinking="see…"),
    grows(0, "signature_delta", signature="c2ln"),
    closes(0),
    opens(1, type="redacted_thinking", data="ZGF0YQ"),
    closes(1),
    opens(2, type="text", text=""),
    grows(2, "text_delta", text="Höl"),
    grows(2, "text_delta", text="lo"),
    closes(2),
    opens(3, type="server_tool_use", id="srv", name="web_search", input={}),
    grows(3, "input_json_delta", partial_json='{"q":1}'),
    closes(3),
    opens(4, type="tool_use", id="toolu_1", name="f", input={}),
    grows(4, "input_json_delta", partial_json=""),
    grows(4, "input_json_delta", partial_json='{"x":'),
    grows(4, "input_json_delta", partial_json="1}"),
    closes(4),
    opens(5, type="tool_use", id="toolu_2", name="g", input={}),
    closes(5),
    ends("tool_use", output_tokens_details={"thinking_tokens": 12}),
    STOP,
)


# What is sent.


def test_the_call_carries_the_key_the_version_the_request_id_and_the_model() -> None:
    peer = call(stream(START, ends(), STOP)).peer
    head = peer.heads[0].lower()
    assert head.startswith("post /v1/messages http/1.1\r\n")
    assert f"\r\nx-api-key: {KEY}\r\n" in head
    assert "\r\nanthropic-version: 2023-06-01\r\n" in head
    assert "\r\nx-request-id: att-1\r\n" in head
    assert "authorization" not in head
    assert "anthropic-beta" not in head
    assert peer.bodies[0] == {
        "model": "real",
        "max_tokens": 8192,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "stream": True,
    }


def test_a_base_url_may_end_in_v1() -> None:
    answer = http(whole({"type": "text", "text": "x"}))
    for path, target in (("/v1", "/v1/messages"), ("/anthropic/", "/anthropic/v1/messages")):
        peer = call(answer, HI, path=path).peer
        assert peer.heads[0].startswith(f"POST {target} HTTP/1.1\r\n")


def test_features_that_a_client_opted_into_are_opted_into() -> None:
    request = MessagesRequest(model="m", messages=HI.messages, betas=("a-1", "b-2"))
    peer = call(http(whole()), request).peer
    assert "\r\nanthropic-beta: a-1,b-2\r\n" in peer.heads[0]


def test_a_key_that_no_header_may_hold_is_refused_at_once() -> None:
    with pytest.raises(SetupMissing):
        Anthropic(Transport(), key="a\r\nb")


def test_an_answer_has_a_limit_even_if_nobody_says_one() -> None:
    async def asked(upstream_model: str) -> Any:
        peer = Peer(http(whole()))
        attempt = Attempted(id="att-1", request=HI, upstream_model=upstream_model)
        async with calling(peer, max_tokens={"small": 100}) as upstream:
            async for _event in upstream.send(attempt):
                pass
        return peer.bodies[0]["max_tokens"]

    assert asyncio.run(asyncio.wait_for(asked("small"), WAIT_S)) == 100
    assert asyncio.run(asyncio.wait_for(asked("other"), WAIT_S)) == 8192


def test_instructions_go_to_the_top_and_neighbours_become_one_turn() -> None:
    body = sent(
        HI,
        messages=(
            Message(role="system", parts=(TextPart(text="a", cache="1h"),)),
            Message(role="user", parts=(TextPart(text="1"),)),
            Message(role="user", parts=(TextPart(text="2", cache="5m"),)),
            Message(role="developer", parts=(TextPart(text="b"),)),
            Message(role="assistant", parts=(TextPart(text="3"), TextPart(text=""))),
            Message(role="assistant", parts=(RefusalPart(text="4"),)),
        ),
    )
    hour, short = {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}
    assert body["system"] == [
        {"type": "text", "text": "a", "cache_control": hour},
        {"type": "text", "text": "b"},
    ]
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "1"},
                {"type": "text", "text": "2", "cache_control": short},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "3"}, {"type": "text", "text": "4"}],
        },
    ]


def test_instructions_between_turns_stay_there_in_a_request_of_the_same_dialect() -> None:
    request = MessagesRequest(
        model="m",
        messages=(
            Message(role="system", parts=(TextPart(text="a"),)),
            *HI.messages,
            Message(role="system", parts=(TextPart(text="b"),)),
        ),
    )
    body = sent(request)
    assert body["system"] == [{"type": "text", "text": "a"}]
    assert [turn["role"] for turn in body["messages"]] == ["user", "system"]


def test_results_of_tools_go_into_the_users_turn() -> None:
    turns = said(
        Message(
            role="assistant",
            tool_calls=(
                ToolCall(id="functions.f:0", name="f", arguments='{"x": 1}'),
                ToolCall(id="b", name="g", arguments=""),
            ),
        ),
        Message(role="tool", tool_call_id="functions.f:0", parts=(TextPart(text="1"),)),
        Message(role="tool", tool_call_id="b"),
        Message(role="user", parts=(TextPart(text="and?"),)),
    )
    assert turns == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "functions_f_0", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "b", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "functions_f_0",
                    "content": [{"type": "text", "text": "1"}],
                },
                {"type": "tool_result", "tool_use_id": "b"},
                {"type": "text", "text": "and?"},
            ],
        },
    ]


def test_pictures_and_documents_are_said_by_what_they_are() -> None:
    words = base64.b64encode("Wörter".encode()).decode()
    (turn,) = said(
        Message(
            role="user",
            parts=(
                ImagePart(url="data:image/png;base64,AA=="),
                ImagePart(url="https://x/y.png"),
                FilePart(url="data:application/pdf;base64,AA==", filename="T"),
                FilePart(url=f"data:text/markdown;charset=utf-8;base64,{words}"),
                FilePart(url="data:text/plain,a%20b"),
                FilePart(url="https://x/y.pdf"),
                FilePart(file_id="file_1"),
            ),
        )
    )
    assert [block["source"] for block in turn["content"]] == [
        {"type": "base64", "media_type": "image/png", "data": "AA=="},
        {"type": "url", "url": "https://x/y.png"},
        {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
        {"type": "text", "media_type": "text/plain", "data": "Wörter"},
        {"type": "text", "media_type": "text/plain", "data": "a b"},
        {"type": "url", "url": "https://x/y.pdf"},
        {"type": "file", "file_id": "file_1"},
    ]
    assert turn["content"][2]["title"] == "T"


def test_thinking_is_shown_only_to_those_whose_it_is() -> None:
    (turn,) = said(
        Message(
            role="assistant",
            parts=(
                ReasoningPart(text="a", signature="s", format=FORMAT),
                ReasoningPart(encrypted="e", format=FORMAT),
                ReasoningPart(text="unsigned"),
                ReasoningPart(text="b", signature="s", format="google-gemini-v1"),
                ReasoningPart(encrypted="e", format="openai-responses-v1"),
                TextPart(text="x"),
            ),
        )
    )
    assert turn["content"] == [
        {"type": "thinking", "thinking": "a", "signature": "s"},
        {"type": "redacted_thinking", "data": "e"},
        {"type": "text", "text": "x"},
    ]


@pytest.mark.parametrize(
    "message",
    [
        Message(role="user", parts=(AudioPart(data="AA", format="wav"),)),
        Message(role="user", parts=(ImagePart(url="data:image/png,raw"),)),
        Message(role="user", parts=(FilePart(),)),
        Message(role="user", parts=(FilePart(url="data:text/plain;base64,***"),)),
        Message(role="assistant", tool_calls=(ToolCall(id="a", name="f", arguments='{"x":'),)),
        Message(role="assistant", tool_calls=(ToolCall(id="a", name="f", arguments="[1]"),)),
    ],
)
def test_what_cannot_be_said_is_an_invalid_request(message: Message) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent(HI, messages=(message,))
    assert caught.value.param == "$.messages"


def test_tools_and_the_choice_among_them_are_said() -> None:
    body = sent(HI, tools=(FUNCTION,))
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert "tool_choice" not in body

    def choice(choice: ToolChoice, *, parallel: bool | None = None) -> Any:
        asked = sent(HI, tools=(FUNCTION,), tool_choice=choice, parallel_tool_calls=parallel)
        return asked["tool_choice"]

    assert choice(ToolChoice(mode="none")) == {"type": "none"}
    assert choice(ToolChoice(mode="required")) == {"type": "any"}
    assert choice(ToolChoice(mode="required", name="f"), parallel=False) == {
        "type": "tool",
        "name": "f",
        "disable_parallel_tool_use": True,
    }
    assert choice(ToolChoice(), parallel=False) == {
        "type": "auto",
        "disable_parallel_tool_use": True,
    }
    assert "tool_choice" not in sent(HI, tool_choice=ToolChoice(mode="none"))


def test_a_schema_for_the_answer_is_said_and_free_json_refused() -> None:
    schema = {"type": "object", "additionalProperties": False}
    body = sent(HI, response_format=ResponseFormat(kind="json_schema", schema=schema))
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    with pytest.raises(Unsupported) as caught:
        sent(HI, response_format=ResponseFormat(kind="json_object"))
    assert caught.value.param == "$.response_format"


def test_the_way_of_asking_follows_the_model() -> None:
    old = ("claude-3-7-sonnet-20250219", "claude-sonnet-4-20250514", "claude-opus-4-5", "glm-5")
    assert not any(traits(name).is_adaptive for name in old)
    for name in ("claude-sonnet-4-6", "claude-opus-4.6"):
        assert traits(name).is_adaptive
        assert not traits(name).is_fixed
    new = ("claude-opus-4-7", "claude-opus-5", "claude-haiku-5-5", "claude-mythos-preview")
    assert all(traits(f"us.anthropic.{name}").is_fixed for name in new)


@pytest.mark.parametrize(
    ("wish", "max_tokens", "budget"),
    [
        (Wish(max_tokens=2000), 5000, 2000),
        (Wish(max_tokens=10), 5000, 1024),
        (Wish(max_tokens=9000), 5000, 4999),
        (Wish(effort="low"), 10_000, 2000),
        (Wish(effort="high"), 10_000, 8000),
        (Wish(effort="minimal"), 2000, 1024),
        (Wish(enabled=True), 10_000, 5000),
        (Wish(effort="high"), 1024, None),
        (Wish(effort="none"), 10_000, None),
        (Wish(enabled=False), 10_000, None),
    ],
)
def test_a_wish_becomes_a_budget_below_the_limit(
    wish: Wish, max_tokens: int, budget: int | None
) -> None:
    sampling = Sampling(max_tokens=max_tokens, temperature=0.5, top_k=3)
    body = sent(HI, OLD, reasoning=wish, sampling=sampling)
    if budget is None:
        assert "thinking" not in body
        assert body["temperature"] == 0.5
    else:
        assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
        assert "temperature" not in body
        assert "top_k" not in body
    assert "output_config" not in body


def test_a_budget_without_a_limit_comes_on_top_of_the_usual_one() -> None:
    body = sent(HI, OLD, reasoning=Wish(max_tokens=2000))
    assert body["max_tokens"] == 2000 + 8192


def test_later_models_are_told_how_much_effort_instead() -> None:
    def asked(model: str, wish: Wish) -> tuple[Any, Any]:
        body = sent(HI, model, reasoning=wish, sampling=Sampling(max_tokens=5000))
        return body.get("thinking"), body.get("output_config", {}).get("effort")

    shown = {"type": "adaptive", "display": "summarized"}
    hidden = {"type": "adaptive", "display": "omitted"}
    assert asked(MIDDLE, Wish(effort="xhigh")) == (shown, "high")
    assert asked(NEW, Wish(effort="xhigh")) == (shown, "xhigh")
    assert asked(NEW, Wish(effort="minimal", exclude=True)) == (hidden, "low")
    assert asked(NEW, Wish(max_tokens=4000)) == (shown, "medium")
    assert asked(MIDDLE, Wish(max_tokens=4000)) == (
        {"type": "enabled", "budget_tokens": 4000},
        None,
    )
    assert asked(NEW, Wish(enabled=False)) == ({"type": "disabled"}, None)


def test_how_tokens_are_chosen_is_fitted_to_what_the_model_takes() -> None:
    sampling = Sampling(temperature=1.7, top_p=0.9, top_k=4, stop=("A",), seed=1)
    old, new = sent(HI, OLD, sampling=sampling), sent(HI, NEW, sampling=sampling)
    assert (old["temperature"], old["top_k"], old["stop_sequences"]) == (1.0, 4, ["A"])
    assert not {"top_p", "seed"} & set(old)
    assert not {"temperature", "top_p", "top_k"} & set(new)
    assert new["stop_sequences"] == ["A"]
    assert sent(HI, OLD, sampling=Sampling(top_p=0.9))["top_p"] == 0.9


def test_a_model_is_not_made_to_think_where_that_would_be_refused() -> None:
    wish = Wish(effort="high")
    forced = sent(
        HI, OLD, tools=(FUNCTION,), tool_choice=ToolChoice(mode="required"), reasoning=wish
    )
    assert "thinking" not in forced
    calls = (ToolCall(id="a", name="f", arguments="{}"),)
    result = Message(role="tool", tool_call_id="a", parts=(TextPart(text="1"),))
    for thoughts, thinks in (
        ((), False),
        ((ReasoningPart(text="t", signature="s", format=FORMAT),), True),
    ):
        turn = Message(role="assistant", parts=thoughts, tool_calls=calls)
        body = sent(HI, OLD, messages=(*HI.messages, turn, result), reasoning=wish)
        assert ("thinking" in body) is thinks


def test_a_clients_own_budget_stays_below_a_limit_that_shrank() -> None:
    own = MessagesReasoning(
        enabled=True, max_tokens=4000, thinking={"type": "enabled", "budget_tokens": 4000}
    )
    request = MessagesRequest(model="m", messages=HI.messages, reasoning=own)
    for left, thinking in (
        (8000, {"type": "enabled", "budget_tokens": 4000}),
        (3000, {"type": "enabled", "budget_tokens": 2999}),
        (900, {"type": "disabled"}),
    ):
        body = sent(request, OLD, sampling=Sampling(max_tokens=left))
        assert body["thinking"] == thinking


def test_members_of_other_dialects_stay_here_and_anthropics_own_go_on() -> None:
    extra = {
        "provider": Raw(b'{"order":["x"]}'),
        "verbosity": Raw(b'"low"'),
        "cache_control": Raw(b'{"type":"ephemeral"}'),
    }
    other = sent(HI, extra=extra)
    assert not {"provider", "verbosity"} & set(other)
    assert other["cache_control"] == {"type": "ephemeral"}
    own = sent(MessagesRequest(model="m", messages=HI.messages, extra=extra))
    assert own["verbosity"] == "low"
    assert "provider" not in own


def test_the_user_and_the_service_tier_are_said() -> None:
    body = sent(HI, user="u1", service_tier="default", session_id="s")
    assert body["metadata"] == {"user_id": "u1"}
    assert body["service_tier"] == "standard_only"
    assert "session_id" not in body
    assert "service_tier" not in sent(HI, service_tier="flex")


def test_what_json_cannot_hold_is_an_invalid_request() -> None:
    schema: dict[str, object] = {}
    inner = schema
    for _level in range(100_000):
        inner["a"] = inner = {}
    with pytest.raises(InvalidRequest):
        sent(HI, tools=(Tool(name="f", parameters=schema),))


# What comes back.


def test_a_stream_becomes_events() -> None:
    outcome = call(stream(*TOOL_STREAM))
    answer = outcome.answer
    assert outcome.events[0] == Started(model="real", upstream_id="msg_1", service_tier="standard")
    assert answer.text == "Höllo"
    assert answer.reasoning == (
        ReasoningPart(text="Let me see…", signature="c2ln", format=FORMAT),
        ReasoningPart(encrypted="ZGF0YQ", format=FORMAT),
    )
    assert answer.tool_calls == (
        ToolCall(id="toolu_1", name="f", arguments='{"x":1}'),
        ToolCall(id="toolu_2", name="g", arguments="{}"),
    )
    assert (answer.finish, answer.native_finish) == ("tool_calls", "tool_use")
    assert answer.usage == Usage(
        input=11,
        cache_read=200,
        cache_write=10,
        cache_write_1h=20,
        output=30,
        reasoning=12,
        requests=1,
    )
    assert outcome.attempt.usage == answer.usage


def test_a_whole_answer_becomes_the_same_kinds_of_events() -> None:
    outcome = call(
        http(
            whole(
                {"type": "thinking", "thinking": "t", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "ZA"},
                {"type": "text", "text": "Hello"},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1.50}},
                reason="tool_use",
                cache_creation_input_tokens=4,
                server_tool_use={"web_search_requests": 2},
            )
        ),
        HI,
    )
    answer = outcome.answer
    assert answer.text == "Hello"
    assert [part.format for part in answer.reasoning] == [FORMAT, FORMAT]
    assert [call.name for call in answer.tool_calls] == ["f"]
    assert json.loads(answer.tool_calls[0].arguments) == {"x": 1.5}
    assert answer.usage == Usage(input=5, cache_write=4, output=9, requests=1, searches=2)
    assert isinstance(outcome.events[-1], Spent)
    assert isinstance(outcome.events[-2], Finished)


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_why_an_answer_ended_keeps_the_providers_word(native: str, reason: str) -> None:
    for answer, request in (
        (stream(START, ends(native), STOP), HI_STREAM),
        (http(whole(reason=native)), HI),
    ):
        told = call(answer, request).answer
        assert (told.finish, told.native_finish) == (reason, native)


def test_a_stream_without_its_last_event_just_ends() -> None:
    for last in ((), (ends(),)):
        outcome = call(stream(START, opens(0, type="text", text="Hi"), *last))
        assert outcome.error is None
        assert outcome.answer.text == "Hi"
        assert outcome.answer.finish is None


def test_a_whole_answer_that_does_not_say_why_it_ended_is_not_whole() -> None:
    assert call(http(whole(reason=None)), HI).answer.finish is None


def test_usage_is_known_from_the_first_event_on_and_after_leaving() -> None:
    async def run() -> tuple[Usage | None, Usage | None]:
        peer = Peer(
            stream(
                START,
                opens(0, type="text", text=""),
                grows(0, "text_delta", text="abcdefghij"),
            ),
            hangs=True,
        )
        attempt = Attempted(id="att-1", request=HI_STREAM, upstream_model="real")
        async with calling(peer) as upstream:
            events = upstream.send(attempt)
            assert isinstance(await anext(events), Started)
            first = attempt.usage
            assert await anext(events) == TextDelta(text="abcdefghij")
            await events.aclose()
            await peer.left.wait()
        return first, attempt.usage

    first, last = asyncio.run(asyncio.wait_for(run(), WAIT_S))
    known = Usage(input=11, cache_read=200, cache_write=10, cache_write_1h=20, output=1, requests=1)
    assert first == known
    assert last == structs.replace(known, output=3)


def test_an_error_event_ends_the_stream_with_the_error() -> None:
    event = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    outcome = call(stream(START, opens(0, type="text", text="Hi"), event))
    assert TextDelta(text="Hi") in outcome.events
    assert isinstance(outcome.error, UpstreamRefused)
    assert outcome.error.upstream_status == 529
    assert "Overloaded" in outcome.error.message


def test_an_error_in_a_200_answer_is_an_error() -> None:
    outcome = call(http(failure("api_error", "Boom")), HI)
    assert isinstance(outcome.error, UpstreamRefused)
    assert outcome.error.upstream_status == 500


def test_a_failure_before_anything_came_costs_nothing() -> None:
    event = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert call(stream(START, event)).attempt.usage is None
    later = call(stream(START, opens(0, type="text", text="Hi there"), event)).attempt.usage
    assert later is not None
    assert (later.input, later.output) == (11, 2)


def test_tokens_are_counted_by_the_provider() -> None:
    async def run() -> tuple[int, Peer]:
        peer = Peer(http(b'{"input_tokens": 17}'))
        async with calling(peer) as upstream:
            return await upstream.count(HI_STREAM, upstream_model="real"), peer

    tokens, peer = asyncio.run(asyncio.wait_for(run(), WAIT_S))
    assert tokens == 17
    assert peer.heads[0].startswith("POST /v1/messages/count_tokens HTTP/1.1\r\n")
    assert set(peer.bodies[0]) == {"model", "messages"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http(b"{}"), StreamBroken),
        (http(failure("rate_limit_error", "x"), status=429), UpstreamRateLimited),
    ],
)
def test_a_count_that_fails_raises(answer: bytes, error: type[GlasslipperError]) -> None:
    async def run() -> None:
        async with calling(Peer(answer)) as upstream:
            await upstream.count(HI, upstream_model="real")

    with pytest.raises(error):
        asyncio.run(asyncio.wait_for(run(), WAIT_S))


@pytest.mark.parametrize(
    ("status", "kind", "words", "error"),
    [
        (400, "invalid_request_error", "max_tokens: too large", UpstreamRefused),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8", ContextTooLong),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 9 + 3 > 8",
            ContextTooLong,
        ),
        (402, "billing_error", "credit balance is too low", UpstreamRefused),
        (404, "not_found_error", "model: x", UpstreamRefused),
        (413, "request_too_large", "Request too large", UpstreamRefused),
        (429, "rate_limit_error", "slow down", UpstreamRateLimited),
        (500, "api_error", "Internal", UpstreamRefused),
        (529, "overloaded_error", "Overloaded", UpstreamRefused),
    ],
)
def test_refusals_keep_status_and_words(
    status: int, kind: str, words: str, error: type[GlasslipperError]
) -> None:
    told = call(http(failure(kind, words), status=status, more="retry-after: 7\r\n")).error
    assert type(told) is error
    assert words in told.message
    if isinstance(told, UpstreamRefused):
        assert told.upstream_status == status
    if not isinstance(told, ContextTooLong):
        assert told.retry_after_s == 7


@pytest.mark.parametrize("status", [401, 403])
def test_words_about_the_key_are_not_repeated(status: int) -> None:
    told = call(http(failure("authentication_error", "invalid sk-ant-ver"), status=status)).error
    assert isinstance(told, UpstreamRefused)
    assert "sk-ant" not in told.message
    assert "ANTHROPIC_API_KEY" in told.hint
    other = call(http(failure("invalid_request_error", f"bad {KEY}"), status=400)).error
    assert other is not None
    assert KEY not in other.message


def test_a_refusal_that_is_no_json_is_still_a_refusal() -> None:
    told = call(http(b"<html>502</html>", status=502, kind="text/html")).error
    assert isinstance(told, UpstreamRefused)
    assert told.upstream_status == 502


def test_a_refusal_too_long_to_read_says_nothing() -> None:
    told = call(http(b"x" * 100_000, status=500)).error
    assert isinstance(told, UpstreamRefused)
    assert told.message == "Anthropic answered 500."
    long = call(http(failure("api_error", "x" * 600), status=500)).error
    assert long is not None
    assert long.message.endswith("x…")
    assert len(long.message) < 600


def test_an_error_of_an_unknown_kind_is_a_failure() -> None:
    told = call(http(b'{"type":"error","error":"Boom"}'), HI).error
    assert type(told) is UpstreamFailed
    assert "Boom" in told.message


def test_the_connection_is_used_again_after_a_whole_stream() -> None:
    wire = sse(START, ends(), STOP)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = next(line for line in head.split("\r\n") if "content-length" in line)
                await reader.readexactly(int(size.split(":")[1]))
                kind = "content-type: text/event-stream\r\ntransfer-encoding: chunked"
                writer.write(f"HTTP/1.1 200 OK\r\n{kind}\r\n\r\n".encode())
                writer.write(b"%x\r\n%b\r\n" % (len(wire), wire))
                await writer.drain()
                writer.write(b"0\r\n\r\n")
                await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        transport = Transport()
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        upstream = Anthropic(transport, key=KEY, base_url=url)
        for number in range(3):
            attempt = Attempted(id=f"att-{number}", request=HI_STREAM, upstream_model="real")
            events = [event async for event in upstream.send(attempt)]
            assert fold(events).finish == "stop"
        await transport.close()
        server.close()
        await server.wait_closed()

    connections = 0
    asyncio.run(asyncio.wait_for(run(), WAIT_S))
    assert connections == 1


def test_silence_is_a_timeout() -> None:
    async def run() -> None:
        peer = Peer(stream(START), hangs=True)
        attempt = Attempted(id="att-1", request=HI_STREAM, upstream_model="real")
        async with calling(peer, timeouts=Timeouts(between_bytes_s=0.2)) as upstream:
            with pytest.raises(UpstreamTimeout):
                async for _event in upstream.send(attempt):
                    pass

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def reading() -> Reading:
    attempt = Attempted(id="att-1", request=HI_STREAM, upstream_model="real")
    return Reading(attempt, Refusals(KEY))


def read(pieces: list[bytes]) -> list[Event]:
    reads = reading()
    events = [event for piece in pieces for event in reads.feed(piece)]
    return events + reads.end()


@given(st.sets(st.integers(1, len(sse(*TOOL_STREAM)) - 1), max_size=30))
@settings(max_examples=60)
def test_it_does_not_matter_where_a_stream_is_cut(cuts: set[int]) -> None:
    wire = sse(*TOOL_STREAM)
    edges = [0, *sorted(cuts), len(wire)]
    pieces = [wire[start:end] for start, end in itertools.pairwise(edges)]
    assert read(pieces) == read([wire])


def test_line_ends_comments_and_missing_event_names_do_not_matter() -> None:
    wire = sse(*TOOL_STREAM)
    crlf = b": hello\r\n\r\n" + wire.replace(b"\n", b"\r\n")
    bare = b"".join(line + b"\n" for line in wire.split(b"\n") if not line.startswith(b"event:"))
    assert read([crlf]) == read([wire])
    assert read([bare]) == read([wire])


def test_a_service_that_sends_arguments_at_once_is_understood() -> None:
    events = read([sse(START, opens(0, type="tool_use", id="a", name="f", input={"x": 1}), STOP)])
    (made,) = fold(events).tool_calls
    assert json.loads(made.arguments) == {"x": 1}
    assert fold(events).finish == "tool_calls"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
ODD = st.fixed_dictionaries(
    {"type": st.sampled_from([event["type"] for event in TOOL_STREAM] + ["error", "odd"])},
    optional={
        "index": st.integers(0, 3) | JSON,
        "delta": st.dictionaries(st.sampled_from(["type", "text", "stop_reason"]), JSON) | JSON,
        "content_block": st.dictionaries(st.sampled_from(["type", "text", "input"]), JSON) | JSON,
        "message": st.dictionaries(st.sampled_from(["usage", "content", "id"]), JSON) | JSON,
        "usage": st.dictionaries(st.sampled_from(["input_tokens", "output_tokens"]), JSON) | JSON,
        "error": JSON,
    },
)


@given(st.lists(ODD | st.sampled_from(TOOL_STREAM), max_size=6), st.binary(max_size=20))
@settings(max_examples=200)
def test_whatever_comes_back_only_our_errors_are_raised(events: list[Any], rest: bytes) -> None:
    for feed in (lambda: read([sse(*events), rest]), lambda: reading().whole(rest)):
        try:
            told = fold(feed())
        except (UpstreamFailed, ContextTooLong):
            continue
        if told.usage is not None:
            assert min(told.usage.prompt_tokens, told.usage.output, told.usage.reasoning) >= 0


def test_arguments_that_are_not_utf8_break_the_answer() -> None:
    made = opens(0, type="tool_use", id="a", name="f", input={"x": "BAD"})
    with pytest.raises(StreamBroken):
        read([sse(START, made).replace(b"BAD", b"\xff")])


@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff", b'{"type":3}', b"[" * 100_000])
def test_a_malformed_frame_breaks_the_stream(data: bytes) -> None:
    with pytest.raises(StreamBroken):
        read([b"data: " + data + b"\n\n"])


def test_thinking_of_an_unknown_block_is_still_thinking() -> None:
    events = read([sse(START, grows(7, "thinking_delta", thinking="t"), ends(), STOP)])
    assert ReasoningDelta(text="t", format=FORMAT) in events
