"""Reads records and sums from sealed segments; DuckDB is opened when the first one is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from glasslipper.kernel.record import Generation, LateFact
from glasslipper.ledger.lake import columns, records, views
from glasslipper.ledger.lake.columns import Column
from glasslipper.ledger.lake.segments import Segment
from glasslipper.store.duck import Cells, Duck, text, texts

SpendBy = Literal["key", "model", "day", "provider", "status"]

_GROUPS: dict[SpendBy, str] = {
    "key": "key_id",
    "model": "model_used",
    "day": "CAST(day AS VARCHAR)",
    "provider": "coalesce(provider, '')",
    "status": "status",
}

_MEMORY_BYTES = 256 << 20

_generations = msgspec.json.Decoder(Generation)


class Sealed:
    """Questions to segments, from any thread, one at a time."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._duck: Duck | None = None
        self._turn = threading.Lock()

    def generation(self, segments: Sequence[Segment], generation_id: str) -> Generation | None:
        """Return one record, or `None`."""
        likely = [
            one
            for one in segments
            if one.manifest.span.first_id <= generation_id <= one.manifest.span.last_id
        ]
        if not likely:
            return None
        sql = records.generations(
            _of(likely, "generations", columns.GENERATIONS, "id = $id"),
            _of(likely, "attempts", columns.ATTEMPTS, "generation_id = $id"),
            _of(likely, "candidates", columns.CANDIDATES, "generation_id = $id"),
        )
        for _, record in self._asked(lambda duck: duck.rows(sql, {"id": generation_id})):
            return _generations.decode(str(record))
        return None

    def generations(self, segment: Segment) -> Iterator[Generation]:
        """Yield every record of one segment, oldest first."""
        sql = records.generations(
            _of([segment], "generations", columns.GENERATIONS),
            _of([segment], "attempts", columns.ATTEMPTS),
            _of([segment], "candidates", columns.CANDIDATES),
        )
        with Duck(memory_bytes=_MEMORY_BYTES, threads=1) as duck:
            for rows in duck.stream(f"{sql} ORDER BY g.created_ms, g.id"):
                for _, record in rows:
                    yield _generations.decode(str(record))

    def spend(
        self, segments: Sequence[Segment], by: SpendBy, *, since_ms: int, key_id: str | None
    ) -> list[Cells]:
        """Return group, generations, charged, billed, prompt and completion tokens."""
        fresh = [one for one in segments if one.manifest.span.newest_ms >= since_ms]
        if not fresh:
            return []
        where = "created_ms >= $since AND ($key IS NULL OR key_id = $key)"
        stored = _of(fresh, "generations", columns.GENERATIONS, where)
        sql = f"""
            SELECT {_GROUPS[by]}, count(*), sum(charged_nanousd)::BIGINT,
                sum(billed_nanousd)::BIGINT, sum(prompt_tokens)::BIGINT,
                sum(completion_tokens)::BIGINT
            FROM ({views.generations(stored)}) GROUP BY 1"""
        return self._asked(lambda duck: duck.rows(sql, {"since": since_ms, "key": key_id}))

    def last_used(self, segments: Sequence[Segment], key_ids: Sequence[str]) -> list[Cells]:
        """Return each key that has generations, and when the last of them began."""
        if not segments or not key_ids:
            return []
        stored = _of(segments, "generations", columns.GENERATIONS, f"key_id IN {_in(key_ids)}")
        sql = f"SELECT key_id, max(created_ms) FROM {stored} GROUP BY key_id"
        return self._asked(lambda duck: duck.rows(sql))

    def late_facts(
        self, segments: Sequence[Segment], *, generation_id: str | None, session_id: str | None
    ) -> list[LateFact]:
        """Return what is known about a generation or a session."""
        with_facts = [one for one in segments if one.file("late_facts")]
        if not with_facts:
            return []
        where = "generation_id = $generation OR session_id = $session"
        names = ", ".join(LateFact.__struct_fields__)
        found = _of(with_facts, "late_facts", columns.LATE_FACTS, where)
        values = {"generation": generation_id, "session": session_id}
        return [
            msgspec.convert(_fact(row), LateFact)
            for row in self._asked(lambda duck: duck.rows(f"SELECT {names} FROM {found}", values))
        ]

    def _asked(self, question: Callable[[Duck], list[Cells]]) -> list[Cells]:
        with self._turn:
            if self._duck is None:
                self._duck = Duck(memory_bytes=_MEMORY_BYTES, threads=1)
            return question(self._duck)

    def close(self) -> None:
        """Close what has been opened; a second time does nothing."""
        with self._turn:
            if self._duck is not None:
                self._duck.close()
                self._duck = None


def _of(segments: Sequence[Segment], table: str, kept: Sequence[Column], where: str = "") -> str:
    """Return SQL for a table of segments, in brackets."""
    files = [path for one in segments if (path := one.file(table)) is not None]
    if not files:
        return f"({columns.empty(kept)})"
    chosen = f" WHERE {where}" if where else ""
    return f"(SELECT * FROM read_parquet({texts(files)}){chosen})"


def _in(values: Sequence[str]) -> str:
    return "(" + ", ".join(map(text, values)) + ")"


def _fact(row: Cells) -> dict[str, object]:
    fact = dict(zip(LateFact.__struct_fields__, row, strict=True))
    fact["body"] = msgspec.json.decode(fact["body"])
    return fact
