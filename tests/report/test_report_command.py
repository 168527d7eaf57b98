"""`glasslipper report`, as people call it."""

import json
from pathlib import Path

import pytest
from test_small_ledgers import MONTHS_MS, filled

from glasslipper.cli import run


def test_a_demo_writes_a_home_a_truth_and_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    assert run(["report", "demo", str(folder), "--rows", "3000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["requests"] > 2_500
    assert "invented" in (folder / "report.html").read_text(encoding="utf-8")
    assert json.loads((folder / "truth.json").read_bytes())["seed"] == 1


def test_a_demo_does_not_write_over_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    assert run(["report", "demo", str(tmp_path)]) == 1
    assert "not empty" in capsys.readouterr().err


def test_an_empty_ledger_gives_a_page_that_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLASSLIPPER_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    out = tmp_path / "page.html"
    assert run(["report", "--out", str(out)]) == 0
    assert "glasslipper up" in out.read_text(encoding="utf-8")
    assert "0 of " in capsys.readouterr().out


def test_days_can_be_chosen_and_sums_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    run(["report", "demo", str(folder), "--rows", "4000", "--json"])
    whole = json.loads(capsys.readouterr().out)["requests"]
    monkeypatch.setenv("GLASSLIPPER_HOME", str(folder))
    parts = 0
    for span in (["--to", "2026-03-15"], ["--from", "2026-03-16"]):
        assert run(["report", "--json", *span]) == 0
        parts += json.loads(capsys.readouterr().out)["requests"]
    assert parts == whole


def test_a_bill_that_cannot_be_read_is_told_with_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLASSLIPPER_HOME", str(tmp_path))
    bill = tmp_path / "bill.csv"
    bill.write_text("when,what\n1,2\n", encoding="utf-8")
    assert run(["report", "--json", "--invoice", str(bill)]) == 1
    assert "no column named date" in capsys.readouterr().err


def test_a_span_that_ends_before_it_begins_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLASSLIPPER_HOME", str(tmp_path))
    assert run(["report", "--json", "--from", "2026-03-02", "--to", "2026-03-01"]) == 1
    assert "2026-03-01 is before 2026-03-02" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLASSLIPPER_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for option in ("--out", "--tables"):
        assert run(["report", "--json", option, str(tmp_path / "file" / "report")]) == 1
        assert json.loads(capsys.readouterr().err)["error"]["code"] == "store_failed"


def test_tables_of_an_earlier_report_do_not_stand_among_those_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, tables = tmp_path / "home", tmp_path / "tables"
    monkeypatch.setenv("GLASSLIPPER_HOME", str(home))
    filled(home, [("g1", MONTHS_MS[0], "key-1", "a/m")])
    assert run(["report", "--json", "--tables", str(tables)]) == 0
    assert (tables / "02-weekly-tokens.csv").exists()
    mine = tables / "mine.csv"
    mine.write_text("mine", encoding="utf-8")
    assert run(["report", "--json", "--to", "2020-01-01", "--tables", str(tables)]) == 0
    assert list(tables.iterdir()) == [mine]
