from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, structs

from glasslipper.gateway.dialects.gemini import ChunkEncoder, Head, decode, encode_answer
from glasslipper.gateway.providers.gemini import BASE_URL, Gemini
from glasslipper.gateway.providers.gemini.answer import Reading
from glasslipper.gateway.providers.gemini.refusal import Refusals
from glasslipper.gateway.providers.gemini.request import encode_request
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
    UpstreamUnreachable,
)
from glasslipper.kernel.events import (
    Answer,
    Event,
    Finished,
    ReasoningDelta,
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
from glasslipper.kernel.ports import Attempted, EmbeddingResult
from glasslipper.kernel.usage import Usage

KEY = "AIza-very-secret-0123456789"
GOOGLE = "google-gemini-v1"
SIGNATURE = "c2lnbmVkIGJ5IEdvb2dsZQ=="
MODEL = "gemini-3-flash"
WAIT_S = 20

HI = Request(model="m", messages=(Message(role="user", parts=(TextPart(text="Hi"),)),))
HI_STREAM = structs.replace(HI, stream=True)


@dataclass
class Peer:
    """A server on a socket that gives its answers, one a connection, and notes what was asked."""

    answers: list[bytes]
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
            writer.write(self.answers[min(len(self.heads), len(self.answers)) - 1])
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
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1beta"
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def calling(base_url: str, *, timeouts: Timeouts | None = None) -> AsyncIterator[Gemini]:
    transport = Transport()
    try:
        yield Gemini(transport, key=KEY, base_url=base_url, timeouts=timeouts)
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


def sse(*chunks: object) -> bytes:
    datas = [each if isinstance(each, str) else json.dumps(each) for each in chunks]
    body = "".join(f"data: {data}\r\n\r\n" for data in datas)
    return http(body.encode(), kind="text/event-stream")


def piece(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "real", "responseId": "up-1"} | more


def whole(*parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> bytes:
    return http(json.dumps(piece(*parts, finish=finish, **more)).encode())


def failing(status: int, message: str, kind: str = "X", *details: object, more: str = "") -> bytes:
    error = {"code": status, "message": message, "status": kind, "details": list(details)}
    return http(json.dumps({"error": error}).encode(), status=status, more=more)


def call(answer: bytes, request: Request = HI_STREAM, *, model: str = MODEL) -> Outcome:
    async def run() -> Outcome:
        peer = Peer([answer])
        attempt = Attempted(id="att-1", request=request, upstream_model=model)
        outcome = Outcome([], attempt, None, peer)
        async with listening(peer) as url, calling(url) as upstream:
            try:
                async for event in upstream.send(attempt):
                    outcome.events.append(event)
            except GlasslipperError as error:
                outcome.error = error
        return outcome

    return asyncio.run(asyncio.wait_for(run(), WAIT_S))


def sent(request: Request, *, model: str = MODEL) -> dict[str, Any]:
    return json.loads(encode_request(request, upstream_model=model, base_url=BASE_URL))


def said(*messages: Message, model: str = MODEL) -> list[dict[str, Any]]:
    return sent(structs.replace(HI, messages=messages), model=model)["contents"]


def user(*parts: Any) -> Message:
    return Message(role="user", parts=parts)


def assistant(*parts: Any, calls: tuple[ToolCall, ...] = ()) -> Message:
    return Message(role="assistant", parts=parts, tool_calls=calls)


F = ToolCall(id="c1", name="f", arguments='{"a": 1}')
G = ToolCall(id="c2", name="g", arguments="")


# What is sent.


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


# What comes back.

USAGE = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 60,
    "candidatesTokenCount": 7,
    "thoughtsTokenCount": 11,
    "totalTokenCount": 118,
}
SPENT = Usage(input=40, cache_read=60, output=7, reasoning=11, requests=1)


@pytest.mark.parametrize("streams", [True, False])
def test_words_thoughts_and_usage_come_in_order(streams: bool) -> None:
    early = {"promptTokenCount": 100, "totalTokenCount": 103, "thoughtsTokenCount": 3}
    thought, words = {"text": "Hm", "thought": True}, {"text": "Hello"}
    if streams:
        answer = sse(
            piece(thought, usageMetadata=early),
            piece(words, usageMetadata=USAGE),
            piece({"text": ""}, finish="STOP", usageMetadata=USAGE),
        )
    else:
        answer = whole(thought, words, usageMetadata=USAGE)
    outcome = call(answer, HI_STREAM if streams else HI)
    assert outcome.events == [
        Started(model="real", upstream_id="up-1"),
        ReasoningDelta(text="Hm", format=GOOGLE),
        TextDelta(text="Hello"),
        Finished(reason="stop", native="STOP"),
        Spent(usage=SPENT),
    ]
    assert outcome.attempt.usage == SPENT


def test_calls_come_whole_and_get_ids_where_they_have_none() -> None:
    outcome = call(
        sse(
            piece(
                {"functionCall": {"name": "f", "args": {"a": 1.0}}, "thoughtSignature": SIGNATURE},
                {"functionCall": {"name": "f", "id": "own"}},
            ),
            piece({"functionCall": {"name": "g", "args": None}}, finish="STOP"),
        )
    )
    made = [event for event in outcome.events if isinstance(event, ToolCallDelta)]
    assert [(each.index, each.name, each.arguments) for each in made] == [
        (0, "f", '{"a": 1.0}'),
        (1, "f", "{}"),
        (2, "g", "{}"),
    ]
    ids = [each.id or "" for each in made]
    assert ids[1] == "own"
    assert len(set(ids)) == 3
    assert all(ids)
    assert outcome.answer.reasoning == (
        ReasoningPart(encrypted=SIGNATURE, format=GOOGLE, id=ids[0]),
    )
    assert outcome.answer.finish == "tool_calls"
    assert outcome.answer.native_finish == "STOP"


def test_each_signed_thought_is_a_part_of_its_own() -> None:
    outcome = call(
        sse(
            piece({"text": "a", "thought": True}),
            piece({"text": "b", "thought": True, "thoughtSignature": SIGNATURE}),
            piece({"text": "c", "thought": True}),
            piece({"text": "say"}),
            piece({"text": "d", "thought": True}),
            piece({"text": "", "thoughtSignature": "Yw=="}, finish="STOP"),
        )
    )
    assert outcome.answer.text == "say"
    assert outcome.answer.reasoning == (
        ReasoningPart(text="ab", signature=SIGNATURE, format=GOOGLE),
        ReasoningPart(text="c", format=GOOGLE),
        ReasoningPart(text="d", format=GOOGLE),
        ReasoningPart(encrypted="Yw==", format=GOOGLE),
    )


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("OTHER", "error"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_an_end_without_content_is_still_an_end(word: str, reason: str) -> None:
    chunk = {"candidates": [{"finishReason": word, "content": {"role": "model"}, "index": 0}]}
    answer = call(sse(chunk)).answer
    assert (answer.text, answer.finish, answer.native_finish) == ("", reason, word)


def test_a_blocked_prompt_is_a_filtered_answer() -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": USAGE}
    outcome = call(http(json.dumps(blocked).encode()), HI)
    assert outcome.events == [
        Finished(reason="content_filter", native="PROHIBITED_CONTENT"),
        Spent(usage=SPENT),
    ]


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"promptTokenCount": 5, "totalTokenCount": 5}, Usage(input=5, requests=1)),
        ({"promptTokenCount": 5, "totalTokenCount": 9}, Usage(input=5, output=4, requests=1)),
        (
            {"promptTokenCount": 5, "toolUsePromptTokenCount": 4, "candidatesTokenCount": 1},
            Usage(input=9, output=1, requests=1),
        ),
        (
            {
                "promptTokenCount": 50,
                "cachedContentTokenCount": 20,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 10},
                    {"modality": "AUDIO", "tokenCount": 25},
                    {"modality": "IMAGE", "tokenCount": 15},
                ],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
                "candidatesTokenCount": 9,
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 8}],
            },
            Usage(
                input=10,
                cache_read=20,
                input_audio=5,
                input_image=15,
                output=1,
                output_image=8,
                requests=1,
            ),
        ),
        (
            {"promptTokenCount": 5, "cachedContentTokenCount": 9, "candidatesTokenCount": -3},
            Usage(cache_read=5, requests=1),
        ),
    ],
)
def test_usage_never_counts_a_token_twice(told: dict[str, Any], usage: Usage) -> None:
    assert call(whole({"text": "x"}, usageMetadata=told), HI).answer.usage == usage


