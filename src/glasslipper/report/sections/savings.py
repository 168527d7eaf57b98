"""Money that need not have been spent: other prices, failed calls, prompts not cached."""

from __future__ import annotations

from glasslipper.kernel.money import NANO
from glasslipper.report import estimates, words
from glasslipper.report.charts import bars
from glasslipper.report.offers import cheapest
from glasslipper.report.section import Cell, Finding, Missing, Result, Section, Table
from glasslipper.report.sections import forms
from glasslipper.report.sections.costs import NO_COST
from glasslipper.report.study import Study


def what_if(study: Study) -> Result | Missing:
    """Price the past traffic of the dearest models at other models' prices."""
    rows = [row for row in study.ask("repricing") if row["c"]]
    best_of = cheapest([offer for offer in study.offers if offer.input + offer.output > 0])
    if not rows:
        return NO_COST
    if not best_of:
        return Missing(
            what="No price list is known.",
            how="Prices come with the catalogue, or from price rows in the ledger.",
        )
    total = sum(float(row["c"]) for row in rows)
    used = [row["model"] for row in rows if row["model"] in best_of]
    tokens = {row["model"]: float(row["went_in"]) + float(row["came_out"]) for row in rows}
    table: list[list[Cell]] = []
    findings: dict[str, Finding] = {}
    names: list[str] = []
    saved: list[float] = []
    for row in rows[:6]:
        model = row["model"]
        spent = float(row["c"])
        for other in [model, *[one for one in used if one != model]]:
            offer = best_of.get(other)
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


NO_ATTEMPTS = Missing(
    what="Nothing in this span says how often providers were called: it was all imported.",
    how="Requests that go through `glasslipper up` are recorded with every call that they took.",
)


def failures(study: Study) -> Result | Missing:
    """Add up what failed and retried calls cost."""
    rows = study.ask("attempts")
    if not rows:
        return NO_ATTEMPTS if study.rows("SELECT model FROM days LIMIT 1") else forms.NO_ROWS
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
        claim=f"None of {words.count(n)} upstream calls failed"
        if not failed
        else f"{words.percent(failed / n)} of {words.count(n)} upstream calls failed; they cost"
        f" {words.usd(wasted)} and {words.duration(lost_ms)} of waiting",
        chart=bars.intervals(
            order,
            [(rates[k].value, rates[k].low, rates[k].high) for k in order],
            title="Failed calls",
            form=".2~p",
        )
        if failed
        else None,
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
    best_of = cheapest(study.offers)
    missed: dict[str, list[float]] = {}
    again, cached, prompt = 0.0, 0.0, 0.0
    for row in rows:
        again += float(row["again"])
        cached += float(row["r"])
        prompt += float(row["p"])
        offer = best_of.get(row["model"])
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


SECTIONS = (
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
)
