"""What is asked of Anthropic, for what a client asks of us."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from anthropic_peer import (
    FUNCTION,
    HI,
    KEY,
    MIDDLE,
    NEW,
    OLD,
    START,
    STOP,
    WAIT_S,
    Peer,
    call,
    calling,
    ends,
    http,
    said,
    sent,
    stream,
    whole,
)
from msgspec import Raw

from glasslipper.gateway.dialects.messages.kinds import FORMAT, MessagesReasoning, MessagesRequest
from glasslipper.gateway.providers.anthropic import Anthropic
from glasslipper.gateway.providers.anthropic.models import traits
from glasslipper.gateway.transport import Transport
from glasslipper.kernel.errors import (
    InvalidRequest,
    SetupMissing,
    Unsupported,
)
from glasslipper.kernel.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    RefusalPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from glasslipper.kernel.messages import Reasoning as Wish
from glasslipper.kernel.ports import Attempted


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
