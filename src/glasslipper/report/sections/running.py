"""How it runs: speed, concentration, sessions, hours, quality of the data. Figures 49 to 54."""

from __future__ import annotations

from collections.abc import Mapping

from glasslipper.report import words
from glasslipper.report.charts import bars, lines, matrix
from glasslipper.report.estimates import Estimate
from glasslipper.report.section import Cell, Finding, Missing, Part, Result, Section, Table
from glasslipper.report.sections import forms
from glasslipper.report.study import Study

PER_OCTAVE = 8
"""Buckets of the ledger's latency histograms in a doubling."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
NAMES = {
    "first_token_ms": "first token",
    "duration_ms": "whole answer",
    "token_us": "each further token",
}


def latency(study: Study) -> Result | Missing:
    """Show how fast providers answer."""
    histograms: dict[tuple[str, str], dict[int, float]] = {}
    for row in study.ask("latency"):
        buckets = histograms.setdefault((row["measure"], row["provider"] or "unknown"), {})
        buckets[int(row["bucket"])] = float(row["n"])
    firsts = {p: h for (m, p), h in histograms.items() if m == "first_token_ms"}
    if not histograms:
        return forms.NO_ROWS
    if not any(bucket for buckets in histograms.values() for bucket in buckets):
        return Missing(
            what="The rows do not say how long answers took.",
            how="Rows that were imported may lack it; what the gateway serves has it.",
        )
    measure = "first_token_ms" if firsts else "duration_ms"
    chosen = {p: h for (m, p), h in histograms.items() if m == measure}
    busiest = [p for p, _ in forms.largest({p: sum(h.values()) for p, h in chosen.items()})][:12]
    spans = {p: tuple(_quantile(chosen[p], q) for q in (0.5, 0.05, 0.95)) for p in busiest}
    order = sorted(busiest, key=lambda p: (spans[p][0], p))
    table: list[list[Cell]] = [
        [
            p,
            NAMES.get(m, m),
            int(sum(h.values())),
            *(round(_quantile(h, q), 1) for q in (0.5, 0.95, 0.99)),
            "\u00b5s" if m == "token_us" else "ms",
        ]
        for (m, p), h in sorted(histograms.items())
    ]
    what = NAMES[measure]
    return Result(
        claim=f"{order[0]} is the fastest: half of its answers take less than "
        f"{spans[order[0]][0]:.0f} ms"
        f" ({what}); {order[-1]} takes {spans[order[-1]][0]:.0f} ms"
        if len(order) > 1
        else f"Half of all answers take less than {spans[order[0]][0]:.0f} ms ({what})",
        chart=bars.intervals(
            order,
            [(spans[p][0], spans[p][1], spans[p][2]) for p in order],
            title=f"Time to {what}, ms: median, and from the 5th to the 95th percentile",
            form=",.0f",
        ),
        table=Table(
            headings=(
                "Provider",
                "Measure",
                "Answers#",
                "Median#",
                "95th percentile#",
                "99th percentile#",
                "Unit",
            ),
            rows=table,
        ),
        findings={f"p50/{p}": _around(spans[p][0]) for p in order},
        notes=("From histograms whose buckets are 9 % wide.",),
    )


def _around(value: float) -> Estimate:
    """Return a value that is known to within its bucket."""
    step = 2.0 ** (1 / PER_OCTAVE)
    return Estimate(value=value, low=value / step, high=value * step)


def _quantile(histogram: Mapping[int, float], q: float) -> float:
    """Return a quantile, in proportion within its bucket on the logarithmic scale."""
    total = sum(histogram.values())
    left = q * total
    for bucket in sorted(histogram):
        if left <= histogram[bucket]:
            return 2.0 ** ((bucket + left / histogram[bucket]) / PER_OCTAVE)
        left -= histogram[bucket]
    return 2.0 ** ((max(histogram) + 1) / PER_OCTAVE)


def concentration(study: Study) -> Result | Missing:
    """Show how much depends on one author."""
    weeks = forms.by_week(study.ask("concentration"), "author", most=40)
    if not weeks.weeks:
        return forms.NO_ROWS
    shares = {name: weeks.share(name) for name in weeks.names}
    index = [sum(shares[n][i] ** 2 for n in weeks.names) for i in range(len(weeks.weeks))]
    top = max(weeks.names, key=weeks.overall)
    before, after = forms.first_and_last(index)
    moved = (
        f"Dependence on few authors {'grew' if after > before else 'eased'}: the Herfindahl index"
        f" went from {before:.2f} to {after:.2f}"
        if abs(after - before) >= 0.005
        else f"The Herfindahl index of authors stands at {after:.2f}"
    )
    return Result(
        claim=f"{moved}; {words.title(top or 'unknown')} alone serves "
        f"{words.percent(weeks.overall(top))}",
        chart=lines.over_weeks(
            weeks.weeks, {"Herfindahl index": index}, title="Herfindahl index", form=".2f", top=1.0
        ),
        table=Table(
            headings=("Week", "Herfindahl index#"),
            rows=[[w, round(v, 4)] for w, v in zip(weeks.weeks, index, strict=True)],
        ),
        findings={"first_weeks": before, "last_weeks": after},
    )


def sessions(study: Study) -> Result | Missing:
    """Show how long sessions are and what they cost."""
    rows = study.ask("turns")
    if not rows:
        return Missing(
            what="No request carries a session id.",
            how="Send `session_id` with requests of one conversation.",
        )
    total = sum(int(row["n"]) for row in rows)
    calls = sum(int(row["calls"]) for row in rows)
    cost = sum(float(row["c"]) for row in rows)
    tools = sum(int(row["z"]) for row in rows)
    shares = [int(row["n"]) / total for row in rows]
    long = sum(float(r["c"]) for r in rows if int(r["turns"]) >= 5) / max(cost, 1)
    names = [f"{r['turns']} calls" if r["turns"] != 1 else "1 call" for r in rows]
    return Result(
        claim=f"A session has {calls / total:.1f} calls and {tools / total:.1f} tool calls and "
        "costs"
        f" {words.usd(cost / total)}; sessions of five calls or more take "
        f"{words.percent(long)} of their cost",
        chart=bars.ranked(names, shares, [words.percent(v) for v in shares], marked=0),
        table=Table(
            headings=("Calls in the session#", "Sessions#", "Share%", "Cost of one$"),
            rows=[
                [r["turns"], r["n"], round(v, 4), round(float(r["c"]) / max(int(r["n"]), 1))]
                for r, v in zip(rows, shares, strict=True)
            ],
        ),
        findings={"sessions": float(total), "calls_a_session": calls / total},
        notes=("Sessions of twenty calls or more are counted together.",),
    )


def rhythm(study: Study) -> Result | Missing:
    """Show at which hours of the week requests come."""
    rows = study.ask("hours")
    if not rows:
        return forms.NO_ROWS
    if len({row["weekday"] for row in rows}) < len(WEEKDAYS):
        return Missing(
            what="The rhythm of a week needs traffic on all of its days.",
            how="Study a longer span, with `--from` and `--to` or with more traffic.",
        )
    grid = [[0.0] * 24 for _ in WEEKDAYS]
    for row in rows:
        grid[int(row["weekday"])][int(row["hour_of_day"])] += float(row["n"])
    total = sum(map(sum, grid))
    day, hour = max(
        ((d, h) for d in range(7) for h in range(24)), key=lambda at: grid[at[0]][at[1]]
    )
    weekend = sum(map(sum, grid[5:])) / total
    return Result(
        claim=f"The busiest hour is {WEEKDAYS[day]} {hour:02d}:00 UTC; the weekend has"
        f" {words.percent(weekend)} of requests",
        chart=matrix.tinted(
            WEEKDAYS,
            [str(h) for h in range(24)],
            grid,
            [[""] * 24 for _ in WEEKDAYS],
            column_title="hour, UTC",
            row_title="Day",
            cell=26,
        ),
        table=Table(
            headings=("Hour, UTC#", *(f"{name}#" for name in WEEKDAYS)),
            rows=[[h, *(int(grid[d][h]) for d in range(7))] for h in range(24)],
        ),
        findings={"weekend": weekend},
    )


def thinking(study: Study) -> Result | Missing:
    """Show how much of the answers of reasoning models is reasoning."""
    rows = [row for row in study.ask("thinking") if row["o"]]
    total = sum(float(row["z"]) for row in rows)
    if not total:
        return Missing(
            what="No reasoning tokens were counted.", how="Use a model that reasons and reports it."
        )
    shares = {row["task"]: float(row["z"]) / float(row["o"]) for row in rows}
    ranked = forms.largest(shares)
    overall = total / sum(float(row["o"]) for row in rows)
    return Result(
        claim=f"{words.percent(overall)} of what reasoning models write is reasoning; most for"
        f" {ranked[0][0]}, {words.percent(ranked[0][1])}",
        chart=bars.ranked(
            [words.title(t) for t, _ in ranked],
            [v for _, v in ranked],
            [words.percent(v) for _, v in ranked],
        ),
        table=Table(headings=("Task", "Reasoning%"), rows=[[t, round(v, 4)] for t, v in ranked]),
        findings={"share": overall},
    )


def data_quality(study: Study) -> Result | Missing:
    """Say what is missing, double, mistimed or mispriced in the data itself."""
    gaps = study.one_of("gaps")
    n = float(gaps["n"] or 0)
    if not n:
        return forms.NO_ROWS
    doubles = study.ask("doubles")
    extra = sum(int(row["n"]) for row in doubles)
    clocks = [row for row in study.ask("clocks") if int(row["early"])]
    early = sum(int(row["early"]) for row in clocks)
    wrong_keys = sorted({row["key_id"] for row in clocks})
    ahead_ms = -min((int(row["soonest"]) for row in clocks), default=0)
    errors = [
        row
        for row in study.ask("price_errors")
        if abs(float(row["c"]) - float(row["due"])) > 0.01 * max(float(row["due"]), 1.0)
        and abs(float(row["c"]) - float(row["due"])) > 2 * float(row["n"])
    ]
    excess = sum(float(row["c"]) - float(row["due"]) for row in errors if _persists(row, errors))
    mispriced = sorted({row["model"] for row in errors if _persists(row, errors)})
    shares: list[tuple[str, float, str]] = [
        ("Without a topic label", float(gaps["z"]) / n, "Switch topic labels on."),
        ("Usage estimated, not reported", float(gaps["e"]) / n, "The provider sends no usage."),
        ("Answered without usage", float(gaps["u"]) / n, "Neither reported nor estimated."),
        ("Without a price row", float(gaps["p"]) / n, "Add a price: `glasslipper prices`."),
        ("Recorded twice", extra / n, "The same answer of a provider under two ids."),
        ("First token after the end", float(gaps["i"]) / n, "A clock went backwards."),
    ]
    issues: list[str] = []
    if extra:
        issues.append(f"{words.plural(extra, 'generation')} recorded twice")
    if clocks:
        issues.append(f"a clock {ahead_ms / 3_600_000:.1f} h ahead at {words.listed(wrong_keys)}")
    if mispriced:
        issues.append(
            f"{words.usd(excess)} billed beyond the price rows of "
            f"{words.listed([words.short(m) for m in mispriced])}"
        )
    findings: dict[str, Finding] = {
        "duplicates": float(extra),
        "clock_keys": ", ".join(wrong_keys) or "none",
        "early_replies": float(early),
        "clock_ahead_ms": float(ahead_ms),
        "mispriced": ", ".join(mispriced) or "none",
        "excess_nanousd": excess,
        "unclassified": float(gaps["z"]) / n,
    }
    said = "; ".join(issues)
    return Result(
        claim=f"{said[:1].upper()}{said[1:]}"
        if issues
        else "The data holds no duplicates, wrong clocks or wrong prices"
        if gaps["p"] < gaps["n"]
        else "The data holds no duplicates or wrong clocks; prices have no row to be held against",
        chart=bars.ranked(
            [name for name, _, _ in shares],
            [v for _, v, _ in shares],
            [words.percent(v) for _, v, _ in shares],
            marked=0,
        ),
        table=Table(
            headings=("What", "Share of generations%", "Why, or what to do"),
            rows=[[name, round(v, 6), why] for name, v, why in shares]
            + [
                [
                    f"Clock of {r['key_id']} on {r['day']}",
                    round(int(r["early"]) / max(int(r["replies"]), 1), 4),
                    (
                        f"feedback came {-int(r['soonest']) / 60_000:.0f} minutes before the "
                        "answer ended"
                    ),
                ]
                for r in clocks
            ]
            + [
                [
                    f"Price of {r['model']} at {r['provider']}, week of {r['week']}",
                    None,
                    f"billed {words.usd(float(r['c']))}, due {words.usd(float(r['due']))}",
                ]
                for r in errors
            ],
        ),
        findings=findings,
    )


def _persists(row: Mapping[str, object], errors: list[dict[str, object]]) -> bool:
    """Tell whether a wrong price is no single week's oddity, such as one retry that was billed."""
    same = [
        one for one in errors if (one["model"], one["provider"]) == (row["model"], row["provider"])
    ]
    return len(same) >= 2


