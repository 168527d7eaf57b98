"""What Anthropic's answers and errors become."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import Any

import pytest
from anthropic_peer import (
    HI,
    HI_STREAM,
    KEY,
    START,
    STOP,
    TOOL_STREAM,
    WAIT_S,
    Peer,
    call,
    calling,
    ends,
    failure,
    grows,
    http,
    opens,
    sse,
    stream,
    whole,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from glasslipper.gateway.dialects.messages.kinds import FORMAT
from glasslipper.gateway.providers.anthropic import Anthropic
from glasslipper.gateway.providers.anthropic.answer import Reading
from glasslipper.gateway.providers.anthropic.refusal import Refusals
from glasslipper.gateway.transport import Timeouts, Transport
from glasslipper.kernel.errors import (
    ContextTooLong,
    GlasslipperError,
    StreamBroken,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from glasslipper.kernel.events import (
    Event,
    Finished,
    ReasoningDelta,
    Spent,
    Started,
    TextDelta,
    fold,
)
from glasslipper.kernel.messages import (
    ReasoningPart,
    ToolCall,
)
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.usage import Usage


def test_a_stream_becomes_events() -> None:
    outcome = call(stream(*TOOL_STREAM))
    answer = outcome.answer
    assert outcome.events[0] == Started(
        model="real", upstream_id="msg_1", service_tier="standard", dialect="messages"
    )
    assert answer.text == "Höllo"
    assert answer.reasoning == (
        ReasoningPart(text="Let me see…", signature="c2ln", format=FORMAT),
        ReasoningPart(encrypted="ZGF0YQ", format=FORMAT),
    )
    assert answer.tool_calls == (
        ToolCall(id="toolu_1", name="f", arguments='{"x":1}'),
        ToolCall(id="toolu_2", name="g", arguments="{}"),
    )
    assert (answer.finish, answer.native_finish) == ("tool_calls", "tool_use")
    assert answer.usage == Usage(
        input=11,
        cache_read=200,
        cache_write=10,
        cache_write_1h=20,
        output=30,
        reasoning=12,
        requests=1,
    )
    assert outcome.attempt.usage == answer.usage


def test_a_whole_answer_becomes_the_same_kinds_of_events() -> None:
    outcome = call(
        http(
            whole(
                {"type": "thinking", "thinking": "t", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "ZA"},
                {"type": "text", "text": "Hello"},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1.50}},
                reason="tool_use",
                cache_creation_input_tokens=4,
                server_tool_use={"web_search_requests": 2},
            )
        ),
        HI,
    )
    answer = outcome.answer
    assert answer.text == "Hello"
    assert [part.format for part in answer.reasoning] == [FORMAT, FORMAT]
    assert [call.name for call in answer.tool_calls] == ["f"]
    assert json.loads(answer.tool_calls[0].arguments) == {"x": 1.5}
    assert answer.usage == Usage(input=5, cache_write=4, output=9, requests=1, searches=2)
    assert isinstance(outcome.events[-1], Spent)
    assert isinstance(outcome.events[-2], Finished)


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_why_an_answer_ended_keeps_the_providers_word(native: str, reason: str) -> None:
    for answer, request in (
        (stream(START, ends(native), STOP), HI_STREAM),
        (http(whole(reason=native)), HI),
    ):
        told = call(answer, request).answer
        assert (told.finish, told.native_finish) == (reason, native)


def test_a_stream_without_its_last_event_just_ends() -> None:
    for last in ((), (ends(),)):
        outcome = call(stream(START, opens(0, type="text", text="Hi"), *last))
        assert outcome.error is None
        assert outcome.answer.text == "Hi"
        assert outcome.answer.finish is None


def test_a_whole_answer_that_does_not_say_why_it_ended_is_not_whole() -> None:
    assert call(http(whole(reason=None)), HI).answer.finish is None


def test_usage_is_known_from_the_first_event_on_and_after_leaving() -> None:
    async def run() -> tuple[Usage | None, Usage | None]:
        peer = Peer(
            stream(
                START,
                opens(0, type="text", text=""),
                grows(0, "text_delta", text="abcdefghij"),
            ),
            hangs=True,
        )
        attempt = Attempted(id="att-1", request=HI_STREAM, upstream_model="real")
        async with calling(peer) as upstream:
            events = upstream.send(attempt)
            assert isinstance(await anext(events), Started)
            first = attempt.usage
            assert await anext(events) == TextDelta(text="abcdefghij")
            await events.aclose()
            await peer.left.wait()
        return first, attempt.usage

    first, last = asyncio.run(asyncio.wait_for(run(), WAIT_S))
    known = Usage(input=11, cache_read=200, cache_write=10, cache_write_1h=20, output=1, requests=1)
    assert first == known
    assert last == structs.replace(known, output=3)


def test_an_error_event_ends_the_stream_with_the_error() -> None:
    event = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    outcome = call(stream(START, opens(0, type="text", text="Hi"), event))
    assert TextDelta(text="Hi") in outcome.events
    assert isinstance(outcome.error, UpstreamRefused)
    assert outcome.error.upstream_status == 529
    assert "Overloaded" in outcome.error.message


def test_an_error_in_a_200_answer_is_an_error() -> None:
    outcome = call(http(failure("api_error", "Boom")), HI)
    assert isinstance(outcome.error, UpstreamRefused)
    assert outcome.error.upstream_status == 500


def test_a_failure_before_anything_came_costs_nothing() -> None:
    event = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert call(stream(START, event)).attempt.usage is None
    later = call(stream(START, opens(0, type="text", text="Hi there"), event)).attempt.usage
    assert later is not None
    assert (later.input, later.output) == (11, 2)


def test_tokens_are_counted_by_the_provider() -> None:
    async def run() -> tuple[int, Peer]:
        peer = Peer(http(b'{"input_tokens": 17}'))
        async with calling(peer) as upstream:
            return await upstream.count(HI_STREAM, upstream_model="real"), peer

    tokens, peer = asyncio.run(asyncio.wait_for(run(), WAIT_S))
    assert tokens == 17
    assert peer.heads[0].startswith("POST /v1/messages/count_tokens HTTP/1.1\r\n")
    assert set(peer.bodies[0]) == {"model", "messages"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http(b"{}"), StreamBroken),
        (http(failure("rate_limit_error", "x"), status=429), UpstreamRateLimited),
    ],
)
def test_a_count_that_fails_raises(answer: bytes, error: type[GlasslipperError]) -> None:
    async def run() -> None:
        async with calling(Peer(answer)) as upstream:
            await upstream.count(HI, upstream_model="real")

    with pytest.raises(error):
        asyncio.run(asyncio.wait_for(run(), WAIT_S))


@pytest.mark.parametrize(
    ("status", "kind", "words", "error"),
    [
        (400, "invalid_request_error", "max_tokens: too large", UpstreamRefused),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8", ContextTooLong),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 9 + 3 > 8",
            ContextTooLong,
        ),
        (402, "billing_error", "credit balance is too low", UpstreamRefused),
        (404, "not_found_error", "model: x", UpstreamRefused),
        (413, "request_too_large", "Request too large", UpstreamRefused),
        (429, "rate_limit_error", "slow down", UpstreamRateLimited),
        (500, "api_error", "Internal", UpstreamRefused),
        (529, "overloaded_error", "Overloaded", UpstreamRefused),
    ],
)
def test_refusals_keep_status_and_words(
    status: int, kind: str, words: str, error: type[GlasslipperError]
) -> None:
    told = call(http(failure(kind, words), status=status, more="retry-after: 7\r\n")).error
    assert type(told) is error
    assert words in told.message
    if isinstance(told, UpstreamRefused):
        assert told.upstream_status == status
    if not isinstance(told, ContextTooLong):
        assert told.retry_after_s == 7


@pytest.mark.parametrize("status", [401, 403])
def test_words_about_the_key_are_not_repeated(status: int) -> None:
    told = call(http(failure("authentication_error", "invalid sk-ant-ver"), status=status)).error
    assert isinstance(told, UpstreamRefused)
    assert "sk-ant" not in told.message
    assert "ANTHROPIC_API_KEY" in told.hint
    other = call(http(failure("invalid_request_error", f"bad {KEY}"), status=400)).error
    assert other is not None
    assert KEY not in other.message


def test_a_refusal_that_is_no_json_is_still_a_refusal() -> None:
    told = call(http(b"<html>502</html>", status=502, kind="text/html")).error
    assert isinstance(told, UpstreamRefused)
    assert told.upstream_status == 502


def test_a_refusal_too_long_to_read_says_nothing() -> None:
    told = call(http(b"x" * 100_000, status=500)).error
    assert isinstance(told, UpstreamRefused)
    assert told.message == "Anthropic answered 500."
    long = call(http(failure("api_error", "x" * 600), status=500)).error
    assert long is not None
    assert long.message.endswith("x…")
    assert len(long.message) < 600


def test_an_error_of_an_unknown_kind_is_a_failure() -> None:
    told = call(http(b'{"type":"error","error":"Boom"}'), HI).error
    assert type(told) is UpstreamFailed
    assert "Boom" in told.message


def test_the_connection_is_used_again_after_a_whole_stream() -> None:
    wire = sse(START, ends(), STOP)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = next(line for line in head.split("\r\n") if "content-length" in line)
                await reader.readexactly(int(size.split(":")[1]))
                kind = "content-type: text/event-stream\r\ntransfer-encoding: chunked"
                writer.write(f"HTTP/1.1 200 OK\r\n{kind}\r\n\r\n".encode())
                writer.write(b"%x\r\n%b\r\n" % (len(wire), wire))
                await writer.drain()
                writer.write(b"0\r\n\r\n")
                await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        transport = Transport()
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        upstream = Anthropic(transport, key=KEY, base_url=url)
        for number in range(3):
            attempt = Attempted(id=f"att-{number}", request=HI_STREAM, upstream_model="real")
            events = [event async for event in upstream.send(attempt)]
            assert fold(events).finish == "stop"
        await transport.close()
        server.close()
        await server.wait_closed()

    connections = 0
    asyncio.run(asyncio.wait_for(run(), WAIT_S))
    assert connections == 1


def test_silence_is_a_timeout() -> None:
    async def run() -> None:
        peer = Peer(stream(START), hangs=True)
        attempt = Attempted(id="att-1", request=HI_STREAM, upstream_model="real")
        async with calling(peer, timeouts=Timeouts(between_bytes_s=0.2)) as upstream:
            with pytest.raises(UpstreamTimeout):
                async for _event in upstream.send(attempt):
                    pass

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def reading() -> Reading:
    attempt = Attempted(id="att-1", request=HI_STREAM, upstream_model="real")
    return Reading(attempt, Refusals(KEY))


def read(pieces: list[bytes]) -> list[Event]:
    reads = reading()
    events = [event for piece in pieces for event in reads.feed(piece)]
    return events + reads.end()


@given(st.sets(st.integers(1, len(sse(*TOOL_STREAM)) - 1), max_size=30))
@settings(max_examples=60)
def test_it_does_not_matter_where_a_stream_is_cut(cuts: set[int]) -> None:
    wire = sse(*TOOL_STREAM)
    edges = [0, *sorted(cuts), len(wire)]
    pieces = [wire[start:end] for start, end in itertools.pairwise(edges)]
    assert read(pieces) == read([wire])


def test_line_ends_comments_and_missing_event_names_do_not_matter() -> None:
    wire = sse(*TOOL_STREAM)
    crlf = b": hello\r\n\r\n" + wire.replace(b"\n", b"\r\n")
    bare = b"".join(line + b"\n" for line in wire.split(b"\n") if not line.startswith(b"event:"))
    assert read([crlf]) == read([wire])
    assert read([bare]) == read([wire])


def test_a_service_that_sends_arguments_at_once_is_understood() -> None:
    events = read([sse(START, opens(0, type="tool_use", id="a", name="f", input={"x": 1}), STOP)])
    (made,) = fold(events).tool_calls
    assert json.loads(made.arguments) == {"x": 1}
    assert fold(events).finish == "tool_calls"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
ODD = st.fixed_dictionaries(
    {"type": st.sampled_from([event["type"] for event in TOOL_STREAM] + ["error", "odd"])},
    optional={
        "index": st.integers(0, 3) | JSON,
        "delta": st.dictionaries(st.sampled_from(["type", "text", "stop_reason"]), JSON) | JSON,
        "content_block": st.dictionaries(st.sampled_from(["type", "text", "input"]), JSON) | JSON,
        "message": st.dictionaries(st.sampled_from(["usage", "content", "id"]), JSON) | JSON,
        "usage": st.dictionaries(st.sampled_from(["input_tokens", "output_tokens"]), JSON) | JSON,
        "error": JSON,
    },
)


@given(st.lists(ODD | st.sampled_from(TOOL_STREAM), max_size=6), st.binary(max_size=20))
@settings(max_examples=200)
def test_whatever_comes_back_only_our_errors_are_raised(events: list[Any], rest: bytes) -> None:
    for feed in (lambda: read([sse(*events), rest]), lambda: reading().whole(rest)):
        try:
            told = fold(feed())
        except (UpstreamFailed, ContextTooLong):
            continue
        if told.usage is not None:
            assert min(told.usage.prompt_tokens, told.usage.output, told.usage.reasoning) >= 0


def test_arguments_that_are_not_utf8_break_the_answer() -> None:
    made = opens(0, type="tool_use", id="a", name="f", input={"x": "BAD"})
    with pytest.raises(StreamBroken):
        read([sse(START, made).replace(b"BAD", b"\xff")])


@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff", b'{"type":3}', b"[" * 100_000])
def test_a_malformed_frame_breaks_the_stream(data: bytes) -> None:
    with pytest.raises(StreamBroken):
        read([b"data: " + data + b"\n\n"])


def test_thinking_of_an_unknown_block_is_still_thinking() -> None:
    events = read([sse(START, grows(7, "thinking_delta", thinking="t"), ends(), STOP)])
    assert ReasoningDelta(text="t", format=FORMAT) in events
