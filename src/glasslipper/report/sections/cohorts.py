"""Cohorts of units, as numbers: how many started to use a model in which month, and how many stay.

Months are those of the weeks' Mondays, counted from the year 0. Those who were there in the
ledger's first month are no cohort: nobody knows when they began.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from glasslipper.report import estimates
from glasslipper.report.estimates import Estimate
from glasslipper.report.section import Missing
from glasslipper.report.study import Study

SMALLEST_TESTED = 20
"""Units that a cohort must have to be tested."""

NO_COHORTS = Missing(
    what="No month has enough units that began to use a model then.",
    how="Cohorts need two months of traffic and several keys, apps or users;"
    " `--group-by user` or `--group-by key` makes other units, `--least 3` shows smaller ones.",
)
UNITS = (
    "Units are workloads (key, app and fingerprint of the system prompt) unless `--group-by` "
    "says otherwise; their weeks count as a whole."
)


class Cohort(Struct, kw_only=True):
    """Units that first used a model in one month; lists are by months since then."""

    model: str
    start: int
    active: list[int] = field(default_factory=list[int])
    came_back: list[int] = field(default_factory=list[int])
    left: list[int] = field(default_factory=list[int])

    @property
    def size(self) -> int:
        """How many units it has."""
        return self.active[0]

    @property
    def name(self) -> str:
        """Its month, such as 2026-02."""
        return month_name(self.start)

    def rate(self, k: int) -> float:
        """Return the share that was active k months after the start."""
        return self.active[k] / self.size


def month_name(number: int) -> str:
    """Return the month of a number.

    >>> month_name(2026 * 12 + 1)
    '2026-02'
    """
    return f"{number // 12}-{number % 12 + 1:02d}"


def read(study: Study) -> dict[str, list[Cohort]]:
    """Return the cohorts of each model, the oldest first, those too small to show left out."""
    months = {int(row["month_number"]): int(row["weeks"]) for row in study.ask("months")}
    whole = [month for month, weeks in months.items() if weeks >= 3]
    if not whole:
        return {}
    begin, last = min(months), max(whole)
    cohorts: dict[tuple[str, int], Cohort] = {}
    for row in study.ask("cohorts"):
        start, k = int(row["start"]), int(row["k"])
        if start == begin or start + k > last:
            continue
        found = cohorts.setdefault(
            (row["model"], start),
            Cohort(model=row["model"], start=start, **_zeros(last - start + 1)),
        )
        found.active[k], found.came_back[k] = int(row["n"]), int(row["came_back"])
        found.left[k] = int(row["then_left"])
    models: dict[str, list[Cohort]] = {}
    for (model, _), found in sorted(cohorts.items()):
        if found.size >= study.least:
            models.setdefault(model, []).append(found)
    return models


def _zeros(months: int) -> dict[str, list[int]]:
    return {name: [0] * months for name in ("active", "came_back", "left")}


def curve(cohort: Cohort) -> list[float]:
    """Return the shares that were active, by months since the start."""
    return [cohort.rate(k) for k in range(len(cohort.active))]


def pooled(found: Sequence[Cohort], k: int) -> Estimate:
    """Return the share that was active after k months, of all cohorts that are old enough."""
    old = [one for one in found if len(one.active) > k]
    return estimates.share(sum(one.active[k] for one in old), sum(one.size for one in old))