PART = Part(
    name="How it runs",
    about="Speed, dependence, sessions, hours, and how far the data can be trusted.",
    sections=(
        Section(
            number=49,
            id="latency",
            name="Speed",
            sql="latency",
            method=(
                "Answers that ended well, by histograms of eight buckets to a factor of two: a"
                " median is known to within its bucket, 9 % wide, which is its interval among the"
                " findings. Drawn are the 5th to the 95th percentile."
            ),
            study=latency,
        ),
        Section(
            number=50,
            id="concentration",
            name="Dependence",
            sql="concentration",
            method="Sum of squared shares of authors by week: 1 is a single author.",
            study=concentration,
        ),
        Section(
            number=51,
            id="sessions",
            name="Sessions",
            sql="turns",
            method="Requests with the same session id and model.",
            study=sessions,
        ),
        Section(
            number=52,
            id="rhythm",
            name="Hours of the week",
            sql="hours",
            method="Requests by hour, UTC, the whole span.",
            study=rhythm,
        ),
        Section(
            number=53,
            id="thinking",
            name="Reasoning",
            sql="thinking",
            method="Reasoning tokens as a share of the output of reasoning models.",
            study=thinking,
        ),
        Section(
            number=54,
            id="data-quality",
            name="Quality of the data",
            sql="gaps",
            method=(
                "Duplicates: the same provider's answer id twice. Clocks: feedback noted before "
                "the answer ended. Prices: billed against tokens times price row, off by more "
                "than 1 % in two weeks or more."
            ),
            study=data_quality,
        ),
    ),
)
