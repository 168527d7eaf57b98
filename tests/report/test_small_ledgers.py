"""Ledgers of few rows: nobody is told apart in small cells, and what is missing is said rightly."""

import contextlib
from datetime import date
from pathlib import Path

import pytest
from studies import Studied, nobody_watches

from glasslipper.cli import studying
from glasslipper.kernel.money import NANO, Price
from glasslipper.ledger.read.scan import Lake
from glasslipper.ledger.tables import STATE
from glasslipper.ledger.write.bulk import Bulk
from glasslipper.ledger.write.prices import remember, row_for
from glasslipper.report import tallies, words
from glasslipper.report.build import Report
from glasslipper.report.charts.studio import Studio
from glasslipper.report.page import cells
from glasslipper.report.page.html import order_of
from glasslipper.report.section import Missing, Result, Table
from glasslipper.report.sections.homes import pooled
from glasslipper.report.study import Options
from glasslipper.store.database import Database
from glasslipper.store.migrate import migrate

MONTHS_MS = (1_767_225_600_000, 1_769_904_000_000, 1_772_323_200_000)  # of January to March 2026
COLUMNS = "id, created_ms, key_id, model, billed_nanousd, plain"


def filled(home: Path, rows: list[tuple[str, int, str, str]], *, plain: bool = True) -> Path:
    values = ", ".join(
        f"('{name}', {at_ms}, '{key}', '{model}', 4000, {plain})"
        for name, at_ms, key, model in rows
    )
    with Bulk(home) as bulk:
        bulk.seal("test", "one", generations=f"SELECT * FROM (VALUES {values}) AS rows ({COLUMNS})")
    return home


def studied(home: Path, *, least: int = 5) -> Report:
    return studying.study(studying.Given(home=home, options=Options(least=least)), nobody_watches)


def section(report: Report, name: str) -> Result | Missing:
    return next(one.result for one in report.sections if one.section.id == name)


def test_few_units_are_not_told_apart_by_how_many_models_they_use(tmp_path: Path) -> None:
    rows = [(f"g{n}", MONTHS_MS[0], f"key-{n}", "a/m") for n in range(8)]
    home = filled(tmp_path, [*rows, ("g8", MONTHS_MS[0], "key-7", "a/n")])
    found = section(studied(home), "multi-homing")
    assert isinstance(found, Result)
    assert found.table.rows == [["1 to 2", 8, 1.0]]
    assert found.claim.startswith("Fewer than 5 of 8 workloads use more than one model")
    assert "several" not in found.findings
    every = section(studied(home, least=1), "multi-homing")
    assert isinstance(every, Result)
    assert [row[:2] for row in every.table.rows] == [["1", 7], ["2", 1]]


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        ([(1, 9), (2, 3), (3, 4), (7, 1)], [("1", 9), ("2 to 7", 8)]),
        ([(1, 1), (2, 9)], [("1 to 2", 10)]),
        ([(1, 5), (2, 5)], [("1", 5), ("2", 5)]),
        ([(1, 6), (4, 1)], [("1 to 4", 7)]),
    ],
)
def test_small_cells_are_counted_with_their_neighbours(
    cells: list[tuple[int, int]], shown: list[tuple[str, int]]
) -> None:
    assert pooled(cells, 5) == shown


def test_a_change_that_few_made_is_in_no_claim(tmp_path: Path) -> None:
    rows = [(f"g{n}", at, "key-1", f"a/m{n}") for n, at in enumerate(MONTHS_MS)]
    home = filled(tmp_path, rows)
    for least, told in ((5, False), (1, True)):
        found = section(studied(home, least=least), "switches")
        assert isinstance(found, Result)
        assert ("1 time" in found.claim) is told


def test_a_week_that_is_not_over_is_not_held_against_whole_ones(tmp_path: Path) -> None:
    monday_ms, day_ms = 1_767_571_200_000, 86_400_000  # 2026-01-05
    rows = [(f"g{n}", monday_ms + n * day_ms, "key-1", "a/m") for n in range(5 * 7 + 1)]
    with Bulk(tmp_path) as bulk:
        values = ", ".join(f"('{name}', {at}, '{key}', '{m}', 100)" for name, at, key, m in rows)
        named = "id, created_ms, key_id, model, usage_input"
        bulk.seal("test", "one", generations=f"SELECT * FROM (VALUES {values}) AS r ({named})")
    found = section(studied(tmp_path), "weekly-tokens")
    assert isinstance(found, Result)
    assert found.claim == "Weekly tokens held at 700"
    assert found.table.rows[-1][-1] == 100


