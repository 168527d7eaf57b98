from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.gateway.dialects.responses import Ask, decode, encode_error
from glasslipper.kernel.errors import BadJSON, InvalidRequest, Unsupported
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

F_TOOL = {"type": "function", "name": "f"}
G_TOOL = {"type": "function", "name": "g"}


def body(**members: object) -> bytes:
    return json.dumps({"model": "maker/model", "input": "Hi"} | members).encode()


def request(**members: object) -> Request:
    return decode(body(**members)).request


def turns(*items: object, **members: object) -> tuple[Message, ...]:
    return request(input=items, **members).messages


def refused(asked: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decode(asked)
    return caught.value


def test_a_bare_text_is_a_users_message() -> None:
    assert request() == Request(
        model="maker/model", messages=(Message(role="user", parts=(TextPart(text="Hi"),)),)
    )


def test_every_parameter_arrives() -> None:
    asked = request(
        models=["b/y"],
        stream=True,
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        presence_penalty=1,
        frequency_penalty=-1,
        include=["message.output_text.logprobs"],
        top_logprobs=2,
        parallel_tool_calls=False,
        reasoning={"effort": "low", "summary": "auto", "max_tokens": 7, "exclude": True},
        service_tier="flex",
        user="me",
        session_id="s1",
        metadata={"team": "red"},
    )
    assert asked.stream
    assert asked.models == ("b/y",)
    assert asked.sampling == Sampling(
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        presence_penalty=1,
        frequency_penalty=-1,
        logprobs=True,
        top_logprobs=2,
    )
    assert asked.parallel_tool_calls is False
    assert asked.reasoning == Reasoning(effort="low", summary="auto", max_tokens=7, exclude=True)
    assert (asked.service_tier, asked.user, asked.session_id) == ("flex", "me", "s1")
    assert asked.metadata == {"team": "red"}


def test_explicit_nulls_are_the_same_as_nothing() -> None:
    names = (
        "models instructions stream max_output_tokens max_tool_calls temperature top_p top_logprobs"
        " tools tool_choice parallel_tool_calls text reasoning include store previous_response_id"
        " background conversation prompt truncation metadata service_tier user provider"
        " prompt_cache_key safety_identifier presence_penalty frequency_penalty"
    )
    assert decode(body(**dict.fromkeys(names.split()))) == decode(body())


def test_members_that_the_chat_format_knows_travel_on_and_others_do_not() -> None:
    asked = request(
        prompt_cache_key="k",
        safety_identifier="s",
        provider={"zdr": True},
        text={"verbosity": "low"},
        truncation="auto",
        client_metadata={"a": "b"},
        include=["x"],
        store=False,
        max_tool_calls=3,
        stream_options={"include_obfuscation": True},
    )
    assert {name: json.loads(bytes(raw)) for name, raw in asked.extra.items()} == {
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "provider": {"zdr": True},
        "verbosity": "low",
    }


def test_instructions_come_first_as_the_systems_words() -> None:
    first, second = turns({"role": "user", "content": "Hi"}, instructions="Be brief.")
    assert first == Message(role="system", parts=(TextPart(text="Be brief."),))
    assert second.role == "user"


def test_parts_of_every_kind_arrive() -> None:
    parts = [
        {"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
        {"type": "input_file", "file_data": "data:x", "filename": "x.pdf"},
        {"type": "input_file", "file_url": "https://x/y.pdf"},
        {"type": "input_file", "file_id": "f1"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    (message,) = turns({"type": "message", "role": "user", "content": parts})
    assert message.parts == (
        TextPart(text="a", cache="5m"),
        ImagePart(url="https://x/y.png", detail="low"),
        FilePart(url="data:x", filename="x.pdf"),
        FilePart(url="https://x/y.pdf"),
        FilePart(file_id="f1"),
        AudioPart(data="AA==", format="wav"),
    )


def test_a_tool_loop_arrives_as_one_turn_with_its_thinking() -> None:
    def call(name: str) -> dict[str, str]:
        return {"type": "function_call", "call_id": name, "name": "f", "arguments": "{}"}

    messages = turns(
        {"role": "developer", "content": "d"},
        {
            "type": "reasoning",
            "id": "rs_theirs",
            "summary": [{"type": "summary_text", "text": "s"}],
            "encrypted_content": "xyz",
        },
        {"type": "message", "role": "assistant", "content": "Let me see.", "phase": "commentary"},
        call("c1"),
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]},
        call("c2"),
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "two"}],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "Done.", "annotations": []},
                {"type": "refusal", "refusal": "No more."},
            ],
        },
        {"role": "assistant", "content": "Really."},
    )
    assert messages == (
        Message(role="developer", parts=(TextPart(text="d"),)),
        Message(
            role="assistant",
            parts=(
                ReasoningPart(text="s", kind="summary", encrypted="xyz", id="rs_theirs"),
                ReasoningPart(text="t"),
                TextPart(text="Let me see."),
            ),
            tool_calls=(
                ToolCall(id="c1", name="f", arguments="{}"),
                ToolCall(id="c2", name="f", arguments="{}"),
            ),
        ),
        Message(role="tool", parts=(TextPart(text="one"),), tool_call_id="c1"),
        Message(role="tool", parts=(TextPart(text="two"),), tool_call_id="c2"),
        Message(role="assistant", parts=(TextPart(text="Done."), RefusalPart(text="No more."))),
        Message(role="assistant", parts=(TextPart(text="Really."),)),
    )


