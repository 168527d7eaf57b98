"""Which model fits which task, and what judges say of the labels. Figures 46 and 48."""

from __future__ import annotations

from glasslipper.classify import shares
from glasslipper.report import estimates, words
from glasslipper.report.charts import bars
from glasslipper.report.estimates import Estimate
from glasslipper.report.section import Cell, Finding, Missing, Part, Result, Section, Table
from glasslipper.report.sections import forms
from glasslipper.report.study import Study

FEWEST = 30


def task_fit(study: Study) -> Result | Missing:
    """Rank models by how often their answers are accepted, task by task."""
    rows = [row for row in study.ask("task_fit") if row["about"]]
    if not rows:
        return Missing(
            what="No answer with a topic label was rewarded.",
            how="Send `POST /generation/feedback` with a reward between 0 and 1.",
        )
    table: list[list[Cell]] = []
    findings: dict[str, Finding] = {}
    best: dict[str, tuple[Estimate, str]] = {}
    worst: dict[str, tuple[Estimate, str]] = {}
    volumes: dict[str, float] = {}
    for row in rows:
        n = int(row["rewards"])
        if n < FEWEST:
            continue
        rate = estimates.share(int(row["good"]), n)
        key = f"{row['model']}/{row['about']}"
        findings[key] = rate
        each = float(row["c"]) / max(int(row["good"]), 1)
        table.append(
            [
                row["about"],
                row["model"],
                n,
                round(rate.value, 4),
                round(rate.low, 4),
                round(rate.high, 4),
                round(each),
            ]
        )
        volumes[row["about"]] = volumes.get(row["about"], 0.0) + n
        if row["about"] not in best or rate.low > best[row["about"]][0].low:
            best[row["about"]] = (rate, row["model"])
        if row["about"] not in worst or rate.high < worst[row["about"]][0].high:
            worst[row["about"]] = (rate, row["model"])
    if not findings:
        return Missing(
            what=f"No model has {FEWEST} rewards on one task.",
            how="Collect more feedback; see `POST /generation/feedback`.",
        )
    tasks = [task for task, _ in forms.largest(volumes)][:10]
    top = tasks[0]
    rate, model = best[top]
    low, other = worst[top]
    gap = (
        f"; {words.short(other)} fits it least, {words.percent(low.value)}"
        if other != model
        else ""
    )
    return Result(
        claim=f"{words.short(model)} fits {top} best: {words.percent(rate.value)} of its answers "
        "are"
        f" accepted {words.span(rate)}{gap}",
        chart=bars.intervals(
            [f"{words.title(t)}: {words.short(best[t][1])}" for t in tasks],
            [(best[t][0].value, best[t][0].low, best[t][0].high) for t in tasks],
            title="Accepted, by the best model of each task",
            width=380,
        ),
        table=Table(
            headings=(
                "Task",
                "Model",
                "Rewards#",
                "Accepted%",
                "Low%",
                "High%",
                "For an accepted answer$",
            ),
            rows=sorted(table, key=lambda line: (str(line[0]), -float(line[3] or 0), str(line[1]))),
        ),
        findings=findings,
    )


def task_shares(study: Study) -> Result | Missing:
    """Correct the shares of tasks by what a judge said of a sample."""
    gold = study.ask("gold")
    counts = {row["task"]: float(row["n"]) for row in study.ask("task_labels")}
    total = sum(counts.values())
    n = sum(float(row["times"]) for row in gold)
    if not n:
        return Missing(
            what="No judge has labelled a sample of prompts.",
            how=(
                "Name a `judge_model` in the settings; it is asked through the gateway about "
                "a share of the requests."
            ),
        )
    tasks = sorted({row["judged"] for row in gold} | set(counts) - {""})
    table: list[list[Cell]] = []
    findings: dict[str, Finding] = {}
    right = sum(float(row["times"]) for row in gold if row["labelled"] == row["judged"])
    for task in tasks:
        if not task:
            continue
        both = _times(gold, labelled=task, judged=task)
        said = sum(float(row["times"]) for row in gold if row["labelled"] == task)
        true = sum(float(row["times"]) for row in gold if row["judged"] == task)
        told = shares.share_of_counts(
            round(counts.get(task, 0.0)),
            round(total),
            both=round(both),
            only_judge=round(true - both),
            only_classifier=round(said - both),
            judged=round(n),
        )
        share = Estimate(value=told.value, low=told.low, high=told.high, n=told.judged)
        findings[f"share/{task}"] = share
        table.append(
            [
                task,
                round(counts.get(task, 0.0) / total, 4),
                round(share.value, 4),
                round(share.low, 4),
                round(share.high, 4),
                round(true),
            ]
        )
    agreement = estimates.share(right, n)
    findings["agreement"] = agreement
    ranked = sorted(
        (name for name in findings if name.startswith("share/")),
        key=lambda name: -_value(findings[name]),
    )
    top = findings[ranked[0]]
    span = words.span(top) if isinstance(top, Estimate) else ""
    shown = [one for name in ranked[:12] if isinstance(one := findings[name], Estimate)]
    return Result(
        claim=f"{words.title(ranked[0][6:])} is {words.percent(_value(top))} of requests {span}; "
        "the classifier"
        f" agrees with the judge {words.percent(agreement.value)} of the time",
        chart=bars.intervals(
            [words.title(name[6:]) for name in ranked[:12]],
            [(one.value, max(one.low, 0.0), one.high) for one in shown],
            title="Share of requests",
        ),
        table=Table(
            headings=("Task", "By the classifier%", "Corrected%", "Low%", "High%", "Judged so#"),
            rows=sorted(table, key=lambda line: (-float(line[2] or 0), str(line[0]))),
        ),
        findings=findings,
    )


def _times(gold: list[dict[str, object]], *, labelled: str, judged: str) -> float:
    return sum(
        float(str(row["times"]))
        for row in gold
        if row["labelled"] == labelled and row["judged"] == judged
    )


def _value(finding: Finding) -> float:
    return finding.value if isinstance(finding, Estimate) else 0.0


PART = Part(
    name="What fits",
    about="Outcomes by model and task, and how far the labels can be trusted.",
    sections=(
        Section(
            number=46,
            id="task-fit",
            name="Task fit by outcome",
            sql="task_fit",
            method=(
                "A reward of at least one half counts as accepted; pairs of model and task with "
                f"{FEWEST} rewards or more; Wilson intervals."
            ),
            study=task_fit,
        ),
        Section(
            number=48,
            id="task-shares",
            name="Shares of tasks, corrected",
            sql="task_labels",
            method=(
                "Prediction-powered inference: the classifier's share of all requests, plus the "
                "mean difference between judge and classifier on the judged sample."
            ),
            study=task_shares,
        ),
    ),
)
