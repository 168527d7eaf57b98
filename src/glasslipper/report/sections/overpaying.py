"""Workloads on dear models for which it is shown that a cheaper one suffices. Figure 44.

Workloads are grouped by the model that they mostly pay for and by what they mostly ask. For each
group one cheaper model is tested, the one of which most is known: by prompts that it was asked
again where there are enough of them, else by rewards.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct

from glasslipper.report import estimates, noninferiority, words
from glasslipper.report.charts import bars
from glasslipper.report.estimates import Estimate
from glasslipper.report.noninferiority import Stratum, Verdict
from glasslipper.report.offers import Offer, cheapest
from glasslipper.report.section import Cell, Finding, Missing, Result, Section, Table
from glasslipper.report.study import Row, Study

MARGIN = 0.05
"""How far acceptance may fall behind, as a share of all answers, for a model to still suffice."""

FEWEST = 40
"""Rewards of each model, or prompts asked again, below which nothing is said."""

CHEAPER = 0.8
"""What a model may cost, of what was spent, to count as cheaper."""

_SHOWN = 10


class _Group(Struct, frozen=True, kw_only=True):
    """Workloads that mostly pay for `main` and mostly ask `about`; `weeks` are their weekly sums.

    `strata` are rewards by cheaper model and workload, `pairs` are prompts asked again by
    cheaper model: how many, and on how many it did better and worse.
    """

    main: str
    about: str
    weeks: Sequence[Row]
    strata: Mapping[str, Sequence[Stratum]]
    pairs: Mapping[str, tuple[int, int, int]]

    @property
    def workloads(self) -> list[str]:
        return sorted({row["workload"] for row in self.weeks})

    @property
    def spent(self) -> float:
        return sum(float(row["c"]) for row in self.weeks)


_UNREWARDED = "answer was rewarded"


class _Test(Struct, frozen=True, kw_only=True):
    group: _Group
    other: str
    evidence: str
    verdict: Verdict
    saving: Estimate

    @property
    def names(self) -> tuple[str, str, str]:
        return self.group.main, self.group.about, self.other


def overpaying(study: Study) -> Result | Missing:
    """Find workloads on dear models for which a cheaper one is shown to suffice."""
    groups = _groups(study)
    offers = cheapest(study.offers)
    more = _to_learn_more(groups, offers, study.models)
    if not any(group.strata or group.pairs for group in groups):
        lacking = "workload has rewards of two models" if study.ask("overpaying") else _UNREWARDED
        return Missing(
            what=f"No {lacking} and no prompt was asked again: nothing shows what suffices.",
            how=(
                "Send `POST /generation/feedback` with a reward between 0 and 1, or let a cheaper "
                f"model answer stored prompts. {more or 'See `glasslipper report ask-again`.'}"
            ),
        )
    tests = [test for group in groups if (test := _best_known(study, group, offers)) is not None]
    if not tests:
        return Missing(
            what=f"No cheaper model has {FEWEST} rewards or prompts on workloads of a dear one.",
            how=(
                "Let a small share of these workloads go to a cheaper model and collect rewards, "
                f"or ask it stored prompts. {more or 'See `glasslipper report ask-again`.'}"
            ),
        )
    stands = estimates.discoveries([test.verdict.p_value for test in tests])
    found = sorted(
        (t for t, stood in zip(tests, stands, strict=True) if stood and t.saving.low > 0),
        key=lambda t: (-t.saving.value, t.names),
    )
    shown = sorted(tests, key=lambda t: (t.verdict.p_value, t.names))[:_SHOWN]
    return Result(
        claim=_claim(found, tests),
        chart=bars.intervals(
            [_in_words(test) for test in shown],
            [_triple(test.verdict.behind) for test in shown],
            title="Acceptance of the cheaper model minus the dear one's",
            form="+.0%",
            at=-MARGIN,
            marked=[index for index, test in enumerate(shown) if test in found],
            width=340,
        ),
        table=_table(tests, found),
        findings=_findings(tests, found),
        command=route_command(found[0]) if found else "",
        notes=_notes(found, more),
    )


def route_command(test: _Test) -> str:
    """Return what to type so that the cheaper model answers a group's workloads."""
    named = [part for one in test.group.workloads for part in ("--workload", one)]
    words_of = ["glasslipper", "route", "add", "--from", test.group.main, "--to", test.other]
    return shlex.join([*words_of, *named])