def test_tools_and_their_choice_arrive() -> None:
    schema = {"type": "object"}
    tool = F_TOOL | {"description": "F", "parameters": schema, "strict": True}
    asked = request(tools=[tool, G_TOOL], tool_choice="required")
    assert asked.tools == (
        Tool(name="f", description="F", parameters=schema, strict=True),
        Tool(name="g"),
    )
    assert asked.tool_choice == ToolChoice(mode="required")
    named = request(tools=[tool], tool_choice={"type": "function", "name": "f"})
    assert named.tool_choice == ToolChoice(mode="required", name="f")


def test_tools_that_are_not_allowed_are_not_shown_to_the_model() -> None:
    choice = {"type": "allowed_tools", "mode": "required", "tools": [G_TOOL]}
    asked = decode(body(tools=[F_TOOL, G_TOOL], tool_choice=choice))
    assert asked.request.tools == (Tool(name="g"),)
    assert asked.request.tool_choice == ToolChoice(mode="required")
    assert [tool.name for tool in asked.echo.tools] == ["f", "g"]


def test_formats_arrive() -> None:
    assert request(text={"format": {"type": "text"}}).response_format == ResponseFormat()
    assert request(text={"format": {"type": "json_object"}}).response_format.kind == "json_object"
    form = {
        "type": "json_schema",
        "name": "n",
        "description": "d",
        "schema": {"a": 1},
        "strict": True,
    }
    assert request(text={"format": form}).response_format == ResponseFormat(
        kind="json_schema", name="n", description="d", schema={"a": 1}, strict=True
    )


def item(**members: object) -> dict[str, Any]:
    return {"input": [members]}


def said(*parts: object, role: str = "user") -> dict[str, Any]:
    return item(role=role, content=list(parts))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "$.model"),
    ({"model": 5}, "$.model"),
    ({"input": None}, "$.input"),
    ({"input": []}, "$.input"),
    ({"input": 5}, "$.input"),
    (item(type="message", content="x"), "$.input[0].role"),
    (item(role="user"), "$.input[0].content"),
    (item(role="robot", content="x"), "$.input[0].role"),
    (said({"type": "smell"}), "$.input[0].content[0].type"),
    (said({"type": "input_image"}), "$.input[0].content[0].image_url"),
    (said({"type": "input_file"}), "$.input[0].content[0]"),
    (said({"type": "refusal", "refusal": "no"}), "$.input[0].content[0]"),
    (said({"type": "summary_text", "text": "x"}), "$.input[0].content[0].type"),
    (item(type="function_call", name="f", arguments=""), "$.input[0].call_id"),
    (item(type="function_call", call_id="c", arguments=""), "$.input[0].name"),
    (item(type="function_call_output", output="x"), "$.input[0].call_id"),
    (item(type="function_call_output", call_id="c"), "$.input[0].output"),
    (item(type="item_reference"), "$.input[0].id"),
    (
        item(type="reasoning", summary=[], encrypted_content="glasslipper:!!"),
        "$.input[0].encrypted_content",
    ),
    (
        item(type="reasoning", summary=[], content=[{"type": "input_text", "text": "x"}]),
        "$.input[0].content[0].type",
    ),
    ({"temperature": 2.1}, "$.temperature"),
    ({"max_output_tokens": 0}, "$.max_output_tokens"),
    ({"top_logprobs": 21}, "$.top_logprobs"),
    ({"metadata": {"a": 1}}, "$.metadata[...]"),
    ({"tools": [{"type": "function"}]}, "$.tools[0].name"),
    ({"tool_choice": "required"}, "$.tool_choice"),
    ({"tool_choice": {"type": "function", "name": "f"}}, "$.tool_choice.name"),
    (
        {"tools": [F_TOOL], "tool_choice": {"type": "allowed_tools", "tools": [G_TOOL]}},
        "$.tool_choice.tools[0]",
    ),
    ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "$.text.format.name"),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "$.text.format.schema"),
    ({"text": {"format": {"type": "xml"}}}, "$.text.format.type"),
    ({"truncation": "some"}, "$.truncation"),
    ({"reasoning": {"effort": "huge"}}, "$.reasoning.effort"),
    ({"provider": {"sort": "beauty"}}, "$.provider.sort"),
]


