"""What a call through our transport costs in CPU, beside a bare socket and aiohttp.

    python benchmarks/transport.py [--quick]

The fake provider answers in a process of its own; only this process is measured, the best of
several rounds each, taken in turns. `socket` writes the same bytes and reads until the answer is
long enough: what no client in this language can go below. aiohttp is measured where it can be
imported. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import time
from collections.abc import Awaitable, Callable

import uvloop

from glasslipper.gateway.transport import Origin, Timeouts, Transport
from glasslipper.testing import FakeUpstream

BODY = json.dumps({"model": "fake", "messages": [{"role": "user", "content": "hi" * 100}]}).encode()
STREAM = json.dumps({"model": "fake?tokens=64&gap_ms=2", "stream": True, "messages": []}).encode()
STREAMS = 16
HEADERS = [
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer sk-0123456789abcdef0123456789abcdef"),
    (b"accept", b"application/json"),
    (b"user-agent", b"benchmark"),
    (b"x-request-id", b"gen-01jd3f0000000000000000"),
]
TARGET = b"/v1/chat/completions"
LIMITS = Timeouts()

Call = Callable[[], Awaitable[object]]


async def cpu_us(call: Call, *, concurrent: int, calls: int) -> float:
    """Return the CPU microseconds of this process for one call."""

    async def work() -> None:
        for _ in range(calls // concurrent):
            await call()

    began_s = time.process_time()
    await asyncio.gather(*[work() for _ in range(concurrent)])
    return (time.process_time() - began_s) / calls * 1e6


class Wire(asyncio.Protocol):
    """A socket, and nothing that understands what it carries."""

    def __init__(self) -> None:
        self._left_bytes = 0
        self._answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def ask(self, request: bytes, answer_bytes: int) -> asyncio.Future[None]:
        """Write, and return what is done once so many bytes have come back."""
        self._left_bytes = answer_bytes
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answered

    def data_received(self, data: bytes) -> None:
        """Count."""
        self._left_bytes -= len(data)
        if self._left_bytes <= 0:
            self._answered.set_result(None)


async def wires(port: int, answer_bytes: int, count: int) -> Call:
    """Return a call over bare sockets that are kept."""
    lines = [b"POST %b HTTP/1.1" % TARGET, b"host: 127.0.0.1"]
    lines += [b"%b: %b" % pair for pair in HEADERS]
    request = b"\r\n".join([*lines, b"content-length: %d" % len(BODY), b"", BODY])
    loop = asyncio.get_running_loop()
    idle = [(await loop.create_connection(Wire, "127.0.0.1", port))[1] for _ in range(count)]

    async def call() -> None:
        wire = idle.pop()
        await wire.ask(request, answer_bytes)
        idle.append(wire)

    return call


def through(transport: Transport, origin: Origin) -> Call:
    """Return a call through our transport."""

    async def call() -> bytes:
        reply = await transport.send(origin, b"POST", TARGET, HEADERS, BODY, timeouts=LIMITS)
        return await reply.read(limit_bytes=1 << 20)

    return call


async def answer_bytes(port: int) -> int:
    """Return how long an answer is, head and all."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" % TARGET
    writer.write(head + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY))
    size_bytes = len(await reader.read(-1))
    writer.close()
    return size_bytes


async def frame_us(transport: Transport, origin: Origin) -> float:
    """Return the CPU microseconds for one frame of a slow stream."""
    frames = 0

    async def stream() -> None:
        nonlocal frames
        reply = await transport.send(origin, b"POST", TARGET, HEADERS, STREAM, timeouts=LIMITS)
        async for piece in reply:
            frames += piece.count(b"\n\n")

    began_s = time.process_time()
    await asyncio.gather(*[stream() for _ in range(STREAMS)])
    return (time.process_time() - began_s) / frames * 1e6


async def measure(upstream: FakeUpstream, *, rounds: int, calls: int) -> dict[str, object]:
    """Return the best figures of all rounds."""
    origin, _path = Origin.parse(upstream.url)
    transport = Transport()
    ways = {
        "socket": await wires(upstream.port, await answer_bytes(upstream.port), 16),
        "transport": through(transport, origin),
    }
    session = None
    if importlib.util.find_spec("aiohttp"):
        import aiohttp

        session = aiohttp.ClientSession()
        url = f"{upstream.url}/chat/completions"
        texts = {name.decode(): value.decode() for name, value in HEADERS}

        async def call() -> bytes:
            async with session.post(url, data=BODY, headers=texts) as response:
                return await response.read()

        ways["aiohttp"] = call
    best: dict[str, dict[str, float]] = {name: {} for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            for concurrent in (1, 16):
                now = await cpu_us(way, concurrent=concurrent, calls=calls)
                key = str(concurrent)
                best[name][key] = round(min(now, best[name].get(key, now)), 1)
    frame = round(min([await frame_us(transport, origin) for _ in range(rounds)]), 1)
    await transport.close()
    if session is not None:
        await session.close()
    return {"cpu_us_per_request": best, "cpu_us_per_frame": frame, "calls": calls * rounds}


def main() -> None:
    """Measure, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with FakeUpstream() as upstream:
        rounds, calls = (3, 3200) if quick else (8, 16000)
        print(json.dumps(uvloop.run(measure(upstream, rounds=rounds, calls=calls))))


if __name__ == "__main__":
    main()