def test_probabilities_come_with_the_words() -> None:
    result = {
        "chosenCandidates": [{"token": "Hi", "logProbability": -0.5}, {"token": "!"}],
        "topCandidates": [{"candidates": [{"token": "Ho", "logProbability": -1}]}],
    }
    chunk = piece({"text": "Hi!"}, finish="STOP")
    chunk["candidates"][0]["logprobsResult"] = result
    assert call(sse(chunk)).answer.logprobs == (
        TokenLogprob(token="Hi", logprob=-0.5, top=(TokenLogprob(token="Ho", logprob=-1.0),)),
        TokenLogprob(token="!", logprob=-9999.0),
    )


def test_a_stream_that_comes_as_an_array_is_read_too() -> None:
    body = json.dumps([piece({"text": "a"}), piece({"text": "b"}, finish="STOP")]).encode()
    answer = call(http(body)).answer
    assert (answer.text, answer.finish) == ("ab", "stop")


def test_a_second_candidate_is_nobodys_answer() -> None:
    chunk = piece({"text": "a"}, finish="STOP")
    chunk["candidates"].append({"index": 1, "content": {"parts": [{"text": "no"}]}})
    assert call(sse(chunk)).answer.text == "a"


def test_a_stream_that_ends_without_a_reason_just_ends() -> None:
    outcome = call(sse(piece({"text": "half"}, usageMetadata=USAGE)))
    assert outcome.error is None
    assert outcome.events[-1] == TextDelta(text="half")
    assert outcome.attempt.usage == SPENT


