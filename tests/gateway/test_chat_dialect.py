from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from glasslipper.gateway.dialects.chat import Bill, ChunkEncoder, Head, decode, encode_answer
from glasslipper.gateway.dialects.errors import encode_error, error_headers, error_status
from glasslipper.kernel import errors
from glasslipper.kernel.errors import (
    BadJSON,
    BudgetExhausted,
    GlasslipperError,
    InvalidRequest,
    StreamBroken,
    Unsupported,
    UpstreamRateLimited,
    UpstreamRefused,
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
from glasslipper.kernel.usage import Usage

HEAD = Head(id="gen-01", model="maker/model", created_s=1_790_000_000, provider="local")
BILL = Bill(
    usage=Usage(input=3, cache_read=7, cache_write=2, output=4, reasoning=5),
    cost_nanousd=150_600,
    upstream_nanousd=100_000,
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
        ({"tools": [F_TOOL, {"type": "openrouter:web_search"}]}, "$.tools[1].type"),
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


def test_an_answer_is_a_completion_with_usage_and_exact_cost() -> None:
    answer = Answer(
        text="Hello",
        reasoning=(ReasoningPart(text="hm"),),
        service_tier="flex",
        finish="stop",
        native_finish="end_turn",
    )
    body = json.loads(encode_answer(answer, HEAD, BILL))
    ChatCompletion.model_validate(body, strict=True)
    assert (body["id"], body["object"], body["created"]) == (
        "gen-01",
        "chat.completion",
        1_790_000_000,
    )
    assert (body["model"], body["provider"]) == ("maker/model", "local")
    assert body["service_tier"] == "flex"
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["native_finish_reason"] == "end_turn"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Hello",
        "refusal": None,
        "reasoning": "hm",
        "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}],
    }
    assert body["usage"] == {
        "prompt_tokens": 12,
        "completion_tokens": 9,
        "total_tokens": 21,
        "prompt_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 2, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 5,
            "audio_tokens": 0,
            "image_tokens": 0,
        },
        "cost": 0.0001506,
        "cost_nanousd": 150_600,
        "cost_details": {"upstream_inference_cost": 0.0001},
        "is_byok": False,
    }


def test_whoever_does_not_want_the_thoughts_is_not_shown_them() -> None:
    answer = Answer(text="Hello", reasoning=(ReasoningPart(text="hm"),), finish="stop")
    body = encode_answer(answer, HEAD, None, shows_thoughts=False)
    assert b"hm" not in body
    assert b"reasoning" not in body
    encoder = ChunkEncoder(HEAD, shows_thoughts=False)
    assert encoder.encode(ReasoningDelta(text="hm", signature="s")) == b""
    (first,) = frames(encoder.encode(TextDelta(text="Hello")))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "Hello"}


def test_a_service_tier_that_clients_do_not_know_is_not_repeated() -> None:
    body = encode_answer(Answer(service_tier="on_demand", finish="stop"), HEAD, None)
    assert "service_tier" not in json.loads(body)


def test_an_answer_of_tool_calls_only_has_null_content() -> None:
    answer = Answer(
        tool_calls=(ToolCall(id="c1", name="f", arguments='{"a":1}'),), finish="tool_calls"
    )
    body = json.loads(encode_answer(answer, HEAD, None))
    ChatCompletion.model_validate(body, strict=True)
    assert "usage" not in body
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
        ],
    }


def test_a_refusal_has_null_content_and_silence_has_none_of_both() -> None:
    refusal = json.loads(encode_answer(Answer(refusal="No.", finish="stop"), HEAD, None))
    assert refusal["choices"][0]["message"]["content"] is None
    assert refusal["choices"][0]["message"]["refusal"] == "No."
    silence = json.loads(encode_answer(Answer(finish="stop"), HEAD, None))
    assert silence["choices"][0]["message"]["content"] == ""


def test_logprobs_have_the_usual_shape_even_for_impossible_tokens() -> None:
    other = TokenLogprob(token="b", logprob=float("-inf"))
    token = TokenLogprob(token="a", logprob=-0.5, raw=(97,), top=(other,))
    body = json.loads(encode_answer(Answer(text="a", logprobs=(token,), finish="stop"), HEAD, None))
    ChatCompletion.model_validate(body, strict=True)
    assert body["choices"][0]["logprobs"] == {
        "content": [
            {
                "token": "a",
                "logprob": -0.5,
                "bytes": [97],
                "top_logprobs": [{"token": "b", "logprob": -9999.0, "bytes": None}],
            }
        ],
        "refusal": None,
    }


def frames(stream: bytes) -> list[Any]:
    assert stream.endswith(b"\n\n")
    pieces = stream.decode().removesuffix("\n\n").split("\n\n")
    assert all(piece.startswith("data: ") and "\n" not in piece for piece in pieces)
    return [
        "[DONE]" if piece == "data: [DONE]" else json.loads(piece.removeprefix("data: "))
        for piece in pieces
    ]


def encoded(*events: Event) -> list[Any]:
    encoder = ChunkEncoder(HEAD)
    return frames(b"".join(encoder.encode(event) for event in events))


def test_a_stream_opens_with_the_role_and_goes_on_without() -> None:
    first, second, third = encoded(
        Started(model="other", service_tier="priority"),
        TextDelta(text="Hel"),
        TextDelta(text='lo "\n\u2028\x00'),
        Finished(reason="stop", native="eos"),
    )
    for chunk in (first, second, third):
        ChatCompletionChunk.model_validate(chunk, strict=True)
        assert chunk["id"] == "gen-01"
        assert chunk["model"] == "maker/model"
        assert chunk["provider"] == "local"
        assert chunk["service_tier"] == "priority"
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "Hel"}
    assert second["choices"][0]["delta"] == {"content": 'lo "\n\u2028\x00'}
    assert second["choices"][0]["finish_reason"] is None
    assert third["choices"][0]["delta"] == {}
    assert third["choices"][0]["finish_reason"] == "stop"
    assert third["choices"][0]["native_finish_reason"] == "eos"


