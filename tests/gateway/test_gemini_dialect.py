from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from glasslipper.gateway.dialects.gemini import (
    Bill,
    ChunkEncoder,
    Head,
    decode,
    decode_count,
    decode_embed,
    encode_answer,
    encode_count,
    encode_embed,
    encode_error,
    shows_thoughts,
)
from glasslipper.kernel.errors import (
    BadJSON,
    BudgetExhausted,
    EngineBusy,
    InvalidRequest,
    ModelUnknown,
    NotAuthenticated,
    PriceUnknown,
    StreamBroken,
    Unsupported,
    UpstreamRefused,
)
from glasslipper.kernel.events import (
    Answer,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
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
    Request,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from glasslipper.kernel.usage import Usage

GOOGLE = "google-gemini-v1"
SIGNATURE = "c2lnbmVkIGJ5IEdvb2dsZQ=="
HEAD = Head(id="gen-1", model="google/gemini-3-flash", created_s=1, provider="google")
BILL = Bill(
    usage=Usage(input=5, cache_read=3, output=2, reasoning=4),
    cost_nanousd=1_500,
    upstream_nanousd=1_200,
)
HI: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def ask(more: dict[str, Any] | None = None, *, stream: bool = False) -> Request:
    body = json.dumps(HI | (more or {})).encode()
    return decode(body, model="gemini-3-flash", stream=stream)


def talk(*contents: tuple[str, list[dict[str, Any]]]) -> tuple[Message, ...]:
    return ask({"contents": [{"role": role, "parts": parts} for role, parts in contents]}).messages


def refused(more: dict[str, Any]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        ask(more)
    return caught.value


def whole(answer: Answer, bill: Bill | None = BILL, **more: Any) -> dict[str, Any]:
    return json.loads(encode_answer(answer, HEAD, bill, **more))


def streamed(events: list[Event], *, as_array: bool = False) -> list[dict[str, Any]]:
    encoder = ChunkEncoder(HEAD, as_array=as_array)
    written = b"".join(map(encoder.encode, events)) + encoder.finish(BILL)
    if as_array:
        return json.loads(written)
    frames = written.decode().removesuffix("\n\n").split("\n\n")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def parts_of(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        part
        for chunk in chunks
        for candidate in chunk.get("candidates", ())
        for part in candidate["content"]["parts"]
    ]


# Requests.


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
        ({"responseModalities": ["TEXT", "IMAGE"]}, "responseModalities[1]"),
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
    ("more", "param"),
    [
        ({"tools": [{"googleSearch": {}}]}, "$.tools[0].googleSearch"),
        ({"tools": [{"code_execution": {}}]}, "$.tools[0].codeExecution"),
        ({"cachedContent": "cachedContents/1"}, "$.cachedContent"),
        (
            {"contents": [{"role": "model", "parts": [{"executableCode": {"code": "1"}}]}]},
            "$.contents[0].parts[0].executableCode",
        ),
        (
            {"contents": [{"parts": [{"fileData": {"fileUri": "u"}, "videoMetadata": {}}]}]},
            "$.contents[0].parts[0].videoMetadata",
        ),
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
        ({"tools": [{"holodeck": {}}]}, "$.tools[0]"),
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


# Answers.


def test_an_answer_is_one_candidate_with_usage_and_cost() -> None:
    assert whole(Answer(text="Hello", finish="stop")) == {
        "candidates": [
            {
                "content": {"parts": [{"text": "Hello"}], "role": "model"},
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 8,
            "cachedContentTokenCount": 3,
            "candidatesTokenCount": 2,
            "thoughtsTokenCount": 4,
            "totalTokenCount": 14,
            "cost": 1.5e-06,
            "costNanousd": 1500,
            "costDetails": {"upstreamInferenceCost": 1.2e-06},
            "isByok": False,
        },
        "modelVersion": "google/gemini-3-flash",
        "responseId": "gen-1",
        "provider": "google",
    }
    assert "usageMetadata" not in whole(Answer(text="Hello", finish="stop"), None)


def test_usage_by_modality_is_told_where_there_is_more_than_text() -> None:
    bill = Bill(usage=Usage(input=5, input_image=7, output=1, output_audio=2), cost_nanousd=0)
    told = whole(Answer(finish="stop"), bill)["usageMetadata"]
    assert told["promptTokensDetails"] == [
        {"modality": "TEXT", "tokenCount": 5},
        {"modality": "IMAGE", "tokenCount": 7},
    ]
    assert told["candidatesTokensDetails"] == [
        {"modality": "TEXT", "tokenCount": 1},
        {"modality": "AUDIO", "tokenCount": 2},
    ]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Answer(finish="stop"), "STOP"),
        (Answer(finish="tool_calls"), "STOP"),
        (Answer(finish="length"), "MAX_TOKENS"),
        (Answer(finish="content_filter"), "SAFETY"),
        (Answer(finish="content_filter", native_finish="RECITATION"), "RECITATION"),
        (Answer(finish="content_filter", native_finish="STOP"), "SAFETY"),
        (Answer(finish="error"), "OTHER"),
        (
            Answer(finish="error", native_finish="MALFORMED_FUNCTION_CALL"),
            "MALFORMED_FUNCTION_CALL",
        ),
        (Answer(), "OTHER"),
    ],
)
def test_the_reason_is_googles_word_for_it(answer: Answer, word: str) -> None:
    (candidate,) = whole(answer)["candidates"]
    assert candidate["finishReason"] == word
    assert candidate["content"]["parts"] == [{"text": ""}]


def test_calls_come_whole_with_their_signature_after_thoughts_and_words() -> None:
    answer = Answer(
        text="Say",
        reasoning=(
            ReasoningPart(text="Hm", format=GOOGLE),
            ReasoningPart(encrypted=SIGNATURE, format=GOOGLE, id="c"),
            ReasoningPart(encrypted="dGV4dA==", format=GOOGLE),
        ),
        tool_calls=(
            ToolCall(id="c", name="f", arguments='{"a": 1.0}'),
            ToolCall(id="d", name="g", arguments=""),
        ),
        finish="tool_calls",
    )
    parts = [
        {"text": "Hm", "thought": True},
        {"text": "Say", "thoughtSignature": "dGV4dA=="},
        {
            "functionCall": {"id": "c", "name": "f", "args": {"a": 1.0}},
            "thoughtSignature": SIGNATURE,
        },
        {"functionCall": {"id": "d", "name": "g", "args": {}}},
    ]
    assert parts_of([whole(answer)]) == parts
    assert parts_of([whole(answer, shows_thoughts=False)]) == parts[1:]


def test_a_call_with_malformed_arguments_ends_the_answer_as_googles_own_models_do() -> None:
    calls = (
        ToolCall(id="c", name="f", arguments='{"a": '),
        ToolCall(id="d", name="g", arguments="{}"),
    )
    (candidate,) = whole(Answer(tool_calls=calls, finish="tool_calls"))["candidates"]
    assert candidate["finishReason"] == "MALFORMED_FUNCTION_CALL"
    assert candidate["finishMessage"] == 'Malformed function call: f({"a": )'
    assert [part["functionCall"]["name"] for part in candidate["content"]["parts"]] == ["g"]
    (cut,) = whole(Answer(tool_calls=calls, finish="length"))["candidates"]
    assert cut["finishReason"] == "MAX_TOKENS"


def test_probabilities_stand_in_googles_two_lists() -> None:
    token = TokenLogprob(
        token="Hi", logprob=float("-inf"), top=(TokenLogprob(token="Ho", logprob=-1.0),)
    )
    expected = {
        "chosenCandidates": [{"token": "Hi", "logProbability": -9999.0}],
        "topCandidates": [{"candidates": [{"token": "Ho", "logProbability": -1.0}]}],
    }
    (candidate,) = whole(Answer(text="Hi", logprobs=(token,), finish="stop"))["candidates"]
    assert candidate["logprobsResult"] == expected
    first = streamed([TextDelta(text="Hi", logprobs=(token,)), Finished(reason="stop")])[0]
    assert first["candidates"][0]["logprobsResult"] == expected


# Streams.


CALLS: list[Event] = [
    ReasoningDelta(text="Hm", format=GOOGLE),
    TextDelta(text="He"),
    TextDelta(text="llo\n\n"),
    RefusalDelta(text="!"),
    ReasoningDelta(encrypted=SIGNATURE, format=GOOGLE, id="b", index=1),
    ToolCallDelta(index=0, id="a", name="f"),
    ToolCallDelta(index=1, id="b", name="g"),
    ToolCallDelta(index=0, arguments='{"x"'),
    ToolCallDelta(index=1, arguments="{}"),
    ToolCallDelta(index=0, arguments=":1}"),
    Finished(reason="tool_calls"),
]


@pytest.mark.parametrize("as_array", [False, True])
def test_a_stream_is_many_small_answers_and_the_last_says_why_and_how_much(as_array: bool) -> None:
    chunks = streamed(CALLS, as_array=as_array)
    assert parts_of(chunks) == [
        {"text": "Hm", "thought": True},
        {"text": "He"},
        {"text": "llo\n\n"},
        {"text": "!"},
        {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}},
        {"functionCall": {"id": "b", "name": "g", "args": {}}, "thoughtSignature": SIGNATURE},
    ]
    assert all(chunk["responseId"] == "gen-1" for chunk in chunks)
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None] * 4 + ["STOP"]
    assert chunks[-1]["usageMetadata"]["totalTokenCount"] == 14
    assert all("usageMetadata" not in chunk for chunk in chunks[:-1])


