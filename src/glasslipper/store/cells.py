"""Counters that survive `kill -9` and cost no system call: a shared memory map of a file.

Each running exchange counts the bytes that it has relayed in a cell of its own. The page cache
owns the pages, so the numbers outlive the process; the kernel writes them back in its own time,
so they do not outlive the power, except up to the last `sync`.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path

_BYTES = 8


class Cells:
    """A fixed number of 64-bit counters in a file, handed out and taken back."""

    def __init__(self, path: Path, *, count: int = 16_384) -> None:
        """Map the file, creating it if need be. The counts that it holds are kept."""
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            had = os.fstat(file).st_size
            size = max(count * _BYTES, had)
            if size > had:
                os.posix_fallocate(file, 0, size)
            self._map = mmap.mmap(file, size)
        finally:
            os.close(file)
        self.values = memoryview(self._map).cast("Q")
        self._free = list(range(size // _BYTES - 1, -1, -1))
        self.give: Callable[[int], None] = self._free.append
        """Take a cell back."""

    def take(self) -> int | None:
        """Return the index of a free cell, set to zero; `None` if all are in use."""
        if not self._free:
            return None
        cell = self._free.pop()
        self.values[cell] = 0
        return cell

    def sync(self) -> None:
        """Write the counts to the disk."""
        self._map.flush()

    def close(self) -> None:
        """Unmap the file."""
        self.values.release()
        self._map.close()
