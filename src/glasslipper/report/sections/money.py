"""Money that need not be spent, and money to come. Figures 41 to 47."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from glasslipper.kernel.money import NANO
from glasslipper.report import estimates, forecast, words
from glasslipper.report.charts import bars, lines
from glasslipper.report.estimates import Estimate
from glasslipper.report.offers import Offer
from glasslipper.report.section import Cell, Finding, Missing, Part, Result, Section, Table
from glasslipper.report.sections import forms
from glasslipper.report.sections.costs import NO_COST
from glasslipper.report.study import Row, Study

MARGIN = 0.05
"""Points of acceptance that a cheaper model may fall behind and still suffice."""
FEWEST_REWARDS = 40


def _cheapest(offers: Sequence[Offer]) -> dict[str, Offer]:
    best: dict[str, Offer] = {}
    for offer in sorted(offers, key=lambda one: (one.model, one.input + one.output, one.provider)):
        best.setdefault(offer.model, offer)
    return best


def what_if(study: Study) -> Result | Missing:
    """Price the past traffic of the dearest models at other models' prices."""
    rows = [row for row in study.ask("repricing") if row["c"]]
    cheapest = _cheapest([offer for offer in study.offers if offer.input + offer.output > 0])
    if not rows:
        return NO_COST
    if not cheapest:
        return Missing(
            what="No price list is known.",
            how="Prices come with the catalogue, or from price rows in the ledger.",
        )
    total = sum(float(row["c"]) for row in rows)
    used = [row["model"] for row in rows if row["model"] in cheapest]
    tokens = {row["model"]: float(row["went_in"]) + float(row["came_out"]) for row in rows}
    table: list[list[Cell]] = []
    findings: dict[str, Finding] = {}
    names: list[str] = []
    saved: list[float] = []
    for row in rows[:6]:
        model = row["model"]
        spent = float(row["c"])
        for other in [model, *[one for one in used if one != model]]:
            offer = cheapest.get(other)
            if offer is None:
                continue
            cost = offer.cost_nanousd(
                float(row["went_in"]), float(row["cached"]), float(row["came_out"])
            )
            findings[f"{model}→{other}"] = cost
            risk = "same model" if other == model else "another model: try figure 46 first"
            if cost < spent * 0.8 or other == model:
                table.append(
                    [
                        model,
                        other,
                        offer.provider,
                        round(spent),
                        round(cost),
                        round(spent - cost),
                        risk,
                    ]
                )
        better = [line for line in table if line[0] == model and line[1] != model]
        if better:
            best = max(better, key=lambda line: (tokens[str(line[1])], str(line[1])))
            names.append(f"{words.short(model)} → {words.short(str(best[1]))}")
            saved.append(float(best[5] or 0) / NANO)
    if not names:
        return Missing(
            what="Every model was bought at the lowest price known.", how="Nothing is to be done."
        )
    order = sorted(range(len(names)), key=lambda i: -saved[i])
    top = order[0]
    return Result(
        claim=f"{names[top].replace(' → ', ' at the price of ')} would have cost"
        f" {words.usd(saved[top] * NANO)} less, {words.percent(saved[top] * NANO / total)} "
        "of everything",
        chart=bars.ranked(
            [names[i] for i in order],
            [saved[i] for i in order],
            [words.usd(saved[i] * NANO) for i in order],
        ),
        table=Table(
            headings=(
                "Traffic of",
                "At the price of",
                "Provider",
                "Spent$",
                "Would cost$",
                "Saves$",
                "Risk",
            ),
            rows=table,
        ),
        findings=findings,
        notes=(
            (
                "Assumes the same number of tokens; tokenizers differ by some percent, and "
                "answers by more."
            ),
        ),
    )


