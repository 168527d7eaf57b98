from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from msgspec import structs
from openai_peer import HI, WAIT_S, Peer, calling, http, listening

from glasslipper.gateway.transport import Timeouts
from glasslipper.kernel.errors import (
    GlasslipperError,
    StreamBroken,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from glasslipper.kernel.events import Event, Finished, fold
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.usage import Usage
from glasslipper.testing import FakeUpstream


@pytest.fixture(scope="module")
def fake() -> Iterable[FakeUpstream]:
    with FakeUpstream(tokens=3) as upstream:
        yield upstream


def ask_fake(
    fake: FakeUpstream, knobs: str, *, stream: bool = True, timeouts: Timeouts | None = None
) -> tuple[list[Event], GlasslipperError | None]:
    async def run() -> tuple[list[Event], GlasslipperError | None]:
        request = structs.replace(HI, stream=stream)
        attempt = Attempted(id="att-9", request=request, upstream_model=f"fake?{knobs}")
        events: list[Event] = []
        async with calling(fake.url, timeouts=timeouts) as upstream:
            try:
                async for event in upstream.send(attempt):
                    events.append(event)  # noqa: PERF401 - they are kept when it fails
            except GlasslipperError as error:
                return events, error
        return events, None

    return asyncio.run(asyncio.wait_for(run(), WAIT_S))


@pytest.mark.parametrize("stream", [True, False])
def test_the_fake_provider_answers(fake: FakeUpstream, *, stream: bool) -> None:
    knobs = "text=Hello+there&cached_tokens=4&reasoning_tokens=1&cost=0.0000015"
    events, error = ask_fake(fake, knobs, stream=stream)
    assert error is None
    answer = fold(events)
    assert answer.text == "Hello there"
    assert answer.usage == Usage(
        input=6, cache_read=4, output=1, reasoning=1, requests=1, reported_nanousd=1500
    )
    assert fake.calls()[-1]["request_id"] == "att-9"


@pytest.mark.parametrize("stream", [True, False])
def test_the_fake_provider_calls_a_tool(fake: FakeUpstream, *, stream: bool) -> None:
    events, _error = ask_fake(fake, "tool=weather", stream=stream)
    (made,) = fold(events).tool_calls
    assert (made.name, made.arguments) == ("weather", '{"city": "Paris"}')


@pytest.mark.parametrize(
    ("knobs", "kind"),
    [
        ("fault=refuse", UpstreamUnreachable),
        ("fault=cut&after=1", StreamBroken),
        ("fault=reset&after=1", StreamBroken),
        ("fault=malformed_json&after=1", StreamBroken),
        ("fault=malformed_http&after=1", StreamBroken),
        ("fault=huge_frame&after=1", StreamBroken),
        ("fault=error_event&after=1", UpstreamFailed),
        ("status=503", UpstreamRefused),
        ("status=429&retry_after=3", UpstreamRateLimited),
    ],
)
def test_every_fault_of_a_stream_has_its_error(
    fake: FakeUpstream, knobs: str, kind: type[GlasslipperError]
) -> None:
    events, error = ask_fake(fake, knobs)
    assert isinstance(error, kind)
    assert not any(isinstance(event, Finished) for event in events)


def test_a_provider_that_falls_silent_times_out(fake: FakeUpstream) -> None:
    _events, error = ask_fake(fake, "fault=stall&after=1", timeouts=Timeouts(between_bytes_s=0.3))
    assert isinstance(error, UpstreamTimeout)


def test_the_fake_provider_embeds(fake: FakeUpstream) -> None:
    async def run() -> None:
        async with calling(fake.url) as upstream:
            result = await upstream.embed("fake?dimensions=4", ["a", "b", "c"], None)
            assert result.vectors == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
            assert result.tokens == 10
            with pytest.raises(UpstreamRateLimited):
                await upstream.embed("fake?status=429", ["a"], 4)

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def test_what_embedding_cost_is_told_where_the_provider_says_it() -> None:
    async def run() -> None:
        body = b'{"data":[{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":3,"cost":0.000002}}'
        async with listening(Peer(http(body))) as url, calling(url) as upstream:
            result = await upstream.embed("m", ["a"], None)
            assert (result.tokens, result.reported_nanousd) == (3, 2_000)

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[]}',
        b'{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}',
        b'{"data":[{"index":5,"embedding":[1]},{"index":0,"embedding":[1]}]}',
        b'{"data":[{"index":0,"embedding":["x"]}]}',
        b"no",
    ],
)
def test_vectors_that_are_not_one_for_each_text_are_refused(body: bytes) -> None:
    async def run() -> None:
        async with listening(Peer(http(body))) as url, calling(url) as upstream:
            with pytest.raises(StreamBroken):
                await upstream.embed("m", ["a", "b"], 8)

    asyncio.run(asyncio.wait_for(run(), WAIT_S))