def test_what_is_missing_is_what_is_missing(tmp_path: Path) -> None:
    home = filled(tmp_path, [("g1", MONTHS_MS[0], "key-1", "a/m")], plain=False)
    report = studied(home)
    failures, quadrants = section(report, "failures"), section(report, "task-quadrants")
    assert isinstance(failures, Missing)
    assert "imported" in failures.what
    assert isinstance(quadrants, Missing)
    assert "topic label" in quadrants.what


def test_a_millionth_of_a_dollar_is_written_out() -> None:
    assert words.usd(4_000) == "$0.000004"
    assert words.usd(-12_340_000) == "\u2212$0.012"


def test_calls_without_any_token_do_not_stop_the_report(tmp_path: Path) -> None:
    models = ("openai/gpt-5", "mine/open")
    home = filled(
        tmp_path / "home", [(f"g{n}", MONTHS_MS[0], "key-1", m) for n, m in enumerate(models)]
    )
    facts = tmp_path / "models.json"
    facts.write_text(
        '[{"id":"mine/open","open_weights":true,"country":"DE","reasoning":true}]', encoding="utf-8"
    )
    report = studying.study(studying.Given(home=home, models=facts), nobody_watches)
    for name in ("reasoning-models", "open-authors", "open-models"):
        assert isinstance(section(report, name), Missing)


def test_a_bill_that_dates_its_models_is_held_against_the_same_ones(tmp_path: Path) -> None:
    models = ("openai/gpt-5", "gpt-5", "openai/o9-20260101", "z/unbilled")
    rows = [(f"g{n}", MONTHS_MS[0], "key-1", model) for n, model in enumerate(models)]
    bill = tmp_path / "bill.csv"
    bill.write_text(
        "date,model,cost\n2026-01-01,gpt-5-2026-08-06,0.000003\n2026-01-01,gpt-5-20260101,0.000005"
        "\n2026-01-01,o9,0.000004\n2026-01-01,nobody,0.5\n",
        encoding="utf-8",
    )
    home = filled(tmp_path / "home", rows)
    report = studying.study(studying.Given(home=home, invoice=bill), nobody_watches)
    found = section(report, "invoice")
    assert isinstance(found, Result)
    assert found.table.rows == [
        ["gpt-5", 8_000, 8_000, 0],
        ["nobody", 0, 500_000_000, -500_000_000],
        ["o9", 4_000, 4_000, 0],
    ]
    assert "The ledger has nothing called nobody." in found.notes
    later = Options(first=date(2026, 1, 2))
    given = studying.Given(home=home, invoice=bill, options=later)
    assert isinstance(section(studying.study(given, nobody_watches), "invoice"), Missing)


def test_a_name_is_no_formula_in_a_spreadsheet() -> None:
    table = Table(headings=("Model", "Spent$"), rows=[["=1+1", -5], ["-x", 2], ["a/m", 3]])
    assert cells.as_csv(table).splitlines() == [
        "Model,Spent (USD)", "'=1+1,-5e-09", "'-x,2e-09", "a/m,3e-09",
    ]  # fmt: skip


def test_a_clock_that_was_far_ahead_for_a_moment_does_not_stop_the_report(tmp_path: Path) -> None:
    far_ms = 4_070_908_800_000  # in 2099
    rows = [(f"g{n}", at, "key-1", "a/m") for n, at in enumerate((*MONTHS_MS, far_ms))]
    report = studied(filled(tmp_path, rows))
    assert report.requests == len(rows)