def failures(study: Study) -> Result | Missing:
    """Add up what failed and retried calls cost."""
    rows = study.ask("attempts")
    if not rows:
        return forms.NO_ROWS
    providers: dict[str, list[float]] = {}
    for row in rows:
        line = providers.setdefault(row["provider"] or "unknown", [0.0, 0.0, 0.0, 0.0])
        line[0] += float(row["n"])
        if row["status"] not in ("ok", "cancelled"):
            line[1] += float(row["n"])
            line[2] += float(row["ms"])
            line[3] += float(row["c"])
    n, failed, lost_ms, wasted = (sum(line[i] for line in providers.values()) for i in range(4))
    total = sum(float(row["c"]) for row in rows) or 1.0
    rates = {name: estimates.share(line[1], line[0]) for name, line in providers.items()}
    order = sorted(rates, key=lambda name: (-rates[name].value, name))[:12]
    worst = order[0]
    return Result(
        claim=f"{words.percent(failed / n)} of {words.count(n)} upstream calls failed; they cost"
        f" {words.usd(wasted)} and {words.count(lost_ms / 3_600_000)} hours of waiting",
        chart=bars.intervals(
            order,
            [(rates[k].value, rates[k].low, rates[k].high) for k in order],
            title="Failed calls",
            form=".2~p",
        ),
        table=Table(
            headings=(
                "Provider",
                "Calls#",
                "Failed#",
                "Failed%",
                "Low%",
                "High%",
                "Lost hours#",
                "Cost$",
            ),
            rows=[
                [
                    k,
                    int(providers[k][0]),
                    int(providers[k][1]),
                    round(rates[k].value, 5),
                    round(rates[k].low, 5),
                    round(rates[k].high, 5),
                    round(providers[k][2] / 3_600_000, 2),
                    int(providers[k][3]),
                ]
                for k in sorted(providers)
            ],
        ),
        findings={
            "failed": failed,
            "wasted_nanousd": wasted,
            "share_of_spend": wasted / total,
            f"rate/{worst}": rates[worst],
        },
    )


def cache_missed(study: Study) -> Result | Missing:
    """Estimate what cached prompts would have saved."""
    rows = study.ask("sessions")
    if not rows:
        return Missing(
            what="No request carries a session id, so repeated prompts cannot be told.",
            how=(
                "Send `session_id` (or the header `x-session-id`) with requests of one "
                "conversation."
            ),
        )
    cheapest = _cheapest(study.offers)
    missed: dict[str, list[float]] = {}
    again, cached, prompt = 0.0, 0.0, 0.0
    for row in rows:
        again += float(row["again"])
        cached += float(row["r"])
        prompt += float(row["p"])
        offer = cheapest.get(row["model"])
        left = max(0.0, float(row["again"]) - float(row["r"]))
        if offer is None or not left:
            continue
        line = missed.setdefault(row["model"], [0.0, 0.0])
        line[0] += left
        line[1] += left * max(0, offer.input - offer.cache_read) / 1_000_000
    total = sum(line[1] for line in missed.values())
    findings: dict[str, Finding] = {
        "repeated_tokens": again,
        "cached_tokens": cached,
        "missed_nanousd": total,
    }
    ranked = forms.largest({model: line[1] for model, line in missed.items() if line[1] > 0})[:10]
    if not ranked:
        return Result(
            claim=(
                f"Caches are used: {words.percent(cached / max(prompt, 1))} of prompt tokens "
                "were read from one"
            ),
            table=Table(headings=("Model", "Tokens#", "Missed$"), rows=[]),
            findings=findings,
        )
    return Result(
        claim=f"Prompt caches could have saved {words.usd(total)} more: "
        f"{words.percent(again / max(prompt, 1))}"
        f" of prompt tokens came again, {words.percent(cached / max(prompt, 1))} were read "
        "from a cache",
        chart=bars.ranked(
            [words.short(m) for m, _ in ranked],
            [v / NANO for _, v in ranked],
            [words.usd(v) for _, v in ranked],
        ),
        table=Table(
            headings=("Model", "Repeated and not cached, tokens#", "Missed$"),
            rows=[[m, round(line[0]), round(line[1])] for m, line in sorted(missed.items())],
        ),
        findings=findings,
    )


class _Cheaper(Struct, frozen=True, kw_only=True):
    main: str
    about: str
    other: str
    dear: Estimate
    cheap: Estimate
    behind: Estimate
    p_value: float
    saving: Estimate
    spent: float
    workloads: int


