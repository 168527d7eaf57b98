"""Cohorts that stay far longer than those that came later: glass slippers. Figure 31."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from glasslipper.report import estimates, words
from glasslipper.report.charts import bars
from glasslipper.report.estimates import Estimate
from glasslipper.report.section import Cell, Missing, Result, Section, Table
from glasslipper.report.sections import cohorts
from glasslipper.report.sections.cohorts import Cohort
from glasslipper.report.study import Study


class _Tested(Struct, frozen=True, kw_only=True):
    cohort: Cohort
    rate: Estimate
    others: Estimate
    p_value: float


def glass_slipper(study: Study) -> Result | Missing:
    """Test which cohorts stay far longer than those that came to the same model later."""
    models = cohorts.read(study)
    tested = [
        test
        for found in models.values()
        for index, cohort in enumerate(found)
        if (test := _against_later(cohort, found[index + 1 :])) is not None
    ]
    if not tested:
        return Missing(
            what=f"No cohort of at least {cohorts.SMALLEST_TESTED} units is three months old and"
            " has later ones to be held against.",
            how=cohorts.NO_COHORTS.how,
        )
    stands = estimates.discoveries([test.p_value for test in tested])
    found = [
        test
        for test, stood in zip(tested, stands, strict=True)
        if stood and test.rate.low > test.others.value
    ]
    rows: list[list[Cell]] = [
        [
            t.cohort.model,
            t.cohort.name,
            t.cohort.size,
            round(t.rate.value, 4),
            round(t.rate.low, 4),
            round(t.rate.high, 4),
            round(t.others.value, 4),
            round(t.p_value, 6),
            "foundational" if t in found else "",
        ]
        for t in tested
    ]
    order = sorted(tested, key=lambda t: (t.p_value, t.cohort.model, t.cohort.start))[:12]
    if found:
        first = min(found, key=lambda t: t.p_value)
        claim = (
            f"The cohort of {first.cohort.name} stays with {words.short(first.cohort.model)}:"
            f" {words.percent(first.rate.value)} {words.span(first.rate)} against"
            f" {words.percent(first.others.value)} of later ones"
        )
    else:
        claim = f"No glass slipper: none of {words.plural(len(tested), 'cohort')} stands out"
    findings: dict[str, Estimate | float | str | None] = {
        f"{t.cohort.model}/{t.cohort.name}": t.rate for t in found
    }
    findings["found"] = ", ".join(f"{t.cohort.model} {t.cohort.name}" for t in found) or "none"
    return Result(
        claim=claim,
        chart=bars.intervals(
            [f"{words.short(t.cohort.model)}, {t.cohort.name}" for t in order],
            [(t.rate.value, t.rate.low, t.rate.high) for t in order],
            title="Active per month from the third month on",
            marked=[index for index, t in enumerate(order) if t in found],
        ),
        table=Table(
            headings=(
                "Model",
                "Cohort",
                "Units#",
                "Active%",
                "Low%",
                "High%",
                "Later cohorts%",
                "p#",
                "Verdict",
            ),
            rows=rows,
        ),
        findings=findings,
        notes=(
            f"{words.plural(len(tested), 'cohort')} tested; of those called foundational, at most"
            " one in twenty is expected to be false.",
        ),
    )


def _against_later(cohort: Cohort, later: Sequence[Cohort]) -> _Tested | None:
    """Hold a cohort's months from the third on against the same months of later cohorts."""
    months = [k for k in range(3, len(cohort.active)) if any(len(one.active) > k for one in later)]
    if cohort.size < cohorts.SMALLEST_TESTED or not months:
        return None
    active = sum(cohort.active[k] for k in months)
    among = cohort.size * len(months)
    peers = [(one.active[k], one.size) for k in months for one in later if len(one.active) > k]
    theirs, of = sum(a for a, _ in peers), sum(n for _, n in peers)
    # Months of one unit are not independent: the test counts units, not unit-months.
    hits = round(active / len(months))
    spread = max(1, round(of / max(len(months), 1)))
    p_value = estimates.larger_share(hits, cohort.size, round(theirs / of * spread), spread)
    rate = estimates.share(active, among)
    return _Tested(cohort=cohort, rate=rate, others=estimates.share(theirs, of), p_value=p_value)


SECTION = Section(
    number=31,
    id="glass-slipper",
    name="Glass slippers",
    sql="cohorts",
    method=(
        "A cohort is foundational if its share active from the third month on is above "
        "that of all later cohorts of the model: Fisher's exact test on units, "
        "Benjamini-Hochberg at 5 % over all cohorts."
    ),
    study=glass_slipper,
)
