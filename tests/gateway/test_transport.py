"""What the upstream client sends and refuses to send, and the answers that it brings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from transport_peers import (
    OK,
    body_of,
    chat,
    get,
    peer,
    request_of,
    run,
    saying,
    transport,
)

from glasslipper.gateway.transport import Origin
from glasslipper.kernel.errors import (
    InvalidRequest,
)
from glasslipper.testing import FakeUpstream


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
