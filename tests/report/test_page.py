"""The page stands alone, says what it found, and is the same for the same ledger."""

import base64
import csv
import hashlib
import json
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from studies import Studied, nobody_watches, study

from glasslipper.cli import studying
from glasslipper.report.charts.studio import Studio
from glasslipper.report.export import write_tables
from glasslipper.report.page.html import page
from glasslipper.report.section import Missing
from glasslipper.report.study import Options

NEED_MORE = {"market"}
"""Sections that ask for a file."""

RANKINGS = "openrouter_rankings_daily.jsonl.xz"


def test_the_page_needs_no_network_and_no_script(year: Studied) -> None:
    assert "<script" not in year.html
    for address in re.findall(r'(?:src|href)="([^"]+)"', year.html):
        assert address.startswith("#"), address
    assert not re.findall(r"url\((?!#)", year.html)
    assert "@import" not in year.html


def test_the_page_is_not_larger_than_three_megabytes(year: Studied) -> None:
    assert len(year.html.encode()) < 3_000_000


def test_two_reports_of_one_ledger_are_the_same_bytes(year: Studied) -> None:
    assert page(study(year.home)) == year.html


@pytest.mark.parametrize("program", ["", "/bin/false", "/nowhere/python"])
def test_charts_drawn_beside_the_study_are_the_same_bytes_also_where_that_fails(
    year: Studied, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    if program:
        monkeypatch.setattr(sys, "executable", program)
    given = studying.Given(home=year.home, invoice=year.home / "invoice.csv")
    with Studio() as studio:
        report = studying.study(given, nobody_watches, studio)
        assert page(report, studio=studio) == year.html


def test_every_section_has_data_in_a_generated_year(year: Studied) -> None:
    empty = [one.section.id for one in year.report.sections if isinstance(one.result, Missing)]
    assert [name for name in empty if name not in NEED_MORE] == []
    assert len(year.report.sections) >= 46


def test_all_thirty_six_analyses_of_the_study_are_there_by_their_number(year: Studied) -> None:
    numbers = [one.section.number for one in year.report.sections]
    assert numbers[:36] == list(range(1, 37))
    assert len(set(numbers)) == len(numbers)


class Shape(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.labelled: list[str] = []
        self.headings: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.ids.append(found["id"] or "")
        self.labelled += (found.get("aria-labelledby") or "").split()
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in {"meta", "br", "img", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_its_labels_point_somewhere(year: Studied) -> None:
    shape = Shape()
    shape.feed(year.html)
    assert shape.open == []
    assert len(shape.ids) == len(set(shape.ids))
    assert set(shape.labelled) <= set(shape.ids)
    steps = zip(shape.headings, shape.headings[1:], strict=False)
    assert all(after - before <= 1 for before, after in steps)


def test_charts_take_their_colours_from_the_page(year: Studied) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", year.html, re.DOTALL))
    assert "var(--ink)" in drawn
    assert re.findall(r'(?:fill|stroke)="#(?!fff|000)[0-9a-f]+"', drawn) == []


def test_tables_are_written_as_csv_and_json(year: Studied, tmp_path: Path) -> None:
    written = write_tables(year.report, tmp_path)
    assert written == len(list(tmp_path.glob("*.csv"))) == len(list(tmp_path.glob("*.json")))
    with (tmp_path / "01-open-share.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    shares = [float(rows[-1][name]) for name in ("Open, China", "Open, rest of world", "Closed")]
    assert abs(sum(shares) - 1) < 0.001
    told = json.loads((tmp_path / "01-open-share.json").read_bytes())
    assert told["table"]["headings"][0] == "Week"


def test_small_cells_are_hidden(year: Studied) -> None:
    strict = study(year.home, options=Options(least=30))
    cohorts = next(one for one in strict.sections if one.section.id == "retention")
    assert not isinstance(cohorts.result, Missing)
    assert all(int(row[2] or 0) >= 30 for row in cohorts.result.table.rows)


def test_the_market_is_shown_beside_and_cited_with_its_date(year: Studied) -> None:
    rankings = Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data")) / "traffic" / RANKINGS
    if not rankings.exists():
        pytest.skip(f"{rankings} is not here.")
    report = study(year.home, rankings=rankings)
    section = next(one for one in report.sections if one.section.id == "market")
    assert not isinstance(section.result, Missing)
    assert "openrouter.ai/rankings" in section.result.notes[0]
    assert re.search(r"as of \d{4}-\d\d-\d\d", section.result.notes[0])
    assert "openrouter.ai/rankings" in page(report)


def test_an_interactive_page_holds_the_same_drawings_and_runs_only_its_own_script(
    year: Studied,
) -> None:
    alive = page(year.report, interactive=True)
    assert len(alive.encode()) < 3_000_000
    drawn = re.compile(r'<svg xmlns="http://www.w3.org/2000/svg".*?</svg>', re.DOTALL)
    plain = drawn.findall(year.html)
    assert drawn.findall(alive.partition('<script type="module">')[0]) == plain
    (script,) = re.findall(r'<script type="module">(.*?)</script>', alive, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in alive
    blocks = re.findall(r'<script type="application/json">(.*?)</script>', alive, re.DOTALL)
    assert len(blocks) == len(plain)
    assert all(json.loads(block)["description"] for block in blocks)


def test_the_plain_page_allows_no_script_and_no_address(year: Studied) -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', year.html)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_a_page_made_anew_in_a_generated_home_still_says_that_it_is_invented(
    year: Studied,
) -> None:
    assert study(year.home).generated


def test_shades_are_told_apart_beyond_tenths(year: Studied) -> None:
    rhythm = year.html.partition('<article id="rhythm"')[2].partition("</svg>")[0]
    shades = set(re.findall(r'opacity="([\d.]+)"', rhythm))
    assert len(shades) > 12


def test_one_author_of_small_multiples_has_the_colour_of_a_task_of_the_others(
    year: Studied,
) -> None:
    found = next(one for one in year.report.sections if one.section.id == "author-tasks")
    assert not isinstance(found.result, Missing)
    assert found.result.chart is not None
    tints: dict[str, set[str]] = {}
    for panel in found.result.chart["concat"]:
        scale = panel["layer"][0]["encoding"]["color"]["scale"]
        for name, tint in zip(scale["domain"], scale["range"], strict=True):
            tints.setdefault(name, set()).add(tint)
    assert all(len(some) == 1 for some in tints.values())
