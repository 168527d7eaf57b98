"""The upstream client against real peers: the fake provider, and sockets that say any bytes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from glasslipper.gateway.transport import Origin, Reply, Timeouts, Transport
from glasslipper.kernel.errors import (
    InvalidRequest,
    SetupMissing,
    StreamBroken,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from glasslipper.testing import FakeUpstream

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CERTIFICATE = Path(__file__).with_name("localhost.pem")
PATIENT = Timeouts(connect_s=10, first_byte_s=10, between_bytes_s=10, total_s=20)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
MANY_BYTES = 1 << 30


def run(main: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await main

    uvloop.run(bounded())


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until something outside this process is so."""
    while not condition():
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def transport(**settings: Any) -> AsyncIterator[Transport]:
    it = Transport(**settings)
    try:
        yield it
    finally:
        await it.close()


@contextlib.asynccontextmanager
async def peer(handler: Handler, **settings: Any) -> AsyncIterator[Origin]:
    """Serve each connection with `handler`, which says exactly what it likes."""
    handling: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = (ConnectionError, asyncio.IncompleteReadError)
        try:
            with contextlib.suppress(*gone):
                await handler(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            with contextlib.suppress(*gone):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.create_task(handle(reader, writer)))

    settings.setdefault("host", "127.0.0.1")
    server = await asyncio.start_server(accept, port=0, **settings)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield Origin("https" if "ssl" in settings else "http", host, port)
    finally:
        server.close()
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)


async def request_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one request: its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


