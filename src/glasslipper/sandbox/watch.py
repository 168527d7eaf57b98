"""Watches a job while it runs, and stops it, and all that it started, when it takes too much.

Output is read as it comes and never held beyond its limit. Memory and processes of the whole
tree are looked at many times a second. The tree is found from the top, by the kernel's own list
of children: in a process namespace nothing can leave it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from glasslipper.kernel.ports import Job, Limits, Outcome

LOOK_S = 0.02
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CHUNK = 65_536
_LINGER_S = 2.0
_STILL = ("T", "t", "Z", "X", "")
_STILL_S, _STILL_TRIES = 0.0005, 40

Stop = Literal["time", "memory", "processes", "output"]


class Command(Struct, kw_only=True):
    """How a job is started; `stop` ends what killing the process does not."""

    argv: Sequence[str]
    fds: tuple[int, ...] = ()
    cwd: str | None = None
    env: Mapping[str, str] | None = None
    stop: Callable[[], Awaitable[None]] | None = None

    def close(self) -> None:
        """Close the files that were opened for it."""
        for fd in self.fds:
            with contextlib.suppress(OSError):
                os.close(fd)
        self.fds = ()


async def supervise(command: Command, job: Job) -> Outcome:
    """Run a command within the job's limits."""
    began_s = time.monotonic()
    starting = asyncio.create_task(_start(command))
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        watch = _Watch(await starting, job.limits)
        watch.kill()
        await watch.gone()
        raise
    watch = _Watch(process, job.limits)
    try:
        stopped, stdout, stderr = await watch.until_end(job.stdin)
    finally:
        watch.kill()
        if command.stop is not None:
            await asyncio.shield(command.stop())
        await asyncio.shield(watch.gone())
    code = process.returncode
    return Outcome(
        status=stopped or "exited",
        exit_code=None if stopped else _as_signal(code),
        stdout=stdout,
        stderr=stderr,
        wall_s=time.monotonic() - began_s,
    )


async def _start(command: Command) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=command.fds,
            start_new_session=True,
            cwd=command.cwd,
            env=command.env,
        )
    finally:
        command.close()


class _Watch:
    def __init__(self, process: asyncio.subprocess.Process, limits: Limits) -> None:
        self._process = process
        self._limits = limits
        self._stopped: Stop | None = None
        self._tree: set[int] = set()

    def kill(self) -> None:
        """End the tree: the first process takes its namespace with it, the group the rest."""
        if self._process.returncode is not None:
            return
        _hold_still(self._process.pid)
        self._tree |= set(_tree(self._process.pid))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for pid in self._tree:
            _send(pid, signal.SIGKILL)

    async def gone(self) -> None:
        """Wait until nothing of what was killed is left."""
        await self._process.wait()
        ends_s = time.monotonic() + _LINGER_S
        while any(map(_lives, self._tree)) and time.monotonic() < ends_s:
            await asyncio.sleep(LOOK_S / 4)

    async def until_end(self, stdin: bytes) -> tuple[Stop | None, bytes, bytes]:
        """Feed, read and look until the job ends or is ended."""
        process = self._process
        looking = asyncio.create_task(self._look())
        feeding = asyncio.create_task(_feed(process, stdin))
        try:
            stdout, stderr = await asyncio.gather(
                self._read(process.stdout), self._read(process.stderr)
            )
            await process.wait()
        finally:
            for task in (looking, feeding):
                task.cancel()
            await asyncio.gather(looking, feeding, return_exceptions=True)
        return self._stopped, stdout, stderr

    async def _read(self, stream: asyncio.StreamReader | None) -> bytes:
        kept = bytearray()
        while stream is not None and (chunk := await stream.read(_CHUNK)):
            kept += chunk[: max(self._limits.output_bytes - len(kept), 0)]
            if len(kept) >= self._limits.output_bytes:
                self._stop("output")
        return bytes(kept)

    async def _look(self) -> None:
        ends_s = time.monotonic() + self._limits.wall_s
        while True:
            if time.monotonic() >= ends_s:
                self._stop("time")
            pids = list(_tree(self._process.pid))
            if len(pids) > self._limits.processes + _OURS:
                self._stop("processes")
            elif sum(map(_resident_bytes, pids)) > self._limits.memory_bytes:
                self._stop("memory")
            await asyncio.sleep(LOOK_S)

    def _stop(self, why: Stop) -> None:
        if self._stopped is None:
            self._stopped = why
        self.kill()


_OURS = 5
"""What may stand around a job and is not its own: bubblewrap, twice, and its first processes."""


async def _feed(process: asyncio.subprocess.Process, stdin: bytes) -> None:
    if process.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(stdin)
        await process.stdin.drain()
    process.stdin.close()


def _hold_still(pid: int) -> None:
    """Stop a process, so that it starts no other while the others are counted."""
    _send(pid, signal.SIGSTOP)
    for _ in range(_STILL_TRIES):
        if _state(pid) in _STILL:
            return
        time.sleep(_STILL_S)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _lives(pid: int) -> bool:
    return _state(pid) not in ("", "Z", "X")


def _state(pid: int) -> str:
    """Return the letter by which the kernel calls a process's state; nothing if it is gone."""
    try:
        return Path("/proc", str(pid), "stat").read_text("ascii", "replace").rpartition(")")[2][1]
    except (OSError, IndexError):
        return ""


def _as_signal(code: int | None) -> int | None:
    """Bubblewrap and shells say 128 + n for a job that signal n ended."""
    return 128 - code if code is not None and 128 < code <= 192 else code


def _tree(root: int) -> Iterator[int]:
    """Yield a process and all below it."""
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        try:
            tasks = list(Path("/proc", str(pid), "task").iterdir())
        except OSError:
            continue
        for task in tasks:
            with contextlib.suppress(OSError):
                waiting += map(int, (task / "children").read_text("ascii").split())


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path("/proc", str(pid), "statm").read_text("ascii").split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0
