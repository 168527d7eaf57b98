"""Whose models are used: open or closed, from where, by whom, how large. Figures 1 to 7."""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.report import words
from glasslipper.report.charts import areas, bars, lines
from glasslipper.report.section import Missing, Part, Result, Section, Table
from glasslipper.report.sections import forms
from glasslipper.report.study import Study

ORDER = ("Open, China", "Open, rest of world", "Closed", "Unknown")
SIZES = ("Small, < 15B", "Medium, 15-70B", "Large, ≥ 70B", "Unknown")


UNKNOWN = Missing(
    what="Whether the models that were used are open is not known.",
    how="Tell with `--models FILE`: a JSON list with `id`, `open_weights` and `country`.",
)


def open_share(study: Study) -> Result | Missing:
    """Split tokens into open and closed."""
    weeks = forms.by_week(study.ask("source_weeks"), "source", order=ORDER)
    if not weeks.weeks:
        return forms.NO_ROWS
    if weeks.names == ["Unknown"]:
        return UNKNOWN
    known = {name: weeks.share(name) for name in weeks.names}
    opened = [
        sum(known[name][i] for name in weeks.names if name.startswith("Open"))
        for i in range(len(weeks.weeks))
    ]
    before, after = (
        sum(forms.ends(weeks, name)[end] for name in weeks.names if name.startswith("Open"))
        for end in (0, 1)
    )
    overall = sum(weeks.overall(name) for name in weeks.names if name.startswith("Open"))
    unknown = weeks.overall("Unknown")
    notes = (
        (
            (
                f"{words.percent(unknown)} of the tokens went to models of whose weights nothing "
                "is known."
            ),
        )
        if unknown
        else ()
    )
    return Result(
        claim=f"The share of open models {forms.moved(before, after)}",
        chart=areas.shares(weeks.weeks, weeks.names, [known[name] for name in weeks.names]),
        table=forms.share_table(weeks),
        findings={
            "open_share": overall,
            "first_weeks": before,
            "last_weeks": after,
            "highest_week": max(opened, default=0.0),
        },
        notes=notes,
    )


def _days(study: Study) -> str:
    return words.plural((study.last - study.first).days + 1, "day")


def weekly_tokens(study: Study) -> Result | Missing:
    """Show how many tokens there were in each week."""
    weeks = forms.by_week(study.ask("source_weeks"), "source", order=ORDER)
    if not weeks.weeks:
        return forms.NO_ROWS
    totals = weeks.totals
    whole = forms.whole_weeks(weeks.weeks, study.first, study.last)
    before, after = forms.first_and_last([totals[i] for i in whole])
    rows = [
        [week, *(round(weeks.amounts[name][i]) for name in weeks.names), round(totals[i])]
        for i, week in enumerate(weeks.weeks)
    ]
    return Result(
        claim=f"Weekly tokens {forms.ratio_moved(before, after)}"
        if len(whole) > 1
        else f"{words.count(sum(totals))} tokens in {_days(study)}",
        chart=areas.stacks(
            weeks.weeks,
            weeks.names,
            [weeks.amounts[name] for name in weeks.names],
            title="Tokens a week",
        ),
        table=Table(headings=("Week", *(f"{name}#" for name in weeks.names), "All#"), rows=rows),
        findings={"tokens": float(sum(totals)), "first_weeks": before, "last_weeks": after},
    )


def china_share(study: Study) -> Result | Missing:
    """Show the share of open models from China."""
    weeks = forms.by_week(study.ask("source_weeks"), "source", order=ORDER)
    if not weeks.weeks:
        return forms.NO_ROWS
    shares = weeks.share("Open, China")
    if not any(shares):
        return forms.NO_OPEN
    before, after = forms.ends(weeks, "Open, China")
    high = max(range(len(shares)), key=lambda i: shares[i])
    most = f"; the most was {words.percent(shares[high])}, in the week of {weeks.weeks[high]}"
    theirs = _market_weeks(study, weeks.weeks, "Open, China")
    return Result(
        claim=f"The share of open models from China {forms.moved(before, after)}"
        + (most if len(shares) > 1 else ""),
        chart=lines.over_weeks(
            weeks.weeks,
            {"Open, China": shares},
            title="Share of tokens",
            form=".0%",
            market=[{"x": week, "y": round(value, 4)} for week, value in theirs.items()],
        ),
        table=Table(
            headings=("Week", "Open, China%", *(("The market%",) if theirs else ())),
            rows=[
                [
                    week,
                    round(v, 4),
                    *((round(theirs[week], 4) if week in theirs else None,) if theirs else ()),
                ]
                for week, v in zip(weeks.weeks, shares, strict=True)
            ],
        ),
        findings={"share": weeks.overall("Open, China"), "highest": shares[high]},
        notes=(
            "The market has more: its line counts only the models that the rankings name. "
            f"{study.market.cited}.",
        )
        if theirs and study.market
        else (),
    )