def test_a_stream_that_breaks_ends_with_the_error_and_no_reason() -> None:
    for as_array in (False, True):
        encoder = ChunkEncoder(HEAD, as_array=as_array)
        written = encoder.encode(TextDelta(text="He")) + encoder.encode(CALLS[5])
        written += encoder.error(StreamBroken("It broke."))
        if as_array:
            items = json.loads(written)
        else:
            items = [json.loads(each[6:]) for each in written.decode().split("\n\n")[:-1]]
        assert list(items[-1]) == ["error"]
        assert items[-1]["error"]["status"] == "UNAVAILABLE"
        assert b"finishReason" not in written
        assert b"functionCall" not in written


def test_a_stream_without_a_word_is_still_an_answer() -> None:
    assert json.loads(ChunkEncoder(HEAD, as_array=True).finish(None)) == [
        {"modelVersion": "google/gemini-3-flash", "responseId": "gen-1", "provider": "google"}
    ]
    (chunk,) = streamed([Finished(reason="length")])
    assert chunk["candidates"][0]["content"]["parts"] == [{"text": ""}]


B64 = st.binary(min_size=1, max_size=9).map(lambda raw: base64.b64encode(raw).decode())
WORDS = st.text(min_size=1, max_size=5)
PROOF = B64 | st.text(min_size=1, max_size=9)
FOREIGN = st.builds(
    ReasoningPart,
    text=st.text(max_size=5),
    kind=st.sampled_from(["text", "summary"]),
    signature=st.none() | PROOF,
    encrypted=PROOF,
    format=st.none() | st.sampled_from(["anthropic-claude-v1", "openai-responses-v1"]),
    id=st.none() | WORDS,
)
SIGNED = st.builds(
    ReasoningPart,
    text=st.text(max_size=5),
    signature=PROOF,
    format=st.sampled_from([None, "anthropic-claude-v1"]),
)
OWN = st.builds(ReasoningPart, text=st.text(max_size=5), signature=B64, format=st.just(GOOGLE))
ON_CALL = st.builds(ReasoningPart, encrypted=B64, format=st.just(GOOGLE), id=st.just("call-1"))
ANSWERS = st.builds(
    Answer,
    text=WORDS,
    reasoning=st.tuples(
        st.lists(FOREIGN | SIGNED | OWN, max_size=3), st.lists(ON_CALL, max_size=1)
    ).map(lambda both: (*both[0], *both[1])),
    tool_calls=st.just((ToolCall(id="call-1", name="f", arguments='{"a": [1, 2]}'),)),
    finish=st.just("tool_calls"),
)


