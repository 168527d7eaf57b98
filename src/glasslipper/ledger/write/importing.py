"""Takes over generations and late facts from elsewhere, straight into sealed segments, once.

What is there already, by id, is left out; so importing the same file twice, or two that overlap,
adds nothing twice. Budgets and counters do not change: what is imported was paid elsewhere. One
process imports at a time, by a lock that the kernel drops with it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct, structs

from glasslipper.kernel.clock import Clock, SystemClock
from glasslipper.kernel.errors import StoreBusy
from glasslipper.kernel.record import Generation, LateFact
from glasslipper.ledger import tables
from glasslipper.ledger.imports.bucket import Unfinished
from glasslipper.ledger.lake import columns, segments
from glasslipper.ledger.lake.segments import Segment
from glasslipper.ledger.read.scan import Lake
from glasslipper.ledger.write import segment
from glasslipper.store.database import Database
from glasslipper.store.duck import Duck
from glasslipper.store.files import locked
from glasslipper.store.migrate import migrate

STATE_FILE = "state.sqlite"
LOCK = "importing.lock"
ROWS_IN_A_SEGMENT = 200_000

_TAKEN = {"generations", "late_facts"}

_encoder = msgspec.json.Encoder()


class Imported(Struct, frozen=True, kw_only=True):
    """What an import came to."""

    read: int = 0
    added: int = 0
    facts_added: int = 0
    unfinished: int = 0
    """Buckets that were left out because they had not ended."""


def take_over(
    home: Path,
    source: str,
    records: Iterable[Generation | LateFact | Unfinished],
    *,
    clock: Clock | None = None,
    progress: Callable[[int], None] | None = None,
) -> Imported:
    """Seal what of `records` is not there yet; tell `progress` how many were read.

    Raises:
        StoreBusy: Another process imports.
        InvalidRequest: The records turn out to be something else; what came before is kept.
        DiskFull: There is no room; what came before is kept.
    """
    clock = clock or SystemClock()
    done = Imported()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.closing(Database(home / STATE_FILE)) as state:
        migrate(state, tables.STATE)
        with _alone(home):
            _note(state, segments.found_in(home))  # whoever died may not have come to it
            left: list[Unfinished] = []
            waiting = _finished(records, left)
            while chunk := list(islice(waiting, ROWS_IN_A_SEGMENT)):
                added, facts = _seal_new(home, state, source, chunk, clock.now_ms())
                done = Imported(
                    read=done.read + len(chunk),
                    added=done.added + added,
                    facts_added=done.facts_added + facts,
                )
                if progress is not None:
                    progress(done.read)
    return structs.replace(done, unfinished=len(left))


def _finished(
    records: Iterable[Generation | LateFact | Unfinished], left: list[Unfinished]
) -> Iterator[Generation | LateFact]:
    """Yield what is whole, and put aside what is not."""
    for one in records:
        if isinstance(one, Unfinished):
            left.append(one)
        else:
            yield one


@contextlib.contextmanager
def _alone(home: Path) -> Generator[None]:
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(home / LOCK))
        except StoreBusy as error:
            raise StoreBusy(
                "Another process is importing.", hint="Try again when it has ended."
            ) from error
        yield


def _note(state: Database, made: Iterable[Segment]) -> None:
    """Remember the segments that imports have made, so that one that goes is missed."""
    for one in made:
        if not one.manifest.last:
            rows = sum(one.manifest.files[name].rows for name in _TAKEN & one.manifest.files.keys())
            state.change("INSERT OR IGNORE INTO imported VALUES (?, ?)", (one.path, rows))


def _seal_new(
    home: Path, state: Database, source: str, chunk: list[Generation | LateFact], now_ms: int
) -> tuple[int, int]:
    """Seal a chunk's new records; return how many generations and how many facts they were."""
    generations = {one.id: one for one in chunk if isinstance(one, Generation)}
    facts = {one.id: one for one in chunk if isinstance(one, LateFact)}
    with Lake(home) as lake:
        for kept, table in ((generations, "generations"), (facts, "late_facts")):
            for identifier in _known(lake, table, list(kept)):
                del kept[identifier]
    if not generations and not facts:
        return 0, 0
    digest = hashlib.sha256("\n".join(sorted({*generations, *facts})).encode()).hexdigest()
    with Duck() as duck:
        lines = duck.folder / "lines.ndjson"
        with lines.open("wb") as out:
            _write(out, b"g", generations.values())
            _write(out, b"f", facts.values())
        duck.run(
            f"CREATE TEMP TABLE lines AS SELECT * FROM {columns.lines_of([lines])};"  # noqa: S608
            f"CREATE TEMP TABLE labelled AS {columns.with_topics('lines')}"
        )
        made = segment.write(
            duck,
            home,
            journal=f"import-{source}",
            name=digest[:16],
            now_ms=now_ms,
            source=source,
            tables={
                "generations": f"{columns.generations_of('labelled')} ORDER BY created_ms, id",
                "attempts": f"{columns.attempts_of('labelled')} ORDER BY generation_id, number",
                "candidates": f"{columns.candidates_of('labelled')} ORDER BY generation_id, number",
                "late_facts": f"{columns.late_facts_of('lines')} ORDER BY id",
            },
        )
    _note(state, [made])
    return len(generations), len(facts)


def _known(lake: Lake, table: str, ids: list[str]) -> list[str]:
    """Return those of the ids that are in the ledger."""
    if not ids:
        return []
    import numpy as np

    lake.load("ids_to_know", {"id": np.array(ids, dtype=object)})
    found = lake.rows(f"SELECT id FROM ids_to_know SEMI JOIN {table} USING (id)")  # noqa: S608
    return [str(identifier) for (identifier,) in found]


def _write(out: BinaryIO, member: bytes, records: Iterable[Generation | LateFact]) -> None:
    for record in records:
        out.write(b'{"' + member + b'":' + _encoder.encode(record) + b"}\n")
