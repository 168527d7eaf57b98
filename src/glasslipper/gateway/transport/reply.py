"""An upstream's answer, piece by piece: where the connection that brings it meets its reader.

The connection fills an `Inbox`; the reader sees it as a `Reply`. A reply whose body is whole
needs its connection no more and can be read at leisure.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from glasslipper.gateway.transport.heads import Headers
from glasslipper.kernel.errors import GlasslipperError, StreamBroken


class Source(Protocol):
    """What brings the answer, and can be told to go on or to stop."""

    def caught_up(self, lag_bytes: int) -> None:
        """Know that the reader is now `lag_bytes` behind."""
        ...

    def fail(self, error: GlasslipperError) -> None:
        """End the exchange with an error."""
        ...


class Inbox:
    """What has arrived and has not been read.

    `source` is `None` once nothing more will come: the body is whole, or there is an `error`.
    `tap`, where there is one, may take a piece of the body as it arrives, before it is kept; it
    tells whether it did. `head` holds the bytes that begin with the header section; `status` is
    0 before it is in.
    """

    __slots__ = (
        "_headers",
        "chunks",
        "error",
        "head",
        "lag_bytes",
        "source",
        "status",
        "tap",
        "waiter",
    )

    def __init__(self, source: Source) -> None:
        """Wait for what `source` brings."""
        self.source: Source | None = source
        self.status = 0
        self.head = b""
        self.chunks: deque[bytes] = deque()
        self.lag_bytes = 0
        self.error: GlasslipperError | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.tap: Callable[[bytes], bool] | None = None
        self._headers: Headers | None = None

    def wake(self) -> None:
        """Let the reader look again."""
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Reply(Inbox):
    """An answer whose header section is in and whose body may still be coming.

    Read it from one task, with one `async for` or with `read`. Cancelling that task while it
    waits closes the connection; `close` does too, if the body is not yet whole. Whoever does
    not read to the end must call `close`.
    """

    __slots__ = ()

    @property
    def headers(self) -> Headers:
        """The header fields by lower-case name; repeated ones joined by a comma."""
        if self._headers is None:
            self._headers = Headers(self.head)
        return self._headers

    async def read(self, *, limit_bytes: int) -> bytes:
        """Return the whole body, as it was sent (no content coding is undone).

        Raises:
            StreamBroken: The body was cut or malformed, or is longer than `limit_bytes`.
            UpstreamTimeout: It did not come in time.
        """
        if self.source is None and self.error is None and len(self.chunks) == 1:
            if self.lag_bytes <= limit_bytes:  # the usual: the whole body came with the head
                self.lag_bytes = 0
                return self.chunks.popleft()
        pieces: list[bytes] = []
        size_bytes = 0
        async for chunk in self:
            size_bytes += len(chunk)
            if size_bytes > limit_bytes:
                self.close()
                raise StreamBroken(f"the answer is longer than {limit_bytes} bytes")
            pieces.append(chunk)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __aiter__(self) -> Reply:
        """Yield the body as it comes: what one read from the socket brought is one piece."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece of the body.

        Raises:
            StreamBroken: The body was cut or malformed, or the reply was closed before its end.
            UpstreamTimeout: The piece did not come in time.
        """
        while not self.chunks:
            if self.error is not None:
                raise self.error
            if self.source is None:
                raise StopAsyncIteration
            await self._arrival()
        chunk = self.chunks.popleft()
        self.lag_bytes -= len(chunk)
        if self.source is not None:
            self.source.caught_up(self.lag_bytes)
        return chunk

    def close(self) -> None:
        """Want no more of it; closes the connection if the body is not yet whole."""
        self.chunks.clear()
        self.lag_bytes = 0
        if self.source is not None:
            self.source.fail(StreamBroken("the reply was closed before its end"))

    async def begun(self) -> None:
        """Return once the header section is in; for whoever sent the request.

        Raises:
            UpstreamFailed: It will not come.
        """
        while not self.status:
            if self.error is not None:
                raise self.error
            await self._arrival()

    async def _arrival(self) -> None:
        waiter = self.waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self.waiter = None


def _nobody() -> None:
    """Hear nothing."""


class Pushed(Reply):
    """A reply that calls its reader whenever there is news, instead of being waited for."""

    __slots__ = ("_heard",)

    def __init__(self, source: Source, heard: Callable[[], None]) -> None:
        """Call `heard` when the header section is in, for each piece of the body and at the end.

        What it raises ends the connection; it had better raise nothing.
        """
        Inbox.__init__(self, source)
        self._heard = heard

    @property
    def is_whole(self) -> bool:
        """Whether all of the body is here."""
        return self.source is None and self.error is None

    def wake(self) -> None:
        """Tell the reader; who has been told all is let go of, so that no cycle keeps it alive."""
        heard = self._heard
        if self.source is None:
            self._heard = _nobody
        heard()

    def take(self) -> bytes:
        """Return what has come of the body and was not taken yet."""
        chunks = self.chunks
        if len(chunks) == 1:
            data = chunks.popleft()
        else:
            data = b"".join(chunks)
            chunks.clear()
        self.lag_bytes = 0
        if self.source is not None:
            self.source.caught_up(0)
        return data
