"""How many of those who began with a model use it month by month. Figure 30."""

from __future__ import annotations

from glasslipper.report import estimates, words
from glasslipper.report.charts import lines, panels
from glasslipper.report.estimates import Estimate
from glasslipper.report.section import Cell, Missing, Result, Section, Table
from glasslipper.report.sections import cohorts
from glasslipper.report.sections.cohorts import Cohort
from glasslipper.report.study import Study

PANELS = 8


def retention(study: Study) -> Result | Missing:
    """Show how many of each cohort come back month by month."""
    models = cohorts.read(study)
    chosen = _busiest(models)
    if not chosen:
        return cohorts.NO_COHORTS
    findings: dict[str, Estimate | float | str | None] = {}
    table: list[list[Cell]] = []
    best: list[tuple[float, str, Estimate]] = []
    for model, found in models.items():
        pooled = cohorts.pooled(found, 1)
        if pooled.n:
            findings[f"month1/{model}"] = pooled
        for cohort in found:
            for k in range(1, len(cohort.active)):
                rate = estimates.share(cohort.active[k], cohort.size)
                findings[f"{model}/{cohort.name}/{k}"] = rate
                table.append(
                    [
                        model,
                        cohort.name,
                        cohort.size,
                        k,
                        round(rate.value, 4),
                        round(rate.low, 4),
                        round(rate.high, 4),
                    ]
                )
        later = cohorts.pooled(found, 3)
        if later.n:
            best.append((later.low, model, later))
    charts = [
        (words.short(model), lines.cohorts({one.name: cohorts.curve(one) for one in models[model]}))
        for model in chosen
    ]
    if best:
        _, model, rate = max(best, key=lambda one: (one[0], one[1]))
        claim = (
            f"{words.short(model)} keeps the most: {words.percent(rate.value)} of its new"
            f" {study.options.unit}s use it three months later {words.span(rate)}"
        )
    else:
        claim = (
            f"{words.plural(sum(map(len, models.values())), 'cohort')} are too young to tell who "
            "stays"
        )
    return Result(
        claim=claim,
        chart=panels.grid(charts, columns=2),
        table=Table(
            headings=("Model", "Cohort", "Units#", "Months later#", "Active%", "Low%", "High%"),
            rows=table,
        ),
        findings=findings,
    )


def _busiest(models: dict[str, list[Cohort]]) -> list[str]:
    sizes = {
        model: sum(one.size for one in found)
        for model, found in models.items()
        if any(len(one.active) > 1 for one in found)
    }
    ranked = sorted(sizes, key=lambda model: (-sizes[model], model))
    return ranked[:PANELS]


SECTION = Section(
    number=30,
    id="retention",
    name="Retention",
    sql="cohorts",
    method=(
        "Of those who first used a model in a month, who uses it k months later; coming "
        f"back counts. 95 % Wilson intervals in the table. {cohorts.UNITS}"
    ),
    study=retention,
)
