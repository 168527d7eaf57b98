"""What is asked of Google, for what a client asks of us."""

from __future__ import annotations

from typing import Any

import pytest
from gemini_peer import (
    GOOGLE,
    HI,
    KEY,
    MODEL,
    SIGNATURE,
    F,
    G,
    assistant,
    call,
    piece,
    said,
    sent,
    sse,
    user,
    whole,
)
from msgspec import Raw, structs

from glasslipper.gateway.providers.gemini import BASE_URL, Gemini
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
    Reasoning,
    ReasoningPart,
    RefusalPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)


def test_the_key_goes_in_a_header_and_never_in_the_address() -> None:
    peer = call(sse(piece({"text": "x"}, finish="STOP"))).peer
    line, *fields = peer.heads[0].split("\r\n")
    assert line == f"POST /v1beta/models/{MODEL}:streamGenerateContent?alt=sse HTTP/1.1"
    lower = [each.lower() for each in fields]
    assert f"x-goog-api-key: {KEY}".lower() in lower
    assert "x-request-id: att-1" in lower
    assert "accept: text/event-stream" in lower
    assert not any(each.startswith("authorization") for each in lower)
    assert peer.bodies[0] == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_a_whole_answer_is_asked_for_elsewhere_and_tuned_models_by_their_own_names() -> None:
    peer = call(whole({"text": "x"}), HI, model="tunedModels/my-model").peer
    assert peer.heads[0].startswith("POST /v1beta/tunedModels/my-model:generateContent HTTP/1.1")


@pytest.mark.parametrize("model", ["", "../x", "a/b", "models/", "a?b", "a:b", "ä", "a b"])
def test_a_name_that_would_change_the_address_is_refused(model: str) -> None:
    outcome = call(b"", model=model)
    assert isinstance(outcome.error, InvalidRequest)
    assert not outcome.peer.heads


def test_a_key_that_no_header_can_carry_is_refused_at_once() -> None:
    for key in ("", "a\r\nb", "ä"):
        with pytest.raises(SetupMissing):
            Gemini(Transport(), key=key)


def test_turns_alternate_and_the_system_stands_apart() -> None:
    request = structs.replace(
        HI,
        messages=(
            Message(role="system", parts=(TextPart(text="Be."),)),
            user(TextPart(text="a")),
            user(TextPart(text="b")),
            assistant(TextPart(text="c"), TextPart(text="")),
            assistant(),
            assistant(RefusalPart(text="d")),
            Message(role="developer", parts=(TextPart(text="Do."),)),
            user(TextPart(text="e")),
        ),
    )
    body = sent(request)
    assert body["systemInstruction"] == {"parts": [{"text": "Be."}, {"text": "Do."}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
        {"role": "user", "parts": [{"text": "e"}]},
    ]


def test_a_system_without_anybody_to_talk_to_is_asked_itself() -> None:
    alone = Message(role="system", parts=(TextPart(text="Be."),))
    body = sent(structs.replace(HI, messages=(alone,)))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Be."}]}]}


def test_results_carry_the_name_of_their_call_and_are_objects() -> None:
    contents = said(
        user(TextPart(text="Go")),
        assistant(calls=(F, G)),
        Message(role="tool", parts=(TextPart(text="plain"),), tool_call_id="c2"),
        Message(role="tool", parts=(TextPart(text='{"b": 1.0}'),), tool_call_id="c1"),
        user(TextPart(text="So?")),
        model="gemini-2.5-flash",
    )
    assert contents[1]["parts"] == [
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
    ]
    assert contents[2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "c2", "name": "g", "response": {"output": "plain"}}},
            {"functionResponse": {"id": "c1", "name": "f", "response": {"b": 1.0}}},
            {"text": "So?"},
        ],
    }


def test_a_result_may_hold_pictures_but_must_answer_a_call() -> None:
    picture = ImagePart(url="data:image/png;base64,AAAA")
    result = Message(role="tool", parts=(TextPart(text="x"), picture), tool_call_id="c1")
    (content,) = said(structs.replace(result, name="f"))
    assert content["parts"][0]["functionResponse"]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    ]
    with pytest.raises(InvalidRequest) as caught:
        said(result)
    assert caught.value.param == "$.messages[0].tool_call_id"


