"""The short cut from memory into the tables copies what the long way would, whatever is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording import intent_of, plain

from glasslipper.kernel.record import Account
from glasslipper.ledger import lines
from glasslipper.ledger.write import rows
from glasslipper.ledger.write.fresh import Fresh
from glasslipper.store.journal import Journal

ACCOUNT = Account(path=("key-1", "org"), key_id="key-1")


@settings(max_examples=25, deadline=None)
@given(
    exchanges=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    forgotten=st.sets(st.integers(0, 30)),
    stops=st.lists(st.integers(1, 30), max_size=4),
)
def test_copying_from_memory_gives_the_tables_that_copying_from_files_gives(
    tmp_path_factory: pytest.TempPathFactory,
    exchanges: list[int],
    forgotten: set[int],
    stops: list[int],
) -> None:
    home: Path = tmp_path_factory.mktemp("home")
    fresh, ends = Fresh(), [0]
    journal = Journal(home / "w-1")
    for attempts in exchanges:  # none means that the exchange has not ended
        generation = plain(ACCOUNT)
        records = [intent_of(generation, 0, number=n + 1) for n in range(max(attempts, 1))]
        for record in [*records, *([generation] if attempts else [])]:
            line = lines.encode(record)
            journal.reserve(len(line) + 1)
            ends.append(journal.append(line))
            journal.unreserve(len(line) + 1)
            if len(ends) not in forgotten:
                fresh.add((ends[-1], line, record))
    short = rows.open_rows(home / "w-1")
    for stop in [*sorted(min(one, len(ends) - 1) for one in stops), len(ends) - 1]:
        assert rows.copy_fresh(short, home / "w-1", fresh, ends[stop]) == ends[stop]
    names = ("records", "intents", "copied")
    found = [short.rows(f"SELECT * FROM {name}") for name in names]
    short.change("DELETE FROM records")
    short.change("DELETE FROM sqlite_sequence")
    short.change("DELETE FROM intents")
    short.change("UPDATE copied SET position = 0")
    rows.copy(short, home / "w-1")
    assert [short.rows(f"SELECT * FROM {name}") for name in names] == found
    short.close()
    journal.close()
