"""The report finds what was planted, and does not find what was not."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from studies import Studied, findings, study

from glasslipper.classify.taxonomy import TAGS, TOPICS
from glasslipper.cli.generating import generate
from glasslipper.ledger.read.scan import Lake
from glasslipper.testing import year as year_room
from glasslipper.testing.year import Wish, world


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
    generate(tmp_path, Wish(rows=40_000, seed=seed, everything=False))
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
        generate(tmp_path / name, Wish(rows=5_000, seed=3, everything=False))
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


def test_a_year_that_was_stopped_goes_on_and_is_the_same_from_several_processes(
    tmp_path: Path,
) -> None:
    wish = Wish(rows=6_000, seed=4, rows_in_a_block=1_000)
    told: list[int] = []

    def stop_soon(_: str, done: int, __: int) -> None:
        told.append(done)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "stopped", wish, watch=stop_soon)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("generations.parquet")}
    assert len(made) == 2
    generate(tmp_path / "stopped", wish, processes=2)
    assert all(path.stat().st_mtime_ns == when for path, when in made.items())
    whole = generate(tmp_path / "whole", wish)
    assert generate(tmp_path / "whole", wish) == whole
    for name in ("truth.json", "invoice.csv", "report/models.json"):
        ways = [tmp_path / way / name for way in ("stopped", "whole")]
        assert ways[0].read_bytes() == ways[1].read_bytes()
    sums = [identity(tmp_path / way) for way in ("stopped", "whole")]
    assert sums[0] == sums[1]
    with pytest.raises(FileExistsError, match="another"):
        generate(tmp_path / "whole", Wish(rows=6_000, seed=5))


def identity(home: Path) -> list[Any]:
    with Lake(home) as lake:
        return lake.rows("SELECT count(*), sum(hash(id, billed_nanousd)) FROM generations")
