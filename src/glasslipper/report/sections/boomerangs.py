"""Models to which more units come back in a month than leave. Figure 32."""

from __future__ import annotations

from glasslipper.report import estimates, words
from glasslipper.report.charts import lines
from glasslipper.report.estimates import Estimate
from glasslipper.report.section import Missing, Result, Section, Table
from glasslipper.report.sections import cohorts
from glasslipper.report.study import Study


def boomerang(study: Study) -> Result | Missing:
    """Test for which models more units come back in a month than leave in it."""
    models = cohorts.read(study)
    tests: list[tuple[str, int, int, int, Estimate, Estimate, float]] = []
    for model, found in models.items():
        most = max(len(one.active) for one in found)
        for k in range(2, most - 1):
            old = [one for one in found if len(one.active) > k + 1]
            size = sum(one.size for one in old)
            if size < cohorts.SMALLEST_TESTED or k >= most - 1:
                continue
            before, dip, after = (sum(one.active[j] for one in old) for j in (k - 1, k, k + 1))
            gained = sum(one.came_back[k + 1] for one in old)
            lost = sum(one.left[k] for one in old)
            p_value = estimates.more_gained_than_lost(gained, lost) if dip < before else 1.0
            tests.append(
                (
                    model,
                    k + 1,
                    gained,
                    lost,
                    estimates.share(dip, size),
                    estimates.share(after, size),
                    p_value,
                )
            )
    if not tests:
        return Missing(
            what=f"No model has {cohorts.SMALLEST_TESTED} units that began four months ago.",
            how=cohorts.NO_COHORTS.how,
        )
    stands = estimates.discoveries([test[-1] for test in tests])
    found_tests = [test for test, stood in zip(tests, stands, strict=True) if stood]
    findings: dict[str, Estimate | float | str | None] = {
        "found": ", ".join(sorted({test[0] for test in found_tests})) or "none"
    }
    for model, k, _, _, dip, after, _ in found_tests:
        findings[f"{model}/{k}"] = estimates.difference(after, dip)
    if found_tests:
        model, k, gained, lost, dip, after, _ = min(found_tests, key=lambda test: test[-1])
        claim = (
            f"{words.short(model)} is a boomerang: {words.percent(dip.value)} use it after"
            f" {k - 1} months, {words.percent(after.value)} a month later"
        )
        shown = model
    else:
        claim = (
            f"No boomerang: at no model do units come back after leaving ({len(tests)} months "
            "tested)"
        )
        shown = min(tests, key=lambda test: test[-1])[0]
    curves = {one.name: cohorts.curve(one) for one in models[shown]}
    most = max(map(len, curves.values()))
    pooled = [cohorts.pooled(models[shown], k).value for k in range(most)]
    return Result(
        claim=claim,
        chart=lines.cohorts({**curves, "all": pooled}, marked=("all",), width=520, height=240),
        table=Table(
            headings=(
                "Model",
                "Month#",
                "Came back#",
                "Left#",
                "Before%",
                "After%",
                "p#",
                "Verdict",
            ),
            rows=[
                [
                    m,
                    k,
                    g,
                    lo,
                    round(d.value, 4),
                    round(a.value, 4),
                    round(p, 6),
                    "boomerang" if s else "",
                ]
                for (m, k, g, lo, d, a, p), s in zip(tests, stands, strict=True)
            ],
        ),
        findings=findings,
        notes=(f"Shown: {shown}, its cohorts in grey and all of them together.",),
    )


SECTION = Section(
    number=32,
    id="boomerang",
    name="Boomerangs",
    sql="cohorts",
    method=(
        "After a month of decline, more units come back than leave: exact one-sided "
        "McNemar test on the same units, Benjamini-Hochberg at 5 % over all models and "
        "months."
    ),
    study=boomerang,
)
