"""Holds the ledger against itself: counters against rows, sums against rows, files against names.

Every counter can be recomputed from the rows whose journal position it has reached. What a
server records meanwhile lies beyond that position and does not disturb. Rows that were imported
were never counted and are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, cast

from msgspec import Struct

from glasslipper.kernel.clock import DAY_MS, iso
from glasslipper.ledger.lake import segments
from glasslipper.ledger.lake.segments import Segment
from glasslipper.ledger.read import hot
from glasslipper.store.database import Database
from glasslipper.store.duck import Duck, text, texts

STATE_FILE = "state.sqlite"

_MOST_TOLD = 100


class Sums(NamedTuple):
    """What an account used on a day, in nano-USD."""

    charged_nanousd: int = 0
    billed_nanousd: int = 0
    generations: int = 0
    byok_nanousd: int = 0


class Difference(Struct, frozen=True, kw_only=True):
    """A counter that does not say what the rows say."""

    account: str
    day: str
    counted: Sums
    recorded: Sums


class Damage(Struct, frozen=True, kw_only=True):
    """A file of a segment that is not as it was sealed."""

    segment: str
    file: str
    why: str


class Verdict(Struct, frozen=True, kw_only=True):
    """What was compared, and what differs."""

    generations: int
    counters: int
    segments: int
    differences: list[Difference]
    damages: list[Damage]
    repeated: list[str]

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return not (self.differences or self.damages or self.repeated)


Counters = dict[tuple[str, int], Sums]


def verify(home: Path, *, files: bool = True, memory_bytes: int = 1 << 30) -> Verdict:
    """Recompute every counter from the rows; unless told otherwise, check every file as well.

    Raises:
        StoreFailed: The files cannot be read.
    """
    counted, reached, imported = _state(home / STATE_FILE)
    with Duck(memory_bytes=memory_bytes) as duck, hot.held(home) as moment:
        damages = list(_damages(moment.segments, every_byte=files))
        broken = {damage.segment for damage in damages}
        whole = [one for one in moment.segments if one.path not in broken]
        damages += _misplaced(home, moment.segments)
        damages += _gone(home, imported)
        recorded = defaultdict[tuple[str, int], Sums](Sums)
        own = [path for one in whole if one.manifest.last and (path := one.file("generations"))]
        _add(recorded, _of_segments(duck, own))
        for one in moment.hot:
            _add(recorded, _of_table(one, reached.get(one.folder.name, 0)))
        damages += _unlike_their_sums(duck, whole)
        damages += _unlike_their_manifests(duck, whole)
        repeated = _repeated(duck, whole, moment.hot)
        rows = sum(_rows(one) for one in whole) + sum(_hot_rows(one) for one in moment.hot)
    return Verdict(
        generations=rows,
        counters=len(counted),
        segments=len(moment.segments),
        differences=list(_differences(counted, recorded)),
        damages=damages,
        repeated=repeated,
    )


def _state(path: Path) -> tuple[Counters, dict[str, int], dict[str, int]]:
    """Return the counters, up to where in each journal they count, and the rows of each import.

    A home that an older program left has not noted its imports.
    """
    if not path.exists():
        return {}, {}, {}
    state = Database(path, read_only=True)
    try:
        state.change("BEGIN")
        counted = {
            (str(account), cast("int", day)): _sums(sums)
            for account, day, *sums in state.rows(
                f"SELECT account, day, {', '.join(Sums._fields)} FROM counters"
            )
        }
        reached = {
            str(name): cast("int", position)
            for name, position in state.rows("SELECT journal, position FROM counted")
        }
        notes = bool(state.row("SELECT 1 FROM sqlite_schema WHERE name = 'imported'"))
        imported = {
            str(segment): cast("int", rows)
            for segment, rows in (state.rows("SELECT segment, rows FROM imported") if notes else [])
        }
    finally:
        state.close()
    return counted, reached, imported


def _sums(values: Iterable[object]) -> Sums:
    return Sums(*cast("Iterable[int]", values))


def _add(recorded: defaultdict[tuple[str, int], Sums], found: Iterable[tuple[object, ...]]) -> None:
    for account, day, *sums in found:
        where = (str(account), cast("int", day))
        more = _sums(sums)
        recorded[where] = Sums(*map(sum, zip(recorded[where], more, strict=True)))


def _of_segments(duck: Duck, files: list[Path]) -> list[tuple[object, ...]]:
    if not files:
        return []
    found = duck.rows(
        f"""SELECT account, day, sum(charged)::BIGINT, sum(billed)::BIGINT, sum(rows)::BIGINT,
            sum(byok)::BIGINT
        FROM (
            SELECT unnest(from_json(accounts, '["VARCHAR"]')) AS account, day, charged, billed,
                rows, byok
            FROM (
                SELECT accounts, created_ms // {DAY_MS} AS day, count(*) AS rows,
                    sum(billed_nanousd - unpaid_nanousd) AS charged, sum(billed_nanousd) AS billed,
                    sum(CASE WHEN is_byok THEN billed_nanousd ELSE 0 END) AS byok
                FROM read_parquet({texts(files)}) GROUP BY ALL))
        GROUP BY ALL"""
    )
    return [tuple(row) for row in found]


def _of_table(one: hot.Hot, reached: int) -> list[tuple[object, ...]]:
    found = one.table.rows(
        f"""SELECT a.value, g.created_ms / {DAY_MS},
            sum(coalesce(json_extract(g.body, '$.charged_nanousd'), 0)),
            sum(coalesce(json_extract(g.body, '$.billed_nanousd'), 0)), count(*),
            sum(iif(json_extract(g.body, '$.is_byok'),
                coalesce(json_extract(g.body, '$.billed_nanousd'), 0), 0))
        FROM records AS g, json_each(g.body, '$.accounts') AS a
        WHERE g.seq > ? AND g.position <= ? GROUP BY 1, 2""",
        (one.after, reached),
    )
    return [tuple(row) for row in found]


def _differences(counted: Counters, recorded: Counters) -> Iterator[Difference]:
    for account, day in sorted({*counted, *recorded}):
        said, found = (one.get((account, day), Sums()) for one in (counted, recorded))
        if said != found:
            yield Difference(
                account=account, day=iso(day * DAY_MS)[:10], counted=said, recorded=found
            )


def _damages(found: Iterable[Segment], *, every_byte: bool) -> Iterator[Damage]:
    """Yield the files that are gone, or whose bytes are not those that were sealed."""
    for segment in found:
        for name, file in segment.manifest.files.items():
            path = segment.folder / f"{name}.parquet"
            if not path.exists():
                why = "is missing"
            elif path.stat().st_size != file.size_bytes or (
                every_byte and segments.checksum(path) != file.sha256
            ):
                why = "has other bytes than were sealed"
            else:
                continue
            yield Damage(segment=segment.path, file=path.name, why=why)


def _misplaced(home: Path, found: Iterable[Segment]) -> Iterator[Damage]:
    """Yield the segments that lie under another name than theirs, and those without a manifest."""
    lake = home / segments.LAKE
    for segment in found:
        where = segment.folder.relative_to(lake).as_posix()
        if where != segment.path:
            yield Damage(
                segment=where, file=segments.MANIFEST, why=f"is that of {segment.path}: a copy"
            )
    for folder in sorted(lake.glob("*/*/")):
        is_made = folder.parent.name == segments.STAGING
        if folder.is_dir() and not is_made and not (folder / segments.MANIFEST).exists():
            where = folder.relative_to(lake).as_posix()
            yield Damage(segment=where, file=segments.MANIFEST, why="is missing")


def _gone(home: Path, imported: dict[str, int]) -> Iterator[Damage]:
    """Yield the segments that imports made and that are no longer there.

    Rows that were counted are missed by their counters; nothing else would miss these.
    """
    for path, rows in sorted(imported.items()):
        if not (home / segments.LAKE / path).exists():
            yield Damage(
                segment=path,
                file=segments.MANIFEST,
                why=f"is gone, with {rows} imported rows: import them again",
            )


def _unlike_their_manifests(duck: Duck, found: Iterable[Segment]) -> Iterator[Damage]:
    """Yield the files that have another number of rows than is said of them."""
    for segment in found:
        for name, file in segment.manifest.files.items():
            path = segment.folder / f"{name}.parquet"
            row = duck.row(f"SELECT count(*) FROM read_parquet({text(path)})")
            if row is None or row[0] != file.rows:
                why = f"has {row[0] if row else 0} rows, and {segments.MANIFEST} says {file.rows}"
                yield Damage(segment=segment.path, file=path.name, why=why)


def _unlike_their_sums(duck: Duck, found: Iterable[Segment]) -> Iterator[Damage]:
    """Yield the segments whose sums do not add up to their rows."""
    for segment in found:
        rows, sums = segment.file("generations"), segment.file("usage_daily")
        if rows is None or sums is None:
            continue
        added = duck.row(
            f"""SELECT (SELECT (count(*), coalesce(sum(billed_nanousd - unpaid_nanousd), 0))
                FROM read_parquet({text(rows)}))
            = (SELECT (sum(requests), sum(charged_nanousd)) FROM read_parquet({text(sums)}))"""
        )
        if not (added and added[0]):
            yield Damage(segment=segment.path, file=sums.name, why="does not add up to the rows")


def _repeated(duck: Duck, found: Iterable[Segment], fresh: Iterable[hot.Hot]) -> list[str]:
    """Return ids that more than one generation or late fact has, as many as one can look at.

    A late fact that is sealed may be among the hot ones for a while.
    """
    import numpy as np

    hot_ids = [
        identifier
        for one in fresh
        for (identifier,) in one.table.rows("SELECT id FROM records WHERE seq > ?", (one.after,))
    ]
    duck.load("hot_ids", {"id": np.array([*hot_ids, ""], dtype=object)})
    files = [path for one in found if (path := one.file("generations"))]
    files += [path for one in found if (path := one.file("late_facts"))]
    sealed = f"UNION ALL SELECT id FROM read_parquet({texts(files)})" if files else ""
    rows = duck.rows(
        f"""SELECT id FROM (SELECT id FROM hot_ids WHERE id <> '' {sealed})
        GROUP BY id HAVING count(*) > 1 ORDER BY id LIMIT {_MOST_TOLD}"""
    )
    return [str(identifier) for (identifier,) in rows]


def _rows(segment: Segment) -> int:
    file = segment.manifest.files.get("generations")
    return file.rows if file else 0


def _hot_rows(one: hot.Hot) -> int:
    row = one.table.row("SELECT count(*) FROM records WHERE seq > ?", (one.after,))
    return cast("int", row[0]) if row else 0
