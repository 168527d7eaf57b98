"""Who went from which model to which, and whether a launch drew them away. Figure 37."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from glasslipper.report import estimates, words
from glasslipper.report.charts import matrix
from glasslipper.report.estimates import Estimate
from glasslipper.report.section import Missing, Result, Section, Table
from glasslipper.report.sections import cohorts, forms
from glasslipper.report.study import Study


def switches(study: Study) -> Result | Missing:
    """Show who went from which model to which, and test whether a launch drew them away."""
    flows = study.ask("flows")
    moves = [row for row in flows if row["came_from"] != row["went_to"]]
    if not moves:
        return Missing(
            what=f"No {study.options.unit} changed its main model from one month to the next.",
            how="This needs two months of traffic.",
        )
    launches, found = _launches(study)
    names = _most_moved(moves)
    cells = {(row["came_from"], row["went_to"]): row for row in moves}
    small = study.least
    values: list[list[float]] = []
    texts: list[list[str]] = []
    for a in names:
        row = [cells.get((a, b)) for b in names]
        counts = [int(one["n"]) if one and int(one["units_moved"]) >= small else 0 for one in row]
        values.append([float(n) for n in counts])
        texts.append(
            [str(n) if n else "·" if one else "" for n, one in zip(counts, row, strict=True)]
        )
    shown = [row for row in moves if int(row["units_moved"]) >= small]
    claim, findings = _launch_claim(found, shown)
    return Result(
        claim=claim,
        chart=matrix.tinted(
            [words.short(n) for n in names],
            [words.short(n) for n in names],
            values,
            texts,
            column_title="",
        ),
        table=Table(
            headings=(
                "Launch",
                "Week",
                "Came from",
                "Units#",
                "Moved#",
                "Share%",
                "Low%",
                "High%",
                "p#",
                "Verdict",
            ),
            rows=[
                [
                    t.launched,
                    t.week,
                    t.came_from,
                    t.n,
                    t.moved,
                    round(t.share.value, 4),
                    round(t.share.low, 4),
                    round(t.share.high, 4),
                    round(t.p_value, 6),
                    "substitution" if t in found else "",
                ]
                for t in launches
            ],
        ),
        findings=findings,
        notes=(
            "Each row is where units came from, each column where they went. Cells of fewer "
            f"than {small} {study.options.unit}s are hidden (·). The table tests"
            " each launch: the main model in the four weeks before and after.",
        ),
    )


class _Launch(Struct, frozen=True, kw_only=True):
    launched: str
    week: str
    came_from: str
    n: int
    moved: int
    share: Estimate
    p_value: float


def _launches(study: Study) -> tuple[list[_Launch], list[_Launch]]:
    """Return every launch and former main model, and those where more moved than elsewhere."""
    groups: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
    for row in study.ask("launches"):
        moves = groups.setdefault((row["launched"], row["began"]), [])
        moves.append((row["came_from"], row["went_to"], int(row["n"])))
    tests: list[_Launch] = []
    for (launched, week), moves in sorted(groups.items()):
        for source in sorted({a for a, _, _ in moves} - {launched}):
            n = sum(count for a, _, count in moves if a == source)
            moved = sum(count for a, b, count in moves if a == source and b == launched)
            rest = [(a, b, count) for a, b, count in moves if a not in (source, launched)]
            away = sum(count for a, b, count in rest if a != b)
            among = sum(count for _, _, count in rest)
            if n < cohorts.SMALLEST_TESTED or moved < study.least or not among:
                continue
            p_value = estimates.larger_share(moved, n, away, among)
            tests.append(
                _Launch(
                    launched=launched,
                    week=week,
                    came_from=source,
                    n=n,
                    moved=moved,
                    share=estimates.share(moved, n),
                    p_value=p_value,
                )
            )
    stands = estimates.discoveries([test.p_value for test in tests]) if tests else []
    return tests, [test for test, stood in zip(tests, stands, strict=True) if stood]


def _launch_claim(
    found: Sequence[_Launch], moves: Sequence[dict[str, object]]
) -> tuple[str, dict[str, Estimate | float | str | None]]:
    findings: dict[str, Estimate | float | str | None] = {
        "found": ", ".join(f"{t.came_from} → {t.launched}" for t in found) or "none"
    }
    for test in found:
        findings[f"{test.came_from}/{test.launched}"] = test.share
    if found:
        most = min(found, key=lambda test: test.p_value)
        return (
            f"{words.short(most.launched)} replaced {words.short(most.came_from)}: within a "
            "month of"
            f" its launch {words.percent(most.share.value)} had moved {words.span(most.share)}",
            findings,
        )
    if not moves:
        return "No launch drew users away, and no change is common enough to be shown", findings
    top = max(moves, key=lambda row: (int(str(row["n"])), str(row["came_from"])))
    return (
        f"No launch drew users away; the commonest change was from"
        f" {words.short(str(top['came_from']))} to {words.short(str(top['went_to']))},"
        f" {words.plural(int(str(top['n'])), 'time')}",
        findings,
    )


def _most_moved(moves: Sequence[dict[str, object]]) -> list[str]:
    sums: dict[str, float] = {}
    for row in moves:
        for end in ("came_from", "went_to"):
            sums[str(row[end])] = sums.get(str(row[end]), 0.0) + float(str(row["n"]))
    return [name for name, _ in forms.largest(sums)][:9]


SECTION = Section(
    number=37,
    id="switches",
    name="Who switched from what to what",
    sql="flows",
    method=(
        "Main model by requests, month against month. A launch is called a substitution "
        "where more of a model's units moved to it than moved anywhere else meanwhile "
        "(Fisher's exact test, Benjamini-Hochberg at 5 %)."
    ),
    study=switches,
)
