"""Who stays with a model, who leaves for which, who comes back. Figures 30 to 32, 37, 38."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from glasslipper.report import estimates, words
from glasslipper.report.charts import bars, lines, matrix, panels
from glasslipper.report.estimates import Estimate
from glasslipper.report.section import Cell, Missing, Part, Result, Section, Table
from glasslipper.report.sections import cohorts, forms
from glasslipper.report.sections.cohorts import Cohort
from glasslipper.report.study import Study

SMALLEST_TESTED = 20
"""Units that a cohort must have to be tested."""

NO_COHORTS = Missing(
    what="No month has enough units that began to use a model then.",
    how="Cohorts need two months of traffic and several keys, apps or users;"
    " `--group-by user` or `--group-by key` makes other units, `--least 3` shows smaller ones.",
)
PANELS = 8


def retention(study: Study) -> Result | Missing:
    """Show how many of each cohort come back month by month."""
    models = cohorts.read(study)
    chosen = _busiest(models)
    if not chosen:
        return NO_COHORTS
    findings: dict[str, Estimate | float | str | None] = {}
    table: list[list[Cell]] = []
    best: list[tuple[float, str, Estimate]] = []
    for model, found in models.items():
        pooled = _pooled(found, 1)
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
        later = _pooled(found, 3)
        if later.n:
            best.append((later.low, model, later))
    charts = [
        (words.short(model), lines.cohorts({one.name: _curve(one) for one in models[model]}))
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


def _curve(cohort: Cohort) -> list[float]:
    return [cohort.rate(k) for k in range(len(cohort.active))]


def _pooled(found: Sequence[Cohort], k: int) -> Estimate:
    old = [one for one in found if len(one.active) > k]
    return estimates.share(sum(one.active[k] for one in old), sum(one.size for one in old))


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
            what=f"No cohort of at least {SMALLEST_TESTED} units is three months old and has later"
            " ones to be held against.",
            how=NO_COHORTS.how,
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
    if cohort.size < SMALLEST_TESTED or not months:
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


def boomerang(study: Study) -> Result | Missing:
    """Test for which models more units come back in a month than leave in it."""
    models = cohorts.read(study)
    tests: list[tuple[str, int, int, int, Estimate, Estimate, float]] = []
    for model, found in models.items():
        most = max(len(one.active) for one in found)
        for k in range(2, most - 1):
            old = [one for one in found if len(one.active) > k + 1]
            size = sum(one.size for one in old)
            if size < SMALLEST_TESTED or k >= most - 1:
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
            what=f"No model has {SMALLEST_TESTED} units that began four months ago.",
            how=NO_COHORTS.how,
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
    curves = {one.name: _curve(one) for one in models[shown]}
    most = max(map(len, curves.values()))
    pooled = [_pooled(models[shown], k).value for k in range(most)]
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
    claim, findings = _launch_claim(found, moves)
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
            if n < SMALLEST_TESTED or moved < study.least or not among:
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


_UNITS = (
    "Units are workloads (key, app and fingerprint of the system prompt) unless `--group-by` "
    "says otherwise."
)

PART = Part(
    name="Who stays",
    about="Cohorts that begin with a model, stay, leave for another, come back.",
    sections=(
        Section(
            number=30,
            id="retention",
            name="Retention",
            sql="cohorts",
            method=(
                "Of those who first used a model in a month, who uses it k months later; coming "
                f"back counts. 95 % Wilson intervals in the table. {_UNITS}"
            ),
            study=retention,
        ),
        Section(
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
        ),
        Section(
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
        ),
        Section(
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
        ),
        Section(
            number=38,
            id="multi-homing",
            name="How many models a unit uses",
            sql="homes",
            method=f"Models with at least one request in the span. {_UNITS}",
            study=multi_homing,
        ),
    ),
)
