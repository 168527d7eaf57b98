"""Tallies are made once for each segment, and again only for what changed."""

import os
from pathlib import Path

from studies import findings, study

from glasslipper.cli import studying
from glasslipper.cli.generating import generate
from glasslipper.ledger.read.scan import Lake
from glasslipper.ledger.write.bulk import Bulk
from glasslipper.testing.year import Wish


def test_a_new_late_fact_renews_what_rests_on_it_and_nothing_else(tmp_path: Path) -> None:
    generate(tmp_path, Wish(rows=4_000, seed=5, everything=True))
    before = findings(study(tmp_path))["task-fit"]
    folder = tmp_path / "report" / "tallies"
    made = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert study(tmp_path).requests
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == made

    with Lake(tmp_path) as lake:
        rewarded = "SELECT generation_id FROM feedback"
        rows = lake.rows(
            "SELECT id FROM generations WHERE status = 'ok' AND task = 'programming'"
            f" AND id NOT IN ({rewarded}) ORDER BY id LIMIT 400"
        )
    facts = " UNION ALL ".join(
        f"SELECT 'fact-{number:026d}' AS id, 'feedback' AS kind, 1800000000000 AS noted_ms,"
        f" 'key-000' AS key_id, '{identifier}' AS generation_id, '{{\"reward\":1}}' AS body"
        for number, (identifier,) in enumerate(rows)
    )
    with Bulk(tmp_path) as bulk:
        bulk.seal("rewards", "one", late_facts=facts)
    after = findings(study(tmp_path))["task-fit"]
    assert after != before
    now = {path.name: path.stat().st_ino for path in folder.iterdir()}
    renewed = {name.split("-")[1] for name in now.keys() - made.keys()}
    assert renewed == {"judged", "clocks", "gold", "compared"}
    assert made.keys() < now.keys(), "another study may be reading what it had asked for"
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    assert findings(study(tmp_path))["task-fit"] == after
    left = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert left.items() < now.items()
    assert len(left) == len(made)


def test_sections_that_need_no_tallies_are_answered_before_those_are_made(tmp_path: Path) -> None:
    generate(tmp_path, Wish(rows=2_000, seed=5))
    folder = tmp_path / "report" / "tallies"
    made: dict[str, bool] = {}

    def watch(what: str, done: int, total: int) -> None:
        made[what] = folder.exists()

    report = studying.study(studying.Given(home=tmp_path), watch)
    assert not made["Open and closed models"]
    assert made["Sessions"]
    assert sum(not there for there in made.values()) > 30
    numbers = [one.section.number for one in report.sections]
    assert len(made) == len(numbers) + 1  # and reading the ledger
