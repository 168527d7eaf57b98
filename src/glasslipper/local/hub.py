"""Any GGUF file from the Hugging Face hub, for those who installed the `hf` extra.

The hub's client does the talking, so its settings (HF_ENDPOINT, HF_TOKEN, mirrors) hold. A hash
that the caller does not know is taken from the hub, checked all the same, and written beside
the file together with the revision.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any, cast

import msgspec
from msgspec import Struct

from glasslipper.kernel.errors import (
    DownloadFailed,
    HashMismatch,
    InvalidRequest,
    SetupMissing,
)
from glasslipper.local import gguf
from glasslipper.local.obtain import Progress, locked, place
from glasslipper.store import places

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Origin(Struct, frozen=True, kw_only=True):
    """Where a file came from and what it was then; lies beside it as `….json`."""

    repo: str
    file: str
    revision: str
    size_bytes: int
    sha256: str
    version: int = 1


def fetch_hf(
    repo: str,
    file: str,
    *,
    revision: str | None = None,
    sha256: str | None = None,
    folder: Path | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Return the path of a GGUF file of the hub, after fetching it if need be.

    `folder` is the models' folder, by default `places.models()`. `on_progress` hears the bytes
    done and the bytes in total.

    Raises:
        SetupMissing: The hub's client is not installed.
        InvalidRequest: The file is no GGUF file.
        HashMismatch: What came is not what the hub or the caller says; nothing of it is kept.
        DownloadFailed: The file could not be fetched.
    """
    if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
        raise InvalidRequest(f"{file} is not the name of a file of a repository.")
    name = f"{repo.replace('/', '--')}--{PurePosixPath(file).name}"
    inside = (places.models() if folder is None else folder) / "hf"
    target = inside / name
    if _origin(target) is not None:
        return target
    work = inside / ".fetch" / name
    work.mkdir(parents=True, exist_ok=True)
    with locked(work.with_name(name + ".lock")):
        if _origin(target) is None:
            origin = _bring(repo, file, revision=revision, work=work, watch=on_progress)
            _verify(work / file, origin, sha256=sha256, work=work)
            _note(target).write_bytes(msgspec.json.format(msgspec.json.encode(origin)))
            place(work / file, target)
        shutil.rmtree(work, ignore_errors=True)
    return target


def _bring(
    repo: str, file: str, *, revision: str | None, work: Path, watch: Progress | None
) -> Origin:
    """Download the file into `work` and return what the hub says about it."""
    try:
        import huggingface_hub  # the `hf` extra, with a client of its own behind it
        from httpx2 import HTTPError
    except ImportError as error:
        raise SetupMissing(
            "The client of the Hugging Face hub is not installed.",
            hint="Run `pip install 'glasslipper[hf]'`.",
        ) from error
    hub = cast("Any", huggingface_hub)  # its types are incomplete
    try:
        about = hub.get_hf_file_metadata(hub.hf_hub_url(repo, file, revision=revision))
        commit = about.commit_hash or revision or "main"
        bar = _bar(watch)
        hub.hf_hub_download(repo, file, revision=commit, local_dir=work, tqdm_class=bar)
    except (OSError, ValueError, HTTPError) as error:
        reason = str(error).strip().splitlines() or [repr(error)]
        raise DownloadFailed(f"The hub does not give {file} of {repo}: {reason[-1]}") from error
    etag = str(about.etag or "")
    return Origin(
        repo=repo,
        file=file,
        revision=commit,
        size_bytes=about.size or 0,
        sha256=etag if _SHA256.fullmatch(etag) else "",
    )


def _verify(path: Path, origin: Origin, *, sha256: str | None, work: Path) -> None:
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    expected = sha256 or origin.sha256 or found
    try:
        if found != expected.lower() or path.stat().st_size != origin.size_bytes:
            raise HashMismatch(
                f"{origin.file} of {origin.repo} has the SHA-256 {found}, not {expected}."
            )
        gguf.check(path)
    except (HashMismatch, InvalidRequest):
        shutil.rmtree(work, ignore_errors=True)
        raise


def _note(target: Path) -> Path:
    return target.with_name(target.name + ".json")


def _origin(target: Path) -> Origin | None:
    """Return the origin of a file that is there whole, else `None`."""
    try:
        origin = msgspec.json.decode(_note(target).read_bytes(), type=Origin)
        return origin if target.stat().st_size == origin.size_bytes else None
    except (OSError, msgspec.DecodeError):
        return None


def _bar(watch: Progress | None) -> type:
    """Return a progress bar class that draws nothing and tells `watch` instead."""
    from huggingface_hub.utils import tqdm

    class Quiet(tqdm):
        def __init__(self, *_args: object, **options: object) -> None:
            cast("Any", super()).__init__(disable=True)
            self._done_bytes = cast("int", options.get("initial") or 0)
            self._total_bytes = cast("int", options.get("total") or 0)

        def update(self, n: float | None = 1) -> None:
            self._done_bytes += int(n or 0)
            if watch is not None:
                watch(self._done_bytes, max(self._total_bytes, self._done_bytes))

    return Quiet