@pytest.mark.parametrize(("members", "path"), WRONG)
def test_what_is_wrong_is_named_by_its_path(members: dict[str, Any], path: str) -> None:
    error = refused(body(**members))
    assert error.param == path
    assert path in error.message
    assert not isinstance(error, Unsupported)


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"background": True}, "$.background"),
        ({"conversation": "conv_1"}, "$.conversation"),
        ({"prompt": {"id": "p"}}, "$.prompt"),
        ({"tools": [F_TOOL, {"type": "fuction", "name": "f"}]}, "$.tools[1].type"),
        ({"tools": [F_TOOL], "tool_choice": {"type": "mcp"}}, "$.tool_choice.type"),
        (item(type="computer_call", id="x"), "$.input[0].type"),
        (said({"type": "input_image", "file_id": "f"}), "$.input[0].content[0].file_id"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(members: dict[str, Any], path: str) -> None:
    error = refused(body(**members))
    assert isinstance(error, Unsupported)
    assert error.param == path


def test_an_error_says_its_kind_at_the_top_too() -> None:
    told = json.loads(encode_error(refused(body(background=True))))
    assert told["error"]["param"] == "$.background"
    assert told["error_type"] == told["error"]["metadata"]["error_type"] == "invalid_request"


WORDS = (
    "message reasoning function_call function_call_output item_reference user assistant input_text"
    " output_text summary_text reasoning_text refusal input_image input_file function json_schema"
)
NAMES = (
    "type role content text id call_id name arguments output summary encrypted_content image_url"
    " file_data format schema mode tools"
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(WORDS.split()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=5)
    ),
    max_leaves=14,
)
MEMBERS = st.sampled_from(
    "model input instructions tools tool_choice text reasoning include store stream metadata"
    " previous_response_id temperature max_output_tokens models provider extra".split()
)


def decodes_or_says_why(asked: bytes) -> None:
    try:
        ask = decode(asked)
    except InvalidRequest as error:
        told = json.loads(encode_error(error))["error"]
        is_placed = isinstance(error, BadJSON) or (error.param or "").startswith("$")
    else:
        told, is_placed = {"message": "fine"}, isinstance(ask, Ask)
    assert told["message"]
    assert is_placed


@given(st.dictionaries(MEMBERS, JSON, max_size=4))
@settings(max_examples=300, deadline=None)
def test_no_json_gets_another_error_than_an_invalid_request(members: dict[str, Any]) -> None:
    decodes_or_says_why(body(**members))


@given(st.lists(st.dictionaries(st.sampled_from(NAMES.split()), JSON, max_size=5), max_size=3))
@settings(max_examples=300, deadline=None)
def test_no_items_get_another_error_than_an_invalid_request(items: list[Any]) -> None:
    decodes_or_says_why(body(input=items))


GOOD = body(
    instructions="\N{PILE OF POO}",
    tools=[F_TOOL],
    tool_choice={"type": "function", "name": "f"},
    input=[
        {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "reasoning", "summary": [], "encrypted_content": "glasslipper:e30="},
    ],
)


@given(at=st.integers(0, len(GOOD)), gone=st.integers(0, 9), put=st.binary(max_size=9))
@settings(max_examples=400, deadline=None)
def test_no_damage_gets_another_error_than_an_invalid_request(
    at: int, gone: int, put: bytes
) -> None:
    decodes_or_says_why(GOOD[:at] + put + GOOD[at + gone :])


def test_a_seal_may_hold_anything_and_is_still_no_other_error() -> None:
    for packed in ("W10=", "e30=", "eyJ0eXBlIjoidGV4dCJ9", "/////w==", "A"):
        sealed = f"glasslipper:{packed}"
        decodes_or_says_why(
            body(input=[{"type": "reasoning", "summary": [], "encrypted_content": sealed}])
        )
