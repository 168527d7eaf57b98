"""What Google's answers, errors and vectors become."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from gemini_peer import (
    GOOGLE,
    HI,
    HI_STREAM,
    KEY,
    MODEL,
    SIGNATURE,
    USAGE,
    WAIT_S,
    Peer,
    call,
    calling,
    failing,
    http,
    listening,
    piece,
    sse,
    whole,
)

from glasslipper.gateway.transport import Timeouts
from glasslipper.kernel.errors import (
    ContextTooLong,
    GlasslipperError,
    StreamBroken,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from glasslipper.kernel.events import (
    Finished,
    ReasoningDelta,
    Spent,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)
from glasslipper.kernel.messages import (
    ReasoningPart,
)
from glasslipper.kernel.ports import Attempted, EmbeddingResult
from glasslipper.kernel.usage import Usage

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
        Started(model="real", upstream_id="up-1", dialect="gemini"),
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
    finished, spent = outcome.events
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.native) == ("content_filter", "PROHIBITED_CONTENT")
    assert json.loads(bytes(finished.more["promptFeedback"])) == blocked["promptFeedback"]
    assert spent == Spent(usage=SPENT)


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
