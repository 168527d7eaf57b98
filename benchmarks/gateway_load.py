"""The load: requests that are not streamed, over kept connections, from one epoll loop.

It writes ready-made bytes and reads no more of an answer than its status and its length, so that
it costs a few microseconds where its subjects cost dozens. Every request is counted, none is
sent twice, and anything but a whole answer of status 200 ends the bench.
"""

from __future__ import annotations

import gc
import json
import re
import select
import socket
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from msgspec import Struct

ANSWER_S = 30.0
"""The longest silence that is waited out."""

_READ_BYTES = 1 << 16
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")

QUESTION = (
    "The build fails since this morning, but only on the machines that were set up last week."
    " What would you look at first, and how would you tell a bad cache from a bad compiler?"
)


class Target(Struct, frozen=True, kw_only=True):
    """Where a subject listens and what it wants to hear.

    `models` maps what the bench calls a model (`plain`, `slow`, `stream`) to the subject's name.
    Streams are asked of `stream_port` where it is not the same.
    """

    port: int
    stream_port: int | None = None
    path: str
    models: Mapping[str, str]
    headers: Mapping[str, str]

    def request(self, model: str, *, stream: bool = False) -> bytes:
        """Return a chat completion's request, ready to be written."""
        body: dict[str, object] = {
            "model": self.models[model],
            "messages": [
                {"role": "system", "content": "You are a terse and careful engineer."},
                {"role": "user", "content": QUESTION},
            ],
            "max_tokens": 256,
        }
        if stream:
            body["stream"] = True
        payload = json.dumps(body).encode()
        lines = [f"POST {self.path} HTTP/1.1", f"host: 127.0.0.1:{self.port}"]
        lines += ["content-type: application/json", "accept: application/json"]
        lines += ["user-agent: bench/1", f"content-length: {len(payload)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + payload

    def connect(self, *, stream: bool = False) -> socket.socket:
        """Return a new connection."""
        port = self.stream_port if stream and self.stream_port else self.port
        link = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link


class Burst(NamedTuple):
    """A number of requests, how long they took in all, and the CPU that sending them took."""

    requests: int
    wall_s: float
    load_cpu_s: float


class UnexpectedAnswer(RuntimeError):
    """A subject did not answer as it should; the words are its own."""


def is_whole(data: bytes) -> bool:
    """Tell whether `data` is a whole answer.

    Raises:
        UnexpectedAnswer: It is none of status 200, or more than one.
    """
    if not data.startswith(b"HTTP/1.1 200 ") and len(data) > 12:
        raise UnexpectedAnswer(data[:400].decode("utf-8", "replace"))
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    found = _LENGTH.search(data, 0, end + 2)
    if found is None:
        return data.endswith(b"\r\n0\r\n\r\n")
    missing_bytes = end + 4 + int(found[1]) - len(data)
    if missing_bytes < 0:
        raise UnexpectedAnswer("bytes after the answer")
    return missing_bytes == 0


@contextmanager
def quiet_memory() -> Generator[None]:
    """Keep the garbage collector out of what is being timed."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Crowd:
    """Clients that ask one thing again and again, each when it has its answer."""

    def __init__(self, target: Target, *, clients: int, model: str = "plain") -> None:
        """Connect that many clients."""
        self._request = target.request(model)
        self._poll = select.epoll()
        self._links: dict[int, socket.socket] = {}
        for _ in range(clients):
            link = target.connect()
            self._links[link.fileno()] = link
            self._poll.register(link.fileno(), select.EPOLLIN)

    def ask(self, requests: int) -> Burst:
        """Send that many requests in all, and wait for the last answer.

        Raises:
            UnexpectedAnswer: Something else than an answer came, or nothing.
        """
        with quiet_memory():
            return self._ask(requests)

    def _ask(self, requests: int) -> Burst:
        links, request, parts = self._links, self._request, dict[int, bytes]()
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        first = list(links.values())[:requests]
        for link in first:
            link.send(request)
        to_send, to_hear = requests - len(first), requests
        while to_hear:
            ready = self._poll.poll(ANSWER_S)
            if not ready:
                raise UnexpectedAnswer(f"no answer within {ANSWER_S:g} seconds")
            for number, _event in ready:
                link = links[number]
                data = link.recv(_READ_BYTES)
                if not data:
                    raise UnexpectedAnswer("the connection was closed")
                data = parts.pop(number, b"") + data
                if not is_whole(data):
                    parts[number] = data
                    continue
                to_hear -= 1
                if to_send:
                    to_send -= 1
                    link.send(request)
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        return Burst(requests, wall_s, cpu_s)

    def close(self) -> None:
        """Hang up."""
        self._poll.close()
        for link in self._links.values():
            link.close()


class Caller:
    """One client that times each of its requests."""

    def __init__(self, target: Target, model: str) -> None:
        """Connect."""
        self._request = target.request(model)
        self._link = target.connect()

    def ask_ms(self) -> float:
        """Send a request, wait for the whole answer, and return how long that took."""
        began_s = time.perf_counter()
        self._link.send(self._request)
        data = b""
        while not data or not is_whole(data):
            part = self._link.recv(_READ_BYTES)
            if not part:
                raise UnexpectedAnswer("the connection was closed")
            data += part
        return (time.perf_counter() - began_s) * 1000

    def close(self) -> None:
        """Hang up."""
        self._link.close()
