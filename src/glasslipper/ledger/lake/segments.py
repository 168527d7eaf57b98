"""Which files are in the lake: names, manifests, checksums.

    $GLASSLIPPER_HOME/lake/w-…/000000000001/     one segment
    ├─ generations.parquet  attempts.parquet  candidates.parquet  late_facts.parquet
    ├─ usage_daily.parquet  units_weekly.parquet  latency_daily.parquet  attempts_daily.parquet
    └─ manifest.json

A segment appears as a whole, by the rename of its folder, and never changes. Its name is its
identity: the journal whose rows it took over, and the number of the first of them; or else the
name of what brought the rows, and whatever tells its segments apart. Whoever reads a journal's
hot rows leaves out those that a segment has taken over, by number; so it does no harm that they
stay there for a while.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from glasslipper.kernel.errors import StoreFailed, StoreNewer

LAKE = "lake"
MANIFEST = "manifest.json"
STAGING = ".staging"
FORMAT = 1

_READ_BYTES = 1 << 20


class File(Struct, frozen=True, kw_only=True):
    """One Parquet file of a segment."""

    rows: int
    size_bytes: int
    sha256: str


class Span(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The least and the greatest `created_ms` and id of a segment's generations, if it has any."""

    oldest_ms: int = 0
    newest_ms: int = 0
    first_id: str = ""
    last_id: str = ""


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a segment holds.

    `first` and `last` number the rows of `journal` that it took over, `position` is the journal
    position after the last of them; all are 0 where the rows came from elsewhere.
    """

    format: int
    journal: str
    name: str
    files: dict[str, File]
    first: int = 0
    last: int = 0
    position: int = 0
    span: Span = Span()
    sealed_ms: int = 0
    source: str = ""


class Segment(Struct, frozen=True, kw_only=True):
    """A segment and where it is."""

    folder: Path
    manifest: Manifest

    @property
    def path(self) -> str:
        """Its name under the lake: the journal and its own."""
        return f"{self.manifest.journal}/{self.manifest.name}"

    def file(self, table: str) -> Path | None:
        """Return the Parquet file of a table, or `None` where the segment has no rows of it."""
        found = self.manifest.files.get(table)
        return self.folder / f"{table}.parquet" if found is not None and found.rows else None


_manifests = msgspec.json.Decoder(Manifest)


def found_in(home: Path) -> list[Segment]:
    """Return every segment of a home, the oldest first; not those that are being made.

    Raises:
        StoreNewer: A newer program wrote one of them.
    """
    manifests = (home / LAKE).glob(f"*/*/{MANIFEST}")
    folders = [path.parent for path in manifests]
    segments = [read(folder) for folder in folders if folder.parent.name != STAGING]
    return sorted(segments, key=lambda one: (one.manifest.span.oldest_ms, one.path))


def last_of(home: Path, journal: str) -> Segment | None:
    """Return the segment that took over a journal's latest rows, if any did."""
    names = sorted(path.parent.name for path in (home / LAKE / journal).glob(f"*/{MANIFEST}"))
    return read(home / LAKE / journal / names[-1]) if names else None


def folder_of(home: Path, journal: str, name: str) -> Path:
    """Return where a segment is, or would be."""
    return home / LAKE / journal / name


def number_name(first: int) -> str:
    """Return the name of the segment that takes over a journal's rows from `first` on."""
    return f"{first:012d}"


def read(folder: Path) -> Segment:
    """Return the segment in a folder.

    Raises:
        StoreNewer: A newer program wrote it.
        StoreFailed: Its manifest is damaged.
    """
    try:
        manifest = _manifests.decode((folder / MANIFEST).read_bytes())
    except msgspec.MsgspecError as error:
        raise StoreFailed(
            f"{folder / MANIFEST} is damaged: {error}.",
            hint="Bring the folder back from a backup, or move it out of the lake.",
        ) from error
    if manifest.format > FORMAT:
        raise StoreNewer(
            f"{folder} has format {manifest.format}; this version of Glasslipper knows {FORMAT}."
        )
    return Segment(folder=folder, manifest=manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a segment's manifest, indented for people."""
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def taken_over(segments: Iterable[Segment]) -> dict[str, int]:
    """Return, by journal, the number of the last row that segments took over."""
    last: dict[str, int] = {}
    for segment in segments:
        journal = segment.manifest.journal
        last[journal] = max(last.get(journal, 0), segment.manifest.last)
    return last


def describe(path: Path, rows: int) -> File:
    """Return what a manifest says about a file."""
    return File(rows=rows, size_bytes=path.stat().st_size, sha256=checksum(path))


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal text."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
