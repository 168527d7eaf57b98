"""`verify` finds what does not add up, and nothing where everything does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from recording import NOON_MS, bare, fact, make_key, note, plain, record, rescued

from glasslipper.kernel.clock import day_of
from glasslipper.kernel.errors import StoreFailed
from glasslipper.ledger.read.verify import Sums, verify
from glasslipper.ledger.write import Ledger, seal
from glasslipper.store.database import Database


def filled(home: Path) -> None:
    """A home with sealed and with hot rows, on two days."""
    with Ledger(home) as ledger:
        account = make_key(ledger)
        record(ledger, plain(account), rescued(account), bare(account))
        seal.seal(home, seal.NOW)
        record(ledger, plain(account, created_ms=NOON_MS - 86_400_000), bare(account))


def test_a_ledger_that_adds_up_holds(tmp_path: Path) -> None:
    filled(tmp_path)
    verdict = verify(tmp_path)
    assert verdict.holds
    assert (verdict.generations, verdict.segments) == (5, 1)
    assert verdict.counters == 2 * 4  # two days, four accounts up to the organisation


def test_an_empty_home_holds(tmp_path: Path) -> None:
    assert verify(tmp_path).holds


def test_a_counter_that_drifted_is_named_with_what_it_should_be(tmp_path: Path) -> None:
    filled(tmp_path)
    state = Database(tmp_path / "state.sqlite")
    state.change(
        "UPDATE counters SET charged_nanousd = charged_nanousd + 1"
        " WHERE account = 'org-default' AND day = ?",
        (day_of(NOON_MS),),
    )
    state.change(
        "DELETE FROM counters WHERE account = 'ws-default' AND day <> ?", (day_of(NOON_MS),)
    )
    state.close()
    drifted, gone = verify(tmp_path).differences
    assert (drifted.account, drifted.day) == ("org-default", "2026-09-21")
    assert drifted.counted.charged_nanousd == drifted.recorded.charged_nanousd + 1
    assert (gone.account, gone.day, gone.counted) == ("ws-default", "2026-09-20", Sums())
    assert gone.recorded == Sums(charged_nanousd=6, billed_nanousd=7, generations=1)


def test_a_row_that_vanished_is_noticed(tmp_path: Path) -> None:
    filled(tmp_path)
    (path,) = tmp_path.glob("journal/*/rows.sqlite")
    table = Database(path)
    table.change("DELETE FROM records WHERE seq = (SELECT max(seq) FROM records)")
    table.close()
    assert {one.account.split("-")[0] for one in verify(tmp_path).differences} == {
        "key",
        "proj",
        "ws",
        "org",
    }


def test_a_file_with_other_bytes_and_one_that_is_gone_are_named(tmp_path: Path) -> None:
    filled(tmp_path)
    (rows,) = tmp_path.glob("lake/*/*/generations.parquet")
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 1
    rows.write_bytes(content)
    (sums,) = tmp_path.glob("lake/*/*/usage_daily.parquet")
    sums.unlink()
    damages = {one.file: one.why for one in verify(tmp_path).damages}
    assert damages == {
        "generations.parquet": "has other bytes than were sealed",
        "usage_daily.parquet": "is missing",
    }


def test_a_generation_that_is_there_twice_is_named(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        twice = plain(account)
        record(ledger, twice)
        seal.seal(tmp_path, seal.NOW)
        record(ledger, twice)  # its row is sealed and gone, so the table takes it again
    assert verify(tmp_path).repeated == [twice.id]


def test_a_copy_of_a_segment_is_named_with_its_generations_and_late_facts(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        about = plain(make_key(ledger))
        said = fact(about, "feedback", {"reward": 1.0})
        record(ledger, about)
        note(ledger, said)
        seal.seal(tmp_path, seal.NOW)
    (sealed,) = tmp_path.glob("lake/w-*/*")
    shutil.copytree(sealed, sealed.with_name("000000000009"))
    verdict = verify(tmp_path)
    assert verdict.repeated == sorted([about.id, said.id])
    (damage,) = verdict.damages
    assert damage.segment.endswith("/000000000009")
    assert "a copy" in damage.why


@pytest.mark.parametrize("files", [True, False])
def test_a_manifest_that_is_gone_or_hides_rows_is_named(tmp_path: Path, *, files: bool) -> None:
    filled(tmp_path)
    (manifest,) = tmp_path.glob("lake/*/*/manifest.json")
    said = json.loads(manifest.read_bytes())
    said["files"]["attempts"]["rows"] = 0
    manifest.write_text(json.dumps(said), encoding="utf-8")
    (damage,) = verify(tmp_path, files=files).damages
    assert damage.file == "attempts.parquet"
    assert "rows" in damage.why
    manifest.unlink()
    (damage,) = verify(tmp_path, files=files).damages
    assert (damage.file, damage.why) == ("manifest.json", "is missing")


def test_a_damaged_manifest_is_refused_by_name(tmp_path: Path) -> None:
    filled(tmp_path)
    (manifest,) = tmp_path.glob("lake/*/*/manifest.json")
    manifest.write_bytes(manifest.read_bytes()[:40])
    with pytest.raises(StoreFailed, match="is damaged"):
        verify(tmp_path)


def test_a_missing_file_is_named_although_only_counters_are_wanted(tmp_path: Path) -> None:
    filled(tmp_path)
    (rows,) = tmp_path.glob("lake/*/*/generations.parquet")
    rows.unlink()
    assert [one.file for one in verify(tmp_path, files=False).damages] == [rows.name]


def test_what_is_not_counted_yet_is_no_difference(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        account = make_key(ledger)
        record(ledger, plain(account))
        state = Database(tmp_path / "state.sqlite")
        behind = state.rows("SELECT account, day, charged_nanousd FROM counters")
        record(ledger, plain(account))
        # As a copy of the state file says that was made between the two.
        state.change("UPDATE counters SET charged_nanousd = 6, billed_nanousd = 7, generations = 1")
        state.change("UPDATE counted SET position = position - 1")
        assert len(behind) == 4
        assert verify(tmp_path).holds
        state.close()