def test_a_connection_lost_after_the_reason_takes_nothing_away() -> None:
    body = b'data: {"candidates":[{"finishReason":"STOP"}]}\n\n'
    cut = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\n"
    outcome = call(cut + body)
    assert outcome.events[-1] == Finished(reason="stop", native="STOP")
    assert outcome.error is None
    early = call(cut + b'data: {"candidates":[]}\n\n')
    assert isinstance(early.error, StreamBroken)


@pytest.mark.parametrize(
    "junk", [b"", b"{", b"7", b'"x"', b'{"candidates":7}', b"\xff", b"[" * 9999]
)
def test_what_is_no_answer_is_a_broken_stream(junk: bytes) -> None:
    assert isinstance(call(http(junk), HI).error, StreamBroken)
    if junk:
        answer = http(b"data: " + junk + b"\n\n", kind="text/event-stream")
        assert isinstance(call(answer).error, StreamBroken)


# What goes wrong.

RPC = "type.googleapis.com/google.rpc."
RETRY = {"@type": f"{RPC}RetryInfo", "retryDelay": "37.2s"}
QUOTA = {"@type": f"{RPC}QuotaFailure", "violations": [{"quotaId": "RequestsPerMinute"}]}
BAD_KEY = {"@type": f"{RPC}ErrorInfo", "reason": "API_KEY_INVALID"}
TOO_LONG = "The input token count (1300000) exceeds the maximum number of tokens allowed (1048576)."


def test_a_pause_is_as_long_as_google_says() -> None:
    error = call(failing(429, "Quota.", "RESOURCE_EXHAUSTED", QUOTA, RETRY)).error
    assert isinstance(error, UpstreamRateLimited)
    assert error.retry_after_s == 38
    assert error.message == "Google asks for a pause: Quota."
    header = call(failing(429, "Quota.", more="retry-after: 5\r\n")).error
    assert header is not None
    assert header.retry_after_s == 5
    for odd in ("-1s", "soon", "9" * 400 + "s", 7, {"seconds": "x"}, None):
        weird = call(failing(429, "Quota.", "X", {"retryDelay": odd})).error
        assert weird is not None
        assert weird.retry_after_s is None
    whole_seconds = call(failing(503, "Busy.", "UNAVAILABLE", {"retryDelay": {"seconds": 4}})).error
    assert isinstance(whole_seconds, UpstreamRefused)
    assert (whole_seconds.upstream_status, whole_seconds.retry_after_s) == (503, 4)


