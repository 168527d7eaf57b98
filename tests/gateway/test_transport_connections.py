"""How the upstream client keeps, drops and closes its connections."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator

import pytest
from transport_peers import (
    MANY_BYTES,
    OK,
    Counting,
    body_of,
    chat,
    eventually,
    get,
    peer,
    request_of,
    run,
    transport,
)

from glasslipper.gateway.transport import Origin, Reply, Transport
from glasslipper.kernel.errors import (
    StreamBroken,
    UpstreamUnreachable,
)
from glasslipper.testing import FakeUpstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as it:
        yield it


# Connections


def test_calls_one_after_another_share_a_connection() -> None:
    async def main() -> None:
        counting = Counting()
        async with peer(counting) as origin, transport() as it:
            for _ in range(5):
                assert await body_of(it, origin) == b"ok"
            assert (counting.opened, counting.asked) == (1, 5)

    run(main())


def test_calls_at_the_same_time_get_each_its_own_answer() -> None:
    async def main() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                _, body = await request_of(reader)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

        async with peer(echo) as origin, transport() as it:
            for _ in range(3):
                bodies = [b"%d" % index * (index * 50) for index in range(40)]
                asked = [body_of(it, origin, body=body) for body in bodies]
                assert await asyncio.gather(*asked) == bodies
            assert it.connections == 40

    run(main())


def test_no_more_connections_rest_than_allowed() -> None:
    async def main() -> None:
        counting = Counting()
        async with peer(counting) as origin, transport(max_idle_per_origin=1) as it:
            replies = [await get(it, origin) for _ in range(1)]
            await asyncio.gather(*[body_of(it, origin) for _ in range(8)])
            assert await replies[0].read(limit_bytes=2) == b"ok"
            await eventually(lambda: counting.opened - counting.closed == 1)
            assert it.connections == 1

    run(main())


def test_a_connection_that_rested_too_long_is_closed() -> None:
    async def main() -> None:
        counting = Counting()
        async with peer(counting) as origin, transport(idle_s=0.2) as it:
            await body_of(it, origin)
            await eventually(lambda: counting.closed == 1 and it.connections == 0)

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        OK + b"HTTP/1.1 2",
        OK + b"rubbish",
    ],
)
def test_a_connection_is_not_used_again_when_its_answer_forbids_it(answer: bytes) -> None:
    async def main() -> None:
        counting = Counting(answer)
        async with peer(counting) as origin, transport() as it:
            for _ in range(3):
                assert await body_of(it, origin) == b"ok"
            assert counting.opened == 3

    run(main())


def test_a_connection_that_speaks_or_ends_while_it_rests_is_dropped_at_once() -> None:
    async def main() -> None:
        for late in (b"", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"):
            speak = asyncio.Event()

            async def handler(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                late: bytes = late,
                speak: asyncio.Event = speak,
            ) -> None:
                await request_of(reader)
                writer.write(OK)
                await speak.wait()
                writer.write(late)

            async with peer(handler) as origin, transport() as it:
                assert await body_of(it, origin) == b"ok"
                assert it.connections == 1
                speak.set()
                await eventually(lambda it=it: it.connections == 0)
                assert await body_of(it, origin) == b"ok"

    run(main())


def test_nothing_is_ever_sent_twice() -> None:
    async def main() -> None:
        asked = 0

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            await request_of(reader)
            writer.write(OK)
            await request_of(reader)
            asked += 1  # and close without a word, like a server whose patience ended

        async with peer(handler) as origin, transport() as it:
            assert await body_of(it, origin) == b"ok"
            with pytest.raises(UpstreamUnreachable, match="without an answer"):
                await get(it, origin, body=b"{}")
            assert asked == 1

    run(main())


def test_an_answer_before_the_request_is_sent_is_given_and_the_connection_dropped() -> None:
    async def main() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            await asyncio.Event().wait()

        async with peer(handler, limit=1024) as origin, transport() as it:
            reply = await get(it, origin, body=b"x" * (64 << 20))
            assert reply.status == 413
            assert await reply.read(limit_bytes=0) == b""
            await eventually(lambda: it.connections == 0)

    run(main())


def test_a_provider_is_held_back_while_nobody_reads() -> None:
    async def main() -> None:
        size_bytes = 64 << 20
        sent_bytes = 0
        blocked = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent_bytes
            await request_of(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size_bytes)
            while sent_bytes < size_bytes:
                writer.write(b"x" * 65536)
                sent_bytes += 65536
                try:
                    await asyncio.wait_for(writer.drain(), 1.0)
                except TimeoutError:
                    blocked.set()
                    await writer.drain()
            await reader.read()

        async with peer(handler) as origin, transport() as it:
            reply = await get(it, origin)
            await blocked.wait()
            assert sent_bytes < 32 << 20
            assert len(await reply.read(limit_bytes=size_bytes)) == size_bytes
            assert await body_of_nothing_left(reply)

    run(main())


async def body_of_nothing_left(reply: Reply) -> bool:
    return [piece async for piece in reply] == []


# Leaving


def test_cancelling_a_wait_for_the_answer_reaches_the_provider(upstream: FakeUpstream) -> None:
    async def main() -> None:
        origin, _ = Origin.parse(upstream.url)
        before = len(upstream.calls())
        async with transport() as it:
            waiting = asyncio.create_task(get(it, origin, **chat("fake?delay_ms=20000")))
            await eventually(lambda: len(upstream.calls()) > before)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await eventually(lambda: upstream.gone().get(upstream.calls()[-1]["n"]) == 0)
            assert it.connections == 0

    run(main())


def test_cancelling_a_reader_reaches_the_provider(upstream: FakeUpstream) -> None:
    async def main() -> None:
        origin, _ = Origin.parse(upstream.url)
        async with transport() as it:
            reply = await get(it, origin, **chat("fake?fault=stall&after=3"))
            reading = asyncio.create_task(reply.read(limit_bytes=MANY_BYTES))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            number = upstream.calls()[-1]["n"]
            await eventually(lambda: upstream.gone().get(number) == 3)
            with pytest.raises(StreamBroken, match="closed"):
                await reply.read(limit_bytes=MANY_BYTES)

    run(main())


def test_cancelling_a_connection_attempt_leaks_nothing() -> None:
    async def main() -> None:
        heard = asyncio.Event()
        ended = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(1)  # the beginning of a TLS handshake
            heard.set()
            await reader.read()
            ended.set()

        async with peer(handler) as plain, transport() as it:
            dialling = asyncio.create_task(get(it, Origin("https", "127.0.0.1", plain.port)))
            await heard.wait()
            dialling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialling
            await ended.wait()

    run(main())


def test_closing_a_reply_early_reaches_the_provider_and_late_changes_nothing(
    upstream: FakeUpstream,
) -> None:
    async def main() -> None:
        origin, _ = Origin.parse(upstream.url)
        async with transport() as it:
            reply = await get(it, origin, **chat("fake?tokens=1000&gap_ms=5"))
            await anext(reply)
            reply.close()
            reply.close()
            number = upstream.calls()[-1]["n"]
            await eventually(lambda: number in upstream.gone())
            whole = await get(it, origin, **chat("fake"))
            await whole.read(limit_bytes=MANY_BYTES)
            whole.close()
            assert it.connections == 1
            await body_of(it, origin, **chat("fake"))
            assert it.connections == 1

    run(main())


def test_closing_the_transport_ends_what_is_under_way_and_leaves_no_descriptor(
    upstream: FakeUpstream,
) -> None:
    async def main() -> None:
        def descriptors() -> int:
            return len(os.listdir("/dev/fd"))  # noqa: PTH208 - counted, not walked

        origin, _ = Origin.parse(upstream.url)
        async with transport() as warm:  # the loop opens some of its own on first use
            await body_of(warm, origin, **chat("fake"))
        gc.collect()
        before = descriptors()
        it = Transport()
        replies = [await get(it, origin, **chat("fake?fault=stall")) for _ in range(5)]
        reading = [asyncio.create_task(reply.read(limit_bytes=MANY_BYTES)) for reply in replies]
        await asyncio.gather(*[body_of(it, origin, **chat("fake")) for _ in range(5)])
        assert descriptors() >= before + 10
        await it.close()
        results = await asyncio.gather(*reading, return_exceptions=True)
        assert all(isinstance(result, UpstreamUnreachable) for result in results)
        await eventually(lambda: descriptors() <= before)
        with pytest.raises(UpstreamUnreachable, match="closed"):
            await get(it, origin, **chat("fake"))
        await eventually(lambda: descriptors() <= before)

    run(main())
