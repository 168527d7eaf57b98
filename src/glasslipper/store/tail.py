"""Writes lines into room that a file has been allocated: through memory where that is safe.

A line that is copied into a shared mapping of the file is in the kernel's page cache, just as
one that was written, for a fraction of the cost and without letting other threads in between. It
is safe where a file system keeps the room that it allocated: elsewhere a full disk would be met
as a signal that ends the process, so lines are written by calls there.

The newline is copied last, so that a line that ends with one is whole. Knows nothing of syncing.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from pathlib import Path

_KEEP_ROOM = frozenset({"ext4", "xfs", "tmpfs"})
"""File systems where writing into room from fallocate never needs more room."""

_MOUNTS = Path("/proc/self/mountinfo")
_NEWLINE = ord("\n")


class Tail:
    """The end of one file. The caller says where, and allocates before it writes."""

    def __init__(self, file: int, *, mapped: bool) -> None:
        """Write into an open file, which the caller closes."""
        self._file = file
        self._mapped = mapped
        self._map: mmap.mmap | None = None
        self._base = self._end = 0

    def make_room(self, at: int, until: int) -> None:
        """Be told that the file is allocated up to `until`, and that lines go on at `at`."""
        self.close()
        if not self._mapped:
            return
        base = at - at % mmap.ALLOCATIONGRANULARITY
        with contextlib.suppress(OSError):  # too many mappings, say: calls do as well
            self._map = mmap.mmap(self._file, until - base, offset=base)
            self._base, self._end = base, until

    def write(self, line: bytes, at: int) -> int:
        """Write a line and its newline at an offset; return the offset after them.

        Raises:
            OSError: It was not written; nothing of the line is kept.
        """
        size = len(line)
        end = at + size + 1
        mapped = self._map
        if mapped is not None and end <= self._end:
            start = at - self._base
            mapped[start : start + size] = line
            mapped[start + size] = _NEWLINE
            return end
        written = os.pwrite(self._file, line + b"\n", at)
        if written != size + 1:
            os.pwrite(self._file, bytes(written), at)
            raise OSError(errno.EIO, "short write")
        return end

    def close(self) -> None:
        """Let the mapping go; what was written stays."""
        if self._map is not None:
            self._map.close()
            self._map = None


def keeps_room(file: int) -> bool:
    """Tell whether the file system of an open file keeps what it allocated, as far as is known."""
    device = os.fstat(file).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
            mount, _, source = line.partition(" - ")
            if mount.split(" ", 3)[2] == number:
                return source.partition(" ")[0] in _KEEP_ROOM
    return False
