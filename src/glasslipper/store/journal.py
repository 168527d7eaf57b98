"""An append-only file of lines, written before anything is acknowledged.

A line is in the file (the kernel's page cache) when `append` returns, so the end of the process
at any moment, `kill -9` included, loses nothing that was appended. What the end of the *power*
may take is decided by the durability:

- `process`: a thread calls fdatasync within `SYNC_WITHIN_S` of the first unsynced line.
- `power`: `durable` waits until an fdatasync covers the line; everybody who waits shares one.

The file is allocated ahead, so that a full disk is met by whoever *begins* something
(`reserve`), never by whoever ends it. Allocated but unwritten bytes are zero, and no line holds
a zero byte, so the end is where the zeros start. Positions are logical: they keep counting over
all files of a journal, and a file is named by the position of its first byte.

One process owns a journal at a time, by a lock that the kernel drops with the process. Anyone
may read. Knows nothing about what the lines say.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from glasslipper.kernel.errors import DiskFull, StoreBusy, StoreFailed
from glasslipper.store.database import Durability

SYNC_WITHIN_S = 0.008
ALLOCATE_BYTES = 1 << 20
FILE_BYTES = 64 << 20
_READ_BYTES = 1 << 18
_SUFFIX = ".ndjson"


Then = Callable[[StoreFailed | None], None]
"""What is to be done next; it is told what went wrong, if anything did."""


class Lines(NamedTuple):
    """Whole lines without their newlines, and the position after the last of them."""

    lines: list[bytes]
    end: int


class Journal:
    """The writing end. Open it, `reserve` before work begins, `append` lines, `close` it."""

    def __init__(
        self,
        folder: Path,
        *,
        durability: Durability = "process",
        sync_too: Callable[[], None] | None = None,
    ) -> None:
        """Take the journal in `folder`, creating it if need be, and find its end.

        `sync_too` is called in the syncing thread after each sync.

        Raises:
            StoreBusy: Another process owns it.
            StoreFailed: The folder cannot be written.
            DiskFull: There is no room for the first allocation.
        """
        self.folder = folder
        self._durability = durability
        self._failure: StoreFailed | None = None
        self._reserved_bytes = 0
        self._sync_too = sync_too
        self._retired: list[int] = []
        self._syncing = threading.Lock()
        self._file = -1
        with _disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _take_lock(folder)
        files = _files(folder)
        self._base = self._size = 0
        try:
            self._open_file(files[-1] if files else 0)
        except StoreFailed:
            os.close(self._lock)
            raise
        self._synced = self.end
        self._syncer = _Syncer(self._sync, within_s=0 if durability == "power" else SYNC_WITHIN_S)

    def _open_file(self, base: int) -> None:
        path = self.folder / f"{base:020d}{_SUFFIX}"
        with _disk_errors(self.folder):
            is_new = not path.exists()
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = _end_of_lines(file)
                os.ftruncate(file, size)
                os.posix_fallocate(file, size, self._reserved_bytes + ALLOCATE_BYTES)
                _sync_folder(self.folder)
            except OSError:
                os.close(file)
                if is_new:  # a file that begins where another goes on would hide its lines
                    path.unlink(missing_ok=True)
                raise
        # The syncing thread reads base + size: between these lines it may see too little, never
        # too much.
        self._size, self._file = size, file
        self._base = base
        self._allocated = size + self._reserved_bytes + ALLOCATE_BYTES

    @property
    def is_instant(self) -> bool:
        """Whether `durable` never waits."""
        return self._durability != "power"

    @property
    def end(self) -> int:
        """The position after the last line."""
        return self._base + self._size

    def reserve(self, size_bytes: int) -> None:
        """Make sure that `size_bytes` more can be appended, whatever happens to the disk.

        Every reservation is given back by `unreserve`.

        Raises:
            DiskFull: There is no room; nothing is reserved.
            StoreFailed: An earlier write or sync failed.
        """
        if self._failure is not None:
            raise self._failure
        if self._size >= FILE_BYTES:
            self._next_file()
        needed = self._reserved_bytes + size_bytes
        if self._allocated - self._size < needed:
            with _disk_errors(self.folder):
                self._allocate(needed + ALLOCATE_BYTES)
        self._reserved_bytes = needed

    def unreserve(self, size_bytes: int) -> None:
        """Give back what was reserved."""
        self._reserved_bytes -= size_bytes

    def append(self, line: bytes) -> int:
        """Write one line for which room is reserved; return the position after it.

        The line must not hold a newline or a zero byte.

        Raises:
            StoreFailed: The write failed; nothing of the line is kept.
        """
        data = line + b"\n"
        try:
            if self._allocated - self._size < len(data):
                self._allocate(len(data) + ALLOCATE_BYTES)
            written = os.pwrite(self._file, data, self._size)
            if written != len(data):
                os.pwrite(self._file, bytes(written), self._size)
                raise OSError(errno.EIO, "short write")
        except OSError as error:
            raise _sentence(self.folder, error) from error
        self._size += written
        if not self._syncer.is_told:
            self._syncer.soon()
        return self._base + self._size

    async def durable(self, position: int) -> None:
        """Return once everything before `position` is as durable as this journal promises.

        Raises:
            StoreFailed: The sync failed.
        """
        if self._durability == "power" and self._synced < position:
            await self._syncer.now()
        if self._failure is not None:
            raise self._failure

    def once_durable(self, then: Then) -> None:
        """Call `then` in the running event loop, once all that is written is durable as promised.

        It is told why that failed, or `None`.
        """
        if self._durability == "power" and self._synced < self.end:
            self._syncer.call(lambda: then(self._failure))
        else:
            then(self._failure)

    def _allocate(self, more_bytes: int) -> None:
        wanted = self._size + more_bytes
        if wanted > self._allocated:
            os.posix_fallocate(self._file, self._allocated, wanted - self._allocated)
            self._allocated = wanted

    def _next_file(self) -> None:
        old, old_size = self._file, self._size
        with self._syncing, contextlib.suppress(DiskFull):
            self._open_file(self.end)
            os.ftruncate(old, old_size)
            self._retired.append(old)

    def whole(self) -> int:
        """Return the position after the last line."""
        return self.end

    def sync(self) -> int:
        """Sync what has been appended, in the calling thread; return the position synced.

        Raises:
            StoreFailed: The sync failed, now or earlier.
        """
        self._sync()
        if self._failure is not None:
            raise self._failure
        return self._synced

    def _sync(self) -> None:
        with self._syncing:
            self._sync_alone()

    def _sync_alone(self) -> None:
        position = self.end
        retired, self._retired = self._retired, []
        try:
            for file in retired:
                os.fdatasync(file)
                os.close(file)
            os.fdatasync(self._file)
        except OSError as error:
            self._failure = StoreFailed(f"Syncing {self.folder} failed: {error}.")
            return
        self._synced = position
        if self._sync_too is not None:
            self._sync_too()

    def close(self) -> None:
        """Sync, trim the allocation and give the journal up; a second time does nothing."""
        if self._file < 0:
            return
        self._syncer.stop()
        os.ftruncate(self._file, self._size)
        os.close(self._file)
        os.close(self._lock)
        self._file = -1


class _Syncer:
    """The thread that syncs: soon after a write, or at once when somebody waits."""

    def __init__(self, sync: Callable[[], None], *, within_s: float) -> None:
        self._sync = sync
        self._within_s = within_s
        self.is_told = False
        self._stopping = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, Callable[[], object]]] = []
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="journal-sync", daemon=True)
        self._thread.start()

    def soon(self) -> None:
        self.is_told = True
        self._wake.set()

    async def now(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.call(lambda: future.done() or future.set_result(None))
        await future

    def call(self, then: Callable[[], object]) -> None:
        self._waiting.append((asyncio.get_running_loop(), then))
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            time.sleep(self._within_s)
            self._run_once()
        self._run_once()

    def _run_once(self) -> None:
        self.is_told = False
        waiting, self._waiting = self._waiting, []
        self._sync()
        for loop in {id(loop): loop for loop, _ in waiting}.values():
            ours = [then for its, then in waiting if its is loop]
            with contextlib.suppress(RuntimeError):  # it is closed: nobody waits any more
                loop.call_soon_threadsafe(_call_all, loop, ours)


def _call_all(loop: asyncio.AbstractEventLoop, ours: list[Callable[[], object]]) -> None:
    """Call each in the loop's next turn; one that fails takes none of the others with it."""
    for then in ours:
        loop.call_soon(then)


