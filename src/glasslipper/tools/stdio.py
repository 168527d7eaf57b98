"""A server that is a program: one line of JSON a message, over its standard streams.

It gets a bare environment, so that no key of ours leaks into it; it ends when the link closes,
with whatever it has started. Dead, it is started again by the next request.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Mapping

from msgspec import Raw, Struct, field

from glasslipper.kernel.errors import SetupMissing, UpstreamFailed, UpstreamTimeout
from glasslipper.tools import rpc
from glasslipper.tools.link import greet

MOST_LINE_BYTES = 16 << 20
_STOP_S = 2.0
_KEPT_LINES = 5
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER")


class StdioServer(Struct, frozen=True, kw_only=True):
    """A command, and what its environment has besides the bare one."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str | None = None
    timeout_s: float = 60.0

    def link(self) -> StdioLink:
        """Return a new connection."""
        return StdioLink(self)


class StdioLink:
    """A running program, or one that will be."""

    def __init__(self, server: StdioServer) -> None:
        self._server = server
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[int, asyncio.Future[Raw]] = {}
        self._number = 0
        self._ended = False
        self._jobs: list[asyncio.Task[None]] = []
        self._complaints: deque[str] = deque(maxlen=_KEPT_LINES)
        self._opening = asyncio.Lock()

    async def ask(self, method: str, params: Mapping[str, object] | None = None) -> Raw:
        """Send a request and wait for its result."""
        async with self._opening:
            if self._process is None or self._ended:
                await self._open()
        return await self._ask(method, params)

    async def tell(self, method: str) -> None:
        """Send a notification."""
        await self._write(rpc.request(None, method, None))

    async def close(self) -> None:
        """Close the program's input, and end it if it does not go by itself."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _STOP_S)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _open(self) -> None:
        await self.close()
        self._ended = False
        bare = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._server.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**bare, **self._server.env},
                cwd=self._server.cwd,
                start_new_session=True,
                limit=MOST_LINE_BYTES,
            )
        except OSError as error:
            raise SetupMissing(
                f"The tool server {self._server.argv[0]!r} cannot be started: {error.strerror}.",
                hint="Check its command.",
            ) from None
        self._jobs = [
            asyncio.create_task(self._read(self._process)),
            asyncio.create_task(self._hear_complaints(self._process)),
        ]
        try:
            await greet(self._ask, self.tell)
        except BaseException:
            self._ended = True  # it has not been greeted: the next request starts it anew
            raise

    async def _ask(self, method: str, params: Mapping[str, object] | None) -> Raw:
        self._number += 1
        number = self._number
        coming: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        self._waiting[number] = coming
        try:
            async with asyncio.timeout(self._server.timeout_s):
                await self._write(rpc.request(number, method, params))
                return await coming
        except TimeoutError:
            raise UpstreamTimeout(
                f"The tool server did not answer within {self._server.timeout_s:g} s."
            ) from None
        finally:
            self._waiting.pop(number, None)

    async def _write(self, line: bytes) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise UpstreamFailed("The tool server is gone.")
        try:
            process.stdin.write(line + b"\n")
            await process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise self._gone() from None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hand replies to who waits for them, until there are no more."""
        failure: UpstreamFailed | None = None
        try:
            while process.stdout is not None and (line := await process.stdout.readline()):
                if line.strip():
                    await self._take(rpc.decode(line))
        except UpstreamFailed as error:
            failure = error
        except ValueError:
            failure = UpstreamFailed("The tool server's line is too long.")
        self._ended = True
        for coming in self._waiting.values():
            if not coming.done():
                coming.set_exception(failure or self._gone())
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    async def _take(self, message: rpc.Incoming) -> None:
        if message.method is not None:
            reply = rpc.answer_to(message)
            if reply is not None:
                await self._write(reply)
            return
        coming = self._waiting.get(message.id) if isinstance(message.id, int) else None
        if coming is None or coming.done():
            return
        try:
            coming.set_result(rpc.result_of(message))
        except UpstreamFailed as error:
            coming.set_exception(error)

    async def _hear_complaints(self, process: asyncio.subprocess.Process) -> None:
        while process.stderr is not None and (chunk := await process.stderr.read(4096)):
            self._complaints.append(chunk.decode("utf-8", "replace").strip()[-300:])

    def _gone(self) -> UpstreamFailed:
        said = " ".join(self._complaints)[-300:]
        return UpstreamFailed(f"The tool server ended{': ' + said if said else '.'}")
