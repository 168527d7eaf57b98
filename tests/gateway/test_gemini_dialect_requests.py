"""Requests in Gemini's words: what they mean, and what is refused."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from gemini_asking import GOOGLE, HI, SIGNATURE, ask, refused, talk
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.gateway.dialects.gemini import (
    decode,
    decode_count,
    decode_embed,
    shows_thoughts,
)
from glasslipper.kernel.errors import (
    BadJSON,
    InvalidRequest,
    Unsupported,
)
from glasslipper.kernel.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Reasoning,
    ReasoningPart,
    Request,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)


def test_a_plain_request_is_one_message_of_the_user() -> None:
    assert ask(stream=True) == Request(
        model="gemini-3-flash",
        messages=(Message(role="user", parts=(TextPart(text="Hi"),)),),
        stream=True,
    )
    assert decode(json.dumps(HI).encode(), model="models/x", stream=False).model == "x"


def test_a_lone_content_or_part_need_not_stand_in_an_array() -> None:
    body = {"contents": {"parts": {"text": "Hi"}}, "systemInstruction": {"parts": {"text": "Be."}}}
    assert ask(body).messages == (
        Message(role="system", parts=(TextPart(text="Be."),)),
        Message(role="user", parts=(TextPart(text="Hi"),)),
    )


def test_snake_case_means_the_same_and_what_is_the_clients_keeps_its_spelling() -> None:
    arguments = {"mime_type": "a", "system_instruction": {"top_k": 1}}
    snake = {
        "system_instruction": {"parts": [{"text": "Be."}]},
        "contents": [
            {"parts": [{"inline_data": {"mime_type": "image/png", "data": "AAAA"}}]},
            {"role": "model", "parts": [{"function_call": {"name": "f", "args": arguments}}]},
            {"parts": [{"function_response": {"name": "f", "response": arguments}}]},
        ],
        "tools": [{"function_declarations": [{"name": "f", "parameters": {"any_of": []}}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY"}},
        "generation_config": {
            "max_output_tokens": 7,
            "top_k": 3,
            "thinking_config": {"include_thoughts": True},
        },
        "safety_settings": [{"category": "X"}],
    }
    request = ask(snake)
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool"]
    assert json.loads(request.messages[2].tool_calls[0].arguments) == arguments
    assert json.loads(request.messages[3].text) == arguments
    assert request.tools == (Tool(name="f", parameters={"anyOf": []}),)
    assert request.tool_choice == ToolChoice(mode="required")
    assert request.sampling == Sampling(max_tokens=7, top_k=3)
    assert request.reasoning == Reasoning()
    assert json.loads(bytes(request.extra["safetySettings"])) == [{"category": "X"}]


def test_the_same_member_in_both_spellings_is_refused() -> None:
    error = refused({"toolConfig": {}, "tool_config": {}})
    assert error.param == "$.toolConfig"


def test_sampling_members_are_read_within_googles_limits() -> None:
    config = {
        "maxOutputTokens": 9,
        "temperature": 2,
        "topP": 0.5,
        "topK": 40.0,
        "stopSequences": ["a", "b"],
        "candidateCount": 1,
        "seed": 3,
        "presencePenalty": 0.5,
        "frequencyPenalty": -0.5,
        "responseLogprobs": True,
        "logprobs": 4,
    }
    assert ask({"generationConfig": config}).sampling == Sampling(
        max_tokens=9,
        temperature=2,
        top_p=0.5,
        top_k=40,
        stop=("a", "b"),
        seed=3,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        logprobs=True,
        top_logprobs=4,
    )


@pytest.mark.parametrize(
    ("config", "member"),
    [
        ({"temperature": 2.1}, "temperature"),
        ({"topK": 1.5}, "topK"),
        ({"logprobs": 3}, "logprobs"),
        ({"maxOutputTokens": 0}, "maxOutputTokens"),
        ({"candidateCount": 2}, "candidateCount"),
        ({"responseMimeType": "text/x.enum"}, "responseMimeType"),
        ({"responseSchema": {}}, "responseMimeType"),
        ({"thinkingConfig": {"thinkingLevel": "vast"}}, "thinkingConfig.thinkingLevel"),
        (
            {"thinkingConfig": {"thinkingLevel": "low", "thinkingBudget": 5}},
            "thinkingConfig.thinkingBudget",
        ),
    ],
)
def test_a_wrong_setting_is_named_by_its_path(config: dict[str, Any], member: str) -> None:
    assert refused({"generationConfig": config}).param == f"$.generationConfig.{member}"


@pytest.mark.parametrize(
    ("config", "wish"),
    [
        ({"thinkingBudget": 0}, Reasoning(enabled=False, exclude=True)),
        ({"thinkingBudget": -1}, Reasoning(enabled=True, exclude=True)),
        ({"thinkingBudget": 512}, Reasoning(max_tokens=512, exclude=True)),
        ({"thinkingLevel": "LOW", "includeThoughts": True}, Reasoning(effort="low")),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, Reasoning(exclude=True)),
    ],
)
def test_a_wish_to_think_is_read_from_a_level_or_a_budget(
    config: dict[str, Any], wish: Reasoning
) -> None:
    request = ask({"generationConfig": {"thinkingConfig": config}})
    assert request.reasoning == wish
    assert shows_thoughts(request) is (not wish.exclude)
    assert shows_thoughts(ask()) is False


def test_functions_are_read_with_either_kind_of_schema() -> None:
    googles = {
        "type": "OBJECT",
        "properties": {
            "city": {"type": "STRING", "nullable": True, "maxLength": "9"},
            "type": {
                "anyOf": [{"type": "INTEGER"}, {"type": "ARRAY", "items": {"type": "NUMBER"}}]
            },
            "unit": {"type": "STRING", "enum": ["c", "f"], "nullable": True},
        },
        "required": ["city"],
    }
    plain = {"type": "object", "properties": {}}
    declared = [
        {"name": "f", "description": "d", "parameters": googles},
        {"name": "g", "parametersJsonSchema": plain},
    ]
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": ["string", "null"], "maxLength": 9},
            "type": {
                "anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "number"}}]
            },
            "unit": {"type": ["string", "null"], "enum": ["c", "f", None]},
        },
        "required": ["city"],
    }
    assert ask({"tools": [{"functionDeclarations": declared}]}).tools == (
        Tool(name="f", description="d", parameters=schema),
        Tool(name="g", parameters=plain),
    )


def test_which_functions_may_be_called_is_told_by_mode_and_names() -> None:
    def choose(**config: Any) -> tuple[list[str], ToolChoice]:
        declared = [{"name": name} for name in "fgh"]
        request = ask(
            {
                "tools": [{"functionDeclarations": declared}],
                "toolConfig": {"functionCallingConfig": config},
            }
        )
        return [tool.name for tool in request.tools], request.tool_choice

    everything = list("fgh")
    assert choose() == choose(mode="AUTO") == (everything, ToolChoice())
    assert choose(mode="NONE") == (everything, ToolChoice(mode="none"))
    assert choose(mode="ANY") == (everything, ToolChoice(mode="required"))
    assert choose(mode="ANY", allowedFunctionNames=["g"]) == (
        everything,
        ToolChoice(mode="required", name="g"),
    )
    assert choose(mode="ANY", allowedFunctionNames=["g", "f"]) == (
        ["f", "g"],
        ToolChoice(mode="required"),
    )
    assert choose(mode="VALIDATED", allowedFunctionNames=["h"]) == (["h"], ToolChoice())
    with pytest.raises(InvalidRequest):
        choose(mode="ANY", allowedFunctionNames=["x"])


def test_an_answer_in_json_may_have_to_follow_a_schema() -> None:
    def shape(**config: Any) -> ResponseFormat:
        return ask({"generationConfig": config}).response_format

    json_type = "application/json"
    assert shape(responseMimeType="text/plain") == ResponseFormat()
    assert shape(responseMimeType=json_type) == ResponseFormat(kind="json_object")
    assert shape(responseMimeType=json_type, responseSchema={"type": "STRING"}) == ResponseFormat(
        kind="json_schema", schema={"type": "string"}
    )
    assert shape(
        responseMimeType=json_type, responseJsonSchema={"type": ["string", "null"]}
    ) == ResponseFormat(kind="json_schema", schema={"type": ["string", "null"]})


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"tools": [{"googleSearch": {}}]}, "$.tools[0].googleSearch"),
        ({"tools": [{}, {"codeExecution": {}}]}, "$.tools[1].codeExecution"),
        ({"tools": [{"holodeck": {}}]}, "$.tools[0].holodeck"),
        ({"cachedContent": "cachedContents/1"}, "$.cachedContent"),
        (
            {"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}},
            "$.generationConfig.responseModalities[1]",
        ),
        (
            {"contents": [{"parts": [{"fileData": {"fileUri": "u"}, "videoMetadata": {}}]}]},
            "$.contents[0].parts[0].videoMetadata",
        ),
        ({"contents": [{"role": "model", "parts": [{"executableCode": {"code": "1"}}]}]}, None),
    ],
)
def test_what_only_google_can_be_told_is_named_with_its_place(
    more: dict[str, Any], path: str | None
) -> None:
    needs = ask(more).needs
    assert (needs.path if needs else None) == path
    assert needs is None or needs.dialect == "gemini"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        (
            {"systemInstruction": {"parts": [{"fileData": {"fileUri": "u"}}]}},
            "$.systemInstruction.parts[0]",
        ),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(more: dict[str, Any], param: str) -> None:
    error = refused(more)
    assert isinstance(error, Unsupported)
    assert error.param == param


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"contents": []}, "$.contents"),
        ({"contents": [{"role": "user"}]}, "$.contents[0].parts"),
        ({"contents": [{"role": "elf", "parts": []}]}, "$.contents[0].role"),
        ({"contents": [{"parts": [{}]}]}, "$.contents[0].parts[0]"),
        (
            {"contents": [{"parts": [{"text": "a", "fileData": {"fileUri": "u"}}]}]},
            "$.contents[0].parts[0].fileData",
        ),
        (
            {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "?"}}]}]},
            "$.contents[0].parts[0].inlineData.data",
        ),
        (
            {"contents": [{"role": "model", "parts": [{"text": "", "thoughtSignature": "?"}]}]},
            "$.contents[0].parts[0].thoughtSignature",
        ),
        (
            {"contents": [{"parts": [{"functionCall": {"name": "f"}}]}]},
            "$.contents[0].parts[0]",
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"name": "f"}}]}]},
            "$.contents[0].parts[0].functionResponse.name",
        ),
        (
            {
                "contents": [
                    {"role": "model", "parts": [{"functionCall": {"name": "f", "args": 1}}]}
                ]
            },
            "$.contents[0].parts[0].functionCall.args",
        ),
    ],
)
def test_a_malformed_request_names_the_place(more: dict[str, Any], param: str) -> None:
    error = refused(more)
    assert not isinstance(error, Unsupported)
    assert error.param == param


def test_media_become_parts_of_their_kind() -> None:
    blob = {"data": base64.urlsafe_b64encode(b"\xff\xfe\xfd").decode()}
    (message,) = talk(
        (
            "user",
            [
                {"inlineData": blob | {"mimeType": "image/png"}},
                {"inlineData": blob | {"mimeType": "audio/wav"}},
                {"inlineData": blob | {"mimeType": "application/pdf", "displayName": "a.pdf"}},
                {"fileData": {"fileUri": "https://x/i", "mimeType": "image/png"}},
                {"fileData": {"fileUri": "https://x/v"}},
            ],
        )
    )
    data = "//79"
    assert message.parts == (
        ImagePart(url=f"data:image/png;base64,{data}"),
        AudioPart(data=data, format="wav"),
        FilePart(url=f"data:application/pdf;base64,{data}", filename="a.pdf"),
        ImagePart(url="https://x/i"),
        FilePart(url="https://x/v"),
    )


def test_results_answer_calls_by_id_by_name_and_in_order() -> None:
    calls = [
        {"functionCall": {"name": "f", "args": {"n": 1}}},
        {"functionCall": {"name": "g", "id": "own"}},
        {"functionCall": {"name": "f", "args": {"n": 2}}},
    ]
    results = [
        {"text": "and"},
        {"functionResponse": {"name": "g", "id": "own", "response": {"a": 1}}},
        {"functionResponse": {"name": "f", "response": {"output": "one"}}},
        {"functionResponse": {"name": "f", "response": {"output": '{"n":2}'}}},
    ]
    messages = talk(("user", [{"text": "Go"}]), ("model", calls), ("function", results))
    assert messages[1].tool_calls == (
        ToolCall(id="call_0", name="f", arguments='{"n": 1}'),
        ToolCall(id="own", name="g", arguments="{}"),
        ToolCall(id="call_2", name="f", arguments='{"n": 2}'),
    )
    assert [(each.role, each.tool_call_id, each.text) for each in messages[2:]] == [
        ("tool", "own", '{"a": 1}'),
        ("tool", "call_0", "one"),
        ("tool", "call_2", '{"output": "{\\"n\\":2}"}'),
        ("user", None, "and"),
    ]


def test_signatures_stay_with_the_words_thoughts_and_calls_that_they_sign() -> None:
    messages = talk(
        (
            "model",
            [
                {"text": "th", "thought": True},
                {"text": "ink", "thought": True, "thoughtSignature": SIGNATURE},
                {"text": "say", "thoughtSignature": SIGNATURE},
                {"text": ""},
                {"functionCall": {"name": "f", "id": "c"}, "thoughtSignature": SIGNATURE},
            ],
        )
    )
    assert messages[0].parts == (
        ReasoningPart(text="think", signature=SIGNATURE, format=GOOGLE),
        TextPart(text="say"),
        ReasoningPart(encrypted=SIGNATURE, format=GOOGLE),
        ReasoningPart(encrypted=SIGNATURE, format=GOOGLE, id="c"),
    )


def test_the_pieces_of_a_stream_that_a_client_repeats_one_by_one_are_one_turn() -> None:
    messages = talk(
        ("user", [{"text": "Go"}]),
        ("model", [{"text": "th", "thought": True}]),
        ("model", [{"text": "ink", "thought": True, "thoughtSignature": SIGNATURE}]),
        ("model", [{"text": "a"}]),
        ("model", [{"text": "b"}, {"functionCall": {"name": "f"}}]),
        ("user", [{"functionResponse": {"name": "f"}}]),
        ("model", [{"text": "c"}]),
    )
    assert [message.role for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[1].parts == (
        ReasoningPart(text="think", signature=SIGNATURE, format=GOOGLE),
        TextPart(text="ab"),
    )


def test_unknown_members_travel_on_as_they_came() -> None:
    request = ask(
        {
            "safetySettings": [{"category": "X", "threshold": "Y"}],
            "generationConfig": {"mediaResolution": "LOW", "topP": 1},
            "futureThing": {"a": 1.50},
            "nothing": None,
            "serviceTier": "flex",
        }
    )
    assert {name: json.loads(bytes(raw)) for name, raw in request.extra.items()} == {
        "safetySettings": [{"category": "X", "threshold": "Y"}],
        "generationConfig": {"mediaResolution": "LOW"},
        "futureThing": {"a": 1.50},
    }
    assert bytes(request.extra["futureThing"]) == b'{"a": 1.5}'
    assert request.service_tier == "flex"


def test_a_long_conversation_of_tiny_parts_is_read_in_linear_time() -> None:
    count = 40_000
    calls = [{"functionCall": {"name": "f"}} for _ in range(count)]
    results = [{"functionResponse": {"name": "f"}} for _ in range(count)]
    words = [{"text": "a"} for _ in range(count)]
    messages = talk(("model", words + calls), ("user", results))
    assert messages[0].text == "a" * count
    assert messages[-1].tool_call_id == f"call_{count - 1}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "args content contents data fileData fileUri functionCall functionCallingConfig "
                "functionDeclarations functionResponse generationConfig id inlineData inline_data "
                "items mimeType mode name nullable parameters parts requests response "
                "responseSchema role text thinkingConfig thought thoughtSignature toolConfig "
                "tools topK type".split()
            ),
            inner | st.sampled_from(["user", "model", "f", "AAAA", "image/png", "ANY", "OBJECT"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


RICH: dict[str, Any] = {
    "systemInstruction": {"parts": [{"text": "Be."}]},
    "contents": [
        {"parts": [{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
        {
            "role": "model",
            "parts": [
                {"text": "t", "thought": True, "thoughtSignature": "AAAA"},
                {"functionCall": {"name": "f", "args": {"a": 1}}},
            ],
        },
        {"parts": [{"functionResponse": {"name": "f", "response": {"output": "x"}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}],
    "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}},
    "generationConfig": {
        "responseMimeType": "application/json",
        "responseSchema": {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": "1"},
        "thinkingConfig": {"thinkingLevel": "low"},
    },
}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good request in which one thing, somewhere, is another."""
    body = json.loads(json.dumps(RICH))
    node = body
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = draw(st.sampled_from(keys))
        if not (isinstance(node[key], dict | list) and node[key] and draw(st.booleans())):
            node[key] = draw(JSON)
            return json.dumps(body).encode()
        node = node[key]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(damaged(), st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode()))
)
def test_whatever_comes_in_the_only_error_is_an_invalid_request(body: bytes) -> None:
    def read(which: int) -> object:
        if which == 0:
            return decode(body, model="m", stream=False)
        if which == 1:
            return decode_count(body, model="m")
        return decode_embed(body, model="m", batch=which == 2)

    for which in range(4):
        with contextlib.suppress(InvalidRequest):
            read(which)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"contents": [{"parts": [{"text": "\xff"}]}]}',
        b'{"contents": [{"parts": [{"text": "\\ud800"}]}]}',
        b'{"x": "\xff", "contents": [{"parts": [{"text": "a"}]}]}',
    ],
)
def test_what_is_no_json_is_told_so(body: bytes) -> None:
    with pytest.raises(BadJSON):
        decode(body, model="m", stream=False)


@pytest.mark.parametrize(
    "opening", [b'{"contents":', b'{"tool_config":', b'{"contents":[{"parts":']
)
def test_bottomless_nesting_is_an_invalid_request(opening: bytes) -> None:
    for bracket in (b"[", b'{"a":'):
        with pytest.raises(InvalidRequest):
            decode(opening + bracket * 200_000, model="m", stream=False)
    schema: dict[str, Any] = {}
    for _level in range(200):
        schema = {"items": schema}
    config = {"responseMimeType": "application/json", "responseSchema": schema}
    assert "deeply" in refused({"generationConfig": config}).message
