"""The load: many streams at once, each frame of each noted when it arrived.

Each client reads one stream after the other, and the clients begin spread over the length of one
stream, so that the load is even. A frame is known by its number in the text (`t0 t1 t2 …`).
Judges nothing but arrival.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Sequence

from msgspec import Struct, field

from gateway_load import Target, UnexpectedAnswer, quiet_memory

FRAMES = 64
GAP_MS = 20.0

_READ_BYTES = 1 << 16
_FRAME = re.compile(rb'"content": ?"t(\d+) "')
_PATIENCE_S = 15.0


class Stream(Struct):
    """Which frames came, and when: two lists of the same length, times in seconds."""

    numbers: list[int] = field(default_factory=list[int])
    at_s: list[float] = field(default_factory=list[float])
    is_ended: bool = False

    @property
    def lost(self) -> int:
        """How many frames never came."""
        return FRAMES - len(set(self.numbers))

    def lateness_ms(self) -> list[float]:
        """Return how late each frame came, by the stream's own schedule.

        The schedule is a frame every `GAP_MS`, and begins so that the most punctual frame of
        the stream is not late at all.
        """
        offsets = [
            at_s * 1000 - number * GAP_MS
            for number, at_s in zip(self.numbers, self.at_s, strict=True)
        ]
        start = min(offsets, default=0.0)
        return [offset - start for offset in offsets]

    def gaps_ms(self) -> list[float]:
        """Return the time between each frame and the next."""
        return [
            (later - sooner) * 1000 for sooner, later in zip(self.at_s, self.at_s[1:], strict=False)
        ]


class _Client:
    """One connection and the stream that it is reading."""

    def __init__(self, link: socket.socket, streams: int) -> None:
        self.link = link
        self.to_begin = streams
        self.current = Stream()
        self.tail = b""


class Chorus:
    """Clients that each read several streams, one after the other."""

    def __init__(self, target: Target, *, clients: int, streams_each: int) -> None:
        """Connect that many clients."""
        self._request = target.request("stream", stream=True)
        self._poll = select.epoll()
        self._clients: dict[int, _Client] = {}
        self._streams: list[Stream] = []
        self._running = 0
        self.most_at_once = 0
        for _ in range(clients):
            link = target.connect(stream=True)
            self._clients[link.fileno()] = _Client(link, streams_each)
            self._poll.register(link.fileno(), select.EPOLLIN)

    def listen(self) -> Sequence[Stream]:
        """Read all streams to their end and return them.

        What is silent for too long is given up: its missing frames are lost.
        """
        with quiet_memory():
            self._listen()
        return self._streams

    def _listen(self) -> None:
        waiting = list(self._clients.values())
        pause_s = FRAMES * GAP_MS / 1000 / len(waiting)
        next_s = heard_s = time.perf_counter()
        while waiting or self._running:
            ready = self._poll.poll(max(next_s - time.perf_counter(), 0) if waiting else 1.0)
            now_s = time.perf_counter()
            for number, _event in ready:
                self._read(self._clients[number])
                heard_s = now_s
            while waiting and next_s <= now_s:
                next_s += pause_s
                self._begin(waiting.pop())
            if now_s - heard_s > _PATIENCE_S:
                return

    def _begin(self, client: _Client) -> None:
        client.to_begin -= 1
        client.current = Stream()
        client.tail = b""
        self._streams.append(client.current)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        client.link.send(self._request)

    def _read(self, client: _Client) -> None:
        data = client.link.recv(_READ_BYTES)
        now_s = time.perf_counter()
        if not data:
            self._poll.unregister(client.link.fileno())
            self._running -= 1
            return
        stream = client.current
        if not stream.numbers and not client.tail and not data.startswith(b"HTTP/1.1 200"):
            raise UnexpectedAnswer(data[:400].decode("utf-8", "replace"))
        text = client.tail + data if client.tail else data
        end = 0
        for found in _FRAME.finditer(text):
            stream.numbers.append(int(found[1]))
            stream.at_s.append(now_s)
            end = found.end()
        client.tail = text[max(end, len(text) - 64) :]
        if text.endswith(b"\r\n0\r\n\r\n"):
            stream.is_ended = True
            self._running -= 1
            if client.to_begin:
                self._begin(client)

    def close(self) -> None:
        """Hang up."""
        self._poll.close()
        for client in self._clients.values():
            client.link.close()
