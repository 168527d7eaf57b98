"""A wire between a gateway and its provider that breaks after a chosen number of bytes.

Counts what it passed on, so that it can say whether the break came before the provider's end.
Knows no HTTP, and of dialects only the words that end an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Self

ENDS = (b"[DONE]", b"message_stop", b'"finishReason":"', b'"finish_reason":"')
"""What a provider's answer has said by its end; if one of them came through, it may be whole."""

_KEPT_BYTES = 65_536


class Wire:
    """A TCP proxy on a free port of 127.0.0.1, in a thread of its own."""

    def __init__(self, port: int) -> None:
        """Lead to `port` of 127.0.0.1."""
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._left_bytes: int | None = None
        self._resets = False
        self._passed = b""
        self._broke = False
        self.port = 0

    def break_after(self, size_bytes: int, *, resets: bool) -> None:
        """Break the next answer after so many bytes, by RST or by an end."""
        self._passed, self._broke, self._resets = b"", False, resets
        self._left_bytes = size_bytes

    def broke_early(self) -> bool:
        """Mend the wire; tell whether it broke before the answer had said its end."""
        self._left_bytes = None
        return self._broke and not any(end in self._passed for end in ENDS)

    def __enter__(self) -> Self:
        self._thread.start()
        start = asyncio.start_server(self._join, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _join(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_connection("127.0.0.1", self._target)
        ways = [
            asyncio.ensure_future(self._up(near, forth)),
            asyncio.ensure_future(self._down(far, back)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for writer in (back, forth):
                writer.close()

    async def _up(self, near: asyncio.StreamReader, forth: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await near.read(_KEPT_BYTES):
                forth.write(data)
                await forth.drain()

    async def _down(self, far: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await far.read(_KEPT_BYTES):
                part = data if self._left_bytes is None else data[: self._left_bytes]
                self._passed = (self._passed + part)[-_KEPT_BYTES:]
                back.write(part)
                await back.drain()
                if self._left_bytes is not None:
                    self._left_bytes -= len(part)
                    if not self._left_bytes:
                        self._break(back)
                        return

    def _break(self, back: asyncio.StreamWriter) -> None:
        self._left_bytes, self._broke = None, True
        if self._resets:
            link = back.get_extra_info("socket")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            back.transport.abort()
