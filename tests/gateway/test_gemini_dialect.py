"""Answers, streams and errors as a Gemini client reads them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from gemini_asking import BILL, GOOGLE, HEAD, HI, SIGNATURE, ask, parts_of, streamed, talk, whole
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from glasslipper.gateway.dialects.gemini import (
    Bill,
    ChunkEncoder,
    decode_count,
    decode_embed,
    encode_count,
    encode_embed,
    encode_error,
)
from glasslipper.kernel.errors import (
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
    Message,
    ReasoningPart,
    TextPart,
    ToolCall,
)
from glasslipper.kernel.usage import Usage


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
