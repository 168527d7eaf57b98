from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from glasslipper.gateway.dialects.chat import Bill, ChunkEncoder, Head, encode_answer
from glasslipper.kernel.errors import StreamBroken
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
from glasslipper.kernel.messages import ReasoningPart, ToolCall
from glasslipper.kernel.money import Price
from glasslipper.kernel.usage import Usage

HEAD = Head(id="gen-01", model="maker/model", created_s=1_790_000_000, provider="local")
BILL = Bill(
    usage=Usage(input=3, cache_read=7, cache_write=2, output=4, reasoning=5),
    cost_nanousd=150_600,
    upstream_nanousd=100_000,
    price=Price(input=2_000_000_000, output=4_000_000_000),
)


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
        "cost_details": {
            "upstream_inference_cost": 0.0001,
            "upstream_inference_prompt_cost": 0.00004,
            "upstream_inference_completions_cost": 0.00006,
        },
        "is_byok": False,
    }


def test_a_cost_is_split_by_the_price_and_where_nobody_knows_one_not_at_all() -> None:
    usage = Usage(input=1_000, output=10)
    price = Price(input=150_000_000, output=600_000_000)
    priced = Bill(usage=usage, cost_nanousd=0, upstream_nanousd=156_000, price=price)
    assert priced.parts_nanousd == (150_000, 6_000)
    reported = Bill(usage=usage, cost_nanousd=0, upstream_nanousd=78_000, price=price)
    assert reported.parts_nanousd == (75_000, 3_000)
    assert Bill(usage=usage, cost_nanousd=0, upstream_nanousd=78_000).parts_nanousd is None
    assert Bill(usage=usage, cost_nanousd=0, upstream_nanousd=0).parts_nanousd is None
    free = Usage(input=1_000, reported_nanousd=0)
    assert Bill(usage=free, cost_nanousd=0, upstream_nanousd=0).parts_nanousd == (0, 0)
    body = json.loads(encode_answer(Answer(), HEAD, Bill(usage=usage, cost_nanousd=7)))
    assert body["usage"]["cost_details"] is None


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
