"""Reads generations wherever they are: in journal tails, in table files, in sealed segments.

A generation can be read as soon as it is acknowledged: the end of each journal that has not been
copied is searched line by line. What is sealed is asked of DuckDB, which takes some milliseconds
more. Implements `kernel.ports.History`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct

from glasslipper.kernel.record import Generation, LateFact
from glasslipper.ledger import lines, tables
from glasslipper.ledger.lake import segments
from glasslipper.ledger.read import hot
from glasslipper.ledger.read.sealed import Sealed, SpendBy
from glasslipper.store import journal
from glasslipper.store.database import Database, Row

_GROUPS: dict[SpendBy, str] = {
    "key": "key_id",
    "model": "coalesce(model_served, model)",
    "day": "date(created_ms / 1000, 'unixepoch')",
    "provider": "coalesce(provider, '')",
    "status": "status",
}


class SpendRow(Struct, kw_only=True):
    """What a group of generations cost (nano-USD) and consumed (tokens)."""

    group: str
    generations: int = 0
    charged_nanousd: int = 0
    billed_nanousd: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class LedgerHistory:
    """Reads the whole ledger of one home."""

    def __init__(self, home: Path) -> None:
        """Read the journals and segments in `home`, whichever there are at each question."""
        self._home = home
        self._sealed = Sealed()

    def generation(self, generation_id: str) -> Generation | None:
        """Return one record, or `None`."""
        for path in sorted((self._home / hot.JOURNALS).glob(f"*/{hot.ROWS_FILE}")):
            with closing(Database(path, read_only=True)) as table:
                # The position first: what is copied after this question is found by the next.
                copied = table.row("SELECT position FROM copied")
                row = table.row("SELECT body FROM records WHERE id = ?", (generation_id,))
            if row:
                return _generations.decode(str(row[0]))
            found = _in_tail(path.parent, cast("int", copied[0]) if copied else 0, generation_id)
            if found:
                return found
        return self._sealed.generation(segments.found_in(self._home), generation_id)

    def generations(self) -> Iterator[Generation]:
        """Yield every record that has been copied: the sealed ones, then each journal's."""
        with hot.held(self._home) as moment:
            for segment in moment.segments:
                yield from self._sealed.generations(segment)
            for one in moment.hot:
                for bodies in one.bodies():
                    yield from map(_generations.decode, bodies)

    def spend(self, by: SpendBy, *, since_ms: int = 0, key_id: str | None = None) -> list[SpendRow]:
        """Return what was spent since `since_ms`, in groups, the dearest first."""
        groups: dict[str, SpendRow] = {}
        prompt = " + ".join(f"usage_{name}" for name in tables.USAGE[:6])
        completion = " + ".join(f"usage_{name}" for name in tables.USAGE[6:10])
        sql = f"""
            SELECT {_GROUPS[by]}, count(*), sum(charged_nanousd), sum(billed_nanousd),
                sum({prompt}), sum({completion})
            FROM generations
            WHERE seq > ? AND created_ms >= ? AND (? IS NULL OR key_id = ?) GROUP BY 1"""  # noqa: S608
        with hot.held(self._home) as moment:
            found: list[Sequence[object]] = [
                row
                for one in moment.hot
                for row in one.table.rows(sql, (one.after, since_ms, key_id, key_id))
            ]
            found += self._sealed.spend(moment.segments, by, since_ms=since_ms, key_id=key_id)
        for group, *numbers in found:
            row = groups.setdefault(str(group), SpendRow(group=str(group)))
            for name, number in zip(SpendRow.__struct_fields__[1:], numbers, strict=True):
                setattr(row, name, getattr(row, name) + cast("int", number or 0))
        return sorted(groups.values(), key=lambda row: (-row.charged_nanousd, row.group))

    def last_used(self, key_ids: Sequence[str]) -> dict[str, int]:
        """Return when each key's last exchange began, in Unix ms, for those that had any."""
        names = msgspec.json.encode(key_ids).decode()
        sql = """
            SELECT value, (
                SELECT max(created_ms) FROM records WHERE key_id = value AND seq > ?)
            FROM json_each(?)"""
        with hot.held(self._home) as moment:
            rows = [
                (key, used)
                for one in moment.hot
                for key, used in one.table.rows(sql, (one.after, names))
            ]
            rows += self._sealed.last_used(moment.segments, key_ids)
        found: dict[str, int] = {}
        for key_id, used_ms in rows:
            if used_ms is not None:
                found[str(key_id)] = max(found.get(str(key_id), 0), cast("int", used_ms))
        return found

    def late_facts(
        self, *, generation_id: str | None = None, session_id: str | None = None
    ) -> list[LateFact]:
        """Return what was learned about a generation or a session, oldest first."""
        sql = f"""
            SELECT {", ".join(LateFact.__struct_fields__)} FROM late_facts
            WHERE generation_id = ? OR session_id = ?"""  # noqa: S608
        with hot.held(self._home) as moment:
            found = self._sealed.late_facts(
                moment.segments, generation_id=generation_id, session_id=session_id
            )
            found += [
                _fact(row)
                for one in moment.hot
                for row in one.table.rows(sql, (generation_id, session_id))
            ]
        return sorted({fact.id: fact for fact in found}.values(), key=lambda fact: fact.id)

    def close(self) -> None:
        """Close what has been opened; a second time does nothing."""
        self._sealed.close()


_generations = msgspec.json.Decoder(Generation)


def _fact(row: Row) -> LateFact:
    fact: dict[str, object] = dict(zip(LateFact.__struct_fields__, row, strict=True))
    fact["body"] = msgspec.json.decode(str(fact["body"]))
    return msgspec.convert(fact, LateFact)


def _in_tail(folder: Path, position: int, generation_id: str) -> Generation | None:
    wanted = f'"id":"{generation_id}"'.encode()
    for block in journal.read(folder, position):
        for line in block.lines:
            if line.startswith(lines.GENERATION) and wanted in line:
                found = lines.decode_generation(line)
                if found.id == generation_id:
                    return found
    return None