def _market_weeks(study: Study, weeks: Sequence[str], source: str) -> dict[str, float]:
    """Return the market's share of a source, in those of our weeks that its rankings reach."""
    if study.market is None:
        return {}
    theirs = study.market.weekly_share(lambda model: study.catalogue.facts(model).source == source)
    return {week: theirs[week] for week in weeks if week in theirs}


def open_authors(study: Study) -> Result | Missing:
    """Rank the authors of open models."""
    rows = study.ask("open_authors")
    total = sum(float(row["t"]) for row in rows)
    if not total:
        return forms.NO_OPEN
    names = [str(row["author"]) for row in rows]
    values = [float(row["t"]) for row in rows]
    return Result(
        claim=f"{words.title(names[0])} leads the authors of open models with"
        f" {words.percent(values[0] / total)} of their tokens",
        chart=bars.ranked(names[:12], values[:12], [words.count(v) for v in values[:12]]),
        table=Table(
            headings=("Author", "Source", "Tokens#", "Share%", "Cost$"),
            rows=[
                [
                    r["author"],
                    r["source"],
                    int(r["t"]),
                    round(float(r["t"]) / total, 4),
                    int(r["c"]),
                ]
                for r in rows
            ],
        ),
        findings={f"tokens/{name}": value for name, value in zip(names, values, strict=True)},
    )


def open_models(study: Study) -> Result | Missing:
    """Show the shares of open models among each other, and how concentrated they are."""
    rows = study.ask("open_models")
    weeks = forms.by_week(rows, "model", most=8)
    if not weeks.weeks:
        return forms.NO_OPEN
    sums: dict[str, float] = {}
    for row in rows:
        sums[row["model"]] = sums.get(row["model"], 0.0) + float(row["t"])
    total = sum(sums.values())
    if not total:
        return forms.NO_OPEN
    top, most = forms.largest(sums)[0]
    index = sum((value / total) ** 2 for value in sums.values())
    above = sum(value / total > 0.05 for value in sums.values())
    return Result(
        claim=f"{words.short(top)} holds {words.percent(most / total)} of open tokens;"
        f" {words.plural(above, 'open model')} {'has' if above == 1 else 'have'} more than 5 %",
        chart=areas.shares(
            weeks.weeks,
            [words.short(name) for name in weeks.names],
            [weeks.share(name) for name in weeks.names],
            title="Share of open tokens",
        ),
        table=forms.share_table(weeks),
        findings={"largest_share": most / total, "herfindahl": index},
        notes=(f"Herfindahl index {index:.2f} (1 would be a single model).",),
    )


def size_classes(study: Study) -> Result | Missing:
    """Split open tokens by the size of the models."""
    weeks = forms.by_week(study.ask("size_weeks"), "size", order=SIZES)
    if not weeks.weeks:
        return forms.NO_OPEN
    if weeks.names == ["Unknown"]:
        return Missing(
            what="How large the open models are is not known.",
            how="Tell with `--models FILE`: a JSON list with `id` and `parameters_b`.",
        )
    name = max(weeks.names, key=weeks.overall)
    before, after = forms.ends(weeks, name)
    return Result(
        claim=f"{name} models serve most open tokens: their share {forms.moved(before, after)}",
        chart=areas.shares(
            weeks.weeks,
            weeks.names,
            [weeks.share(one) for one in weeks.names],
            title="Share of open tokens",
        ),
        table=forms.share_table(weeks),
        findings={f"share/{one}": weeks.overall(one) for one in weeks.names},
    )


