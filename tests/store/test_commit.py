"""Changes that share a transaction: one that fails harms nobody else."""

from concurrent.futures import Future
from pathlib import Path
from typing import cast

import pytest

from glasslipper.kernel.errors import StoreFailed
from glasslipper.store.commit import GroupCommit
from glasslipper.store.database import Database


def insert(number: int, wait: Future[None] | None = None):
    def change(db: Database) -> int:
        if wait is not None:
            wait.result(10)
        db.change("INSERT INTO one VALUES (?)", (number,))
        return number

    return change


def test_a_change_that_breaks_a_rule_of_the_tables_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with_table = Database(path)
    with_table.change("CREATE TABLE one (number INTEGER PRIMARY KEY)")
    with_table.close()
    group = GroupCommit(lambda: Database(path))
    gate: Future[None] = Future()
    first = group.submit(insert(0, gate))  # the others gather behind it and share one group
    others = [group.submit(insert(number)) for number in (1, 2, 1, 3)]
    gate.set_result(None)
    assert first.result(10) == 0
    assert [others[place].result(10) for place in (0, 1, 3)] == [1, 2, 3]
    with pytest.raises(StoreFailed, match="UNIQUE"):
        others[2].result(10)
    group.close()
    left = Database(path, read_only=True)
    assert [number for (number,) in left.rows("SELECT number FROM one ORDER BY 1")] == [0, 1, 2, 3]
    left.close()


def test_whoever_waits_is_told_that_the_store_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    opened = iter([lambda: Database(tmp_path / "file" / "a.sqlite"), lambda: 1 / 0])
    commit = GroupCommit(lambda: cast("Database", next(opened)()))
    with pytest.raises(StoreFailed, match=r"Writing .* failed"):
        commit.submit(lambda _: None).result(10)
    with pytest.raises(ZeroDivisionError):
        commit.submit(lambda _: None).result(10)
    commit.close()