def _groups(study: Study) -> list[_Group]:
    weeks: dict[tuple[str, str], list[Row]] = {}
    for row in study.ask("dear_workloads"):
        weeks.setdefault((row["main_model"], row["about"]), []).append(row)
    rewards: dict[tuple[str, str], list[Row]] = {}
    for row in study.ask("overpaying"):
        rewards.setdefault((row["main_model"], row["about"]), []).append(row)
    pairs: dict[tuple[str, str], dict[str, tuple[int, int, int]]] = {}
    for row in study.ask("asked_again"):
        counts = int(row["pairs"]), int(row["gained"]), int(row["lost"])
        pairs.setdefault((row["main_model"], row["about"]), {})[row["used"]] = counts
    return [
        _Group(
            main=main,
            about=about,
            weeks=rows,
            strata=_strata(rewards.get((main, about), ()), main),
            pairs=pairs.get((main, about), {}),
        )
        for (main, about), rows in sorted(weeks.items())
    ]


def _strata(rewards: Sequence[Row], main: str) -> dict[str, list[Stratum]]:
    """Return the rewards of every other model beside the main one's, workload by workload."""
    own = {
        row["workload"]: (int(row["rewards"]), int(row["good"]))
        for row in rewards
        if row["used"] == main
    }
    found: dict[str, list[Stratum]] = {}
    for row in rewards:
        if row["used"] == main or row["workload"] not in own:
            continue
        dear, dear_good = own[row["workload"]]
        one = Stratum(
            cheap=int(row["rewards"]), cheap_good=int(row["good"]), dear=dear, dear_good=dear_good
        )
        found.setdefault(row["used"], []).append(one)
    return found


def _best_known(study: Study, group: _Group, offers: Mapping[str, Offer]) -> _Test | None:
    """Test the cheaper model of which most is known.

    One test for each group: more would only raise the bar for all of them.
    """
    known = [(pairs[0], "asked again", other) for other, pairs in group.pairs.items()]
    known += [
        (sum(one.cheap for one in strata), "rewards", other)
        for other, strata in group.strata.items()
    ]
    for n, evidence, other in sorted(known, key=lambda one: (one[1], -one[0], one[2])):
        offer = offers.get(other)
        if n < FEWEST or offer is None or not _is_cheaper(group, offer):
            continue
        if evidence == "rewards":
            verdict = noninferiority.of_rewards(group.strata[other], MARGIN)
        else:
            n, gained, lost = group.pairs[other]
            verdict = noninferiority.of_pairs(gained, lost, n, MARGIN)
        if verdict is not None and min(verdict.n_cheap, verdict.n_dear) >= FEWEST:
            return _Test(
                group=group,
                other=other,
                evidence=evidence,
                verdict=verdict,
                saving=_saving(study, group, offer),
            )
    return None


def _cost(row: Row, offer: Offer) -> float:
    return offer.cost_nanousd(float(row["p"]), 0, float(row["o"]))


def _is_cheaper(group: _Group, offer: Offer) -> bool:
    return sum(_cost(row, offer) for row in group.weeks) <= CHEAPER * group.spent


def _saving(study: Study, group: _Group, offer: Offer) -> Estimate:
    """Return what the group would have saved; workloads, or weeks of few of them, are resampled."""
    unit = "workload" if len(group.workloads) >= study.least else "week"
    sums: dict[str, list[float]] = {}
    for row in group.weeks:
        line = sums.setdefault(row[unit], [0.0, 0.0])
        line[0] += float(row["c"]) - _cost(row, offer)
        line[1] += float(row["c"])
    rng = study.rng(f"{group.main}{group.about}{offer.model}")
    rate = estimates.resampled(np.array([sums[name] for name in sorted(sums)]), (0, 1), rng)
    total = group.spent
    return Estimate(
        value=rate.value * total, low=rate.low * total, high=rate.high * total, n=rate.n
    )


