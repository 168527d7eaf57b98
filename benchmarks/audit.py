"""Reads a gateway's home with none of its code: plain SQLite, and the journals' JSON lines.

What this module finds is what is on the disk. It judges money and ids, and repairs nothing.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

_decode = msgspec.json.Decoder().decode


class Row(NamedTuple):
    """A generation as its table has it; money in nano-USD."""

    id: str
    user: str | None
    status: str
    charged_nanousd: int
    billed_nanousd: int
    held_nanousd: int
    output_units: int
    accounts: tuple[str, ...]


class Books(NamedTuple):
    """The counters and the generations, each summed by account, at one moment."""

    counted: dict[str, tuple[int, int]]
    recorded: dict[str, tuple[int, int]]

    @property
    def difference_nanousd(self) -> int:
        """How far counters and generations are apart, summed over every account."""
        return sum(abs(self._apart(account, 0)) for account in self._accounts)

    @property
    def difference_generations(self) -> int:
        """The same, in generations."""
        return sum(abs(self._apart(account, 1)) for account in self._accounts)

    @property
    def _accounts(self) -> set[str]:
        return self.counted.keys() | self.recorded.keys()

    def _apart(self, account: str, at: int) -> int:
        nothing = (0, 0)
        return self.counted.get(account, nothing)[at] - self.recorded.get(account, nothing)[at]


@contextmanager
def _reading(path: Path) -> Generator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def holds(home: Path, journal: str | None = None) -> list[int]:
    """Return every hold that is not zero, in nano-USD; of one journal, if it is given.

    There is one for each journal and account.
    """
    with _reading(home / "state.sqlite") as state:
        rows = state.execute(
            """SELECT held_nanousd FROM holds
            WHERE held_nanousd <> 0 AND (:journal IS NULL OR journal = :journal)""",
            {"journal": journal},
        )
        return [int(held) for (held,) in rows]


def newest_journal(home: Path) -> str:
    """Return the name of the journal that was made last."""
    return max(path.name for path in (home / "journal").iterdir())


def committed_nanousd(home: Path, account: str) -> tuple[int, int]:
    """Return what an account was charged and what is held of it, at one moment."""
    with _reading(home / "state.sqlite") as state:
        charged, held = state.execute(
            """SELECT (SELECT coalesce(sum(charged_nanousd), 0) FROM counters WHERE account = :id),
                (SELECT coalesce(sum(held_nanousd), 0) FROM holds WHERE account = :id)""",
            {"id": account},
        ).fetchone()
    return int(charged), int(held)


def all_committed_nanousd(home: Path) -> dict[str, tuple[int, int]]:
    """Return what every account was charged and what is held of it, all at one moment."""
    with _reading(home / "state.sqlite") as state:
        rows = state.execute(
            """SELECT account, sum(charged), sum(held) FROM (
                SELECT account, charged_nanousd AS charged, 0 AS held FROM counters
                UNION ALL SELECT account, 0, held_nanousd FROM holds) GROUP BY account"""
        )
        return {str(account): (int(charged), int(held)) for account, charged, held in rows}


def books(home: Path) -> Books:
    """Return what counters and generations say."""
    with _reading(home / "state.sqlite") as state:
        counted = {
            account: (int(charged), int(generations))
            for account, charged, generations in state.execute(
                """SELECT account, sum(charged_nanousd), sum(generations)
                FROM counters GROUP BY account"""
            )
        }
    recorded: dict[str, tuple[int, int]] = {}
    for path in _row_files(home):
        with _reading(path) as table:
            for account, charged, generations in table.execute(
                """SELECT a.value, sum(g.charged_nanousd), count(*)
                FROM generations AS g, json_each(g.accounts) AS a GROUP BY 1"""
            ):
                had = recorded.get(account, (0, 0))
                recorded[account] = (had[0] + int(charged), had[1] + int(generations))
    return Books(counted, recorded)


def rows(home: Path) -> list[Row]:
    """Return every generation of every journal."""
    found: list[Row] = []
    for path in _row_files(home):
        with _reading(path) as table:
            found += [
                Row(*values, accounts=tuple(_decode(accounts)))
                for *values, accounts in table.execute(
                    """SELECT id, user, status, charged_nanousd, billed_nanousd, held_nanousd,
                        usage_output, accounts FROM generations"""
                )
            ]
    return found


def attempts(home: Path) -> Counter[str]:
    """Return how often each attempt's id stands in the tables."""
    found: Counter[str] = Counter()
    for path in _row_files(home):
        with _reading(path) as table:
            found.update(name for (name,) in table.execute("SELECT id FROM attempts"))
    return found


def _row_files(home: Path) -> list[Path]:
    return sorted((home / "journal").glob("*/rows.sqlite"))


class Follower:
    """Reads what the journals of a home gain, each time from where it stopped.

    Counts every intent's and every generation's id as often as it is written.
    """

    def __init__(self, home: Path) -> None:
        """Start at the beginning."""
        self._folder = home / "journal"
        self._offsets: dict[Path, int] = {}
        self.intents: Counter[str] = Counter()
        """By attempt id."""
        self.generations: Counter[str] = Counter()
        self.settled_attempts: Counter[str] = Counter()
        self._generation_of: dict[str, str] = {}

    def read(self) -> None:
        """Take in what is new."""
        for path in sorted(self._folder.glob("*/*.ndjson")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                text = file.read()
            written, _, _ = text.partition(b"\0")
            whole = written[: written.rfind(b"\n") + 1]
            self._offsets[path] = self._offsets.get(path, 0) + len(whole)
            for line in filter(None, whole.split(b"\n")):
                self._take(_decode(line))

    def _take(self, line: dict[str, Any]) -> None:
        if intent := line.get("intent"):
            self.intents[intent["attempt_id"]] += 1
            self._generation_of[intent["attempt_id"]] = intent["generation_id"]
        if generation := line.get("generation"):
            self.generations[generation["id"]] += 1
            self.settled_attempts.update(one["id"] for one in generation.get("attempts", ()))

    @property
    def open_exchanges(self) -> int:
        """How many exchanges have an intent and no generation."""
        return len({one for one in self._generation_of.values() if one not in self.generations})