def overpaying(study: Study) -> Result | Missing:
    """Find workloads on dear models for which rewards show that a cheaper one suffices."""
    rewards = study.ask("overpaying")
    if not rewards:
        return Missing(
            what="No answer was rewarded, so nothing shows which models suffice.",
            how=(
                "Send `POST /generation/feedback` with a reward between 0 and 1, from users or "
                "from a judge."
            ),
        )
    cheapest = _cheapest(study.offers)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in study.ask("dear_workloads"):
        groups.setdefault((row["main_model"], row["about"]), []).append(row)
    tests = [
        test
        for (main, about), workloads in sorted(groups.items())
        if len(workloads) >= study.least
        if (test := _best_known(study, main, about, rewards, workloads, cheapest)) is not None
    ]
    if not tests:
        return Missing(
            what=f"No cheaper model has {FEWEST_REWARDS} rewards on workloads of a dear one.",
            how="Let a small share of these workloads go to a cheaper model, and collect rewards.",
        )
    stands = estimates.discoveries([test.p_value for test in tests])
    found = [t for t, stood in zip(tests, stands, strict=True) if stood and t.saving.low > 0]
    chosen = sorted(found, key=lambda t: (-t.saving.value, t.main, t.about))
    findings: dict[str, Finding] = {f"{t.main}/{t.about}/{t.other}": t.saving for t in chosen}
    findings |= {f"behind/{t.main}/{t.about}/{t.other}": t.behind for t in chosen}
    findings["found"] = ", ".join(f"{t.main}/{t.about}" for t in chosen) or "none"
    order = sorted(tests, key=lambda t: (t.p_value, t.main, t.about, t.other))[:10]
    if chosen:
        top = chosen[0]
        claim = (
            f"{words.title(top.about)} on {words.short(top.main)} overpays: "
            f"{words.short(top.other)}"
            f" is accepted {words.percent(top.cheap.value)} of the time against"
            f" {words.percent(top.dear.value)} and would save {words.usd(top.saving.value)}"
            f" {words.span(top.saving, '$')}"
        )
        keys = sorted(
            {str(row["workload"]).partition("/")[0] for row in groups[top.main, top.about]}
        )
        advice = (f"Ask for `{top.other}` there: it concerns the keys {words.listed(keys, 12)}.",)
    else:
        claim = (
            "Rewards do not show that a cheaper model suffices anywhere:"
            f" {words.plural(len(tests), 'pairing')} tested"
        )
        advice = ()
    return Result(
        claim=claim,
        chart=bars.intervals(
            [f"{words.short(t.other)} for {words.short(t.main)}, {t.about}" for t in order],
            [(t.behind.value, t.behind.low, t.behind.high) for t in order],
            title="Acceptance of the cheaper model minus the dear one's",
            form="+.0%",
            at=-MARGIN,
            marked=[i for i, t in enumerate(order) if t in chosen],
            width=340,
        ),
        table=Table(
            headings=(
                "Model",
                "Task",
                "Cheaper model",
                "Accepted%",
                "Cheaper accepted%",
                "Difference%",
                "Low%",
                "High%",
                "Workloads#",
                "Spent$",
                "Saves$",
                "Low$",
                "High$",
                "Verdict",
            ),
            rows=[
                [
                    t.main,
                    t.about,
                    t.other,
                    round(t.dear.value, 4),
                    round(t.cheap.value, 4),
                    round(t.behind.value, 4),
                    round(t.behind.low, 4),
                    round(t.behind.high, 4),
                    t.workloads,
                    round(t.spent),
                    round(t.saving.value),
                    round(t.saving.low),
                    round(t.saving.high),
                    "suffices" if t in found else "",
                ]
                for t in tests
            ],
        ),
        findings=findings,
        notes=(
            *advice,
            f"The dashed line is the margin: {words.percent(MARGIN)} worse still suffices.",
        ),
    )


def _best_known(
    study: Study,
    main: str,
    about: str,
    rewards: Sequence[Row],
    workloads: Sequence[Row],
    cheapest: dict[str, Offer],
) -> _Cheaper | None:
    """Compare a group's main model with the cheaper one of which most rewards are known.

    One test for each group: more would only raise the bar for all of them.
    """
    others = [
        row
        for row in rewards
        if row["main_model"] == main and row["about"] == about and row["used"] != main
    ]
    for row in sorted(others, key=lambda row: (-int(row["rewards"]), row["used"])):
        found = _compare(study, main, about, row, rewards, workloads, cheapest)
        if found is not None:
            return found
    return None