def test_a_prompt_that_does_not_fit_is_recognised() -> None:
    assert isinstance(call(failing(400, TOO_LONG, "INVALID_ARGUMENT")).error, ContextTooLong)
    error = {"error": {"code": 400, "message": TOO_LONG, "status": "INVALID_ARGUMENT"}}
    assert isinstance(call(sse(error)).error, ContextTooLong)


def test_what_is_not_the_clients_fault_is_not_called_so() -> None:
    bad_key = call(failing(400, f"API key {KEY} not valid.", "INVALID_ARGUMENT", BAD_KEY)).error
    assert isinstance(bad_key, UpstreamRefused)
    assert bad_key.upstream_status == 401
    assert "GEMINI_API_KEY" in bad_key.hint
    assert KEY not in bad_key.message
    where = call(failing(400, "User location is not supported.", "FAILED_PRECONDITION")).error
    assert isinstance(where, UpstreamRefused)
    assert where.upstream_status == 403


def test_other_refusals_keep_googles_words_and_status_but_never_the_key() -> None:
    error = call(failing(404, f"models/x is not found for {KEY}")).error
    assert isinstance(error, UpstreamRefused)
    assert error.upstream_status == 404
    assert error.message == "Google answered 404: models/x is not found for [key]"
    listed = http(b'[{"error": {"code": 500, "message": "Internal."}}]', status=500)
    assert str(call(listed).error) == "Google answered 500: Internal."
    for page in (b"<html>", b"[]", b'{"error": 7}', b"x" * 100_000):
        assert str(call(http(page, status=502)).error) == "Google answered 502."


def test_an_error_inside_a_stream_comes_after_what_came_before() -> None:
    inside = {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}
    outcome = call(sse(piece({"text": "a"}), inside))
    assert outcome.events[-1] == TextDelta(text="a")
    assert isinstance(outcome.error, UpstreamRefused)
    assert outcome.error.upstream_status == 503
    for odd in ({"error": "plain"}, {"error": {"code": 7}}, {"error": []}):
        assert type(call(sse(odd)).error) is UpstreamFailed


def test_nobody_there_is_unreachable_and_silence_a_timeout() -> None:
    async def run() -> list[GlasslipperError]:
        errors: list[GlasslipperError] = []
        peer = Peer([b""], hangs=True)
        timeouts = Timeouts(first_byte_s=0.2)
        async with listening(peer) as url, calling(url, timeouts=timeouts) as upstream:
            attempt = Attempted(id="a", request=HI, upstream_model=MODEL)
            with pytest.raises(UpstreamTimeout) as slow:
                _ = [event async for event in upstream.send(attempt)]
            errors.append(slow.value)
        async with calling(url) as upstream:
            with pytest.raises(UpstreamUnreachable) as gone:
                _ = [event async for event in upstream.send(attempt)]
            errors.append(gone.value)
        return errors

    assert len(asyncio.run(asyncio.wait_for(run(), WAIT_S))) == 2


def test_closing_the_iterator_ends_the_call_and_the_usage_so_far_is_known() -> None:
    async def run() -> Attempted:
        peer = Peer([sse(piece({"text": "a"}, usageMetadata=USAGE))], hangs=True)
        attempt = Attempted(id="a", request=HI_STREAM, upstream_model=MODEL)
        async with listening(peer) as url, calling(url) as upstream:
            stream = upstream.send(attempt)
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
            await stream.aclose()
            await peer.left.wait()
        return attempt

    assert asyncio.run(asyncio.wait_for(run(), WAIT_S)).usage == SPENT


# Embeddings.


def embed(peer: Peer, texts: list[str], dimensions: int | None = None) -> EmbeddingResult:
    async def run() -> EmbeddingResult:
        async with listening(peer) as url, calling(url) as upstream:
            return await upstream.embed("gemini-embedding-001", texts, dimensions)

    return asyncio.run(asyncio.wait_for(run(), WAIT_S))


def vectors(*values: float, tokens: int = 0) -> bytes:
    body = {"embeddings": [{"values": [value]} for value in values]}
    return http(json.dumps(body | {"usageMetadata": {"promptTokenCount": tokens}}).encode())