def _claim(found: Sequence[_Test], tests: Sequence[_Test]) -> str:
    if not found:
        return (
            "Nothing shows yet that a cheaper model suffices anywhere:"
            f" {words.plural(len(tests), 'pairing')} tested"
        )
    top = found[0]
    verdict = top.verdict
    return (
        f"{words.title(top.group.about)} on {words.short(top.group.main)} overpays:"
        f" {words.short(top.other)} is accepted {words.percent(verdict.cheap)} of the time against"
        f" {words.percent(verdict.dear)} and would save {words.usd(top.saving.value)}"
        f" {words.span(top.saving, '$')}"
    )


def _in_words(test: _Test) -> str:
    main, about, other = test.names
    return f"{words.short(other)} for {words.short(main)}, {about or 'no topic'}"


def _triple(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _findings(tests: Sequence[_Test], found: Sequence[_Test]) -> dict[str, Finding]:
    findings: dict[str, Finding] = {}
    for test in tests:
        name = "/".join(test.names)
        findings[f"behind/{name}"] = test.verdict.behind
        if test in found:
            findings[name] = test.saving
    findings["found"] = ", ".join("/".join(test.names) for test in found) or "none"
    findings["tested"] = float(len(tests))
    return findings


def _notes(found: Sequence[_Test], more: str) -> tuple[str, ...]:
    margin = f"The dashed line is the margin: {words.percent(MARGIN)} worse still suffices."
    if not found:
        return (margin, more) if more else (margin,)
    first = found[0]
    return (
        margin,
        f"The command concerns {words.plural(len(first.group.workloads), 'workload')}; where"
        f" {words.short(first.other)} cannot answer, {words.short(first.group.main)} does, and"
        " `glasslipper route remove` undoes it.",
        *(f"Likewise {_in_words(test)}: `{route_command(test)}`." for test in found[1:]),
    )


def _to_learn_more(
    groups: Sequence[_Group], offers: Mapping[str, Offer], models: Iterable[str]
) -> str:
    """Return what to type to learn whether a cheaper model suffices where most is spent."""
    dear = max(groups, key=lambda group: (group.spent, group.main, group.about), default=None)
    if dear is None or not dear.spent:
        return ""
    cheap = [m for m in models if m in offers and m != dear.main and _is_cheaper(dear, offers[m])]
    if not cheap:
        return ""
    best = max(cheap, key=lambda model: (offers[model].input, model))
    spent = Counter[str]()
    for row in dear.weeks:
        spent[row["workload"]] += row["c"]
    dearest = max(sorted(spent), key=lambda name: spent[name])
    told = ["glasslipper", "report", "ask-again", "--workload", dearest, "--to", best]
    return f"To learn more: `{shlex.join(told)}`."


def _table(tests: Sequence[_Test], found: Sequence[_Test]) -> Table:
    return Table(
        headings=(
            "Model",
            "Task",
            "Cheaper model",
            "By",
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
        rows=[_line(test, suffices=test in found) for test in tests],
    )


def _line(test: _Test, *, suffices: bool) -> list[Cell]:
    verdict, saving = test.verdict, test.saving
    return [
        test.group.main,
        test.group.about,
        test.other,
        test.evidence,
        round(verdict.dear, 4),
        round(verdict.cheap, 4),
        round(verdict.behind.value, 4),
        round(verdict.behind.low, 4),
        round(verdict.behind.high, 4),
        len(test.group.workloads),
        round(test.group.spent),
        round(saving.value),
        round(saving.low),
        round(saving.high),
        "suffices" if suffices else "",
    ]


SECTION = Section(
    number=44,
    id="overpaying",
    name="Overpaying",
    sql="overpaying",
    method=(
        "Workloads by what they mostly ask and mostly pay for. Rewards are compared within "
        "workloads (Mantel-Haenszel weights), answers to prompts asked again prompt by prompt. "
        f"Suffices: less than {words.percent(MARGIN)} of answers behind (score test of "
        "non-inferiority, Benjamini-Hochberg at 5 %). Saved: what the same tokens cost less at the "
        "cheaper model's prices, without caches; the interval is from resampled workloads, or "
        "weeks where they are few."
    ),
    study=overpaying,
)
