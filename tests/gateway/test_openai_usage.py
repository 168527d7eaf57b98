from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from openai_peer import HI, OPENAI, call, chunk, http, sse, whole

from glasslipper.gateway.providers.openai.answer import Reading
from glasslipper.gateway.providers.openai.refusal import Refusals
from glasslipper.kernel.events import Finished, Spent
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.usage import Usage


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2.0}, Usage(input=5, output=2)),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "prompt_cache_hit_tokens": 3},
            Usage(input=2, cache_read=3, output=2),
        ),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 4},
            Usage(input=1, cache_read=4, output=2),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 10,
                "prompt_tokens_details": {
                    "cached_tokens": 2,
                    "cache_write_tokens": 3,
                    "audio_tokens": 1,
                    "image_tokens": 1,
                },
                "completion_tokens_details": {
                    "reasoning_tokens": 4,
                    "audio_tokens": 2,
                    "image_tokens": 1,
                },
            },
            Usage(
                input=3,
                cache_read=2,
                cache_write=3,
                input_audio=1,
                input_image=1,
                output=3,
                reasoning=4,
                output_audio=2,
                output_image=1,
            ),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 35,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(input=10, output=5, reasoning=20),
        ),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": -7,
                "prompt_tokens_details": {"cached_tokens": 9},
            },
            Usage(cache_read=3),
        ),
        (
            {"completion_tokens": 2, "total_tokens": 9, "prompt_tokens_details": None},
            Usage(input=7, output=2),
        ),
        ({"prompt_tokens": 1, "cost": 1e-9}, Usage(input=1, reported_nanousd=1)),
        ({"prompt_tokens": 1, "cost": 0}, Usage(input=1, reported_nanousd=0)),
        ({"prompt_tokens": 1, "cost": -5}, Usage(input=1)),
        ({"prompt_tokens": 1, "cost": "NaN"}, Usage(input=1)),
    ],
)
def test_usage_is_told_apart_into_classes(told: object, usage: Usage) -> None:
    answer = call(whole({"content": "x"}, usage=told), HI).answer
    assert answer.usage == structs.replace(usage, requests=1)


def test_a_monstrous_cost_is_not_believed() -> None:
    body = (
        b'{"choices":[{"message":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"cost":%b}}'
    )
    for cost in (b"1E+999999999", b"1e400", b"10000000"):
        usage = call(http(body % cost), HI).answer.usage
        assert usage is not None
        assert usage.reported_nanousd is None


COUNTS = st.none() | st.integers(-5, 50) | st.floats(0, 50)


@given(
    prompt=st.integers(1, 50),
    completion=st.integers(0, 50),
    inner=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["cached_tokens", "cache_write_tokens", "audio_tokens"], COUNTS)
    ),
    outer=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["reasoning_tokens", "audio_tokens"], COUNTS)
    ),
)
@settings(deadline=None)
def test_classes_add_up_to_what_the_provider_counts(
    prompt: int, completion: int, inner: dict[str, Any], outer: dict[str, Any]
) -> None:
    told = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": inner,
        "completion_tokens_details": outer,
    }
    attempt = Attempted(id="a", request=HI, upstream_model="m")
    body = {"choices": [{"message": {}, "finish_reason": "stop"}], "usage": told}
    Reading(attempt, Refusals(OPENAI, None)).take(json.dumps(body).encode())
    usage = attempt.usage or Usage()
    assert usage.prompt_tokens == prompt
    reasoning = int(outer.get("reasoning_tokens") or 0)
    added = reasoning if reasoning > completion else 0
    assert usage.completion_tokens == completion + added
    assert all(value >= 0 for value in structs.asdict(usage).values() if value is not None)


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk({"content": "x"}, "stop", usage={"prompt_tokens": 1, "completion_tokens": 2})],
        [
            chunk({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 1}),
            chunk({}, "stop", usage={"prompt_tokens": 1, "completion_tokens": 2}),
        ],
        [
            chunk({"content": "x"}, "stop"),
            {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
        ],
        [
            chunk({"content": "x"}, "stop"),
            chunk({"content": ""}, usage={"prompt_tokens": 1, "completion_tokens": 2}),
        ],
        [
            chunk({"content": "x"}),
            chunk({}, "stop", x_groq={"usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
        ],
    ],
    ids=["with the end", "in every chunk", "alone", "with an empty delta", "Groq"],
)
def test_usage_is_found_in_whichever_chunk_it_comes(chunks: list[object]) -> None:
    outcome = call(sse(*chunks))
    assert outcome.events[-2:] == [
        Finished(reason="stop", native="stop"),
        Spent(usage=Usage(input=1, output=2, requests=1)),
    ]


def test_without_usage_nothing_is_spent() -> None:
    outcome = call(sse(chunk({"content": "x"}, "stop", usage=None)))
    assert outcome.events[-1] == Finished(reason="stop", native="stop")
    assert outcome.attempt.usage is None


def test_a_json_answer_to_a_stream_request_is_understood() -> None:
    assert call(whole({"content": "x"})).answer.text == "x"


def test_frames_may_be_framed_oddly() -> None:
    body = (
        b"\xef\xbb\xbf: comment\r\n\r\n"
        b'event: message\r\ndata: {"choices":[{"delta":\r\n'
        b'data: {"content":"\xf0\x9f\x98\x80"}}]}\r\n\r\n'
        b'data:{"choices":[{"delta":{},"finish_reason":"stop"}]}\r\r'
        b"data: [DONE]\r\n\r\n"
        b"data: whatever follows\r\n\r\n"
    )
    assert (
        call(http(body, kind="text/event-stream; charset=utf-8")).answer.text == "\N{GRINNING FACE}"
    )