def test_texts_become_vectors_in_order_a_hundred_at_a_time() -> None:
    peer = Peer([vectors(*range(100), tokens=7), vectors(100, tokens=2)])
    result = embed(peer, [f"t{index}" for index in range(101)], 4)
    assert [vector[0] for vector in result.vectors] == list(range(101))
    assert result.tokens == 9
    path = "POST /v1beta/models/gemini-embedding-001:batchEmbedContents HTTP/1.1"
    assert all(head.startswith(path) for head in peer.heads)
    assert peer.bodies[1] == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "content": {"parts": [{"text": "t100"}]},
                "outputDimensionality": 4,
            }
        ]
    }


def test_vectors_that_are_not_one_for_each_text_are_a_broken_answer() -> None:
    for answer in (
        vectors(1),
        http(b"{}"),
        http(b"7"),
        http(b'{"embeddings":[{"values":[1,"x"]}]}'),
    ):
        with pytest.raises(StreamBroken):
            embed(Peer([answer]), ["a", "b"])
    with pytest.raises(UpstreamRateLimited):
        embed(Peer([failing(429, "Quota.")]), ["a"])
    with pytest.raises(UpstreamFailed):
        embed(Peer([http(b'{"error":{"message":"no"}}')]), ["a"])


# Laws: what our Gemini dialect writes this codec reads, and the other way round.

WORDS = st.text(min_size=1, max_size=5)
B64 = st.binary(min_size=1, max_size=9).map(lambda raw: base64.b64encode(raw).decode())
OBJECT = st.dictionaries(WORDS, st.integers(-9, 9) | WORDS | st.none(), max_size=2)
ARGUMENTS = OBJECT.map(json.dumps)
PICTURE = B64.map(lambda data: ImagePart(url=f"data:image/png;base64,{data}"))
SOUND = B64.map(lambda data: AudioPart(data=data, format="wav"))
PAPER = B64.map(lambda data: FilePart(url=f"data:application/pdf;base64,{data}"))
TEXT = WORDS.map(lambda words: TextPart(text=words))
THOUGHT = st.builds(ReasoningPart, text=WORDS, signature=B64, format=st.just(GOOGLE))