def _compare(
    study: Study,
    main: str,
    about: str,
    row: Row,
    rewards: Sequence[Row],
    workloads: Sequence[Row],
    cheapest: dict[str, Offer],
) -> _Cheaper | None:
    own = [
        r for r in rewards if r["main_model"] == main and r["about"] == about and r["used"] == main
    ]
    offer = cheapest.get(row["used"])
    if (
        not own
        or offer is None
        or min(int(row["rewards"]), int(own[0]["rewards"])) < FEWEST_REWARDS
    ):
        return None
    spent = np.array([float(one["c"]) for one in workloads])
    would = np.array([offer.cost_nanousd(float(o["p"]), 0, float(o["o"])) for o in workloads])
    if would.sum() > 0.8 * spent.sum():
        return None
    dear = estimates.share(int(own[0]["good"]), int(own[0]["rewards"]))
    cheap = estimates.share(int(row["good"]), int(row["rewards"]))
    behind = estimates.difference(cheap, dear)
    error = ((cheap.high - cheap.low) ** 2 + (dear.high - dear.low) ** 2) ** 0.5 / (2 * estimates.Z)
    p_value = estimates.normal_tail((behind.value + MARGIN) / error)
    rate = estimates.resampled(
        np.stack([spent - would, spent], axis=1), (0, 1), study.rng(f"{main}{about}{row['used']}")
    )
    total = float(spent.sum())
    saving = Estimate(
        value=rate.value * total, low=rate.low * total, high=rate.high * total, n=rate.n
    )
    return _Cheaper(
        main=main,
        about=about,
        other=row["used"],
        dear=dear,
        cheap=cheap,
        behind=behind,
        p_value=p_value,
        saving=saving,
        spent=total,
        workloads=len(workloads),
    )


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
    lines_of = study.bill.lines
    providers = {line.provider for line in lines_of if line.provider}
    first, last = min(line.day for line in lines_of), max(line.day for line in lines_of)
    mine: dict[str, float] = {}
    theirs: dict[str, float] = {}
    models = {line.model for line in lines_of}
    for line in lines_of:
        theirs[line.model] = theirs.get(line.model, 0.0) + line.nanousd
    for row in study.ask("ledger_lines"):
        day = row["day"]
        if not first.isoformat() <= day <= last.isoformat():
            continue
        name = row["model"] if row["model"] in models else words.short(row["model"])
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
        notes=(f"{first} to {last}, as far as the bill goes.",),
    )


PART = Part(
    name="Money",
    about="What could be saved, what is wasted, what is to come, and whether the bill is right.",
    sections=(
        Section(
            number=41,
            id="what-if",
            name="The same traffic at other prices",
            sql="repricing",
            method=(
                "Tokens of each class at the lowest known price of each model in use; cached "
                "input stays cached. Drawn: the most used model that costs a fifth less or "
                "better."
            ),
            study=what_if,
        ),
        Section(
            number=42,
            id="failures",
            name="Failures and retries",
            sql="attempts",
            method=(
                "Upstream calls that ended neither well nor by the client's wish; Wilson intervals."
            ),
            study=failures,
        ),
        Section(
            number=43,
            id="cache-missed",
            name="Cache savings missed",
            sql="sessions",
            method=(
                "Within a session each prompt holds the one before, so all but the longest could "
                "be read from a cache; an upper bound, as caches expire. Priced at the cheapest "
                "offer."
            ),
            study=cache_missed,
        ),
        Section(
            number=44,
            id="overpaying",
            name="Overpaying",
            sql="overpaying",
            method=(
                "Workloads by what they mostly ask and mostly pay for; rewards of the cheaper "
                "model on the same workloads. Suffices: not more than five points worse "
                "(one-sided test, Benjamini-Hochberg at 5 %). The saving's interval is from "
                "resampled workloads; caches are not assumed."
            ),
            study=overpaying,
        ),
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
                "What the ledger billed against a provider's CSV, by model, over the bill's days."
            ),
            study=reconciliation,
        ),
    ),
)