def said_again(parts: list[dict[str, Any]]) -> Message:
    return talk(("model", parts))[0]


@settings(max_examples=150, deadline=None)
@given(ANSWERS)
def test_any_models_thinking_comes_back_whole_when_a_client_repeats_the_answer(
    answer: Answer,
) -> None:
    message = said_again(parts_of([whole(answer)]))
    assert message.text == answer.text
    assert message.tool_calls == answer.tool_calls
    thoughts = [part for part in message.parts if isinstance(part, ReasoningPart)]
    assert thoughts == list(answer.reasoning)


def test_thinking_that_streams_in_pieces_comes_back_as_one() -> None:
    events: list[Event] = [
        ReasoningDelta(text="one ", format="anthropic-claude-v1"),
        ReasoningDelta(text="two", format="anthropic-claude-v1"),
        ReasoningDelta(signature="proof", format="anthropic-claude-v1"),
        TextDelta(text="a"),
        TextDelta(text="b"),
        Finished(reason="stop"),
    ]
    message = said_again(parts_of(streamed(events)))
    assert message.parts == (*fold(events).reasoning, TextPart(text="ab"))


def test_a_forged_seal_is_only_words() -> None:
    for inside in (b"{", b"[]", b'{"kind":"x"}', b"\xff", b"{}"):
        sign = base64.b64encode(b"glasslipper-thought-1:" + inside).decode()
        message = said_again([{"text": "t", "thought": True, "thoughtSignature": sign}])
        (part,) = message.parts
        assert isinstance(part, ReasoningPart)
        assert part.text == "t"


