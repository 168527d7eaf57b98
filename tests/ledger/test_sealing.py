"""Sealing: hot rows become segments, and nobody who reads can tell, but by the speed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from recording import (
    NOON_MS,
    Clock,
    bare,
    fact,
    make_key,
    note,
    plain,
    record,
    rescued,
)

from glasslipper.ledger.lake import segments
from glasslipper.ledger.read import LedgerHistory
from glasslipper.ledger.read.scan import Lake
from glasslipper.ledger.write import Ledger, seal
from glasslipper.store import lease
from glasslipper.store.database import Database

TOPIC = {"task": "programming", "language": "en", "confidence": 0.5, "classifier": "c/1"}

EVERYTHING = """
    SELECT count(*), sum(charged_nanousd), sum(usage_reported_nanousd), sum(prompt_tokens),
        (SELECT count(*) FROM attempts), (SELECT sum(billed_nanousd) FROM attempts),
        (SELECT min(id) FROM attempts), (SELECT sum(propensity) FROM candidates),
        (SELECT sum(requests) FROM usage_daily), (SELECT sum(charged_nanousd) FROM units_weekly),
        (SELECT sum(requests) FROM latency_daily), (SELECT sum(attempts) FROM attempts_daily),
        (SELECT sum(reward) FROM feedback), (SELECT count(task) FROM generations)
    FROM generations"""


def everything(home: Path) -> object:
    with Lake(home, threads=1) as lake:
        return lake.rows(EVERYTHING)


def hot(home: Path) -> tuple[int, int]:
    """How many generations and late facts are still in the table files."""
    found = [0, 0]
    for path in home.glob("journal/*/rows.sqlite"):
        table = Database(path, read_only=True)
        for number, name in enumerate(("records", "late_facts")):
            row = table.row(f"SELECT count(*) FROM {name}")
            found[number] += int(row[0]) if row else 0  # type: ignore[arg-type]
        table.close()
    return found[0], found[1]


def test_a_sealed_generation_reads_exactly_as_it_was_recorded(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        recorded = [
            plain(account),
            bare(account),
            rescued(account),
            plain(account, created_ms=NOON_MS - 86_400_000),
            plain(account, labels={}, candidates=(), is_byok=True, estimated=True),
        ]
        record(ledger, *recorded)
        (sealed,) = seal.seal(tmp_path, seal.NOW)
        assert sealed.manifest.files["generations"].rows == len(recorded)
    assert hot(tmp_path) == (0, 0)
    history = LedgerHistory(tmp_path)
    for one in recorded:
        assert history.generation(one.id) == one
    found = sorted(history.generations(), key=lambda one: one.id)
    assert found == sorted(recorded, key=lambda one: one.id)
    assert history.generation("gen-00000000000000000000000000") is None
    assert history.generation("gen-zzzzzzzzzzzzzzzzzzzzzzzzzz") is None
    history.close()


def test_the_tables_say_the_same_before_and_after_sealing(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        made = [plain(account), bare(account), rescued(account)]
        record(ledger, *made)
        note(
            ledger,
            fact(made[0], "topic", TOPIC),
            fact(made[1], "feedback", {"reward": 0.25, "category": "style"}),
        )
        history = LedgerHistory(tmp_path)
        before = everything(tmp_path)
        spent = {by: history.spend(by) for by in ("key", "model", "day", "provider", "status")}
        facts = history.late_facts(generation_id=made[1].id)
        seal.seal(tmp_path, seal.NOW)
        assert everything(tmp_path) == before
        assert {by: history.spend(by) for by in spent} == spent
        assert history.late_facts(generation_id=made[1].id) == facts
        assert history.spend("key", since_ms=NOON_MS + 30_000) != spent["key"]
        assert history.spend("key", key_id="key-none") == []
        history.close()


def test_a_topic_that_is_known_in_time_becomes_columns_of_its_generation(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        about = plain(account)
        record(ledger, about)
        old = fact(about, "topic", {**TOPIC, "task": "legal"}, noted_ms=NOON_MS)
        note(ledger, fact(about, "topic", TOPIC), old)
        seal.seal(tmp_path, seal.NOW)
    assert hot(tmp_path) == (0, 0)
    with Lake(tmp_path, threads=1) as lake:
        assert lake.rows("SELECT task, language, classifier, tag FROM generations") == [
            ("programming", "en", "c/1", None)
        ]
        assert lake.rows("SELECT task, sum(requests) FROM usage_daily GROUP BY task") == [
            ("programming", 1)
        ]
        assert lake.rows("SELECT id, task FROM topics") == [(old.id, "legal")]


def test_a_topic_that_comes_after_sealing_counts_everywhere(tmp_path: Path) -> None:
    ours = "model <> 'x/none'"
    sums = f"""
        SELECT task, sum(requests), sum(prompt_tokens) FROM {{}} WHERE {ours}
        GROUP BY task HAVING sum(requests) <> 0"""
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        one, other, third = plain(account), plain(account), plain(account)
        record(ledger, one, other, third)
        note(
            ledger,
            fact(one, "topic", {**TOPIC, "task": "legal"}),
            fact(one, "topic", {**TOPIC, "task": "older"}, noted_ms=NOON_MS),
        )
        seal.seal(tmp_path, seal.NOW)
        note(ledger, fact(one, "topic", TOPIC), fact(other, "topic", {"task": "health"}))
        for sealed in range(2):
            with Lake(tmp_path, threads=1) as lake:
                assert lake.hot_rows == 0
                tasks = dict(lake.rows(f"SELECT id, task FROM generations WHERE {ours}"))
                assert tasks == {one.id: "programming", other.id: "health", third.id: None}
                for table in ("usage_daily", "(FROM units_weekly WHERE unit_kind = 'key')"):
                    assert sorted(lake.rows(sums.format(table)), key=str) == [
                        ("health", 1, 120),
                        ("programming", 1, 120),
                        (None, 1, 120),
                    ]
            if not sealed:  # the facts are sealed with whatever is sealed next
                record(ledger, bare(account, model="x/none"))
                assert len(seal.seal(tmp_path, seal.NOW)) == 1


def test_what_is_recorded_after_sealing_is_read_beside_it_and_sealed_next(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        record(ledger, plain(account))
        (first,) = seal.seal(tmp_path, seal.NOW)
        record(ledger, plain(account), plain(account))
        with Lake(tmp_path, threads=1) as lake:
            assert lake.hot_rows == 2
            assert lake.rows("SELECT count(*) FROM generations") == [(3,)]
        (second,) = seal.seal(tmp_path, seal.NOW)
        assert (first.manifest.last, second.manifest.first, second.manifest.last) == (1, 2, 3)
        assert seal.seal(tmp_path, seal.NOW) == []
    with Lake(tmp_path, threads=1) as lake:
        assert lake.hot_rows == 0
        assert lake.rows("SELECT count(*) FROM generations") == [(3,)]


def test_a_window_is_finished_by_number_or_by_age_whatever_the_clock_did(tmp_path: Path) -> None:
    clock = Clock(NOON_MS)
    when = seal.When(rows=3, after_ms=1_000, leave_ms=0)
    with Ledger(tmp_path, clock=clock) as ledger:
        account = make_key(ledger)
        record(ledger, plain(account), plain(account))
        assert not seal.is_due(tmp_path, when, clock.now_ms())
        assert seal.seal(tmp_path, when, clock=clock) == []
        for jump_ms in (1_000, -1_000, 10**11, -(10**11)):
            assert seal.is_due(tmp_path, when, NOON_MS + jump_ms)
        record(ledger, *(plain(account) for _ in range(5)))
        made = seal.seal(tmp_path, when, clock=clock)
        assert [one.manifest.files["generations"].rows for one in made] == [3, 3]
        clock.at_ms -= 10**10
        made = seal.seal(tmp_path, when, clock=clock)
        assert [one.manifest.files["generations"].rows for one in made] == [1]
    with Lake(tmp_path, threads=1) as lake:
        assert lake.rows("SELECT count(DISTINCT id), count(*) FROM generations") == [(7, 7)]


def test_the_youngest_rows_wait_for_their_topics(tmp_path: Path) -> None:
    clock = Clock(NOON_MS + 2_000)
    with Ledger(tmp_path, clock=clock) as ledger:
        account = make_key(ledger)
        record(ledger, plain(account), plain(account, created_ms=NOON_MS + 1_999))
        when = seal.When(rows=10, after_ms=1_500, leave_ms=1_000)
        (made,) = seal.seal(tmp_path, when, clock=clock)
        assert made.manifest.files["generations"].rows == 1
    assert hot(tmp_path) == (1, 0)


def test_a_sealer_that_dies_after_the_rename_has_done_no_harm(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        made = [plain(account) for _ in range(5)]
        record(ledger, *made)
        note(ledger, *(fact(one, "topic", TOPIC) for one in made))
        copies = {path: path.read_bytes() for path in tmp_path.glob("journal/*/rows.sqlite*")}
        before = everything(tmp_path)
    with Ledger(tmp_path) as ledger:
        seal.seal(tmp_path, seal.NOW)
    for path in tmp_path.glob("journal/*/rows.sqlite*"):
        path.unlink()
    for path, content in copies.items():  # as if nothing had been deleted yet
        path.write_bytes(content)
    assert hot(tmp_path) == (5, 5)
    assert everything(tmp_path) == before
    assert seal.is_due(tmp_path, seal.When(), NOON_MS)
    assert seal.seal(tmp_path, seal.When()) == []
    assert hot(tmp_path) == (0, 0)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("keep", [False, True], ids=["lost", "replaced by an old copy"])
def test_a_table_file_that_goes_back_repeats_nothing_and_hides_nothing(
    tmp_path: Path, *, keep: bool
) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        record(ledger, plain(account))
    folder = next(tmp_path.glob("journal/*"))
    old = (folder / "rows.sqlite").read_bytes()
    with Ledger(tmp_path) as ledger:
        record(ledger, plain(account))
        seal.seal(tmp_path, seal.NOW)
        record(ledger, plain(account))
    for path in folder.glob("rows.sqlite*"):
        path.unlink()
    if keep:
        (folder / "rows.sqlite").write_bytes(old)
    with Ledger(tmp_path) as ledger:
        record(ledger, plain(account))
    for _ in range(2):
        with Lake(tmp_path, threads=1) as lake:
            assert lake.rows("SELECT count(*), count(DISTINCT id) FROM generations") == [(4, 4)]
        seal.seal(tmp_path, seal.NOW)
    assert hot(tmp_path) == (0, 0)


def test_nothing_is_sealed_while_another_holds_the_lease(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        record(ledger, plain(make_key(ledger)))
        state = Database(tmp_path / "state.sqlite")
        taken = lease.acquire(
            state, seal.LEASE, owner="x", ttl_ms=seal.LEASE_MS, now_ms=ledger.clock.now_ms()
        )
        assert taken is not None
        assert seal.seal(tmp_path, seal.NOW) == []
        lease.release(state, taken)
        state.close()
        assert len(seal.seal(tmp_path, seal.NOW)) == 1


def test_two_sealers_at_once_do_no_harm_even_if_both_hold_the_lease(tmp_path: Path) -> None:
    when = seal.When(rows=40, after_ms=0, leave_ms=0)
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        record(ledger, *(plain(account) for _ in range(200)))

        def work(owner: str, ahead_ms: int) -> int:
            # A clock that is ahead takes the lease from its holder at every renewal.
            clock = Clock(ledger.clock.now_ms() + ahead_ms)
            made = 0
            for _ in range(4):
                made += len(seal.seal(tmp_path, when, owner=owner, clock=clock))
                clock.at_ms += ahead_ms
            return made

        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(work, "one", 0), pool.submit(work, "two", 2 * seal.LEASE_MS)]
            made = [one.result() for one in done]
    seal.seal(tmp_path, when, owner="last", clock=Clock(ledger.clock.now_ms() + 10**12))
    assert sum(made) >= 1
    assert hot(tmp_path) == (0, 0)
    with Lake(tmp_path, threads=1) as lake:
        assert lake.rows("SELECT count(*), count(DISTINCT id) FROM generations") == [(200, 200)]
        assert len(lake.segments) == 5


def test_a_checksum_names_every_file_of_a_segment(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        record(ledger, plain(make_key(ledger)))
        (sealed,) = seal.seal(tmp_path, seal.NOW)
    files = {path.stem: path for path in sealed.folder.glob("*.parquet")}
    assert set(files) == set(sealed.manifest.files)
    for name, path in files.items():
        assert segments.checksum(path) == sealed.manifest.files[name].sha256


def test_a_segment_that_is_being_made_is_not_seen(tmp_path: Path) -> None:
    with Ledger(tmp_path):
        pass
    for name, manifest in (("w-1", b'{"format":'), ("w-2", b"{}")):
        folder = tmp_path / segments.LAKE / segments.STAGING / name
        folder.mkdir(parents=True)
        (folder / segments.MANIFEST).write_bytes(manifest)
    assert segments.found_in(tmp_path) == []
    with Lake(tmp_path, threads=1) as lake:
        assert lake.rows("SELECT count(*) FROM generations") == [(0,)]
