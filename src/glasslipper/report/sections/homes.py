"""How many models a unit uses. Figure 38."""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.report import words
from glasslipper.report.charts import bars
from glasslipper.report.section import Finding, Missing, Result, Section, Table
from glasslipper.report.sections import cohorts, forms
from glasslipper.report.study import Study


def multi_homing(study: Study) -> Result | Missing:
    """Count how many models units use."""
    rows = study.ask("homes")
    if not rows:
        return forms.NO_ROWS
    total = sum(int(row["n"]) for row in rows)
    if total < study.least:
        return Missing(
            what=f"{words.plural(total, study.options.unit)} used models, too few to tell how many"
            " models each uses.",
            how="Cells of few units are hidden; `--least` says how few those are.",
        )
    several = sum(int(row["n"]) for row in rows if int(row["models_used"]) > 1)
    mean = sum(int(row["n"]) * int(row["models_used"]) for row in rows) / total
    cells = pooled([(int(row["models_used"]), int(row["n"])) for row in rows], study.least)
    names = [f"{cell} models" if cell != "1" else "1 model" for cell, _ in cells]
    shares = [n / total for _, n in cells]
    units = f"{study.options.unit}s"
    if min(several, total - several) in range(1, study.least):
        few, how = ("more than", "") if several < study.least else ("just", "only ")
        claim = f"Fewer than {study.least} of {total} {units} use {how}{few} one model"
        findings: dict[str, Finding] = {}
    else:
        claim = f"{words.percent(several / total)} of {units} use more than one model"
        findings = {"several": several / total}
    return Result(
        claim=f"{claim}, {mean:.1f} on average",
        chart=bars.ranked(names, shares, [words.percent(v) for v in shares], marked=0),
        table=Table(
            headings=("Models", "Units#", "Share%"),
            rows=[[cell, n, round(v, 4)] for (cell, n), v in zip(cells, shares, strict=True)],
        ),
        findings=findings | {"mean": mean},
    )


def pooled(cells: Sequence[tuple[int, int]], least: int) -> list[tuple[str, int]]:
    """Return numbers of models and of units, neighbours together until none is of fewer units.

    >>> pooled([(1, 9), (2, 3), (3, 4), (7, 1)], 5)
    [('1', 9), ('2 to 7', 8)]
    """
    found: list[tuple[int, int, int]] = []
    for models, n in cells:
        if found and found[-1][2] < least:
            found[-1] = (found[-1][0], models, found[-1][2] + n)
        else:
            found.append((models, models, n))
    if len(found) > 1 and found[-1][2] < least:
        _, to, n = found.pop()
        found[-1] = (found[-1][0], to, found[-1][2] + n)
    return [(str(a) if a == b else f"{a} to {b}", n) for a, b, n in found]


SECTION = Section(
    number=38,
    id="multi-homing",
    name="How many models a unit uses",
    sql="homes",
    method=(
        "Models with at least one request in the span; numbers of models that few units use are"
        f" counted together. {cohorts.UNITS}"
    ),
    study=multi_homing,
)