def read(folder: Path, start: int) -> Iterator[Lines]:
    """Yield the whole lines from position `start` to the end as it is now, a block at a time.

    Raises:
        StoreFailed: The file that holds `start` is gone.
    """
    files = _files(folder)
    if not files:
        return
    if start < files[0]:
        raise StoreFailed(f"{folder} begins at {files[0]}; {start} has been deleted.")
    for number, base in enumerate(files):
        following = files[number + 1] if number + 1 < len(files) else None
        if following is not None and following <= start:
            continue
        yield from _read_file(folder / f"{base:020d}{_SUFFIX}", base, max(start - base, 0))


def _read_file(path: Path, base: int, offset: int) -> Iterator[Lines]:
    with path.open("rb") as file:
        file.seek(offset)
        rest = b""
        while block := file.read(_READ_BYTES):
            written = block.find(b"\0")
            block = block if written < 0 else block[:written]
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            offset += len(block)
            if lines:
                yield Lines(lines, base + offset - len(rest))
            if written >= 0:
                return


def first_file_end(folder: Path) -> float:
    """Return the position where the oldest file ends; infinity while it is the only one."""
    files = _files(folder)
    return files[1] if len(files) > 1 else float("inf")


def drop_before(folder: Path, position: int) -> None:
    """Delete the files of which every line lies before `position`."""
    for start, following in pairwise(_files(folder)):
        if following <= position:
            (folder / f"{start:020d}{_SUFFIX}").unlink(missing_ok=True)


def is_free(folder: Path) -> bool:
    """Tell whether no process owns the journal in `folder`."""
    try:
        lock = _take_lock(folder)
    except StoreBusy:
        return False
    os.close(lock)
    return True


def _take_lock(folder: Path) -> int:
    lock = os.open(folder / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StoreBusy(f"{folder} is in use by another process.") from error
    return lock


def _files(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob(f"*{_SUFFIX}"))


def _end_of_lines(file: int) -> int:
    """Return the offset after the last whole line: before the zeros and any torn line."""
    low, high = 0, os.fstat(file).st_size
    while low < high:
        middle = (low + high) // 2
        if os.pread(file, 1, middle) == b"\0":
            high = middle
        else:
            low = middle + 1
    while low > 0:
        start = max(low - _READ_BYTES, 0)
        newline = os.pread(file, low - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        low = start
    return 0


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise _sentence(folder, error) from error


def _sentence(folder: Path, error: OSError) -> StoreFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"The disk that holds {folder} is full.")
    return StoreFailed(f"Writing {folder} failed: {error}.")
