"""Writes one segment, so that it is there as a whole or not at all.

Its files are written into a folder of their own in the lake's staging area and synced; the rename
of that folder is the moment at which the segment exists. A name that exists already is left as it
is: whoever came second throws its work away. Who dies half-way leaves a folder in the staging
area, which the next one with that name wipes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Generator, Mapping
from pathlib import Path

from glasslipper.kernel.errors import StoreBusy
from glasslipper.ledger.lake import columns, rollups, segments, views
from glasslipper.ledger.lake.segments import File, Manifest, Segment, Span
from glasslipper.store.duck import Duck, text
from glasslipper.store.files import plain_errors, sync_file, sync_folder

ZSTD_LEVEL = 3
ROWS_IN_A_GROUP = 122_880


def write(
    duck: Duck,
    home: Path,
    *,
    journal: str,
    name: str,
    tables: Mapping[str, str],
    now_ms: int,
    first: int = 0,
    last: int = 0,
    position: int = 0,
    source: str = "",
) -> Segment:
    """Write a segment from queries for stored columns, by table; return what is there then.

    `first` and `last` number the rows of `journal` that it takes over, `position` is the journal
    position after the last.

    Raises:
        StoreBusy: Another process is writing the segment of this name.
        DiskFull: There is no room; nothing is left behind.
        StoreFailed: The files cannot be written.
    """
    final = segments.folder_of(home, journal, name)
    if final.exists():
        return segments.read(final)
    with _staging(home, f"{journal}.{name}") as folder:
        files = {table: _write_table(duck, folder, table, sql) for table, sql in tables.items()}
        files |= write_rollups(duck, folder, files, into=folder)
        manifest = Manifest(
            format=segments.FORMAT,
            journal=journal,
            name=name,
            files=files,
            first=first,
            last=last,
            position=position,
            sealed_ms=now_ms,
            source=source,
            span=_span(duck, folder, files),
        )
        segments.write_manifest(folder, manifest)
        sync_file(folder / segments.MANIFEST)
        sync_folder(folder)
        _publish(folder, final)
    return segments.read(final)


def _write_table(duck: Duck, folder: Path, table: str, sql: str) -> File:
    path = folder / f"{table}.parquet"
    duck.run(_copying(sql, path))
    return _written(duck, path)


def _copying(sql: str, path: Path) -> str:
    return (
        f"COPY ({sql}) TO {text(path)} (FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd,"
        f" COMPRESSION_LEVEL {ZSTD_LEVEL}, ROW_GROUP_SIZE {ROWS_IN_A_GROUP})"
    )


def _written(duck: Duck, path: Path) -> File:
    sync_file(path)
    found = duck.row(f"SELECT count(*) FROM read_parquet({text(path)})")  # noqa: S608
    return segments.describe(path, int(found[0]) if found else 0)


def write_rollups(
    duck: Duck, folder: Path, files: Mapping[str, File], into: Path
) -> dict[str, File]:
    """Sum up a segment's files in `folder`, and write the rollups `into` one."""
    if "generations" not in files:
        return {}
    stored = f"read_parquet({text(folder / 'generations.parquet')})"
    beside = (
        f"read_parquet({text(folder / 'attempts.parquet')})"
        if "attempts" in files
        else f"({columns.empty(columns.ATTEMPTS)})"
    )
    duck.run(
        f"CREATE OR REPLACE VIEW sealing_generations AS {views.generations(stored)};"
        f"CREATE OR REPLACE VIEW sealing_attempts AS {views.attempts(stored, beside)}"
    )
    paths = {name: into / f"{name}.parquet" for name in rollups.ROLLUPS}
    try:
        duck.abreast([_copying(_rollup(name), path) for name, path in paths.items()])
    finally:
        duck.run("DROP VIEW sealing_attempts; DROP VIEW sealing_generations")
    return {name: _written(duck, path) for name, path in paths.items()}


def _rollup(name: str) -> str:
    return rollups.over(
        rollups.ROLLUPS[name], generations="sealing_generations", attempts="sealing_attempts"
    )


def _span(duck: Duck, folder: Path, files: Mapping[str, File]) -> Span:
    if "generations" not in files or not files["generations"].rows:
        return Span()
    path = text(folder / "generations.parquet")
    found = duck.row(
        f"SELECT min(created_ms), max(created_ms), min(id), max(id) FROM read_parquet({path})"  # noqa: S608
    )
    if found is None:
        return Span()
    oldest_ms, newest_ms, first_id, last_id = found
    return Span(oldest_ms=oldest_ms, newest_ms=newest_ms, first_id=first_id, last_id=last_id)


@contextlib.contextmanager
def _staging(home: Path, name: str) -> Generator[Path]:
    """Own an empty folder, by a lock on itself, until it is renamed; else remove it."""
    folder = home / segments.LAKE / segments.STAGING / name
    with plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = _take(folder)
        try:
            for path in folder.iterdir():
                path.unlink()
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            os.close(handle)


def _take(folder: Path) -> int:
    """Lock a folder and return its handle.

    Raises:
        StoreBusy: Another process has it, or has just renamed it.
    """
    busy = StoreBusy(f"{folder} is being written by another process.")
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise busy from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        still_there = os.fstat(handle).st_ino == folder.stat().st_ino
    except (BlockingIOError, FileNotFoundError) as error:
        os.close(handle)
        raise busy from error
    if not still_there:
        os.close(handle)
        raise busy
    return handle


def _publish(folder: Path, final: Path) -> None:
    """Rename the folder; if the name has been taken meanwhile, leave what is there."""
    final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    sync_folder(final.parent.parent)
    try:
        folder.rename(final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(folder)
        return
    sync_folder(final.parent)
