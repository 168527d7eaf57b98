from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.gateway.dialects.chat import decode
from glasslipper.gateway.dialects.errors import encode_error
from glasslipper.kernel.errors import BadJSON, InvalidRequest, Unsupported
from glasslipper.kernel.messages import Message, Request


def ask(**members: object) -> bytes:
    body = {"model": "maker/model", "messages": [{"role": "user", "content": "Hi"}]} | members
    return json.dumps(body).encode()


def turns(*messages: object) -> tuple[Message, ...]:
    return decode(ask(messages=messages)).messages


def refused(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decode(body)
    return caught.value


USER = {"role": "user", "content": "Hi"}
F_TOOL = {"type": "function", "function": {"name": "f"}}
ENCRYPTED = {"type": "reasoning.encrypted"}

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "$.model"),
    ({"model": ""}, "$.model"),
    ({"model": 5}, "$.model"),
    ({"messages": []}, "$.messages"),
    ({"messages": None}, "$.messages"),
    ({"messages": [USER, USER, {"role": "robot", "content": "x"}]}, "$.messages[2].role"),
    ({"messages": [{"content": "x"}]}, "$.messages[0].role"),
    ({"messages": [{"role": "user"}]}, "$.messages[0].content"),
    ({"messages": [{"role": "user", "content": []}]}, "$.messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "$.messages[0].content"),
    (
        {"messages": [{"role": "user", "content": [{"type": "smell"}]}]},
        "$.messages[0].content[0].type",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "$.messages[0].content[0].text",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
        "$.messages[0].content[0].file",
    ),
    ({"messages": [{"role": "tool", "content": "x"}]}, "$.messages[0].tool_call_id"),
    (
        {"messages": [{"role": "user", "content": "x", "tool_call_id": "c"}]},
        "$.messages[0].tool_call_id",
    ),
    (
        {"messages": [{"role": "user", "content": "x", "refusal": "no"}]},
        "$.messages[0].refusal",
    ),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "$.messages[0].name"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]},
        "$.messages[0].tool_calls[0].function",
    ),
    (
        {
            "messages": [
                {"role": "assistant", "reasoning_details": [{"type": "reasoning.encrypted"}]}
            ]
        },
        "$.messages[0].reasoning_details[0].data",
    ),
    ({"temperature": 2.1}, "$.temperature"),
    ({"temperature": "hot"}, "$.temperature"),
    ({"top_p": -0.1}, "$.top_p"),
    ({"max_tokens": 0}, "$.max_tokens"),
    ({"max_tokens": 10**30}, "$.max_tokens"),
    ({"max_completion_tokens": 1.5}, "$.max_completion_tokens"),
    ({"seed": 10**30}, "$.seed"),
    ({"stop": ""}, "$.stop"),
    ({"stop": ["a"] * 65}, "$.stop"),
    ({"logit_bias": {"1": 101}}, "$.logit_bias[...]"),
    ({"logprobs": True, "top_logprobs": 21}, "$.top_logprobs"),
    ({"top_logprobs": 1}, "$.top_logprobs"),
    ({"n": 0}, "$.n"),
    ({"metadata": {"a": 1}}, "$.metadata[...]"),
    ({"session_id": "x" * 257}, "$.session_id"),
    ({"tools": [{"type": "function"}]}, "$.tools[0].function"),
    ({"tool_choice": "required"}, "$.tool_choice"),
    ({"tool_choice": "perhaps"}, "$.tool_choice"),
    (
        {"tools": [F_TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        "$.tool_choice.function.name",
    ),
    ({"response_format": {"type": "json_schema"}}, "$.response_format.json_schema"),
    ({"response_format": {"type": "xml"}}, "$.response_format.type"),
    ({"provider": {"sort": "beauty"}}, "$.provider.sort"),
    ({"models": [1]}, "$.models[0]"),
    ({"reasoning": {"max_tokens": "many"}}, "$.reasoning.max_tokens"),
    ({"reasoning": {"effort": "huge"}}, "$.reasoning.effort"),
    ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, "$.reasoning_effort"),
    (
        {"messages": [{"role": "assistant", "reasoning_details": [{"type": "reasoning.x"}]}]},
        "$.messages[0].reasoning_details[0].type",
    ),
]


