"""The report finds what was planted, and does not find what was not."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from studies import Studied, findings, study

from glasslipper.classify.taxonomy import TAGS, TOPICS
from glasslipper.cli.report_demo import generate
from glasslipper.testing import year as year_room
from glasslipper.testing.year import world


def holds(finding: Any, truth: float) -> bool:
    if isinstance(finding, dict):
        return finding["low"] <= truth <= finding["high"]
    return math.isclose(finding, truth, rel_tol=1e-6, abs_tol=1e-6)


def test_every_sum_equals_the_sum_over_the_rows_that_were_made(year: Studied) -> None:
    wrong = [
        (section, name, value, year.found[section].get(name))
        for section, numbers in year.truth["sums"].items()
        for name, value in numbers.items()
        if not math.isclose(plain(year.found[section].get(name)), value, rel_tol=1e-6, abs_tol=1e-6)
    ]
    assert wrong == []
    assert sum(map(len, year.truth["sums"].values())) > 100


def plain(finding: Any) -> float:
    return (
        finding["value"] if isinstance(finding, dict) else math.nan if finding is None else finding
    )


@pytest.mark.parametrize(
    "section", ["elasticity", "glass-slipper", "boomerang", "switches", "spend-forecast"]
)
def test_an_interval_holds_the_effect_that_was_planted(year: Studied, section: str) -> None:
    for name, value in year.truth["parameters"][section].items():
        assert holds(year.found[section][name], value), (name, year.found[section][name])


@pytest.mark.parametrize("section", ["retention", "task-shares", "task-fit"])
def test_about_one_interval_in_twenty_misses(year: Studied, section: str) -> None:
    found, truth = year.found[section], year.truth["parameters"][section]
    held = [holds(found[name], value) for name, value in truth.items() if name in found]
    assert len(held) >= 10
    assert sum(held) / len(held) > 0.85


def test_duplicates_a_wrong_price_and_the_bill_are_found_exactly(year: Studied) -> None:
    quality = year.found["data-quality"]
    assert quality["mispriced"] == "borealis/aurora-3"
    assert quality["duplicates"] == year.truth["sums"]["data-quality"]["duplicates"]
    assert year.found["invoice"]["difference_nanousd"] > 0


def test_a_year_without_effects_raises_no_alarm(tmp_path: Path) -> None:
    seed = 51  # lacks all effects but two
    generate(tmp_path, rows=40_000, seed=seed, everything=False)
    found = findings(study(tmp_path))
    absent = json.loads((tmp_path / "truth.json").read_bytes())["absent"]
    assert len(absent) >= 6
    checks = {
        "foundational": found["glass-slipper"].get("found", "none") == "none",
        "boomerang": found["boomerang"].get("found", "none") == "none",
        "substitution": found["switches"].get("found", "none") == "none",
        "elasticity": found["elasticity"].get("verdict") != "identified",
        "price_error": found["data-quality"]["mispriced"] == "none",
        "duplicates": found["data-quality"]["duplicates"] == 0,
        "clock_skew": found["data-quality"]["clock_keys"] == "none",
    }
    assert [name for name in absent if not checks.get(name, True)] == []


def test_the_same_seed_makes_the_same_ledger(tmp_path: Path) -> None:
    for name in ("one", "other"):
        generate(tmp_path / name, rows=5_000, seed=3, everything=False)
    one, other = ((tmp_path / name / "truth.json").read_bytes() for name in ("one", "other"))
    assert one == other
    bills = [(tmp_path / name / "invoice.csv").read_bytes() for name in ("one", "other")]
    assert bills[0] == bills[1]


def test_the_generated_tags_are_those_that_classifiers_give() -> None:
    assert set(world.TAGS) == set(TOPICS)
    assert set(world.TAG_NAMES) <= set(TAGS)


def test_the_generator_knows_neither_the_ledger_nor_the_report() -> None:
    folder = Path(year_room.__file__).parent
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "glasslipper.report" not in text, path
        assert "import glasslipper.ledger" not in text, path
        assert "from glasslipper.ledger" not in text, path
