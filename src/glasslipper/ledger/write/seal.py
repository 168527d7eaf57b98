"""Turns finished windows of hot rows into sealed segments, and lets the hot rows go.

A window is the next rows of one journal, in the order in which they were written. Once there is
a segment that has taken them over, whoever reads leaves the hot ones out; only then are they
deleted, a few at a time. So it does no harm to be killed anywhere: a window without a segment is
sealed by the next one who tries, under the same name, and rows that outlived their sealing are
deleted then.

Topics that are known when a generation is sealed become columns of it. All other late facts are
sealed beside the generations, as they are.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, cast

from msgspec import Struct

from glasslipper.kernel.clock import Clock, SystemClock
from glasslipper.kernel.errors import StoreBusy
from glasslipper.kernel.record import TOPIC_FACT
from glasslipper.ledger.lake import columns, segments
from glasslipper.ledger.lake.segments import Segment
from glasslipper.ledger.write import rows, segment
from glasslipper.store import lease
from glasslipper.store.database import Database
from glasslipper.store.duck import Duck, text
from glasslipper.store.files import locked, plain_errors, sync_file

STATE_FILE = "state.sqlite"
JOURNALS = "journal"
LOCK_FILE = "seal.lock"
LEASE = "sealer"
LEASE_MS = 120_000

_AT_ONCE = 2_000
_SPILL_LEFT_S = 3_600
_MEMORY_BYTES = 512 << 20


class When(Struct, frozen=True, kw_only=True):
    """When a window is finished: with so many rows, or when its oldest is so old.

    Rows younger than `leave_ms` stay where they are, so that their topics can catch up.
    """

    rows: int = 200_000
    after_ms: int = 3_600_000
    leave_ms: int = 60_000


NOW = When(rows=200_000, after_ms=0, leave_ms=0)
"""Everything that is there, at once."""


class _Window(NamedTuple):
    """The next rows of a journal, by number, both ends included, and where the last line ends."""

    first: int
    last: int
    position: int


def is_due(home: Path, when: When, now_ms: int) -> bool:
    """Tell whether any journal has a finished window."""
    for folder in _journals(home):
        with _opened(folder, read_only=True) as table:
            taken = segments.last_of(home, folder.name)
            last = taken.manifest.last if taken else 0
            if _window(table, last, when, now_ms) or _left_behind(table, last):
                return True
    return False


def seal(
    home: Path, when: When | None = None, *, owner: str = "", clock: Clock | None = None
) -> list[Segment]:
    """Seal every finished window; return the segments made.

    Only one process of a store does this at a time, by lease: nothing is sealed while another
    holds it.

    Raises:
        DiskFull: There is no room; what was sealed so far is sealed, all else is as it was.
        StoreFailed: The files cannot be read or written.
    """
    when = when or When()
    clock = clock or SystemClock()
    owner = owner or f"process {os.getpid()}"
    made: list[Segment] = []
    with contextlib.closing(Database(home / STATE_FILE)) as state:
        held = _hold(state, owner, clock)
        if held is None:
            return []
        try:
            _sweep_staging(home)
            for folder in _journals(home):
                for sealed in _seal_journal(home, folder, when, clock):
                    made.append(sealed)
                    held = _hold(state, owner, clock)
                    if held is None:
                        return made
        finally:
            if held is not None:
                lease.release(state, held)
    return made


def _sweep_staging(home: Path) -> None:
    """Remove what processes that died have spilled into the staging area."""
    for folder in (home / segments.LAKE / segments.STAGING).glob("glasslipper-*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _SPILL_LEFT_S:
                shutil.rmtree(folder, ignore_errors=True)


def _hold(state: Database, owner: str, clock: Clock) -> lease.Lease | None:
    return lease.acquire(state, LEASE, owner=owner, ttl_ms=LEASE_MS, now_ms=clock.now_ms())


def _journals(home: Path) -> list[Path]:
    return sorted(path.parent for path in (home / JOURNALS).glob(f"*/{rows.ROWS_FILE}"))


@contextlib.contextmanager
def _opened(folder: Path, *, read_only: bool = False) -> Generator[Database]:
    if read_only:
        table = Database(folder / rows.ROWS_FILE, read_only=True)
    else:
        table = rows.open_rows(folder)
    with contextlib.closing(table):
        yield table


def _seal_journal(home: Path, folder: Path, when: When, clock: Clock) -> Iterator[Segment]:
    """Seal the windows of one journal, one after the other.

    A lock of the kernel guards what the lease cannot where the clock jumps; who does not get it
    leaves the journal to whoever has it.
    """
    with contextlib.suppress(StoreBusy), locked(folder / LOCK_FILE), _opened(folder) as table:
        taken = segments.last_of(home, folder.name)
        last = taken.manifest.last if taken else 0
        if taken and _left_behind(table, last):
            with _duck(home) as duck:
                _let_go(duck, table, taken)
        while window := _window(table, last, when, clock.now_ms()):
            with _duck(home) as duck:
                sealed = _seal_window(duck, home, folder, table, window, clock.now_ms())
                _let_go(duck, table, sealed)
            last = sealed.manifest.last
            yield sealed


def _duck(home: Path) -> Duck:
    spill = home / segments.LAKE / segments.STAGING
    with plain_errors(spill):
        spill.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Duck(memory_bytes=_MEMORY_BYTES, threads=1, spill=spill)


def _left_behind(table: Database, last: int) -> bool:
    return table.row("SELECT 1 FROM records WHERE seq <= ? LIMIT 1", (last,)) is not None


def _window(table: Database, after: int, when: When, now_ms: int) -> _Window | None:
    """Return the next finished window, or `None` where there is none yet.

    A row from the future, as a clock that was wrong leaves them, is as old as one from the past.
    """
    first = table.row(
        "SELECT seq, created_ms FROM records WHERE seq > ? ORDER BY seq LIMIT 1", (after,)
    )
    if first is None:
        return None
    number, created_ms = cast("tuple[int, int]", first)
    newest = table.row("SELECT max(seq) FROM records")
    waiting = cast("int", newest[0] if newest else 0) - number + 1
    if waiting < when.rows and abs(now_ms - created_ms) < when.after_ms:
        return None
    found = table.row(
        """SELECT seq, position FROM (
            SELECT seq, position, created_ms FROM records WHERE seq > ? ORDER BY seq LIMIT ?)
        WHERE abs(? - created_ms) >= ? ORDER BY seq DESC LIMIT 1""",
        (after, when.rows, now_ms, when.leave_ms),
    )
    if found is None:
        return None
    last, position = cast("tuple[int, int]", found)
    return _Window(number, last, position)


def _seal_window(
    duck: Duck, home: Path, folder: Path, table: Database, window: _Window, now_ms: int
) -> Segment:
    lines = duck.folder / "lines.ndjson"
    with ExitStack() as stack:
        stack.enter_context(plain_errors(home / segments.LAKE))
        stack.callback(lines.unlink, missing_ok=True)
        _write_lines(lines, table, window)
        # What the segment says must not outlive the lines that it says it of.
        for path in sorted(folder.glob("*.ndjson"))[-2:]:
            sync_file(path)
        duck.run(
            f"CREATE TEMP TABLE lines AS SELECT * FROM {columns.lines_of([lines])};"  # noqa: S608
            f"CREATE TEMP TABLE labelled AS {columns.with_topics('lines')};"
            f"CREATE TEMP TABLE facts AS {_facts_to_keep()}"
        )
        stack.callback(
            duck.run, "DROP TABLE IF EXISTS facts; DROP TABLE labelled; DROP TABLE lines"
        )
        return segment.write(
            duck,
            home,
            journal=folder.name,
            name=segments.number_name(window.first),
            first=window.first,
            last=window.last,
            position=window.position,
            now_ms=now_ms,
            tables={
                "generations": f"{columns.generations_of('labelled')} ORDER BY created_ms, id",
                "attempts": f"{columns.attempts_of('labelled')} ORDER BY generation_id, number",
                "candidates": f"{columns.candidates_of('labelled')} ORDER BY generation_id, number",
                "late_facts": "SELECT * FROM facts ORDER BY id",
            },
        )


def _write_lines(path: Path, table: Database, window: _Window) -> None:
    """Write the rows of a window, and the late facts that go with it or belong to no open row."""
    with path.open("wb") as out:
        after = window.first - 1
        while after < window.last:
            chunk = table.rows(
                "SELECT seq, body FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (after, window.last, _AT_ONCE),
            )
            if not chunk:
                break
            after = cast("int", chunk[-1][0])
            out.write(b"".join(b'{"g":' + str(body).encode() + b"}\n" for _, body in chunk))
        for (fact,) in table.rows(_FACTS, (TOPIC_FACT, window.last)):
            out.write(b'{"f":' + str(fact).encode() + b"}\n")


_FACTS = """
    SELECT json_object('id', id, 'kind', kind, 'noted_ms', noted_ms, 'key_id', key_id,
        'generation_id', generation_id, 'session_id', session_id, 'body', json(body))
    FROM late_facts AS f
    WHERE kind <> ? OR NOT EXISTS (
        SELECT 1 FROM records WHERE records.id = f.generation_id AND records.seq > ?)"""


def _facts_to_keep() -> str:
    """Return a query for the late facts that do not become columns of a generation."""
    said = " AND ".join(f"l.t.{name} IS NOT DISTINCT FROM b.{name}" for name in columns.TOPIC)
    return f"""
        SELECT f.* FROM ({columns.late_facts_of("lines")}) AS f ANTI JOIN (
            SELECT b.id FROM (
                SELECT id, generation_id, unnest({columns.topic_of("body")})
                FROM ({columns.late_facts_of("lines")}) WHERE kind = '{TOPIC_FACT}'
            ) AS b JOIN labelled AS l ON l.g.id = b.generation_id AND {said}
        ) AS gone ON f.id = gone.id"""  # noqa: S608


def _let_go(duck: Duck, table: Database, sealed: Segment) -> None:
    """Delete the hot rows and late facts that a segment has taken over."""
    for facts in _chunks(_facts_taken(duck, table, sealed)):
        with table.transaction():
            table.change_many("DELETE FROM late_facts WHERE id = ?", [(fact,) for fact in facts])
    last = sealed.manifest.last
    while True:
        with table.transaction():
            gone = table.change(
                """DELETE FROM records WHERE seq IN (
                    SELECT seq FROM records WHERE seq <= ? ORDER BY seq LIMIT ?)""",
                (last, _AT_ONCE),
            )
        if gone < _AT_ONCE:
            return


def _facts_taken(duck: Duck, table: Database, sealed: Segment) -> list[str]:
    """Return the ids of the hot late facts of which a segment holds all that they say."""
    taken: list[str] = []
    if path := sealed.file("late_facts"):
        found = duck.rows(f"SELECT id FROM read_parquet({text(path)})")  # noqa: S608
        taken += [identifier for (identifier,) in found]
    path = sealed.file("generations")
    topics = table.rows(
        "SELECT id, generation_id, body FROM late_facts WHERE kind = ?", (TOPIC_FACT,)
    )
    if path is None or not topics:
        return taken
    import numpy as np

    names = ("id", "generation_id", "body")
    arrays = {
        name: np.array(values, dtype=object)
        for name, values in zip(names, zip(*topics, strict=True), strict=True)
    }
    duck.load("hot_topics", arrays)
    said = " AND ".join(
        f"g.{stored} IS NOT DISTINCT FROM t.{name}" for name, stored in columns.TOPIC.items()
    )
    found = duck.rows(
        f"""SELECT t.id FROM (
            SELECT id, generation_id, unnest({columns.topic_of("body")}) FROM hot_topics) AS t
        JOIN read_parquet({text(path)}) AS g ON g.id = t.generation_id AND {said}"""  # noqa: S608
    )
    duck.run("DROP TABLE hot_topics")
    return taken + [identifier for (identifier,) in found]


def _chunks(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
