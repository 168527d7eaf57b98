from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from glasslipper.gateway.dialects.chat import decode
from glasslipper.kernel.errors import InvalidRequest
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


def ask(**members: object) -> bytes:
    body = {"model": "maker/model", "messages": [{"role": "user", "content": "Hi"}]} | members
    return json.dumps(body).encode()


def turns(*messages: object) -> tuple[Message, ...]:
    return decode(ask(messages=messages)).messages


def refused(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decode(body)
    return caught.value


def test_a_small_request_decodes() -> None:
    assert decode(ask()) == Request(
        model="maker/model", messages=(Message(role="user", parts=(TextPart(text="Hi"),)),)
    )


def test_every_sampling_parameter_arrives() -> None:
    request = decode(
        ask(
            stream=True,
            stream_options={"include_usage": True},
            n=1,
            max_completion_tokens=9,
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            min_p=0.1,
            seed=-3,
            stop=["a", "b"],
            frequency_penalty=-1,
            presence_penalty=1.5,
            repetition_penalty=1.1,
            logit_bias={"50256": -100},
            logprobs=True,
            top_logprobs=2,
            parallel_tool_calls=False,
            user="me",
            session_id="s1",
            metadata={"team": "red"},
        )
    )
    assert request.stream
    assert request.sampling == Sampling(
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        seed=-3,
        stop=("a", "b"),
        frequency_penalty=-1,
        presence_penalty=1.5,
        repetition_penalty=1.1,
        logit_bias={"50256": -100},
        logprobs=True,
        top_logprobs=2,
    )
    assert request.parallel_tool_calls is False
    assert (request.user, request.session_id) == ("me", "s1")
    assert request.metadata == {"team": "red"}
    assert request.extra == {}


def test_explicit_nulls_are_the_same_as_nothing() -> None:
    names = (
        "stream stream_options n max_tokens max_completion_tokens temperature top_p top_k seed stop"
        " logit_bias logprobs top_logprobs tools tool_choice functions function_call modalities"
        " response_format user session_id metadata models provider reasoning reasoning_effort"
        " include_reasoning service_tier"
    )
    assert decode(ask(**dict.fromkeys(names.split()))) == decode(ask())


def test_one_stop_text_is_a_list_of_one() -> None:
    assert decode(ask(stop="END")).sampling.stop == ("END",)


def test_both_names_of_the_limit_may_agree_but_not_differ() -> None:
    assert decode(ask(max_tokens=5, max_completion_tokens=5)).sampling.max_tokens == 5
    assert refused(ask(max_tokens=5, max_completion_tokens=6)).param == "$.max_tokens"


def test_without_a_model_the_first_of_models_is_asked() -> None:
    body = b'{"models":["a/x","b/y"],"messages":[{"role":"user","content":"Hi"}]}'
    request = decode(body)
    assert (request.model, request.models) == ("a/x", ("b/y",))
    assert request.extra == {}


def test_the_models_to_try_after_the_first_are_each_named_once() -> None:
    request = decode(ask(models=["b/y", "maker/model", "b/y", "c/z"]))
    assert (request.model, request.models) == ("maker/model", ("b/y", "c/z"))


@pytest.mark.parametrize(
    ("members", "wish"),
    [
        ({"reasoning_effort": "low"}, Reasoning(effort="low")),
        ({"reasoning": {"effort": "xhigh"}}, Reasoning(effort="xhigh")),
        (
            {"reasoning": {"summary": "auto"}, "reasoning_effort": "low"},
            Reasoning(effort="low", summary="auto"),
        ),
        (
            {"reasoning": {"max_tokens": 9, "exclude": True, "enabled": True}},
            Reasoning(max_tokens=9, exclude=True, enabled=True),
        ),
        ({"reasoning": {}}, Reasoning()),
        ({"include_reasoning": False}, Reasoning(exclude=True)),
        ({"include_reasoning": False, "reasoning": {"exclude": False}}, Reasoning()),
        ({"include_reasoning": True}, None),
        ({}, None),
    ],
)
def test_a_wish_to_think_is_gathered_from_its_three_places(
    members: dict[str, Any], wish: Reasoning | None
) -> None:
    request = decode(ask(**members))
    assert request.reasoning == wish
    assert request.extra == {}


def test_the_service_tier_arrives() -> None:
    assert decode(ask(service_tier="flex")).service_tier == "flex"


def test_unknown_members_travel_on_byte_for_byte() -> None:
    body = (
        b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"temperature":1,'
        b'"provider":{"order":["a"]},"verbosity" : "low", "x": [1.50, {"y" :null}]}'
    )
    extra = decode(body).extra
    assert {name: bytes(raw) for name, raw in extra.items()} == {
        "provider": b'{"order":["a"]}',
        "verbosity": b'"low"',
        "x": b'[1.50, {"y" :null}]',
    }
    assert all(isinstance(raw, Raw) for raw in extra.values())


def test_parts_of_every_kind_arrive() -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "c", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        {"type": "image_url", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:x", "filename": "x.pdf"}},
        {"type": "file", "file": {"file_id": "f1"}},
        {"type": "refusal", "refusal": "no"},
    ]
    (message,) = turns({"role": "user", "content": parts})
    assert message.parts == (
        TextPart(text="a"),
        TextPart(text="b", cache="5m"),
        TextPart(text="c", cache="1h"),
        ImagePart(url="https://x/y.png", detail="low"),
        ImagePart(url="data:image/png;base64,AA=="),
        AudioPart(data="AA==", format="wav"),
        FilePart(url="data:x", filename="x.pdf"),
        FilePart(file_id="f1"),
        RefusalPart(text="no"),
    )


def test_a_tool_loop_arrives_with_its_thinking() -> None:
    messages = turns(
        {"role": "system", "content": "s"},
        {"role": "developer", "content": "d", "name": "dev"},
        {
            "role": "assistant",
            "content": None,
            "reasoning": "unsaid, since the details say it",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "t",
                    "signature": "sig",
                    "format": "f",
                    "index": 0,
                },
                {"type": "reasoning.summary", "summary": "s", "index": 1},
                {"type": "reasoning.encrypted", "data": "xyz", "id": "rs_1", "index": 2},
            ],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "done"}]},
    )
    assert messages == (
        Message(role="system", parts=(TextPart(text="s"),)),
        Message(role="developer", parts=(TextPart(text="d"),), name="dev"),
        Message(
            role="assistant",
            parts=(
                ReasoningPart(text="t", signature="sig", format="f"),
                ReasoningPart(text="s", kind="summary"),
                ReasoningPart(encrypted="xyz", id="rs_1"),
            ),
            tool_calls=(ToolCall(id="c1", name="f", arguments='{"a": 1}'),),
        ),
        Message(role="tool", parts=(TextPart(text="done"),), tool_call_id="c1"),
    )