def test_tool_calls_thinking_and_refusals_stream() -> None:
    thinking, secret, call, more, refusal = encoded(
        ReasoningDelta(text="hm", signature="sig"),
        ReasoningDelta(encrypted="xyz", format="f", id="rs_1", index=1),
        ToolCallDelta(index=1, id="c1", name="f"),
        ToolCallDelta(index=1, arguments='{"a":'),
        RefusalDelta(text="No."),
    )
    for chunk in (thinking, secret, call, more, refusal):
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assert thinking["choices"][0]["delta"] == {
        "role": "assistant",
        "content": "",
        "reasoning": "hm",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "hm", "signature": "sig", "index": 0}
        ],
    }
    assert secret["choices"][0]["delta"] == {
        "reasoning_details": [
            {"type": "reasoning.encrypted", "data": "xyz", "id": "rs_1", "format": "f", "index": 1}
        ]
    }
    assert call["choices"][0]["delta"]["tool_calls"] == [
        {"index": 1, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    ]
    assert more["choices"][0]["delta"]["tool_calls"] == [
        {"index": 1, "function": {"arguments": '{"a":'}}
    ]
    assert refusal["choices"][0]["delta"] == {"refusal": "No."}


def test_a_stream_of_nothing_still_names_the_role() -> None:
    (only,) = encoded(Finished(reason="length"))
    assert only["choices"][0]["delta"] == {"role": "assistant", "content": ""}


def test_events_that_say_nothing_have_no_frame() -> None:
    encoder = ChunkEncoder(HEAD)
    silent = (Started(), ReasoningDelta(), Spent(usage=Usage()))
    assert [encoder.encode(event) for event in silent] == [b"", b"", b""]


def test_logprobs_stream_with_their_text() -> None:
    _first, second = encoded(
        TextDelta(text="x"),
        TextDelta(text="a", logprobs=(TokenLogprob(token="a", logprob=-1.0),)),
    )
    assert second["choices"][0]["logprobs"]["content"][0]["token"] == "a"


def test_a_stream_ends_with_usage_and_the_end_mark() -> None:
    usage, done = frames(ChunkEncoder(HEAD).finish(BILL))
    ChatCompletionChunk.model_validate(usage, strict=True)
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 21
    assert usage["usage"]["cost_nanousd"] == 150_600
    assert done == "[DONE]"
    assert frames(ChunkEncoder(HEAD).finish(None)) == ["[DONE]"]


def test_a_broken_stream_says_so_and_does_not_end_like_a_whole_one() -> None:
    (failure,) = frames(ChunkEncoder(HEAD).error(StreamBroken("It broke off.")))
    assert failure["error"]["code"] == "stream_broken"
    assert failure["choices"][0]["finish_reason"] == "error"


@given(st.text())
def test_any_text_survives_the_frame(text: str) -> None:
    _first, frame = encoded(TextDelta(text=""), TextDelta(text=text))
    assert frame["choices"][0]["delta"] == {"content": text}


def test_an_error_has_a_slug_a_type_a_hint_and_a_path() -> None:
    error = InvalidRequest("`$.n`: no.", param="$.n", hint="Leave it out.")
    assert json.loads(encode_error(error)) == {
        "error": {
            "message": "`$.n`: no. Leave it out.",
            "type": "invalid_request_error",
            "param": "$.n",
            "code": "invalid_request",
            "metadata": {"hint": "Leave it out.", "error_type": "invalid_request"},
        }
    }


def test_an_exhausted_budget_says_what_is_left() -> None:
    error = BudgetExhausted("Too little is left.", left_nanousd=1_500_000_000)
    body = json.loads(encode_error(error))["error"]
    assert (body["type"], body["code"]) == ("insufficient_quota", "budget_exhausted")
    assert body["metadata"]["error_type"] == "payment_required"
    assert body["metadata"]["left_nanousd"] == 1_500_000_000
    assert body["metadata"]["left_usd"] == 1.5
    assert error_status(error) == 402


def test_a_pause_is_told_in_header_and_body() -> None:
    error = UpstreamRateLimited("Slowly.", retry_after_s=7)
    assert error_headers(error) == {"retry-after": "7"}
    assert json.loads(encode_error(error))["error"]["metadata"]["retry_after_s"] == 7


@pytest.mark.parametrize(("upstream", "status"), [(400, 400), (422, 400), (401, 502), (500, 502)])
def test_only_a_request_at_fault_is_the_clients_fault(upstream: int, status: int) -> None:
    error = UpstreamRefused("It said no.", upstream_status=upstream)
    assert error_status(error) == status
    body = json.loads(encode_error(error))["error"]
    assert body["metadata"]["upstream_status"] == upstream
    assert body["type"] == ("invalid_request_error" if status == 400 else "server_error")


def every_error() -> list[type[GlasslipperError]]:
    found = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, GlasslipperError)
    ]
    assert len(found) > 30
    return found


@pytest.mark.parametrize("kind", every_error())
def test_every_error_can_be_told(kind: type[GlasslipperError]) -> None:
    more = {BudgetExhausted: {"left_nanousd": 1}, UpstreamRefused: {"upstream_status": 500}}
    body = json.loads(encode_error(kind("It went wrong.", **more.get(kind, {}))))["error"]
    assert body["message"].startswith("It went wrong. ")
    assert body["code"] == kind.slug
    assert body["type"]
    assert body["metadata"]["error_type"]