def test_arguments_that_a_model_got_wrong_are_told_as_they_were() -> None:
    wrong = ToolCall(id="c", name="f", arguments='{"a": ')
    (content,) = said(assistant(calls=(wrong,)), model="gemini-2.5-pro")
    assert content["parts"][0]["functionCall"]["args"] == {"_raw": '{"a": '}


def test_media_go_inline_or_by_address() -> None:
    (content,) = said(
        user(
            ImagePart(url="data:image/png;base64,AAAA"),
            ImagePart(url="data:,a%20b"),
            ImagePart(url="https://x/a.JPG?q=.gif"),
            ImagePart(url="https://x/a"),
            AudioPart(data="BBBB", format="wav"),
            FilePart(url="data:application/pdf;name=a.pdf;base64,CCCC", filename="a.pdf"),
            FilePart(file_id="files/abc"),
        )
    )
    assert content["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"inlineData": {"mimeType": "text/plain", "data": "YSBi"}},
        {"fileData": {"fileUri": "https://x/a.JPG?q=.gif", "mimeType": "image/jpeg"}},
        {"fileData": {"fileUri": "https://x/a"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "BBBB"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}},
        {"fileData": {"fileUri": f"{BASE_URL}/files/abc"}},
    ]


@pytest.mark.parametrize(
    "part",
    [FilePart(file_id="file-openai"), ImagePart(url="data:nothing"), ImagePart(url="http://[x")],
)
def test_media_that_cannot_be_sent_are_refused(part: Any) -> None:
    with pytest.raises(InvalidRequest):
        said(user(part))
    with pytest.raises(Unsupported):
        said(Message(role="system", parts=(part,)))


def test_googles_signatures_go_back_to_where_they_were_and_foreign_thinking_stays_away() -> None:
    (content,) = said(
        assistant(
            ReasoningPart(text="own", signature=SIGNATURE, format=GOOGLE),
            ReasoningPart(text="other", signature="s", format="anthropic-claude-v1"),
            ReasoningPart(text="nobody's"),
            TextPart(text="say"),
            ReasoningPart(encrypted=SIGNATURE, format=GOOGLE),
            TextPart(text="more"),
            ReasoningPart(encrypted="Yw==", format=GOOGLE, id="c1"),
            calls=(F, G),
        )
    )
    assert content["parts"] == [
        {"text": "own", "thought": True, "thoughtSignature": SIGNATURE},
        {"text": "say", "thoughtSignature": SIGNATURE},
        {"text": "more"},
        {
            "functionCall": {"id": "c1", "name": "f", "args": {"a": 1}},
            "thoughtSignature": "Yw==",
        },
        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
    ]


def test_a_signature_that_comes_ahead_of_the_words_signs_them_and_else_stands_alone() -> None:
    sign = ReasoningPart(encrypted=SIGNATURE, format=GOOGLE)
    (content,) = said(assistant(sign, TextPart(text="say")))
    assert content["parts"] == [{"text": "say", "thoughtSignature": SIGNATURE}]
    (content,) = said(assistant(sign, sign))
    assert content["parts"] == [{"text": "", "thoughtSignature": SIGNATURE}] * 2


def test_calls_of_another_model_are_marked_for_models_that_insist_on_signatures() -> None:
    message = assistant(calls=(F, G))
    for model in ("gemini-3-flash", "models/gemini-3.1-pro-preview", "gemini-flash-latest"):
        first, second = said(message, model=model)[0]["parts"]
        assert first["thoughtSignature"] == "skip_thought_signature_validator"
        assert "thoughtSignature" not in second
    for model in ("gemini-2.5-pro", "gemini-2.0-flash", "gemma-3-27b-it"):
        assert all(
            "thoughtSignature" not in part for part in said(message, model=model)[0]["parts"]
        )


