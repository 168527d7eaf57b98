"""Money that will be spent, and whether what was spent is what the provider asks for."""

from __future__ import annotations

import re
from datetime import date

from glasslipper.kernel.money import NANO
from glasslipper.report import forecast, words
from glasslipper.report.charts import bars, lines
from glasslipper.report.section import Missing, Result, Section, Table
from glasslipper.report.study import Study

_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
"""How providers date a version of a model on their bills."""


def spend_forecast(study: Study) -> Result | Missing:
    """Forecast the spending of the next four weeks."""
    rows = study.ask("daily_cost")
    days = [row["day"] for row in rows]
    costs = [float(row["c"]) for row in rows]
    if len(days) < forecast.FEWEST_DAYS or not any(costs):
        return Missing(
            what=(
                f"A forecast needs {forecast.FEWEST_DAYS} days with spending; there are "
                f"{len(days)}."
            ),
            how="Wait, or import past traffic with `glasslipper ledger import`.",
        )
    days, costs = forecast.filled(days, costs)
    ahead = forecast.ahead(costs)
    total = ahead.total
    shown = min(len(days), 120)
    dates = forecast.days_after(days[-1], len(ahead.expected))
    return Result(
        claim=f"The next four weeks will cost {words.usd(total.value)} {words.span(total, '$')}; "
        "the last four"
        f" cost {words.usd(sum(costs[-28:]))}",
        chart=lines.forecast(
            days[-shown:],
            [c / NANO for c in costs[-shown:]],
            ahead=dates,
            expected=[v / NANO for v in ahead.expected],
            low=[v / NANO for v in ahead.low],
            high=[v / NANO for v in ahead.high],
            title="Spent a day",
        ),
        table=Table(
            headings=("Day", "Expected$", "Low$", "High$"),
            rows=[
                [d, round(a), round(b), round(c)]
                for d, a, b, c in zip(dates, ahead.expected, ahead.low, ahead.high, strict=True)
            ],
        ),
        findings={"next_28_days": total},
    )


def reconciliation(study: Study) -> Result | Missing:
    """Hold the ledger against a provider's bill."""
    if study.bill is None:
        return Missing(
            what="There is no bill to hold the ledger against.",
            how=(
                "Give a provider's CSV with `--invoice FILE`: it needs a day, a model and an "
                "amount in USD."
            ),
        )
    since, until = study.options.first or date.min, study.options.last or date.max
    lines_of = [line for line in study.bill.lines if since <= line.day <= until]
    if not lines_of:
        return Missing(
            what=f"No line of {study.bill.name} is of this span of time.",
            how="Choose another with `--from` and `--to`, or leave them out.",
        )
    providers = {line.provider for line in lines_of if line.provider}
    first, last = min(line.day for line in lines_of), max(line.day for line in lines_of)
    mine: dict[str, float] = {}
    theirs: dict[str, float] = {}
    mine_rows = [
        row
        for row in study.ask("ledger_lines")
        if first.isoformat() <= row["day"] <= last.isoformat()
    ]
    known = {name for row in mine_rows for name in _names(row["model"])[:2]}
    for line in lines_of:
        name = next((one for one in _names(line.model)[::2] if one in known), line.model)
        theirs[name] = theirs.get(name, 0.0) + line.nanousd
    models = set(theirs)
    for row in mine_rows:
        name = next((one for one in _names(row["model"]) if one in models), row["model"])
        if (row["provider"] in providers) if providers else name in models:
            mine[name] = mine.get(name, 0.0) + float(row["c"])
    names = sorted(mine.keys() | theirs.keys())
    gaps = {name: mine.get(name, 0.0) - theirs.get(name, 0.0) for name in names}
    total = sum(gaps.values())
    billed = sum(theirs.values())
    worst = max(names, key=lambda name: (abs(gaps[name]), name))
    if abs(total) < 1e-4 * max(billed, 1.0) and abs(gaps[worst]) < 1e-4 * max(billed, 1.0):
        claim = f"Ledger and {study.bill.name} agree on {words.usd(billed)}"
    else:
        more = "more" if gaps[worst] > 0 else "less"
        claim = (
            f"The ledger has {words.usd(abs(gaps[worst]))} {more} than {study.bill.name} for"
            f" {words.short(worst)}, "
            f"{words.percent(abs(gaps[worst]) / max(theirs.get(worst, 0.0), 1.0))} of its "
            "bill"
        )
    order = sorted(names, key=lambda name: (-abs(gaps[name]), name))[:10]
    return Result(
        claim=claim,
        chart=bars.ranked(
            [words.short(n) for n in order],
            [abs(gaps[n]) / NANO for n in order],
            [words.usd(gaps[n]) for n in order],
        ),
        table=Table(
            headings=("Model", "Ledger$", "Bill$", "Difference$"),
            rows=[
                [n, round(mine.get(n, 0.0)), round(theirs.get(n, 0.0)), round(gaps[n])]
                for n in names
            ],
        ),
        findings={"difference_nanousd": total, f"difference/{worst}": gaps[worst]},
        notes=(
            f"{first} to {last}, as far as the bill goes.",
            *(f"The ledger has nothing called {one}." for one in names if one not in mine),
        ),
    )


def _names(model: str) -> tuple[str, str, str]:
    """Return what a model may be called: as it is, without its author, and without its date.

    >>> _names("openai/gpt-5-2026-08-06")
    ('openai/gpt-5-2026-08-06', 'gpt-5-2026-08-06', 'gpt-5')
    """
    short = words.short(model)
    return model, short, _DATED.sub("", short)


SECTIONS = (
    Section(
        number=45,
        id="spend-forecast",
        name="Spending to come",
        sql="daily_cost",
        method=(
            "Level and trend of the last weeks, by weekday; the interval comes from how far "
            "the same forecast was off at past weeks."
        ),
        study=spend_forecast,
    ),
    Section(
        number=47,
        id="invoice",
        name="The bill",
        sql="ledger_lines",
        method=(
            "What the ledger billed against a provider's CSV, by model, over the bill's days. "
            "Models are the same by name; an author before it or a date behind it does not matter."
        ),
        study=reconciliation,
    ),
)
