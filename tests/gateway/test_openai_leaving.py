from __future__ import annotations

import asyncio
import contextlib

import pytest
from openai_peer import HI_STREAM, WAIT_S, Peer, calling, chunk, listening, sse

from glasslipper.kernel.events import Finished, Started, TextDelta, fold
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.usage import Usage


def test_closing_the_iterator_leaves_the_provider_and_keeps_what_is_known() -> None:
    async def run() -> None:
        used = {"prompt_tokens": 1, "completion_tokens": 1}
        peer = Peer(sse(chunk({"content": "x"}, usage=used), done=False), hangs=True)
        attempt = Attempted(id="a", request=HI_STREAM, upstream_model="m")
        async with listening(peer) as url, calling(url) as upstream:
            events = upstream.send(attempt)
            assert isinstance(await anext(events), Started)
            assert not peer.left.is_set()
            await events.aclose()
            await peer.left.wait()
        assert attempt.usage == Usage(input=1, output=1, requests=1)

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def test_cancelling_the_task_leaves_the_provider() -> None:
    async def run() -> None:
        peer = Peer(sse(chunk({"content": "x"}), done=False), hangs=True)
        attempt = Attempted(id="a", request=HI_STREAM, upstream_model="m")
        async with listening(peer) as url, calling(url) as upstream:
            heard = asyncio.Event()

            async def listen() -> None:
                async for event in upstream.send(attempt):
                    if isinstance(event, TextDelta):
                        heard.set()

            task = asyncio.create_task(listen())
            await heard.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await peer.left.wait()

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def test_a_provider_that_hangs_after_the_end_mark_holds_nobody_up() -> None:
    async def run() -> None:
        peer = Peer(sse(chunk({"content": "x"}, "stop")), hangs=True)
        attempt = Attempted(id="a", request=HI_STREAM, upstream_model="m")
        async with listening(peer) as url, calling(url) as upstream:
            events = [event async for event in upstream.send(attempt)]
            await peer.left.wait()
        assert events[-1] == Finished(reason="stop", native="stop")

    asyncio.run(asyncio.wait_for(run(), WAIT_S))


def test_a_connection_is_used_again_after_a_stream_whose_end_follows_the_end_mark() -> None:
    async def run() -> int:
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            body = sse(chunk({"content": "x"}, "stop")).partition(b"\r\n\r\n")[2]
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            head += b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(body)
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    asked = await reader.readuntil(b"\r\n\r\n")
                    size = asked.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                    await reader.readexactly(int(size))
                    writer.write(head + body + b"\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.005)  # so that the two writes are read apart
                    writer.write(b"0\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with calling(f"http://127.0.0.1:{port}/v1") as upstream:
            for _turn in range(3):
                attempt = Attempted(id="a", request=HI_STREAM, upstream_model="m")
                assert fold([event async for event in upstream.send(attempt)]).text == "x"
        server.close()
        await server.wait_closed()
        return connections

    assert asyncio.run(asyncio.wait_for(run(), WAIT_S)) == 1
