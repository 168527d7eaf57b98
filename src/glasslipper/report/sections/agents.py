"""How models are used: reasoning, tools, lengths. Figures 12 to 20."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from glasslipper.report import words
from glasslipper.report.charts import areas, bars, lines
from glasslipper.report.section import Missing, Part, Result, Section, Table
from glasslipper.report.sections import forms
from glasslipper.report.study import Row, Study

FEW_HUNDRED = 400
"""More names than any ledger has: none becomes `Other`."""

NO_REASONING = Missing(
    what="No reasoning model was used, as far as is known.",
    how="Tell which models reason with `--models FILE` (`reasoning`: true).",
)


def reasoning_share(study: Study) -> Result | Missing:
    """Show the share of tokens that reasoning models serve."""
    rows = study.ask("reasoning_weeks")
    weeks = forms.by_week(rows, "reasoning", order=("True", "False"))
    if not weeks.weeks:
        return forms.NO_ROWS
    shares = weeks.share("True")
    if not any(shares):
        return NO_REASONING
    before, after = forms.ends(weeks, "True")
    return Result(
        claim=f"The share of reasoning models {forms.moved(before, after)}",
        chart=lines.over_weeks(
            weeks.weeks, {"Reasoning": shares}, title="Share of tokens", form=".0%"
        ),
        table=Table(
            headings=("Week", "Reasoning models%"),
            rows=[[w, round(v, 4)] for w, v in zip(weeks.weeks, shares, strict=True)],
        ),
        findings={"share": weeks.overall("True"), "first_weeks": before, "last_weeks": after},
    )


def reasoning_models(study: Study) -> Result | Missing:
    """Rank the reasoning models."""
    rows = study.ask("reasoning_models")
    total = sum(float(row["t"]) for row in rows)
    if not total:  # calls that all failed have no tokens
        return NO_REASONING
    values = [float(row["t"]) / total for row in rows]
    names = [words.short(row["model"]) for row in rows]
    return Result(
        claim=f"{names[0]} serves {words.percent(values[0])} of the tokens of reasoning models",
        chart=bars.ranked(names[:10], values[:10], [words.percent(v) for v in values[:10]]),
        table=Table(
            headings=("Model", "Tokens#", "Share%", "Reasoning tokens of its output%"),
            rows=[
                [
                    r["model"],
                    int(r["t"]),
                    round(v, 4),
                    round(float(r["z"]) / max(float(r["o"]), 1), 4),
                ]
                for r, v in zip(rows, values, strict=True)
            ],
        ),
        findings={f"share/{r['model']}": v for r, v in zip(rows, values, strict=True)},
    )


def tool_calls(study: Study) -> Result | Missing:
    """Show the share of tokens in requests that ended with a tool call."""
    rows = study.ask("tool_calls")
    if not rows:
        return forms.NO_ROWS
    shares = [float(row["called"]) / max(float(row["t"]), 1) for row in rows]
    weeks = [row["week"] for row in rows]
    if not any(shares):
        return Missing(
            what="No answer ended with a tool call.",
            how="Offer tools in requests; the finish reason `tool_calls` is what counts.",
        )
    before, after = forms.first_and_last(shares)
    overall = sum(float(r["called"]) for r in rows) / sum(float(r["t"]) for r in rows)
    return Result(
        claim=f"Requests that end in a tool call {forms.moved(before, after)} of tokens",
        chart=lines.over_weeks(weeks, {"Tool calls": shares}, title="Share of tokens", form=".0%"),
        table=Table(
            headings=("Week", "Ended in a tool call%", "Tools offered%"),
            rows=[
                [r["week"], round(v, 4), round(float(r["offered"]) / max(float(r["t"]), 1), 4)]
                for r, v in zip(rows, shares, strict=True)
            ],
        ),
        findings={"share": overall, "first_weeks": before, "last_weeks": after},
    )


def tools_offered(study: Study) -> Result | Missing:
    """Show which models are offered tools."""
    rows = study.ask("tools_offered")
    weeks, everyone = forms.by_week(rows, "model"), forms.by_week(rows, "model", most=FEW_HUNDRED)
    if not weeks.weeks:
        return Missing(what="No request offered tools.", how="Send `tools` with requests.")
    named = [name for name in weeks.names if name != "Other"]
    top = max(named, key=weeks.overall)
    return Result(
        claim=f"{words.short(top)} serves {words.percent(weeks.overall(top))} of the tokens of"
        " requests that offer tools",
        chart=areas.shares(
            weeks.weeks,
            [words.short(name) for name in weeks.names],
            [weeks.share(name) for name in weeks.names],
            title="Share of tokens with tools offered",
        ),
        table=forms.share_table(weeks),
        findings={f"share/{name}": everyone.overall(name) for name in everyone.names},
    )


def _means(
    rows: Sequence[Row], value: Callable[[Row], float]
) -> tuple[list[str], list[float | None]]:
    """Return the mean per request of each week."""
    weeks = forms.full_weeks(row["week"] for row in rows)
    sums = {week: [0.0, 0.0] for week in weeks}
    for row in rows:
        sums[row["week"]][0] += value(row)
        sums[row["week"]][1] += float(row["n"])
    return weeks, [sums[w][0] / sums[w][1] if sums[w][1] else None for w in weeks]


def _prompt(row: Row) -> float:
    return float(row["p"])


def _completion(row: Row) -> float:
    return float(row["c"])


def _both(row: Row) -> float:
    return float(row["p"]) + float(row["c"])


def _length(study: Study, value: Callable[[Row], float], what: str) -> Result | Missing:
    rows = study.ask("lengths")
    weeks, means = _means(rows, value)
    if not weeks:
        return forms.NO_ROWS
    before, after = forms.first_and_last(means)
    overall = sum(map(value, rows)) / sum(float(row["n"]) for row in rows)
    return Result(
        claim=f"The mean {what} {forms.ratio_moved(before, after)} tokens"
        if len(weeks) > 1
        else f"The mean {what} has {words.count(overall)} tokens",
        chart=lines.over_weeks(weeks, {what: means}, title="Tokens a request"),
        table=Table(
            headings=("Week", f"Mean {what}, tokens#"),
            rows=[
                [w, None if v is None else round(v, 1)] for w, v in zip(weeks, means, strict=True)
            ],
        ),
        findings={"mean": overall, "first_weeks": before, "last_weeks": after},
    )


def prompt_length(study: Study) -> Result | Missing:
    """Show how long prompts are."""
    return _length(study, _prompt, "prompt")


def completion_length(study: Study) -> Result | Missing:
    """Show how long answers are."""
    return _length(study, _completion, "answer")


def sequence_length(study: Study) -> Result | Missing:
    """Show how long prompts and answers are together."""
    return _length(study, _both, "sequence")


def prompt_by_task(study: Study) -> Result | Missing:
    """Show how long prompts are by task."""
    rows = [row for row in study.ask("lengths") if row["task"]]
    sums: dict[str, list[float]] = {}
    for row in rows:
        both = sums.setdefault(row["task"], [0.0, 0.0])
        both[0] += float(row["p"])
        both[1] += float(row["n"])
    if not sums:
        return forms.NO_TASKS
    overall = {task: total / n for task, (total, n) in sums.items() if n}
    busiest = [task for task, _ in forms.largest({task: n for task, (_, n) in sums.items()})][:5]
    longest = forms.largest(overall)[0][0]
    shown = list(dict.fromkeys([longest, *busiest]))[:6]
    weeks = forms.full_weeks(row["week"] for row in rows)
    series: dict[str, list[float | None]] = {}
    for task in shown:
        found = dict(
            zip(*_means([row for row in rows if row["task"] == task], _prompt), strict=True)
        )
        series[words.title(task)] = [found.get(week) for week in weeks]
    rest = sum(v[0] for t, v in sums.items() if t != longest) / max(
        sum(v[1] for t, v in sums.items() if t != longest), 1
    )
    times = f", {overall[longest] / rest:.1f} times the others'" if rest else ""
    return Result(
        claim=f"{words.title(longest)} has the longest prompts: {words.count(overall[longest])}"
        f" tokens on average{times}",
        chart=lines.over_weeks(weeks, series, title="Prompt tokens a request"),
        table=Table(
            headings=("Task", "Mean prompt, tokens#", "Requests#"),
            rows=[[t, round(v, 1), int(sums[t][1])] for t, v in forms.largest(overall)],
        ),
        findings={f"mean/{task}": value for task, value in overall.items()},
    )


def sequence_programming(study: Study) -> Result | Missing:
    """Compare programming with everything."""
    rows = study.ask("lengths")
    mine = [row for row in rows if row["task"] == "programming"]
    if not mine:
        return Missing(what="No generation is labelled programming.", how=forms.NO_TASKS.how)
    weeks, means = _means(rows, _both)
    found = dict(zip(*_means(mine, _both), strict=True))
    a = sum(map(_both, mine)) / sum(float(r["n"]) for r in mine)
    b = sum(map(_both, rows)) / sum(float(r["n"]) for r in rows)
    return Result(
        claim=f"Programming sequences are {a / b:.1f} times as long as the average:"
        f" {words.count(a)} against {words.count(b)} tokens",
        chart=lines.over_weeks(
            weeks,
            {"Programming": [found.get(w) for w in weeks], "All": means},
            title="Tokens a request",
        ),
        table=Table(
            headings=("Week", "Programming#", "All#"),
            rows=[[w, _round(found.get(w)), _round(v)] for w, v in zip(weeks, means, strict=True)],
        ),
        findings={"programming": a, "all": b},
    )


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


_MEAN = "Mean per request of the week, whatever its status; reasoning counts as answer."

PART = Part(
    name="How",
    about="Reasoning, tools, and the length of what goes in and comes out.",
    sections=(
        Section(
            number=12,
            id="reasoning-share",
            name="Reasoning models",
            sql="reasoning_weeks",
            method="Tokens served by models that reason, weekly.",
            study=reasoning_share,
        ),
        Section(
            number=13,
            id="reasoning-models",
            name="Leading reasoning models",
            sql="reasoning_models",
            method="Shares of the tokens of reasoning models, the whole span.",
            study=reasoning_models,
        ),
        Section(
            number=14,
            id="tool-calls",
            name="Tool calls",
            sql="tool_calls",
            method=(
                "Tokens of requests whose finish reason is a tool call: made, not merely offered."
            ),
            study=tool_calls,
        ),
        Section(
            number=15,
            id="tools-offered",
            name="Models that are offered tools",
            sql="tools_offered",
            method="Weekly shares of the tokens of requests that offer tools.",
            study=tools_offered,
        ),
        Section(
            number=16,
            id="prompt-length",
            name="Prompt length",
            sql="lengths",
            method=_MEAN,
            study=prompt_length,
        ),
        Section(
            number=17,
            id="completion-length",
            name="Answer length",
            sql="lengths",
            method=_MEAN,
            study=completion_length,
        ),
        Section(
            number=18,
            id="prompt-by-task",
            name="Prompt length by task",
            sql="lengths",
            method=_MEAN,
            study=prompt_by_task,
        ),
        Section(
            number=19,
            id="sequence-length",
            name="Sequence length",
            sql="lengths",
            method="Prompt and answer together. " + _MEAN,
            study=sequence_length,
        ),
        Section(
            number=20,
            id="sequence-programming",
            name="Programming against all",
            sql="lengths",
            method="Prompt and answer together. " + _MEAN,
            study=sequence_programming,
        ),
    ),
)
