from __future__ import annotations

import json

import pytest
from openai_peer import HI, KEY, OPENAI, call, chunk, http, sse

from glasslipper.gateway.providers.openai import OpenAICompatible
from glasslipper.gateway.transport import Transport
from glasslipper.kernel.errors import (
    ContextTooLong,
    GlasslipperError,
    SetupMissing,
    StreamBroken,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
)
from glasslipper.kernel.events import Finished, TextDelta


def test_a_missing_end_mark_is_tolerated_after_the_finish() -> None:
    outcome = call(sse(chunk({"content": "x"}, "stop"), done=False))
    assert outcome.answer.finish == "stop"


def test_a_stream_without_finish_just_ends() -> None:
    for done in (True, False):
        outcome = call(sse(chunk({"content": "x"}), done=done))
        assert outcome.error is None
        assert outcome.events[1:] == [TextDelta(text="x")]


@pytest.mark.parametrize(
    "data", ['{"choices":', "hello", "[]", '{"choices":[{"delta":{"content":5}}]}', "[" * 9999]
)
def test_a_malformed_frame_breaks_the_stream_after_what_came_before(data: str) -> None:
    outcome = call(sse(chunk({"content": "x"}), data, chunk({}, "stop")))
    assert isinstance(outcome.error, StreamBroken)
    assert TextDelta(text="x") in outcome.events
    assert not any(isinstance(event, Finished) for event in outcome.events)


def test_a_malformed_whole_answer_is_broken() -> None:
    for body in (b"", b"<html>", b'{"choices":"\xff"}'):
        assert isinstance(call(http(body), HI).error, StreamBroken)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "it burns", "code": None}, UpstreamFailed),
        ("it burns", UpstreamFailed),
        ({"code": 429, "message": "it burns"}, UpstreamRateLimited),
        ({"code": 502, "message": "it burns", "metadata": {}}, UpstreamRefused),
        ({"code": "context_length_exceeded", "message": "it burns"}, ContextTooLong),
    ],
)
def test_an_error_inside_a_good_answer_is_a_failure(
    error: object, kind: type[GlasslipperError]
) -> None:
    inside = call(sse(chunk({"content": "x"}), {"error": error}))
    assert TextDelta(text="x") in inside.events
    event = b"event: error\ndata: %b\n\n" % json.dumps(error).encode()
    named = call(http(event, kind="text/event-stream"))
    bare = call(http(json.dumps({"error": error}).encode()), HI)
    for outcome in (inside, named, bare):
        assert isinstance(outcome.error, kind)
        assert "it burns" in outcome.error.message


REFUSALS: list[tuple[int, object]] = [
    (500, {"error": {"message": "it burns", "type": "server_error", "code": None}}),
    (422, {"object": "error", "message": "it burns", "type": "invalid"}),
    (404, {"detail": "it burns"}),
    (422, {"detail": [{"loc": ["body"], "msg": "it burns"}]}),
    (400, [{"error": {"code": 400, "message": "it burns"}}]),
    (400, {"error": "it burns"}),
    (403, {"error": {"message": "it\r\n burns"}}),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_a_refusal_repeats_the_providers_words_and_status(status: int, body: object) -> None:
    error = call(http(json.dumps(body).encode(), status=status)).error
    assert isinstance(error, UpstreamRefused)
    assert error.upstream_status == status
    assert error.message == f"OpenAI answered {status}: it burns"


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"x" * 100_000, b"[" * 9999])
def test_of_an_error_page_only_the_status_is_told(body: bytes) -> None:
    error = call(http(body, status=502, kind="text/html")).error
    assert isinstance(error, UpstreamRefused)
    assert error.message == "OpenAI answered 502."


def test_a_redirect_is_not_followed() -> None:
    error = call(http(b"", status=302, more="location: http://127.0.0.1:1/\r\n")).error
    assert isinstance(error, UpstreamRefused)
    assert error.upstream_status == 302


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("", None),
        ("retry-after: 7\r\n", 7),
        ("retry-after: 1.2\r\n", 2),
        ("retry-after-ms: 1500\r\nretry-after: 9\r\n", 2),
        ("retry-after: -3\r\n", 0),
        ("retry-after: 1e300\r\n", 86_400),
        ("retry-after: nan\r\n", None),
        ("retry-after: soon\r\n", None),
        ("retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n", 0),
        ("retry-after: Wed, 21 Oct 9999 07:28:00 GMT\r\n", 86_400),
    ],
)
def test_a_pause_is_as_long_as_the_provider_says(header: str, wait_s: int | None) -> None:
    error = call(http(b"{}", status=429, more=header)).error
    assert isinstance(error, UpstreamRateLimited)
    assert error.retry_after_s == wait_s


def test_an_empty_account_is_no_reason_to_wait() -> None:
    body = json.dumps({"error": {"message": "quota", "code": "insufficient_quota"}}).encode()
    error = call(http(body, status=429)).error
    assert isinstance(error, UpstreamRefused)
    assert (error.upstream_status, error.retry_after_s) == (429, None)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "x", "code": "context_length_exceeded"}),
        (400, {"message": "x", "type": "exceed_context_size_error"}),
        (400, {"message": "This model's maximum context length is 8 tokens."}),
        (413, {"message": "Prompt is too long"}),
        (422, {"message": "too large for model with 32 maximum context length"}),
    ],
)
def test_a_prompt_that_does_not_fit_is_recognised(status: int, error: object) -> None:
    found = call(http(json.dumps({"error": error}).encode(), status=status)).error
    assert isinstance(found, ContextTooLong)
    assert found.param == "$.messages"


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_the_key_is_never_repeated(status: int) -> None:
    words = {"error": {"message": f"Incorrect API key provided: {KEY}. " + "x" * 600}}
    error = call(http(json.dumps(words).encode(), status=status)).error
    assert error is not None
    told = f"{error.message} {error.hint} {error!r}"
    assert KEY not in told
    assert len(error.message) < 600
    if status == 401:
        assert "Incorrect" not in told
        assert "OPENAI_API_KEY" in error.hint


def test_a_key_that_no_header_may_hold_is_refused_without_repeating_it() -> None:
    with pytest.raises(SetupMissing) as caught:
        OpenAICompatible(Transport(), OPENAI, key="sk-\nsecret")
    assert "secret" not in str(caught.value)