def test_a_week_of_thirty_million_dollars_is_held_against_its_prices(tmp_path: Path) -> None:
    row = row_for("a/m@p", Price(input=15 * NANO, output=75 * NANO), source="test", as_of="")
    with contextlib.closing(Database(tmp_path / "state.sqlite")) as state:
        migrate(state, STATE)
        remember(state, "a/m@p", row, 1)
    units, cost = 2 * 10**12, 30_000_000 * NANO
    with Bulk(tmp_path) as bulk:
        values = ", ".join(
            f"('g{at}', {at}, 'key-1', 'a/m', {units}, {cost + cost // 2}, '{row.id}')"
            for at in MONTHS_MS
        )
        named = "id, created_ms, key_id, model, usage_input, billed_nanousd, price_id"
        bulk.seal("test", "one", generations=f"SELECT * FROM (VALUES {values}) AS r ({named})")
    found = section(studied(tmp_path), "data-quality")
    assert isinstance(found, Result)
    assert found.findings["excess_nanousd"] == 3 * 15_000_000 * NANO


def test_a_label_that_came_after_sealing_is_held_against_the_judge(tmp_path: Path) -> None:
    home = filled(tmp_path, [(f"g{n}", MONTHS_MS[0], "key-1", "a/m") for n in range(3)])
    said = '{"task":"%s","confidence":1,"classifier":"c"}'
    facts = " UNION ALL ".join(
        f"SELECT '{kind}-{n}' AS id, '{kind}' AS kind, 1 AS noted_ms, 'key-1' AS key_id,"
        f" 'g{n}' AS generation_id, '{said % task}' AS body"
        for n in range(3)
        for kind, task in (("topic", "legal"), ("judged", "finance" if n else "legal"))
    )
    with Bulk(home) as bulk:
        bulk.seal("labels", "one", late_facts=facts)
    with Lake(home) as lake:
        tallies.make(lake)
        assert lake.rows("SELECT labelled, judged, n FROM tally_gold ORDER BY 1, 2") == [
            ("legal", "finance", 2),
            ("legal", "legal", 1),
        ]


def test_charts_are_the_same_in_every_zone_of_time(
    year: Studied, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = next(one for one in year.report.sections if one.section.id == "weekly-tokens")
    order = order_of(one)
    assert order is not None
    drawn: set[str] = set()
    for zone in ("UTC", "Asia/Kolkata", "America/Los_Angeles"):
        monkeypatch.setenv("TZ", zone)
        with Studio() as studio:
            studio.begin(order)
            drawn.add(studio.take(order))
    assert len(drawn) == 1


def test_the_claim_names_the_task_that_leads_when_the_judge_has_corrected_it(
    year: Studied,
) -> None:
    for name in ("open-tasks", "china-tasks"):
        found = section(year.report, name)
        assert isinstance(found, Result)
        corrected = {
            key.partition("/")[2]: one.value
            for key, one in found.findings.items()
            if key.startswith("corrected/") and not isinstance(one, str | float | None)
        }
        leading = max(corrected, key=lambda task: corrected[task])
        assert found.claim.startswith(words.title(leading))


@pytest.mark.parametrize("is_hot", [True, False])
def test_an_answer_that_is_rewarded_again_counts_once_with_the_last_reward(
    tmp_path: Path, *, is_hot: bool
) -> None:
    home = filled(tmp_path, [(f"g{n}", MONTHS_MS[0], "key-1", "a/m") for n in range(3)])
    said = (("g0", 1, 0), ("g0", 2, 1), ("g0", 2, 0), ("g1", 3, 1), ("g1", 3, 1), ("g2", 5, 0))
    facts = " UNION ALL ".join(
        f"SELECT 'fact-{n}' AS id, 'feedback' AS kind, {at} AS noted_ms, 'key-1' AS key_id,"
        f""" '{about}' AS generation_id, '{{"reward":{reward}}}' AS body"""
        for n, (about, at, reward) in enumerate(said)
    )
    if not is_hot:
        with Bulk(home) as bulk:
            bulk.seal("rewards", "one", late_facts=facts)
    with Lake(home) as lake:
        if is_hot:
            lake.run(f"INSERT INTO hot_late_facts BY NAME {facts}")
        tallies.make(lake)
        assert lake.rows("SELECT n, accepted, reward, cost FROM tally_judged") == [
            (3, 1, 1.0, 12_000)
        ]
    if not is_hot:
        told = section(studied(home), "overpaying")
        assert isinstance(told, Missing)
        assert told.what.startswith("No workload has rewards of two models")