@pytest.mark.parametrize(("members", "path"), WRONG)
def test_what_is_wrong_is_named_by_its_path(members: dict[str, Any], path: str) -> None:
    error = refused(ask(**members))
    assert error.param == path
    assert path in error.message
    assert not isinstance(error, Unsupported)


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"n": 2}, "$.n"),
        ({"functions": [{"name": "f"}]}, "$.functions"),
        ({"function_call": "auto"}, "$.function_call"),
        ({"modalities": ["text", "audio"]}, "$.modalities[1]"),
        ({"tools": [F_TOOL, {"type": "custom"}]}, "$.tools[1].type"),
        ({"tools": [F_TOOL], "tool_choice": {"type": "allowed_tools"}}, "$.tool_choice.type"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "$.messages[0].audio"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(members: dict[str, Any], path: str) -> None:
    error = refused(ask(**members))
    assert isinstance(error, Unsupported)
    assert error.param == path


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"hello", "byte 0"),
        (b'{"model":"m",}', "byte 13"),
        (b'{"model":"m","messages":[', "25 bytes is cut short"),
        (b'{"model":"m","temperature":NaN}', "byte 27"),
        (b'{"model":"\xff\xfe","messages":[]}', "not UTF-8: invalid start byte at byte 10"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"y":"\xff"}', "byte 61"),
        (b'{"model":"\\ud800","messages":[]}', "not JSON"),
        (b'{"model":"\\udc00","messages":[]}', "not JSON"),
        (ask() + b" {}", "trailing characters at byte 75"),
        (b'\xef\xbb\xbf{"model":"m"}', "byte 0"),
    ],
)
def test_what_is_not_json_is_told_with_its_place(body: bytes, words: str) -> None:
    error = refused(body)
    assert isinstance(error, BadJSON)
    assert words in error.message


@pytest.mark.parametrize("body", [b"[]", b"null", b"5", b'"text"', b"true"])
def test_json_that_is_no_object_is_invalid(body: bytes) -> None:
    error = refused(body)
    assert not isinstance(error, BadJSON)
    assert error.param == "$"


@pytest.mark.parametrize("member", ["messages", "tools", "something_else"])
def test_deep_nesting_is_refused(member: str) -> None:
    deep = b"[" * 200_000
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"%b":%b' % (
        member.encode(),
        deep,
    )
    assert isinstance(refused(body), InvalidRequest)


def test_of_a_member_that_comes_twice_the_last_counts_everywhere() -> None:
    request = decode(ask()[:-1] + b',"model":"second","x":1,"x":2}')
    assert request.model == "second"
    assert bytes(request.extra["x"]) == b"2"


def test_a_long_wrong_value_is_not_repeated_in_full() -> None:
    assert len(refused(ask(tool_choice="x" * 100_000)).message) < 500


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["user", "assistant", "tool", "text", "function", "auto", "json_schema"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "role content type text image_url tool_calls function name arguments id url".split()
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
MEMBERS = st.sampled_from(
    "model messages stream n max_tokens temperature stop tools tool_choice response_format"
    " logprobs top_logprobs seed metadata models provider reasoning modalities extra".split()
)


def decodes_or_says_why(body: bytes) -> None:
    try:
        request = decode(body)
    except InvalidRequest as error:
        told = json.loads(encode_error(error))["error"]
        is_placed = isinstance(error, BadJSON) or (error.param or "").startswith("$")
    else:
        told, is_placed = {"message": "fine"}, isinstance(request, Request)
    assert told["message"]
    assert is_placed


@given(st.dictionaries(MEMBERS, JSON, max_size=5))
@settings(max_examples=400, deadline=None)
def test_no_json_gets_another_error_than_an_invalid_request(members: dict[str, Any]) -> None:
    decodes_or_says_why(ask(**members))


GOOD = ask(
    stream=True,
    temperature=0.5,
    stop=["a"],
    tools=[F_TOOL],
    tool_choice={"type": "function", "function": {"name": "f"}},
    response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    provider={"order": ["x"], "max_price": {"prompt": 1}},
    messages=[USER, {"role": "assistant", "content": None, "reasoning": "\N{PILE OF POO}"}],
)


@given(
    at=st.integers(0, len(GOOD)), gone=st.integers(0, 9), put=st.binary(max_size=9) | st.just(b"[")
)
@settings(max_examples=600, deadline=None)
def test_no_damage_gets_another_error_than_an_invalid_request(
    at: int, gone: int, put: bytes
) -> None:
    decodes_or_says_why(GOOD[:at] + put + GOOD[at + gone :])


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_bytes_get_another_error_than_an_invalid_request(body: bytes) -> None:
    decodes_or_says_why(body)
