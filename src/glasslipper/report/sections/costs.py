"""Cost against use: maps of tasks, models, providers; elasticity. Figures 33 to 36, 39, 40."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from glasslipper.kernel.money import NANO
from glasslipper.report import estimates, words
from glasslipper.report.charts import bars, lines, points
from glasslipper.report.charts.points import Point
from glasslipper.report.estimates import Estimate
from glasslipper.report.section import Cell, Missing, Part, Result, Section, Table
from glasslipper.report.sections import forms
from glasslipper.report.sections.cohorts import month_name
from glasslipper.report.study import Row, Study

NO_COST = Missing(
    what="Nothing was billed in this span.",
    how=(
        "Prices come with the catalogue; add your own with `glasslipper prices` or `models add "
        "--price-in`."
    ),
)


FEWEST_DAYS = 20
"""Days that a month needs to be held against another."""


def usd_per_million(row: Row) -> float:
    """Return the dollars paid for a million tokens."""
    return float(row["c"]) / NANO / float(row["t"]) * 1e6


def task_quadrants(study: Study) -> Result | Missing:
    """Place tasks by their price and their use."""
    rows = [row for row in study.ask("task_costs") if row["c"]]
    if not rows:
        labelled = any(row["task"] for row in study.ask("task_labels"))
        return NO_COST if labelled else forms.NO_TASKS
    prices = {row["task"]: usd_per_million(row) for row in rows}
    use = {row["task"]: float(row["t"]) for row in rows}
    middle = (float(np.median(list(prices.values()))), float(np.median(list(use.values()))))
    kinds = {t: _quadrant(prices[t], use[t], middle) for t in prices}
    dear = [task for task, kind in kinds.items() if kind == "dear, much used"]
    dearest = max(prices, key=lambda task: (prices[task], task))
    return Result(
        claim=f"{words.title(dearest)} pays the most, ${prices[dearest]:.2f} a million tokens;"
        f" the median task pays ${middle[0]:.2f}",
        chart=points.log_map(
            [
                Point(x=prices[t], y=use[t], name=words.title(t), series=kinds[t])
                for t, _ in forms.largest(use)
            ],
            x_title="$ for a million tokens",
            y_title="Tokens",
            cross=middle,
        ),
        table=Table(
            headings=("Task", "$ per million#", "Tokens#", "Spent$", "Quadrant"),
            rows=[
                [r["task"], round(prices[r["task"]], 4), int(r["t"]), int(r["c"]), kinds[r["task"]]]
                for r in rows
            ],
        ),
        findings={"split": middle[0], **{f"price/{t}": v for t, v in prices.items()}},
        notes=(
            (f"Dear and much used: {words.listed([words.title(t) for t in dear], 6)}.",)
            if dear
            else ()
        ),
    )


def _quadrant(price: float, use: float, middle: tuple[float, float]) -> str:
    cost = "dear" if price >= middle[0] else "cheap"
    return f"{cost}, {'much' if use >= middle[1] else 'little'} used"


def _priced(study: Study) -> list[Row]:
    return [row for row in study.ask("model_costs") if row["c"] and row["t"]]


def price_map(study: Study) -> Result | Missing:
    """Place models by price and use, open and closed."""
    rows = _priced(study)
    if not rows:
        return NO_COST
    line, slope = None, None
    if len(rows) >= 3:
        x = np.log10([usd_per_million(row) for row in rows])
        y = np.log10([float(row["t"]) for row in rows])
        a, b = np.polyfit(x, y, 1)
        line = (float(a), float(b))
        slope = estimates.slope(x, y)
    found = slope.value if slope else math.nan
    said = (
        f"Across models, a tenth off the price goes with {abs(0.9**found - 1):.1%}"
        f" {'more' if found < 0 else 'less'} use".replace("%", " %")
        if slope
        else f"{words.plural(len(rows), 'model')} is too few for a trend between price and use"
    )
    unclear = slope is not None and slope.low < 0 < slope.high
    return Result(
        claim=said + (", which may be chance" if unclear else ""),
        chart=points.log_map(
            [
                Point(
                    x=usd_per_million(r),
                    y=float(r["t"]),
                    name=words.short(r["model"]),
                    series=r["source"],
                )
                for r in rows
            ],
            x_title="$ for a million tokens",
            y_title="Tokens",
            line=line,
        ),
        table=_map_table(rows, "Source", "source"),
        findings={"slope": slope or "not identified"},
        notes=(
            (
                "Better models cost more and are used more, so this slope is no elasticity: see "
                "figure 39."
            ),
        ),
    )


def _map_table(rows: Sequence[Row], heading: str, name: str) -> Table:
    return Table(
        headings=("Model", heading, "$ per million#", "Tokens#", "Spent$"),
        rows=[
            [r["model"], r[name], round(usd_per_million(r), 4), int(r["t"]), int(r["c"])]
            for r in rows
        ],
    )


def market_map(study: Study) -> Result | Missing:
    """Place models by price and use, coloured by author; beside it, the market."""
    rows = _priced(study)
    if not rows:
        return NO_COST
    spent: dict[str, float] = {}
    tokens: dict[str, float] = {}
    for row in rows:
        spent[row["author"]] = spent.get(row["author"], 0.0) + float(row["c"])
        tokens[row["author"]] = tokens.get(row["author"], 0.0) + float(row["t"])
    top, most = forms.largest(spent)[0]
    known = [name for name, _ in forms.largest(tokens)][:7]
    market = dict(study.market.author_shares(50)) if study.market else {}
    total, all_spent = sum(tokens.values()), sum(spent.values())
    authors = dict.fromkeys([*(name for name, _ in forms.largest(tokens)), *list(market)[:12]])
    table: list[list[Cell]] = [
        [
            name,
            round(tokens.get(name, 0.0) / total, 4),
            round(spent.get(name, 0.0) / all_spent, 4),
            round(market[name], 4) if name in market else None,
        ]
        for name in authors
    ]
    return Result(
        claim=f"{words.title(top or 'unknown')} takes {words.percent(most / all_spent)} of spending"
        f" for {words.percent(tokens[top] / total)} of the tokens",
        chart=points.log_map(
            [
                Point(
                    x=usd_per_million(r),
                    y=float(r["t"]),
                    name=words.short(r["model"]),
                    series=r["author"] if r["author"] in known else "Other",
                )
                for r in rows
            ],
            x_title="$ for a million tokens",
            y_title="Tokens",
        ),
        table=Table(headings=("Author", "Tokens here%", "Spending here%", "Market%"), rows=table),
        findings={f"spend_share/{n}": v / all_spent for n, v in spent.items()},
        notes=(f"Market: shares of tokens. {study.market.cited}.",)
        if study.market
        else ("With `--rankings FILE`, the table also shows the market's shares.",),
    )


def exemplars(study: Study) -> Result | Missing:
    """Name the models at the corners of the map."""
    rows = _priced(study)
    if len(rows) < 4:
        return (
            NO_COST
            if not rows
            else Missing(
                what="Fewer than four models were used and paid for.",
                how="The map needs more models.",
            )
        )
    price = float(np.median([usd_per_million(row) for row in rows]))
    use = float(np.median([float(row["t"]) for row in rows]))
    names = {
        (False, True): "efficient giant",
        (True, True): "premium leader",
        (False, False): "long tail",
        (True, False): "premium specialist",
    }
    table: list[list[Cell]] = []
    counts: dict[str, int] = {}
    tops: dict[str, str] = {}
    for row in rows:
        kind = names[usd_per_million(row) >= price, float(row["t"]) >= use]
        counts[kind] = counts.get(kind, 0) + 1
        tops.setdefault(kind, words.short(row["model"]))
        if counts[kind] <= 3:
            tokens = float(row["t"])
            table.append(
                [
                    kind,
                    row["model"],
                    round(usd_per_million(row), 4),
                    int(tokens),
                    round(math.log10(tokens), 2),
                ]
            )
    giant = tops.get("efficient giant")
    leader = tops.get("premium leader")
    said = [
        f"{giant} is the efficient giant" if giant else "",
        f"{leader} the premium leader" if leader else "",
    ]
    return Result(
        claim=" and ".join(filter(None, said)) or f"{words.plural(len(rows), 'model')} on the map",
        table=Table(
            headings=("Place", "Model", "$ per million#", "Tokens#", "log10 tokens#"),
            rows=sorted(table, key=lambda row: list(names.values()).index(str(row[0]))),
        ),
        findings=dict(tops),
        notes=(
            f"The map is split at the medians of the models: ${price:.2f} a million, "
            f"{words.count(use)} tokens.",
        ),
    )


def elasticity(study: Study) -> Result | Missing:
    """Measure how use answers to price, within one model across its providers."""
    found: dict[str, Estimate | None] = {}
    rows_of: dict[str, list[Row]] = {}
    for row in study.ask("elasticity"):
        rows_of.setdefault(row["model"], []).append(row)
    for model, rows in rows_of.items():
        if len({row["provider"] for row in rows}) >= 2:
            found[model] = _within(rows)
    measured = {model: one for model, one in found.items() if one is not None}
    if not found:
        return Missing(
            what=(
                "No model was bought from two providers, so price and use cannot be told apart "
                "from liking."
            ),
            how="Offer the same model through several providers; prices must differ or change.",
        )
    if not measured:
        return Result(
            claim="Price elasticity: not identified, because the prices of one model hardly differ",
            table=Table(
                headings=("Model", "Providers#", "Verdict"),
                rows=[
                    [m, len({r["provider"] for r in rows_of[m]}), "not identified"] for m in found
                ],
            ),
            findings={"verdict": "not identified"},
        )
    model = min(measured, key=lambda name: measured[name].high - measured[name].low)
    best = measured[model]
    ten = 0.9**best.value - 1
    return Result(
        claim=f"Ten percent off at one provider brings it {ten:+.0%} of {words.short(model)}:"
        f" elasticity {best.value:.2f} {words.span(best, '')}".replace("%)", " %)").replace(
            "% of", " % of"
        ),
        chart=bars.intervals(
            [words.short(name) for name in measured],
            [(one.value, one.low, one.high) for one in measured.values()],
            title="Elasticity: percent more tokens for one percent more price",
            form=".1f",
            at=0.0,
        ),
        table=Table(
            headings=("Model", "Elasticity#", "Low#", "High#", "Provider months#", "Verdict"),
            rows=[
                [
                    m,
                    *(
                        [round(e.value, 3), round(e.low, 3), round(e.high, 3), e.n, "identified"]
                        if e
                        else [None, None, None, len(rows_of[m]), "not identified"]
                    ),
                ]
                for m, e in found.items()
            ],
        ),
        findings={
            **{f"elasticity/{name}": one for name, one in measured.items()},
            "verdict": "identified",
        },
    )


def _within(rows: Sequence[Row]) -> Estimate | None:
    """Return the slope of log tokens on log price, with a constant for each provider and month."""
    went_in = sum(float(row["went_in"]) for row in rows) or 1.0
    came_out = sum(float(row["came_out"]) for row in rows)
    cells: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        price = float(row["price_in"]) * went_in + float(row["price_out"]) * came_out
        cell = cells.setdefault((row["provider"], int(row["month_number"])), [0.0, 0.0])
        cell[0] += float(row["n"])
        cell[1] += float(row["n"]) * price
    used = [
        (key, n, weighted / n) for key, (n, weighted) in cells.items() if n >= 1 and weighted > 0
    ]
    if len(used) < 8:
        return None
    x = np.log([price for _, _, price in used])
    y = np.log([n for _, n, _ in used])
    providers = sorted({key[0] for key, _, _ in used})
    which = np.array([providers.index(key[0]) for key, _, _ in used])
    months = np.array([key[1] for key, _, _ in used])
    return estimates.slope(x, y, which, months)


def price_index(study: Study) -> Result | Missing:
    """Chain a Fisher index of the prices paid."""
    rows = study.ask("price_index")
    days: dict[int, int] = {}
    for row in rows:
        days[row["month_number"]] = max(days.get(row["month_number"], 0), int(row["days"]))
    months: dict[int, dict[tuple[str, str], tuple[float, float]]] = {}
    for row in rows:
        tokens, cost = float(row["t"]), float(row["c"])
        if cost > 0 and days[row["month_number"]] >= FEWEST_DAYS:
            endpoint = (row["model"], row["provider"] or "")
            months.setdefault(int(row["month_number"]), {})[endpoint] = (tokens, cost / tokens)
    if len(months) < 2:
        return Missing(
            what="Prices need two months to be compared.", how="Wait, or widen `--from`."
        )
    index, levels = 1.0, [1.0]
    names = sorted(months)
    for before, after in itertools.pairwise(names):
        both = months[before].keys() & months[after].keys()
        if both:
            old, new = months[before], months[after]
            laspeyres = sum(old[k][0] * new[k][1] for k in sorted(both)) / sum(
                old[k][0] * old[k][1] for k in sorted(both)
            )
            paasche = sum(new[k][0] * new[k][1] for k in sorted(both)) / sum(
                new[k][0] * old[k][1] for k in sorted(both)
            )
            index *= math.sqrt(laspeyres * paasche)
        levels.append(index)
    change = levels[-1] - 1
    return Result(
        claim=f"What a token costs, model by model, {'rose' if change > 0 else 'fell'} by"
        f" {words.percent(abs(change))} since {month_name(names[0])}",
        chart=lines.over_weeks(
            [f"{month_name(m)}-01" for m in names],
            {"Prices": levels},
            title="Index, first month = 1",
            form=".2f",
        ),
        table=Table(
            headings=("Month", "Index#"),
            rows=[[month_name(m), round(v, 4)] for m, v in zip(names, levels, strict=True)],
        ),
        findings={"last": levels[-1]},
    )


_EFFECTIVE = "Prices are what was billed divided by all tokens, so cache discounts are in them."

PART = Part(
    name="Cost and use",
    about="What is dear, what is much used, and whether price decides.",
    sections=(
        Section(
            number=33,
            id="task-quadrants",
            name="Tasks by cost and use",
            sql="task_costs",
            method=f"Split at the medians of the tasks. {_EFFECTIVE}",
            study=task_quadrants,
        ),
        Section(
            number=34,
            id="price-map",
            name="Models by cost and use",
            sql="model_costs",
            method=f"Least squares of log tokens on log price. {_EFFECTIVE}",
            study=price_map,
        ),
        Section(
            number=35,
            id="market-map",
            name="Authors on the map",
            sql="model_costs",
            method=_EFFECTIVE,
            study=market_map,
        ),
        Section(
            number=36,
            id="exemplars",
            name="Exemplars",
            sql="model_costs",
            method=f"The most used models of each quadrant. {_EFFECTIVE}",
            study=exemplars,
        ),
        Section(
            number=39,
            id="elasticity",
            name="Price elasticity within a model",
            sql="elasticity",
            method=(
                "Least squares of log requests on log list price of the same model at different "
                "providers, with a constant for each provider and each month, so that quality "
                "and season drop out."
            ),
            study=elasticity,
        ),
        Section(
            number=40,
            id="price-index",
            name="Price index",
            sql="price_index",
            method=f"Chained Fisher index over models at providers. {_EFFECTIVE}",
            study=price_index,
        ),
    ),
)