def test_settings_go_where_gemini_has_them_and_hints_it_lacks_are_left_out() -> None:
    request = structs.replace(
        HI,
        sampling=Sampling(
            max_tokens=5,
            temperature=0.5,
            top_p=0.25,
            top_k=3,
            min_p=0.1,
            seed=2**40 + 7,
            stop=("a",),
            frequency_penalty=1,
            presence_penalty=-1,
            repetition_penalty=1.1,
            logit_bias={"1": 1},
            logprobs=True,
            top_logprobs=2,
        ),
        response_format=ResponseFormat(kind="json_schema", schema={"type": ["string", "null"]}),
        parallel_tool_calls=False,
        service_tier="priority",
        extra={
            "safetySettings": Raw(b"[]"),
            "generationConfig": Raw(b'{"mediaResolution":"LOW"}'),
            "verbosity": Raw(b'"low"'),
        },
    )
    assert sent(request) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "generationConfig": {
            "maxOutputTokens": 5,
            "temperature": 0.5,
            "topP": 0.25,
            "topK": 3,
            "seed": 7,
            "stopSequences": ["a"],
            "frequencyPenalty": 1,
            "presencePenalty": -1,
            "responseLogprobs": True,
            "logprobs": 2,
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": ["string", "null"]},
            "mediaResolution": "LOW",
        },
        "serviceTier": "priority",
        "safetySettings": [],
    }
    for extra in (b"5", b"null"):
        with pytest.raises(InvalidRequest):
            sent(structs.replace(HI, extra={"generationConfig": Raw(extra)}))
    assert "serviceTier" not in sent(structs.replace(HI, service_tier="auto"))


def test_tools_go_with_plain_json_schemas_and_the_choice_only_with_tools() -> None:
    tools = (Tool(name="f", description="d", parameters={"type": "object"}), Tool(name="g"))
    body = sent(structs.replace(HI, tools=tools))
    declared = [
        {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object"}},
        {"name": "g"},
    ]
    assert body["tools"] == [{"functionDeclarations": declared}]
    assert "toolConfig" not in body

    def config(**choice: Any) -> Any:
        chosen = structs.replace(HI, tools=tools, tool_choice=ToolChoice(**choice))
        return sent(chosen)["toolConfig"]["functionCallingConfig"]

    assert config(mode="none") == {"mode": "NONE"}
    assert config(mode="required") == {"mode": "ANY"}
    assert config(mode="required", name="g") == {"mode": "ANY", "allowedFunctionNames": ["g"]}
    assert "toolConfig" not in sent(structs.replace(HI, tool_choice=ToolChoice(mode="none")))


@pytest.mark.parametrize(
    ("model", "wish", "config"),
    [
        ("gemini-3-flash", None, None),
        ("gemini-3-flash", Reasoning(exclude=True), None),
        ("gemini-3-flash", Reasoning(), {"includeThoughts": True}),
        ("gemini-3-flash", Reasoning(effort="none"), {"thinkingLevel": "minimal"}),
        ("gemini-3-pro", Reasoning(enabled=False), {"thinkingLevel": "low"}),
        (
            "gemini-3.1-pro",
            Reasoning(effort="xhigh"),
            {"thinkingLevel": "high", "includeThoughts": True},
        ),
        (
            "gemini-3-flash",
            Reasoning(effort="minimal", exclude=True),
            {"thinkingLevel": "minimal"},
        ),
        (
            "gemini-3-flash",
            Reasoning(max_tokens=99_999),
            {"thinkingBudget": 24_576, "includeThoughts": True},
        ),
        ("gemini-2.5-flash", Reasoning(effort="none"), {"thinkingBudget": 0}),
        ("gemini-2.5-pro", Reasoning(enabled=False), {"thinkingBudget": 128}),
        (
            "models/gemini-2.5-pro",
            Reasoning(effort="medium"),
            {"thinkingBudget": 8192, "includeThoughts": True},
        ),
        (
            "gemini-2.5-flash-lite",
            Reasoning(enabled=True, exclude=True),
            {"thinkingBudget": -1},
        ),
        (
            "gemini-2.5-flash-lite",
            Reasoning(max_tokens=10, exclude=True),
            {"thinkingBudget": 512},
        ),
        ("gemini-2.0-flash", Reasoning(effort="high"), None),
        ("gemma-3-27b-it", Reasoning(effort="high"), None),
    ],
)
def test_a_wish_to_think_is_said_in_the_words_of_the_models_generation(
    model: str, wish: Reasoning | None, config: Any
) -> None:
    body = sent(structs.replace(HI, reasoning=wish), model=model)
    assert body.get("generationConfig", {}).get("thinkingConfig") == config


def test_what_json_cannot_hold_is_an_invalid_request() -> None:
    for text in ("\ud800", '{"a": "\ud800"}'):
        result = Message(role="tool", parts=(TextPart(text=text),), tool_call_id="c1", name="f")
        for message in (user(TextPart(text=text)), result):
            with pytest.raises(InvalidRequest):
                said(message)