# Errors, counts and vectors.


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (InvalidRequest("Bad.", param="$.x"), 400, "INVALID_ARGUMENT"),
        (NotAuthenticated("Who?"), 401, "UNAUTHENTICATED"),
        (BudgetExhausted("Broke.", left_nanousd=5), 402, "RESOURCE_EXHAUSTED"),
        (PriceUnknown("How much?"), 402, "FAILED_PRECONDITION"),
        (ModelUnknown("What?"), 404, "NOT_FOUND"),
        (EngineBusy("Full.", retry_after_s=7), 429, "RESOURCE_EXHAUSTED"),
        (UpstreamRefused("No.", upstream_status=422), 400, "INVALID_ARGUMENT"),
        (UpstreamRefused("No.", upstream_status=500), 502, "UNAVAILABLE"),
    ],
)
def test_errors_have_googles_shape_with_our_slug_and_hint(
    error: Any, code: int, status: str
) -> None:
    told = json.loads(encode_error(error))["error"]
    assert (told["code"], told["status"]) == (code, status)
    assert told["message"] == f"{error.message} {error.hint}"
    info, *more = told["details"]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["reason"] == error.slug.upper()
    assert info["metadata"]["slug"] == error.slug
    assert info["metadata"]["hint"] == error.hint
    kinds = {detail["@type"].rpartition(".")[2]: detail for detail in more}
    if error.param:
        assert kinds["BadRequest"]["fieldViolations"][0]["field"] == error.param
    if error.retry_after_s:
        assert kinds["RetryInfo"]["retryDelay"] == "7s"


def test_tokens_are_counted_of_contents_or_of_a_whole_request() -> None:
    alone = decode_count(json.dumps(HI).encode(), model="models/m")
    assert alone.messages == ask().messages
    inner = HI | {"system_instruction": {"parts": [{"text": "Be."}]}}
    body = json.dumps({"generateContentRequest": inner | {"model": "models/m"}}).encode()
    assert [message.role for message in decode_count(body, model="m").messages] == [
        "system",
        "user",
    ]
    with pytest.raises(InvalidRequest):
        decode_count(b"{}", model="m")
    assert json.loads(encode_count(7)) == {"totalTokens": 7}
    assert json.loads(encode_count(7, cached_tokens=2))["cachedContentTokenCount"] == 2


def test_one_text_or_a_batch_becomes_vectors() -> None:
    one = {"content": {"parts": [{"text": "a"}, {"text": "b"}]}, "outputDimensionality": 4}
    two = one | {"content": {"parts": [{"text": "c"}]}, "taskType": "RETRIEVAL_QUERY"}
    single = decode_embed(json.dumps(one).encode(), model="models/e", batch=False)
    assert (single.model, single.texts, single.dimensions) == ("e", ("ab",), 4)
    batch = {"requests": [two | {"model": "models/e"}, two]}
    both = decode_embed(json.dumps(batch).encode(), model="e", batch=True)
    assert both.texts == ("c", "c")
    assert bytes(both.extra["taskType"]) == b'"RETRIEVAL_QUERY"'
    with pytest.raises(Unsupported) as caught:
        decode_embed(json.dumps({"requests": [one, two]}).encode(), model="e", batch=True)
    assert caught.value.param == "$.requests[1]"
    bill = structs.replace(BILL, usage=Usage(input=3))
    assert json.loads(encode_embed([[1, 0.5]], bill=bill, batch=False)) == {
        "embedding": {"values": [1.0, 0.5]},
        "usageMetadata": {
            "promptTokenCount": 3,
            "totalTokenCount": 3,
            "cost": 1.5e-06,
            "costNanousd": 1500,
        },
    }
    many = json.loads(encode_embed([[1], [2]], bill=bill, batch=True))
    assert many["embeddings"] == [{"values": [1.0]}, {"values": [2.0]}]
