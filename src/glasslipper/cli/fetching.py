"""Brings model files onto this machine, with a bar that shows how far it is.

Tells no server about them: that is the caller's affair.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from glasslipper.cli.output import console, mention
from glasslipper.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from glasslipper.local import Progress

HUB = "hf:"


class Pulled(NamedTuple):
    """A model's files on this machine, and whether they had to be fetched."""

    id: str
    paths: tuple[Path, ...]
    is_new: bool


def pull(model_id: str, *, quiet: bool) -> Pulled:
    """Fetch a model of the catalogue; returns at once, and silently, if it is there.

    With `quiet` nothing is shown. What a broken download has brought is kept for the next call.

    Raises:
        ModelUnknown: The catalogue has no such model.
        DownloadFailed: It could not be fetched, or is not what was published.
    """
    from glasslipper.local import fetch, is_present
    from glasslipper.local.catalogue import find

    model = find(model_id)
    if is_present(model):
        return Pulled(model_id, fetch(model), is_new=False)
    if not quiet:
        mention(f"Fetching {model_id}: {_megabytes(model.download_bytes)}, {model.licence}.")
    with _watched(model_id, quiet=quiet) as on_progress:
        return Pulled(model_id, fetch(model, on_progress=on_progress), is_new=True)


def pull_from_hub(source: str, *, model_id: str | None, quiet: bool) -> Pulled:
    """Fetch `hf:owner/repo:file.gguf`, to be called `model_id` or else after its file.

    Raises:
        InvalidRequest: That is not how such a file is named.
        SetupMissing: The hub's client is not installed.
        DownloadFailed: It could not be fetched, or is not what was published.
    """
    from glasslipper.local import fetch_hf

    repo, _, file = source.removeprefix(HUB).partition(":")
    if repo.count("/") != 1 or not file.endswith(".gguf"):
        raise InvalidRequest(
            f"{source!r} does not name a file of the Hugging Face hub.",
            hint="Write it like hf:owner/repo:file.gguf.",
        )
    name = model_id or f"local/{Path(file).stem.lower()}"
    with _watched(name, quiet=quiet) as on_progress:
        path = fetch_hf(repo, file, on_progress=on_progress)
    return Pulled(name, (path,), is_new=True)


@contextmanager
def _watched(name: str, *, quiet: bool) -> Generator[Progress | None]:
    """Give whoever downloads something to report to; a bar appears with the first report."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    bar = _bar()
    task = bar.add_task(name, total=None)

    def on_progress(done_bytes: int, total_bytes: int) -> None:
        bar.start()
        bar.update(task, completed=done_bytes, total=total_bytes)

    try:
        yield on_progress
    finally:
        bar.stop()


def _bar() -> Bar:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console(errors=True),
    )


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"
