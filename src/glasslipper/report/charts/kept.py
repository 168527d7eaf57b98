"""Keeps drawings in files, so that what was drawn once need not be drawn again.

A file is named after all that a drawing is made of: the order, our code, the library's version;
not the fonts of the machine, which only move letters. It begins with its own checksum: one that
was damaged is as good as none. Several processes may use one folder at once, and it may be
deleted at any time. Draws nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

from glasslipper.report.charts import draw
from glasslipper.report.charts.order import Order

MOST_BYTES = 32_000_000
"""What a folder holds at most: some thirty pages. What was not used for longest goes first."""


class Kept:
    """The drawings in one folder, which is made when the first one is kept."""

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._mark = _mark()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept."""
        with contextlib.suppress(OSError):
            return next(self._folder.iterdir(), None) is None
        return True

    def find(self, order: Order) -> str:
        """Return a drawing as it was kept; nothing if it was not, or is damaged."""
        path = self._path(order)
        try:
            checksum, _, drawn = path.read_bytes().partition(b"\n")
            if checksum != _checksum(drawn):
                return ""
            os.utime(path)
        except OSError:
            return ""
        return drawn.decode()

    def keep(self, order: Order, drawn: str) -> None:
        """Keep a drawing, whole or not at all; where there is no room, it is not kept."""
        path = self._path(order)
        part = path.with_name(f"{path.name}-{os.getpid()}.part")
        data = drawn.encode()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.write_bytes(_checksum(data) + b"\n" + data)
            part.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()

    def tidy(self) -> None:
        """Remove what is too much, the longest unused first; another process may do so too."""
        found: list[tuple[int, int, Path]] = []
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                with contextlib.suppress(OSError):
                    known = path.stat()
                    found.append((known.st_mtime_ns, known.st_size, path))
        left = self._most_bytes
        for _, size, path in sorted(found, reverse=True):
            left -= size
            if left < 0:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _path(self, order: Order) -> Path:
        digest = hashlib.sha256(self._mark + msgspec.json.encode(order)).hexdigest()
        return self._folder / f"{digest[:32]}.svg"


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def _mark() -> bytes:
    """Return what changes whenever the same order may be drawn in another way."""
    digest = hashlib.sha256(draw.version().encode())
    for name in ("draw.py", "frame.py", "hover.py"):
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.digest()
