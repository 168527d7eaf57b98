"""How many models a unit uses. Figure 38."""

from __future__ import annotations

from glasslipper.report import words
from glasslipper.report.charts import bars
from glasslipper.report.section import Missing, Result, Section, Table
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
            what=f"There are {words.plural(total, study.options.unit)}, too few to tell how many"
            " models each uses.",
            how="Cells of few units are hidden; `--least` says how few those are.",
        )
    several = sum(int(row["n"]) for row in rows if int(row["models_used"]) > 1)
    mean = sum(int(row["n"]) * int(row["models_used"]) for row in rows) / total
    names = [
        f"{row['models_used']} models" if row["models_used"] > 1 else "1 model" for row in rows
    ]
    shares = [int(row["n"]) / total for row in rows]
    return Result(
        claim=f"{words.percent(several / total)} of {study.options.unit}s use more than one model,"
        f" {mean:.1f} on average",
        chart=bars.ranked(names, shares, [words.percent(v) for v in shares], marked=0),
        table=Table(
            headings=("Models#", "Units#", "Share%"),
            rows=[
                [r["models_used"], r["n"], round(v, 4)] for r, v in zip(rows, shares, strict=True)
            ],
        ),
        findings={"several": several / total, "mean": mean},
    )


SECTION = Section(
    number=38,
    id="multi-homing",
    name="How many models a unit uses",
    sql="homes",
    method=f"Models with at least one request in the span. {cohorts.UNITS}",
    study=multi_homing,
)
