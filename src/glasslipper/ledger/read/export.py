"""Writes the ledger out: as lines that import again without loss, or as Parquet for other tools.

A file appears under its name when it is whole. As lines, a topic that has become a part of its
generation is a late fact again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from glasslipper.kernel.errors import DiskFull, StoreFailed
from glasslipper.kernel.record import TOPIC_FACT, LateFact, Topic
from glasslipper.ledger import lines
from glasslipper.ledger.read.history import LedgerHistory
from glasslipper.ledger.read.scan import Lake

TABLES = ("generations", "attempts", "candidates", "late_facts")


class Exported(Struct, frozen=True, kw_only=True):
    """How many rows were written, by table."""

    generations: int = 0
    late_facts: int = 0


class Span(Struct, frozen=True, kw_only=True):
    """From when to when generations are taken, in Unix milliseconds; the end is excluded."""

    since_ms: int = 0
    until_ms: int = 2**62

    def holds(self, at_ms: int) -> bool:
        """Tell whether a moment is in it."""
        return self.since_ms <= at_ms < self.until_ms


def write_lines(
    home: Path, out: BinaryIO, span: Span, progress: Callable[[int], None] | None = None
) -> Exported:
    """Write generations and late facts as lines of journals.

    Late facts are those about what is written, and those about whole sessions of the span.
    """
    history, written, facts = LedgerHistory(home), 0, 0
    try:
        for generation in history.generations():
            if span.holds(generation.created_ms):
                out.write(lines.encode(generation) + b"\n")
                written += 1
                if progress is not None and written % 10_000 == 0:
                    progress(written)
    finally:
        history.close()
    with Lake(home) as lake:
        for fact in _facts(lake, span):
            out.write(lines.encode(fact) + b"\n")
            facts += 1
    return Exported(generations=written, late_facts=facts)


def _facts(lake: Lake, span: Span) -> Iterator[LateFact]:
    values = {"since": span.since_ms, "until": span.until_ms}
    within = "created_ms >= $since AND created_ms < $until"
    yield from map(
        _fact,
        lake.rows(
            f"""SELECT {", ".join(f"f.{name}" for name in LateFact.__struct_fields__)}
            FROM late_facts AS f
            WHERE f.generation_id IN (SELECT id FROM generations WHERE {within})
                OR (f.generation_id IS NULL AND f.noted_ms >= $since AND f.noted_ms < $until)
            ORDER BY f.id""",
            values,
        ),
    )
    for identifier, key_id, created_ms, *said in lake.rows(
        f"""SELECT id, key_id, created_ms, task, tag, language, code_language, task_confidence,
            classifier
        FROM generations WHERE {within} AND classifier IS NOT NULL AND id NOT IN (
            SELECT generation_id FROM late_facts
            WHERE kind = '{TOPIC_FACT}' AND generation_id IS NOT NULL)
        ORDER BY id""",
        values,
    ):
        task, tag, language, code_language, confidence, classifier = said
        topic = Topic(
            task=task,
            tag=tag,
            language=language,
            code_language=code_language,
            confidence=confidence or 0.0,
            classifier=classifier,
        )
        yield LateFact(
            id=f"fact-topic-{identifier}",
            kind=TOPIC_FACT,
            noted_ms=created_ms,
            key_id=key_id,
            generation_id=identifier,
            body=msgspec.to_builtins(topic),
        )


def _fact(row: Iterable[object]) -> LateFact:
    fact = dict(zip(LateFact.__struct_fields__, row, strict=True))
    fact["body"] = msgspec.json.decode(str(fact["body"]))
    return msgspec.convert(fact, LateFact)


def write_parquet(home: Path, folder: Path, span: Span) -> Exported:
    """Write every table of the ledger as a Parquet file in `folder`, as studies see them.

    Raises:
        StoreFailed: A file cannot be written.
        DiskFull: There is no room.
    """
    within = f"created_ms >= {span.since_ms} AND created_ms < {span.until_ms}"
    chosen = f"SELECT id FROM generations WHERE {within}"
    queries = {
        "generations": f"SELECT * FROM generations WHERE {within} ORDER BY created_ms, id",
        "attempts": f"SELECT * FROM attempts WHERE generation_id IN ({chosen})",
        "candidates": f"SELECT * FROM candidates WHERE generation_id IN ({chosen})",
        "late_facts": f"SELECT * FROM late_facts WHERE generation_id IN ({chosen}) OR"
        " (generation_id IS NULL"
        f" AND noted_ms >= {span.since_ms} AND noted_ms < {span.until_ms}) ORDER BY id",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed(f"{folder} cannot be made: {error}.") from error
    with Lake(home) as lake:
        for table in TABLES:
            temporary = folder / f".{table}.parquet"
            try:
                lake.copy(queries[table], temporary)
                temporary.replace(folder / f"{table}.parquet")
            except DiskFull:
                temporary.unlink(missing_ok=True)
                raise
        ((rows,),) = lake.rows(f"SELECT count(*) FROM ({queries['generations']})")
        ((facts,),) = lake.rows(f"SELECT count(*) FROM ({queries['late_facts']})")
    return Exported(generations=rows, late_facts=facts)
