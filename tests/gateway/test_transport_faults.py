"""Peers that break off, talk rubbish or are slow: each fault has its own error."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator

import pytest
from transport_peers import (
    OK,
    body_of,
    chat,
    eventually,
    gather,
    get,
    peer,
    request_of,
    run,
    saying,
    transport,
)

from glasslipper.gateway.transport import Origin, Timeouts
from glasslipper.kernel.errors import (
    StreamBroken,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from glasslipper.testing import FakeUpstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as it:
        yield it


# What breaks


@pytest.mark.parametrize(
    ("answer", "error", "got"),
    [
        (b"", UpstreamUnreachable, b""),
        (b"HTTP/1.1 200 O", StreamBroken, b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", StreamBroken, b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", StreamBroken, b"ok"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", StreamBroken, b""),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
            StreamBroken,
            b"ok",
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
            StreamBroken,
            b"ok",
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nrubbish\r\n",
            StreamBroken,
            b"ok",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
            StreamBroken,
            b"",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            StreamBroken,
            b"",
        ),
        (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", StreamBroken, b""),
        (b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", StreamBroken, b""),
        (b"HTTP/1.1 101 Switch\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", StreamBroken, b""),
        (b"SSH-2.0-OpenSSH\r\n", StreamBroken, b""),
        (b"HTTP/1.1 200 OK\r\na: " + b"b" * 200_000, StreamBroken, b""),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 40_000 + b"\r\n", StreamBroken, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000 + OK, StreamBroken, b""),
    ],
)
def test_a_broken_answer_is_an_error_after_what_came_whole(
    answer: bytes, error: type[UpstreamFailed], got: bytes
) -> None:
    async def main() -> None:
        async with peer(saying(answer)) as origin, transport() as it:
            pieces: list[bytes] = []
            with pytest.raises(error):
                await gather(get(it, origin), pieces)
            assert b"".join(pieces) == got
            await eventually(lambda: it.connections == 0)

    run(main())


def test_the_faults_of_a_provider_are_told_apart(upstream: FakeUpstream) -> None:
    async def main() -> None:
        origin, _ = Origin.parse(upstream.url)
        async with transport() as it:
            for fault, error in (
                ("refuse", UpstreamUnreachable),
                ("reset", StreamBroken),
                ("cut", StreamBroken),
                ("malformed_http", StreamBroken),
                ("wrong_length", StreamBroken),
            ):
                pieces: list[bytes] = []
                with pytest.raises(error):
                    await gather(get(it, origin, **chat(f"fake?fault={fault}&after=4")), pieces)
                expected = {"refuse": 0, "wrong_length": 17}.get(fault, 5)
                assert b"".join(pieces).count(b"\n\n") == expected, fault

    run(main())


def test_nobody_listening_is_unreachable() -> None:
    async def main() -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            origin = Origin("http", "127.0.0.1", bound.getsockname()[1])
            async with transport() as it:
                with pytest.raises(UpstreamUnreachable, match="cannot connect"):
                    await get(it, origin)

    run(main())


def test_an_answer_longer_than_the_limit_is_an_error_and_stops_the_provider(
    upstream: FakeUpstream,
) -> None:
    async def main() -> None:
        origin, _ = Origin.parse(upstream.url)
        async with transport() as it:
            reply = await get(it, origin, **chat("fake?tokens=500&gap_ms=1"))
            with pytest.raises(StreamBroken, match="longer than 2000"):
                await reply.read(limit_bytes=2000)
            number = upstream.calls()[-1]["n"]
            await eventually(lambda: number in upstream.gone())
            whole = await get(it, origin, **chat("fake?tokens=500", stream=False))
            with pytest.raises(StreamBroken, match="longer than 100"):
                await whole.read(limit_bytes=100)

    run(main())


# Time


@pytest.mark.parametrize(
    ("model", "limits", "name"),
    [
        ("fake?delay_ms=20000", {"first_byte_s": 0.2}, "first_byte_s"),
        ("fake?fault=stall&after=3", {"between_bytes_s": 0.2}, "between_bytes_s"),
        ("fake?tokens=1000&gap_ms=20", {"total_s": 0.5, "between_bytes_s": 0.4}, "total_s"),
    ],
)
def test_a_slow_provider_exceeds_the_limit_that_the_error_names(
    upstream: FakeUpstream, model: str, limits: dict[str, float], name: str
) -> None:
    async def main() -> None:
        origin, _ = Origin.parse(upstream.url)
        async with transport() as it:
            began_s = asyncio.get_running_loop().time()
            with pytest.raises(UpstreamTimeout, match=name):
                await body_of(it, origin, **chat(model), timeouts=Timeouts(**limits))
            assert asyncio.get_running_loop().time() - began_s >= limits[name]
            number = upstream.calls()[-1]["n"]
            await eventually(lambda: number in upstream.gone())

    run(main())


def test_a_peer_that_never_shakes_hands_exceeds_connect_s() -> None:
    async def main() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with peer(handler) as plain, transport() as it:
            mute = Origin("https", "127.0.0.1", plain.port)
            with pytest.raises(UpstreamTimeout, match="connect_s"):
                await get(it, mute, timeouts=Timeouts(connect_s=0.3))

    run(main())


def test_a_lagging_reader_is_not_the_providers_silence() -> None:
    async def main() -> None:
        size_bytes = 8 << 20
        head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size_bytes
        async with peer(saying(head + b"x" * size_bytes)) as origin, transport() as it:
            reply = await get(it, origin, timeouts=Timeouts(between_bytes_s=0.2))
            await asyncio.sleep(0.8)  # the lag itself, four times the limit
            assert len(await reply.read(limit_bytes=size_bytes)) == size_bytes

    run(main())


def test_a_peer_that_hangs_up_or_talks_first_is_unreachable() -> None:
    async def main() -> None:
        for greeting in (b"", b"220 ready\r\n"):

            async def handler(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                greeting: bytes = greeting,
            ) -> None:
                writer.write(greeting)
                writer.write_eof()
                await reader.read()

            async with peer(handler) as origin, transport() as it:
                for _ in range(20):
                    with pytest.raises((UpstreamUnreachable, StreamBroken)):
                        await body_of(it, origin, body=b"x" * 1000)
                await eventually(lambda it=it: it.connections == 0)

    run(main())


def test_a_reset_before_the_answer_is_unreachable() -> None:
    async def main() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            link = writer.get_extra_info("socket")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        async with peer(handler) as origin, transport() as it:
            with pytest.raises(UpstreamUnreachable):
                await get(it, origin)

    run(main())
