"""An upstream that streams like clockwork: the same frames to everybody, each at its moment.

    python benchmarks/gateway_clockwork.py

The bytes are those of `glasslipper.testing`'s fake provider; writing one costs little more than
the system call, so that a thousand streams do not fill a core. Whatever is asked, the answer is
the same stream. The first line on standard output is its port; it ends with its standard input.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections import deque

from gateway_streams import FRAMES, GAP_MS
from glasslipper.testing import answers
from glasslipper.testing.script import Script
from load import allow_many_connections

_READ_BYTES = 1 << 16
_GAP_S = GAP_MS / 1000


class Stream:
    """One answer under way."""

    __slots__ = ("due_s", "link", "sent")

    def __init__(self, link: socket.socket, due_s: float) -> None:
        self.link = link
        self.due_s = due_s
        self.sent = 0


class Clockwork:
    """Accepts connections, and writes the next frame to whoever is due."""

    def __init__(self, listener: socket.socket) -> None:
        """Serve on a listening socket."""
        script = Script(tokens=FRAMES, gap_ms=GAP_MS)
        plan = answers.streamed(script, "fake", limit=None, asks_usage=True)
        self._opening = (plan.head + plan.first).replace(answers.STAMP, answers.stamp(1))
        self._frames = [frame.replace(answers.STAMP, answers.stamp(1)) for frame in plan.frames]
        self._frames[-1] += plan.last.replace(answers.STAMP, answers.stamp(1))
        self._listener = listener
        self._poll = select.epoll()
        self._links: dict[int, socket.socket] = {}
        self._heard: dict[int, bytes] = {}
        self._due: deque[Stream] = deque()

    def serve(self) -> None:
        """Serve until standard input ends."""
        ends, door = sys.stdin.fileno(), self._listener.fileno()
        self._poll.register(ends, select.EPOLLIN)
        self._poll.register(door, select.EPOLLIN)
        while True:
            wait_s = max(self._due[0].due_s - time.monotonic(), 0) if self._due else None
            for number, _event in self._poll.poll(wait_s):
                if number == ends:
                    return
                if number == door:
                    self._accept()
                else:
                    self._hear(number)
            self._write_due(time.monotonic())

    def _accept(self) -> None:
        link, _address = self._listener.accept()
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._links[link.fileno()] = link
        self._poll.register(link.fileno(), select.EPOLLIN)

    def _hear(self, number: int) -> None:
        link = self._links[number]
        data = link.recv(_READ_BYTES)
        if not data:
            self._heard.pop(number, None)
            del self._links[number]
            link.close()
            return
        request = self._heard.pop(number, b"") + data
        if not request.endswith(b"}"):  # the end of the JSON body
            self._heard[number] = request
            return
        link.send(self._opening)
        # All gaps are the same, so whoever begins now is due after all others.
        self._due.append(Stream(link, time.monotonic() + _GAP_S))

    def _write_due(self, now_s: float) -> None:
        due, frames = self._due, self._frames
        while due and due[0].due_s <= now_s:
            stream = due.popleft()
            try:
                stream.link.send(frames[stream.sent])
            except OSError:
                continue  # the reader has left
            stream.sent += 1
            if stream.sent < FRAMES:
                stream.due_s += _GAP_S
                due.append(stream)


def main() -> None:
    """Serve, and say first on which port."""
    allow_many_connections()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        Clockwork(listener).serve()


if __name__ == "__main__":
    main()
