"""Makes files and their names outlast the power, and turns what goes wrong into sentences."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from glasslipper.kernel.errors import DiskFull, StoreBusy, StoreFailed


def sync_file(path: Path) -> None:
    """Sync what is in a file."""
    _sync(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """Sync the names in a folder."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def plain_errors(place: Path) -> Generator[None]:
    """Turn what the system says about files in a place into errors of ours.

    Raises:
        DiskFull: There is no room.
        StoreFailed: Anything else went wrong with a file.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"The disk that holds {place} is full.") from error
        raise StoreFailed(f"Writing {place} failed: {error}.") from error


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """Write a file that gets its name when it is whole, and outlasts the power from then on.

    Its folder is made if it is not there. Where anything goes wrong, what had the name keeps it.

    Raises:
        DiskFull: There is no room.
        StoreFailed: Anything else went wrong with the file.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    with plain_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold a file that the kernel lets go of with the process; it is made if it is not there.

    Raises:
        StoreBusy: Another process, or another part of this one, holds it.
    """
    with plain_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreBusy(f"{path} is held by another process.") from error
        yield
    finally:
        os.close(handle)