@pytest.mark.parametrize(
    ("details", "parts"),
    [
        (
            [
                {"type": "reasoning.summary", "summary": "s", "index": 0, "id": "rs"},
                {"type": "reasoning.encrypted", "data": "x", "index": 0, "id": "rs"},
            ],
            (ReasoningPart(text="s", kind="summary", encrypted="x", id="rs"),),
        ),
        (
            [
                {"type": "reasoning.encrypted", "data": "x", "index": 0, "id": "call_1"},
                {"type": "reasoning.encrypted", "data": "y", "index": 0, "id": "call_2"},
            ],
            (
                ReasoningPart(encrypted="x", id="call_1"),
                ReasoningPart(encrypted="y", id="call_2"),
            ),
        ),
        (
            [
                {"type": "reasoning.text", "text": "a", "signature": "1"},
                {"type": "reasoning.text", "text": "b", "signature": "2"},
                {"type": "reasoning.text"},
            ],
            (ReasoningPart(text="a", signature="1"), ReasoningPart(text="b", signature="2")),
        ),
    ],
    ids=["one part in two details", "two proofs at one index", "without index"],
)
def test_details_become_the_parts_that_they_were(
    details: list[Any], parts: tuple[ReasoningPart, ...]
) -> None:
    (message,) = turns({"role": "assistant", "content": None, "reasoning_details": details})
    assert message.parts == parts


@pytest.mark.parametrize("member", ["reasoning", "reasoning_content"])
def test_plain_thinking_comes_before_the_words(member: str) -> None:
    (message,) = turns({"role": "assistant", "content": "yes", member: "hm", "refusal": None})
    assert message.parts == (ReasoningPart(text="hm"), TextPart(text="yes"))


def test_the_older_function_messages_are_read_as_tool_messages() -> None:
    call, result = turns(
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "done"},
    )
    assert call.tool_calls[0].name == "f"
    assert result.role == "tool"
    assert result.tool_call_id == call.tool_calls[0].id


def test_tools_and_their_choice_arrive() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = {"name": "weather", "description": "W", "parameters": schema, "strict": True}
    tools = [{"type": "function", "function": function}]
    request = decode(ask(tools=tools, tool_choice="required"))
    assert request.tools == (Tool(name="weather", description="W", parameters=schema, strict=True),)
    assert request.tool_choice == ToolChoice(mode="required")
    chosen = {"type": "function", "function": {"name": "weather"}}
    assert decode(ask(tools=tools, tool_choice=chosen)).tool_choice == ToolChoice(
        mode="required", name="weather"
    )


def test_response_formats_arrive() -> None:
    assert decode(ask(response_format={"type": "text"})).response_format == ResponseFormat()
    assert decode(ask(response_format={"type": "json_object"})).response_format.kind == (
        "json_object"
    )
    schema = {"name": "n", "description": "d", "schema": {"type": "object"}, "strict": True}
    assert decode(
        ask(response_format={"type": "json_schema", "json_schema": schema})
    ).response_format == ResponseFormat(
        kind="json_schema", name="n", description="d", schema={"type": "object"}, strict=True
    )
