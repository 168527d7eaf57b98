"""What is not sealed yet: the rows of every journal's table file, and the tails of the journals.

Rows that a segment has taken over may still be there for a while. `held` looks at all table
files at one moment and lists the segments afterwards: leaving out the rows that those have taken
over, whatever moves meanwhile is seen exactly once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from glasslipper.kernel.errors import StoreFailed
from glasslipper.ledger import lines
from glasslipper.ledger.lake import segments
from glasslipper.ledger.lake.segments import Segment
from glasslipper.store import journal
from glasslipper.store.database import Database

JOURNALS = "journal"
ROWS_FILE = "rows.sqlite"

_AT_ONCE = 5_000
_TRIES = 5


class Hot(NamedTuple):
    """One journal's table file, seen at one moment; only rows numbered above `after` count."""

    folder: Path
    table: Database
    after: int

    @property
    def copied(self) -> int:
        """The journal position up to which lines are in the table."""
        row = self.table.row("SELECT position FROM copied")
        return cast("int", row[0]) if row else 0

    def bodies(self) -> Iterator[list[str]]:
        """Yield the JSON of the generations, oldest first, in lists."""
        after = self.after
        while True:
            chunk = self.table.rows(
                "SELECT seq, body FROM records WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, _AT_ONCE),
            )
            if not chunk:
                return
            after = cast("int", chunk[-1][0])
            yield [str(body) for _, body in chunk]


class Moment(NamedTuple):
    """All hot rows, and the segments that complete them."""

    hot: list[Hot]
    segments: list[Segment]


@contextlib.contextmanager
def held(home: Path) -> Generator[Moment]:
    """See all table files of a home, and its segments, as they are at one moment."""
    with contextlib.ExitStack() as stack:
        tables: list[tuple[Path, Database]] = []
        for path in sorted((home / JOURNALS).glob(f"*/{ROWS_FILE}")):
            table = stack.enter_context(contextlib.closing(Database(path, read_only=True)))
            table.change("BEGIN")
            table.row("SELECT position FROM copied")  # from here on it sees one moment
            tables.append((path.parent, table))
        found = segments.found_in(home)
        last = segments.taken_over(found)
        yield Moment(
            [Hot(folder, table, last.get(folder.name, 0)) for folder, table in tables], found
        )


def write_lines(home: Path, to: Path) -> tuple[list[Segment], int]:
    """Write all that is not sealed as lines (`lake.columns`), journal tails included.

    Return the segments that complete them, and how many generations were written.

    Raises:
        StoreFailed: The files cannot be read.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(_Moved), held(home) as moment, to.open("wb") as out:
            return moment.segments, sum(_write(out, one) for one in moment.hot)
    raise StoreFailed(f"The journals in {home} move faster than they can be read.")


class _Moved(Exception):
    """A journal dropped lines that have been copied since we looked."""


def _write(out: BinaryIO, hot: Hot) -> int:
    rows = 0
    for bodies in hot.bodies():
        out.write(b"".join(b'{"g":' + body.encode() + b"}\n" for body in bodies))
        rows += len(bodies)
    for (fact,) in hot.table.rows(_FACTS):
        out.write(b'{"f":' + str(fact).encode() + b"}\n")
    return rows + _write_tail(out, hot.folder, hot.copied)


def _write_tail(out: BinaryIO, folder: Path, position: int) -> int:
    """Write the lines that have not been copied into the tables yet."""
    rows = 0
    try:
        for block in journal.read(folder, position):
            for body in lines.of_kind(block.lines, lines.GENERATION):
                out.write(b'{"g":' + body + b"}\n")
                rows += 1
            for body in lines.of_kind(block.lines, lines.FACT):
                out.write(b'{"f":' + body + b"}\n")
    except (StoreFailed, FileNotFoundError) as error:
        raise _Moved from error
    return rows


_FACTS = """
    SELECT json_object('id', id, 'kind', kind, 'noted_ms', noted_ms, 'key_id', key_id,
        'generation_id', generation_id, 'session_id', session_id, 'body', json(body))
    FROM late_facts"""