def models_per_size(study: Study) -> Result | Missing:
    """Count the open models in use by size."""
    weeks = forms.by_week(study.ask("size_weeks"), "size", "n", order=SIZES)
    if not weeks.weeks:
        return forms.NO_OPEN
    whole = forms.whole_weeks(weeks.weeks, study.first, study.last)
    ends = (whole[0], whole[-1]) if len(whole) > 1 else (0, -1)
    before, after = (weeks.totals[i] for i in ends)
    return Result(
        claim=f"Open models in use in a week: {before:.0f} at first, {after:.0f} at last"
        if len(weeks.weeks) > 1
        else f"{words.plural(round(after), 'open model')} in use in the week",
        chart=lines.over_weeks(
            weeks.weeks,
            {name: weeks.amounts[name] for name in weeks.names},
            shape="step-after",
            title="Models in use",
            form="d",
        ),
        table=Table(
            headings=("Week", *(f"{name}#" for name in weeks.names)),
            rows=[
                [week, *(int(weeks.amounts[name][i]) for name in weeks.names)]
                for i, week in enumerate(weeks.weeks)
            ],
        ),
        findings={"first": before, "last": after},
    )


def market(study: Study) -> Result | Missing:
    """Hold the authors' shares against the market's."""
    if study.market is None:
        return Missing(
            what="No rankings of the market were given to compare with.",
            how="Give a file of daily rankings with `--rankings FILE`.",
        )
    tokens: dict[str, float] = {}
    for row in study.ask("model_costs"):
        tokens[row["author"]] = tokens.get(row["author"], 0.0) + float(row["t"])
    total = sum(tokens.values())
    if not total:
        return forms.NO_ROWS
    theirs = dict(study.market.author_shares(50))
    mine = {name: value / total for name, value in tokens.items()}
    largest = [name for name, _ in forms.largest(mine)][:8]
    names = list(dict.fromkeys([*largest, *list(theirs)[:8]]))
    pairs = {name: (mine.get(name, 0.0), theirs.get(name, 0.0)) for name in names}
    top = max(names, key=lambda name: (abs(pairs[name][0] - pairs[name][1]), name))
    here, there = pairs[top]
    return Result(
        claim=f"{words.title(top or 'unknown')} has {words.percent(here)} of the tokens here and"
        f" {words.percent(there)} of the market's",
        chart=bars.pairs(
            names,
            list(pairs.values()),
            title="Share of tokens: the dot is yours, the tick the market's",
        ),
        table=Table(
            headings=("Author", "Here%", "Market%", "Difference%"),
            rows=[[n, round(a, 4), round(b, 4), round(a - b, 4)] for n, (a, b) in pairs.items()],
        ),
        findings={f"market/{name}": b for name, (_, b) in pairs.items() if b},
        notes=(
            f"{study.market.cited}; the mean of {words.plural(len(study.market.days), 'day')}.",
        ),
    )


PART = Part(
    name="Whose models",
    about="Open and closed, by country of the author, by author and by size.",
    sections=(
        Section(
            number=1,
            id="open-share",
            name="Open and closed models",
            sql="source_weeks",
            method=(
                "Tokens (prompt + completion) by the model that served, weekly, UTC; open means "
                "that the weights can be downloaded; the country is the author's."
            ),
            study=open_share,
        ),
        Section(
            number=2,
            id="weekly-tokens",
            name="Tokens a week",
            sql="source_weeks",
            method=(
                "The same groups as amounts; the claim holds the first whole weeks against the last"
                " ones, four of each or fewer."
            ),
            study=weekly_tokens,
        ),
        Section(
            number=3,
            id="china-share",
            name="Open models from China",
            sql="source_weeks",
            method="Their share of all tokens of a week.",
            study=china_share,
        ),
        Section(
            number=4,
            id="open-authors",
            name="Authors of open models",
            sql="open_authors",
            method="Tokens of open models by author, the whole span.",
            study=open_authors,
        ),
        Section(
            number=5,
            id="open-models",
            name="Open models among each other",
            sql="open_models",
            method="Weekly shares of the tokens of open models; the largest eight by name.",
            study=open_models,
        ),
        Section(
            number=6,
            id="size-classes",
            name="Sizes of open models",
            sql="size_weeks",
            method="Classes by total parameters: below 15, 15 to 70, from 70 thousand million.",
            study=size_classes,
        ),
        Section(
            number=7,
            id="models-per-size",
            name="How many open models of each size",
            sql="size_weeks",
            method="Models with at least one request in the week; the claim is of whole weeks.",
            study=models_per_size,
        ),
        Section(
            number=55,
            id="market",
            name="You and the market",
            sql="model_costs",
            method=(
                "Shares of tokens by author, here over the whole span, in the market as the "
                "rankings give them."
            ),
            study=market,
        ),
    ),
)