@st.composite
def turns(draw: st.DrawFn) -> tuple[Message, ...]:
    """A conversation as the dialect would read it: alternating, with ids that are all different."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message(role="system", parts=(draw(TEXT),)))
    messages.append(user(*draw(st.lists(TEXT | PICTURE | SOUND | PAPER, min_size=1, max_size=3))))
    for turn in range(draw(st.integers(0, 2))):
        names = draw(st.lists(WORDS, max_size=2))
        calls = tuple(
            ToolCall(id=f"call-{turn}-{at}", name=name, arguments=draw(ARGUMENTS))
            for at, name in enumerate(names)
        )
        parts: list[Any] = [*draw(st.lists(THOUGHT, max_size=2)), draw(TEXT)]
        if draw(st.booleans()):
            parts.append(ReasoningPart(encrypted=draw(B64), format=GOOGLE))
        parts.extend(
            ReasoningPart(encrypted=draw(B64), format=GOOGLE, id=call.id) for call in calls[:1]
        )
        messages.append(assistant(*parts, calls=calls))
        messages.extend(
            Message(
                role="tool",
                parts=(draw(TEXT | ARGUMENTS.map(lambda text: TextPart(text=text))),),
                tool_call_id=call.id,
                name=call.name,
            )
            for call in draw(st.permutations(calls))
        )
        messages.append(user(draw(TEXT)))
    return tuple(messages)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    names = draw(st.lists(WORDS, max_size=3, unique=True))
    tools = tuple(
        Tool(name=name, description=draw(st.text(max_size=3)), parameters=draw(OBJECT))
        for name in names
    )
    choices = [ToolChoice(), ToolChoice(mode="none"), ToolChoice(mode="required")]
    choices.extend(ToolChoice(mode="required", name=name) for name in names)
    formats = [
        ResponseFormat(),
        ResponseFormat(kind="json_object"),
        ResponseFormat(kind="json_schema", schema=draw(OBJECT)),
    ]
    thinking = [
        None,
        Reasoning(effort="low", exclude=True),
        Reasoning(effort="high"),
        Reasoning(max_tokens=9),
    ]
    share = st.none() | st.floats(0, 1)
    return Request(
        model=MODEL,
        messages=draw(turns()),
        tools=tools,
        tool_choice=draw(st.sampled_from(choices)) if tools else ToolChoice(),
        response_format=draw(st.sampled_from(formats)),
        reasoning=draw(st.sampled_from(thinking)),
        service_tier=draw(st.sampled_from([None, "flex"])),
        sampling=Sampling(
            max_tokens=draw(st.none() | st.integers(1, 99)),
            temperature=draw(st.none() | st.floats(0, 2)),
            top_p=draw(share),
            top_k=draw(st.none() | st.integers(0, 99)),
            seed=draw(st.none() | st.integers(0, 2**31 - 1)),
            stop=tuple(draw(st.lists(WORDS, max_size=2))),
            frequency_penalty=draw(share),
            presence_penalty=draw(share),
            logprobs=True,
            top_logprobs=draw(st.none() | st.integers(0, 20)),
        ),
    )


@settings(max_examples=120, deadline=None)
@given(requests())
def test_what_this_codec_asks_the_dialect_understands(request: Request) -> None:
    wire = encode_request(request, upstream_model=MODEL, base_url=BASE_URL)
    again = decode(wire, model=MODEL, stream=False)
    assert again == request
    assert encode_request(again, upstream_model=MODEL, base_url=BASE_URL) == wire


def reading() -> tuple[Reading, Attempted]:
    attempt = Attempted(id="a", request=HI_STREAM, upstream_model=MODEL)
    return Reading(attempt, Refusals(KEY)), attempt


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]


HEAD = Head(id="gen-1", model="real", created_s=1, provider="p")


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    for index in range(draw(st.integers(0, 2))):
        pieces = draw(st.lists(WORDS, min_size=1, max_size=2))
        events.extend(ReasoningDelta(text=each, format=GOOGLE, index=index) for each in pieces)
        signature = draw(B64)
        events.append(ReasoningDelta(signature=signature, format=GOOGLE, index=index))
    events.extend(TextDelta(text=words) for words in draw(st.lists(WORDS, max_size=3)))
    for index in range(draw(st.integers(0, 2))):
        call_id, arguments = f"c{index}", draw(ARGUMENTS)
        half = len(arguments) // 2
        if draw(st.booleans()):
            signed = ReasoningDelta(encrypted=draw(B64), format=GOOGLE, id=call_id, index=9 + index)
            events.append(signed)
        events.append(ToolCallDelta(index=index, id=call_id, name=draw(WORDS)))
        events.append(ToolCallDelta(index=index, arguments=arguments[:half]))
        events.append(ToolCallDelta(index=index, arguments=arguments[half:]))
    has_calls = any(isinstance(event, ToolCallDelta) for event in events)
    events.append(Finished(reason="tool_calls" if has_calls else "stop", native="STOP"))
    return events


@settings(max_examples=120, deadline=None)
@given(streams(), st.lists(st.integers(0, 10_000), max_size=6))
def test_a_stream_of_the_dialect_is_read_back_however_it_is_cut(
    events: list[Event], places: list[int]
) -> None:
    encoder = ChunkEncoder(HEAD)
    written = b"".join(map(encoder.encode, events)) + encoder.finish(None)
    reader, _attempt = reading()
    read: list[Event] = []
    for data in cut(written, places):
        read.extend(reader.feed(data))
    read.extend(reader.end())
    expected = structs.replace(fold(events), model="real", upstream_id="gen-1")
    assert fold(read) == expected
    reader, _attempt = reading()
    answer = [*reader.take(encode_answer(expected, HEAD, None)), *reader.end()]
    assert fold(answer) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 10_000), max_size=4), st.binary(max_size=3), st.integers(0, 400))
def test_damage_on_the_way_is_never_more_than_a_failed_upstream(
    places: list[int], junk: bytes, at: int
) -> None:
    chunk = piece({"text": "é", "thought": True}, {"functionCall": {"name": "f"}}, finish="STOP")
    stream = b"data: " + json.dumps(chunk | {"usageMetadata": USAGE}).encode() + b"\n\n"
    at %= len(stream)
    damaged = stream[:at] + junk + stream[at + 1 :]
    reader, _attempt = reading()
    with contextlib.suppress(UpstreamFailed, ContextTooLong):
        for data in cut(damaged, places):
            _ = list(reader.feed(data))
        _ = reader.end()
