"""Idempotency keys: the same request sent twice is served once, and answered twice.

A client that does not know whether its request arrived sends it again with the same
`Idempotency-Key`. While the first is running the second waits for it; afterwards it gets the same
bytes, for `KEEP_S`. Only answers are kept, not errors: those may be tried again. What is kept is
bounded and lives in this process.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable

from glasslipper.gateway.http import EVENTS, JSON, Headers, Http
from glasslipper.kernel.errors import InvalidRequest

KEEP_S = 600.0
MOST_BYTES = 64 << 20
MOST_KEY_LETTERS = 255

Place = tuple[str, str]


class Replay:
    """One answer that is being given for the first time, or has been."""

    def __init__(self, digest: bytes) -> None:
        self.digest = digest
        self.began_s = time.monotonic()
        self.finished = asyncio.Event()
        self.status = 0
        self.kind = JSON
        self.headers: Headers = ()
        self.pieces: list[bytes] = []
        self.streamed = False

    @property
    def size_bytes(self) -> int:
        """How much is kept."""
        return sum(map(len, self.pieces))

    async def again(self, http: Http) -> None:
        """Give the same answer to another request."""
        headers = [*self.headers, (b"x-idempotent-replay", b"true")]
        if self.streamed:
            await http.start_stream(headers, kind=self.kind)
            for piece in self.pieces:
                await http.write(piece)
            await http.end()
        else:
            await http.reply(self.status, b"".join(self.pieces), headers, kind=self.kind)


class Recorded(Http):
    """A request whose answer is kept while it is given."""

    __slots__ = ("outer", "replay")

    def __init__(self, http: Http, replay: Replay) -> None:
        """Answer `http`, and keep the answer in `replay`."""
        super().__init__(http.scope, http.receive, http.send, http.guard)
        self.outer = http
        self.replay = replay

    async def reply(
        self, status: int, body: bytes, headers: Headers = (), *, kind: bytes = JSON
    ) -> None:
        """Send a whole response."""
        kept = self.replay
        kept.status, kept.kind, kept.headers, kept.pieces = status, kind, list(headers), [body]
        self.outer.started = True
        await super().reply(status, body, headers, kind=kind)

    async def start_stream(self, headers: Headers = (), *, kind: bytes = EVENTS) -> None:
        """Send the header of a stream."""
        kept = self.replay
        kept.status, kept.kind, kept.headers, kept.streamed = 200, kind, list(headers), True
        self.outer.started = True
        await super().start_stream(headers, kind=kind)

    async def write(self, data: bytes) -> None:
        """Send a piece of the stream."""
        self.replay.pieces.append(data)
        await super().write(data)

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece."""
        self.replay.pieces.append(data)
        await super().end(data)


class Replays:
    """The answers that a process keeps, the oldest first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Place, Replay] = OrderedDict()

    async def find(self, place: Place, body: bytes) -> Replay | None:
        """Return the answer already given, waiting for it if it is being given.

        Raises:
            InvalidRequest: The key was used for another request.
        """
        while (kept := self._kept.get(place)) is not None:
            if time.monotonic() - kept.began_s > KEEP_S and kept.finished.is_set():
                del self._kept[place]
                return None
            if kept.digest != _digest(body):
                raise InvalidRequest(
                    "This idempotency key was used for another request.",
                    hint="Use a new key for a new request.",
                    param="Idempotency-Key",
                )
            if kept.finished.is_set():
                return kept
            await kept.finished.wait()
        return None

    def begin(self, place: Place, body: bytes) -> Replay:
        """Begin an answer that is to be kept."""
        replay = self._kept[place] = Replay(_digest(body))
        return replay

    def end(self, place: Place, replay: Replay, *, whole: bool) -> None:
        """Keep the answer if it is whole and good, and let those who wait have it or try."""
        if not whole or replay.status != 200:
            self._kept.pop(place, None)
        replay.finished.set()
        self._drop_old()

    def _drop_old(self) -> None:
        size_bytes = sum(replay.size_bytes for replay in self._kept.values())
        for place, replay in list(self._old()):
            stale = time.monotonic() - replay.began_s > KEEP_S
            if not stale and size_bytes <= MOST_BYTES:
                return
            size_bytes -= replay.size_bytes
            del self._kept[place]

    def _old(self) -> Iterable[tuple[Place, Replay]]:
        return [(place, one) for place, one in self._kept.items() if one.finished.is_set()]


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def place_of(http: Http, key_id: str) -> Place | None:
    """Return where the answer to a request is kept; `None` without an idempotency key.

    Raises:
        InvalidRequest: The key is too long.
    """
    key = http.header(b"idempotency-key")
    if not key:
        return None
    if len(key) > MOST_KEY_LETTERS:
        raise InvalidRequest(
            f"An idempotency key has at most {MOST_KEY_LETTERS} letters.", param="Idempotency-Key"
        )
    return (key_id, f"{http.method} {http.path} {key}")