def saying(answer: bytes, *, then_close: bool = True) -> Handler:
    """Answer the first request with these bytes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(answer)
        await writer.drain()
        if not then_close:
            await reader.read()

    return handler


async def get(it: Transport, origin: Origin, **changes: Any) -> Reply:
    asked: dict[str, Any] = {"method": b"POST", "target": b"/", "headers": [], "body": b""}
    asked |= {"timeouts": PATIENT, **changes}
    return await it.send(
        origin,
        asked["method"],
        asked["target"],
        asked["headers"],
        asked["body"],
        timeouts=asked["timeouts"],
    )


async def gather(reply: Awaitable[Reply], pieces: list[bytes]) -> None:
    """Keep what comes, also when an error follows."""
    async for piece in await reply:
        pieces.append(piece)  # noqa: PERF401 - a comprehension would lose them


async def body_of(it: Transport, origin: Origin, **changes: Any) -> bytes:
    return await (await get(it, origin, **changes)).read(limit_bytes=MANY_BYTES)


def chat(model: str, *, stream: bool = True) -> dict[str, Any]:
    body = json.dumps({"model": model, "stream": stream, "messages": []}).encode()
    return {"target": b"/v1/chat/completions", "body": body}


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as it:
        yield it


# What goes out and what comes in


def test_a_call_brings_status_headers_and_the_whole_body(upstream: FakeUpstream) -> None:
    async def main() -> None:
        async with transport() as it:
            origin, path = Origin.parse(upstream.url + "/")
            assert path == "/v1"
            ask = chat("fake?tokens=3", stream=False)
            reply = await get(it, origin, **ask, headers=[(b"X-Request-Id", b"abc")])
            assert reply.status == 200
            assert reply.headers[b"content-type"] == b"application/json"
            answer = json.loads(await reply.read(limit_bytes=10_000))
            assert answer["choices"][0]["message"]["content"] == "t0 t1 t2 "
            assert upstream.calls()[-1]["request_id"] == "abc"

    run(main())


def test_the_request_is_written_as_it_should_be() -> None:
    async def main() -> None:
        seen: list[tuple[bytes, bytes]] = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await request_of(reader))
            writer.write(OK)
            await writer.drain()

        async with peer(handler) as origin, transport() as it:
            await body_of(it, origin, target=b"/a?b=%20", headers=[(b"x-a", b"1")], body=b"{}")
            host = f"127.0.0.1:{origin.port}".encode()
            assert seen == [
                (
                    b"POST /a?b=%20 HTTP/1.1\r\nhost: "
                    + host
                    + b"\r\nx-a: 1\r\ncontent-length: 2\r\n\r\n",
                    b"{}",
                )
            ]

    run(main())


def test_repeated_fields_are_joined_and_names_are_lower_case() -> None:
    async def main() -> None:
        answer = (
            b"HTTP/1.1 200 OK\r\nX-A: 1 \r\nB:\r\nx-a:2\r\nX-AB: 3\r\nContent-Length: 0\r\n\r\n"
        )
        async with peer(saying(answer)) as origin, transport() as it:
            reply = await get(it, origin)
            assert dict(reply.headers) == {
                b"x-a": b"1, 2",
                b"b": b"",
                b"x-ab": b"3",
                b"content-length": b"0",
            }
            assert len(reply.headers) == 4
            assert reply.headers.get(b"a") is None
            assert await reply.read(limit_bytes=0) == b""

    run(main())


def test_interim_answers_are_passed_over() -> None:
    async def main() -> None:
        early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        async with peer(saying(early + OK)) as origin, transport() as it:
            reply = await get(it, origin)
            assert (reply.status, dict(reply.headers)) == (200, {b"content-length": b"2"})
            assert await reply.read(limit_bytes=2) == b"ok"

    run(main())


def test_an_answer_that_comes_byte_by_byte_is_the_same() -> None:
    async def main() -> None:
        answer = b"HTTP/1.1 201 Made\r\ntransfer-encoding: chunked\r\nx: y\r\n\r\n"
        answer += b"3\r\nabc\r\n2;q=1\r\nde\r\n0\r\ntrailer: 1\r\n\r\n"

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            for byte in answer:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            await reader.read()

        async with peer(handler) as origin, transport() as it:
            reply = await get(it, origin)
            assert (reply.status, reply.headers[b"x"]) == (201, b"y")
            assert await reply.read(limit_bytes=5) == b"abcde"

    run(main())


def test_pieces_are_handed_over_as_they_come() -> None:
    async def main() -> None:
        read = asyncio.Semaphore(0)

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for piece in (b"1\r\na\r\n", b"2\r\nbc\r\n1\r\nd\r\n", b"1\r\ne\r\n0\r\n\r\n"):
                await read.acquire()
                writer.write(piece)
            await reader.read()

        async with peer(handler) as origin, transport() as it:
            reply = await get(it, origin)
            pieces: list[bytes] = []
            read.release()
            async for piece in reply:
                pieces.append(piece)
                read.release()
            assert pieces == [b"a", b"bcd", b"e"]

    run(main())


def test_a_body_without_length_ends_with_the_connection() -> None:
    async def main() -> None:
        answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it"
        async with peer(saying(answer)) as origin, transport() as it:
            assert await body_of(it, origin) == b"all of it"

    run(main())


@pytest.mark.parametrize("status", [204, 304])
def test_answers_that_have_no_body_need_no_length(status: int) -> None:
    async def main() -> None:
        answer = f"HTTP/1.1 {status} Nothing\r\n\r\n".encode()
        async with peer(saying(answer, then_close=False)) as origin, transport() as it:
            assert await body_of(it, origin) == b""

    run(main())


# What is refused


@pytest.mark.parametrize(
    "request_",
    [
        {"headers": [(b"a", b"b\r\nevil: 1")]},
        {"headers": [(b"a", b"b\nevil: 1")]},
        {"headers": [(b"a", b"b\revil: 1")]},
        {"headers": [(b"a", b"b\0")]},
        {"headers": [(b"a", b"\n"), (b"b", b"\r")]},
        {"headers": [(b"a:", b"b")]},
        {"headers": [(b"a ", b"b")]},
        {"headers": [(b"", b"b")]},
        {"headers": [(b"Content-Length", b"1")]},
        {"headers": [(b"TRANSFER-ENCODING", b"chunked")]},
        {"headers": [(b"host", b"elsewhere")]},
        {"headers": [(b"connection", b"close")]},
        {"target": b"/a b"},
        {"target": b"/a\r\nevil: 1"},
        {"target": b"/a\0"},
        {"target": b"a"},
        {"target": b"/a#b"},
        {"target": b"/\xc3\xa9"},
        {"method": b"GET /evil"},
        {"method": b"HEAD"},
        {"method": b""},
    ],
)
def test_what_could_smuggle_a_request_is_refused_and_never_sent(
    request_: dict[str, Any],
) -> None:
    async def main() -> None:
        connected = 0

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connected
            connected += 1

        async with peer(handler) as origin, transport() as it:
            for _ in range(2):
                with pytest.raises(InvalidRequest):
                    await get(it, origin, **request_)
            assert connected == 0

    run(main())


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a", "http://", "http:///v1", "a.example/v1", "http://u:p@a/", "http://a/?q=1"),
        *("http://a/#f", "http://a:99999", "http://a b/", "http://a/\r\nevil", "http://[::1", ""),
    ],
)
def test_only_plain_base_urls_are_origins(url: str) -> None:
    with pytest.raises(InvalidRequest):
        Origin.parse(url)


def test_a_base_url_is_split_into_origin_and_path() -> None:
    assert Origin.parse("https://Api.Example.com/v1/") == (
        Origin("https", "api.example.com", 443),
        "/v1",
    )
    assert Origin.parse("http://[::1]:8080") == (Origin("http", "::1", 8080), "")
    assert Origin("http", "::1", 80).authority == "[::1]"


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


# Connections


class Counting:
    """Answers every request, and counts connections, requests and ends."""

    def __init__(self, answer: bytes = OK, *, answers_before_closing: int = 1 << 30) -> None:
        self.opened = self.asked = self.closed = 0
        self._answer = answer
        self._answers_before_closing = answers_before_closing

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            for _ in range(self._answers_before_closing):
                await request_of(reader)
                self.asked += 1
                writer.write(self._answer)
                await writer.drain()
        finally:
            self.closed += 1


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


# Ways


def serving_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def test_tls_holds_for_a_certificate_that_the_environment_trusts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        counting = Counting()
        async with peer(counting, ssl=serving_tls()) as origin:
            monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
            async with transport() as it:
                for _ in range(3):
                    assert await body_of(it, origin, body=b"x" * 100_000) == b"ok"
                assert counting.opened == 1
            await eventually(lambda: counting.closed == 1)

    run(main())


def test_tls_fails_for_a_certificate_that_nobody_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with peer(Counting(), ssl=serving_tls()) as origin:
            monkeypatch.delenv("SSL_CERT_FILE", raising=False)
            monkeypatch.delenv("SSL_CERT_DIR", raising=False)
            async with transport() as it:
                with pytest.raises(UpstreamUnreachable, match="certificate") as caught:
                    await get(it, origin)
                assert "SSL_CERT_FILE" in caught.value.hint

    run(main())


def test_a_name_is_tried_at_all_its_addresses() -> None:
    async def main() -> None:
        async with peer(Counting()) as origin, transport() as it:
            assert await body_of(it, origin._replace(host="localhost")) == b"ok"

    run(main())


def test_ipv6_hosts_are_reached() -> None:
    async def main() -> None:
        async with peer(Counting(), host="::1") as origin, transport() as it:
            assert await body_of(it, origin) == b"ok"

    with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    run(main())


class ProxyPeer:
    """A forward proxy: answers absolute requests itself, and joins tunnels."""

    def __init__(self, refusal: bytes = b"") -> None:
        self.heads: list[bytes] = []
        self._refusal = refusal

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        method, target, _ = head.split(b" ", 2)
        if self._refusal or method != b"CONNECT":
            writer.write(self._refusal or OK)
            await reader.read()
            return
        host, port = target.decode().split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(self._pipe(reader, far_writer), self._pipe(far_reader, writer))

    @staticmethod
    async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


def test_a_proxy_is_asked_for_the_whole_url_and_told_who_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        proxy = ProxyPeer()
        async with peer(proxy) as at, transport() as it:
            monkeypatch.setenv("http_proxy", f"http://me:p%40ss@127.0.0.1:{at.port}")
            monkeypatch.setenv("no_proxy", "elsewhere.example")
            far = Origin("http", "far.example", 80)
            assert await body_of(it, far, target=b"/v1/x") == b"ok"
            assert proxy.heads[0].startswith(
                b"POST http://far.example/v1/x HTTP/1.1\r\nhost: far.example\r\n"
            )
            assert b"\r\nproxy-authorization: Basic bWU6cEBzcw==\r\n" in proxy.heads[0]

    run(main())


def test_a_proxy_tunnels_tls_and_cannot_see_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        proxy, counting = ProxyPeer(), Counting()
        async with peer(counting, ssl=serving_tls()) as origin, peer(proxy) as at:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{at.port}")
            monkeypatch.setenv("no_proxy", "")
            monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
            async with transport() as it:
                for _ in range(2):
                    key = [(b"authorization", b"Bearer secret")]
                    assert await body_of(it, origin, headers=key) == b"ok"
            where = f"127.0.0.1:{origin.port}".encode()
            expected = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (where, where)
            assert proxy.heads == [expected]
            assert counting.asked == 2

    run(main())


def test_a_proxy_that_refuses_is_told_and_one_of_another_kind_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        monkeypatch.setenv("no_proxy", "")
        refusing = ProxyPeer(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n")
        far = Origin("https", "far.example", 443)
        async with peer(refusing) as at, transport() as it:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{at.port}")
            with pytest.raises(UpstreamUnreachable, match="407 Who are you"):
                await get(it, far)
        async with transport() as it:
            monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
            with pytest.raises(SetupMissing, match="socks5"):
                await get(it, far)

    run(main())


def test_hosts_in_no_proxy_are_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with peer(Counting()) as origin, transport() as it:
            monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            assert await body_of(it, origin) == b"ok"

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
