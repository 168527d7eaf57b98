"""Migrations, group commit and leases, on real files."""

import threading
from concurrent.futures import wait
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasslipper.kernel.errors import InvalidRequest, StoreFailed, StoreNewer
from glasslipper.store import lease
from glasslipper.store.commit import GroupCommit
from glasslipper.store.database import Database
from glasslipper.store.migrate import migrate

NUMBERS = (("CREATE TABLE numbers (n INTEGER PRIMARY KEY)",),)


def opened(path: Path) -> Database:
    db = Database(path)
    migrate(db, NUMBERS)
    return db


def numbers(path: Path) -> list[object]:
    db = Database(path, read_only=True)
    try:
        return [n for (n,) in db.rows("SELECT n FROM numbers ORDER BY n")]
    finally:
        db.close()


def test_a_migration_runs_once_and_later_ones_are_added(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    opened(path).close()
    db = opened(path)
    migrate(db, (*NUMBERS, ("ALTER TABLE numbers ADD COLUMN name TEXT",)))
    assert db.rows("SELECT n, name FROM numbers") == []
    db.close()


def test_a_file_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    opened(path).close()
    db = Database(path)
    with pytest.raises(StoreNewer, match="has format 1"):
        migrate(db, ())
    db.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    db = opened(path)
    with pytest.raises(StoreFailed):
        migrate(db, (*NUMBERS, ("CREATE TABLE more (x)", "CREATE TABLE numbers (x)")))
    migrate(db, NUMBERS)
    with pytest.raises(StoreFailed):
        db.rows("SELECT * FROM more")
    db.close()


def test_a_group_keeps_the_good_changes_and_undoes_the_bad_one(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    store = GroupCommit(lambda: opened(path))

    def bad(db: Database) -> None:
        db.change("INSERT INTO numbers VALUES (100)")
        raise InvalidRequest("no")

    futures = [
        store.submit(lambda db, n=n: db.change("INSERT INTO numbers VALUES (?)", (n,)))
        for n in range(5)
    ]
    failing = store.submit(bad)
    futures += [store.submit(lambda db: db.change("INSERT INTO numbers VALUES (5)"))]
    wait(futures, timeout=10)
    assert [future.result() for future in futures] == [1] * 6
    with pytest.raises(InvalidRequest):
        failing.result(10)
    store.close()
    assert numbers(path) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(StoreFailed, match="closed"):
        store.submit(bad)


def test_many_threads_and_two_stores_count_every_change_once(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    db = Database(path)
    migrate(db, (("CREATE TABLE numbers (n INTEGER)", "INSERT INTO numbers VALUES (0)"),))
    db.close()
    stores = [GroupCommit(lambda: Database(path)) for _ in range(2)]

    def work(store: GroupCommit) -> None:
        futures = [
            store.submit(lambda db: db.change("UPDATE numbers SET n = n + 1")) for _ in range(200)
        ]
        wait(futures, timeout=30)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for store in stores:
        store.close()
    assert numbers(path) == [1200]


def test_a_lease_is_held_by_one_until_it_ends_and_its_token_only_grows(tmp_path: Path) -> None:
    db = Database(tmp_path / "a.sqlite")
    migrate(db, (lease.MIGRATION,))
    first = lease.acquire(db, "x", owner="a", ttl_ms=100, now_ms=1_000)
    assert first is not None
    assert lease.acquire(db, "x", owner="b", ttl_ms=100, now_ms=1_099) is None
    renewed = lease.acquire(db, "x", owner="a", ttl_ms=100, now_ms=1_050)
    assert renewed is not None
    assert renewed.token == first.token
    taken = lease.acquire(db, "x", owner="b", ttl_ms=100, now_ms=1_150)
    assert taken is not None
    assert taken.token > first.token
    assert not lease.release(db, renewed)
    assert lease.release(db, taken)
    again = lease.acquire(db, "x", owner="b", ttl_ms=100, now_ms=1_151)
    assert again is not None
    assert again.token > taken.token
    db.close()


def test_a_lease_taken_by_a_clock_that_was_ahead_does_not_bind_for_ever() -> None:
    db = Database(Path(":memory:"))
    migrate(db, (lease.MIGRATION,))
    far_ms = 10 * lease.MOST_MS
    ahead = lease.acquire(db, "x", owner="a", ttl_ms=100, now_ms=far_ms)
    assert ahead is not None
    put_right = lease.acquire(db, "x", owner="b", ttl_ms=100, now_ms=0)
    assert put_right is not None
    assert put_right.token > ahead.token
    db.close()


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.integers(1, 50)), max_size=30
    )
)
def test_at_no_time_do_two_owners_hold_a_lease(steps: list[tuple[str, int, int]]) -> None:
    db = Database(Path(":memory:"))
    migrate(db, (lease.MIGRATION,))
    now_ms, holder, until_ms, token = 0, "", 0, 0
    for owner, later_ms, ttl_ms in steps:
        now_ms += later_ms
        got = lease.acquire(db, "x", owner=owner, ttl_ms=ttl_ms, now_ms=now_ms)
        if got is None:
            assert until_ms > now_ms
            assert owner != holder
            continue
        assert until_ms <= now_ms or owner == holder
        assert got.token > token or (owner == holder and got.token == token)
        holder, until_ms, token = owner, got.expires_ms, got.token
    db.close()
