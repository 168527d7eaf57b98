"""Forms that several sections share: shares over weeks, rankings, means over weeks.

Each turns rows of SQL into what a section shows. Knows no section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta

from msgspec import Struct

from glasslipper.report import words
from glasslipper.report.section import Cell, Missing, Table
from glasslipper.report.study import Row

NO_ROWS = Missing(
    what="The ledger has no generations in this span of time.",
    how=(
        "Send requests through `glasslipper up`, or import past ones with `glasslipper ledger "
        "import`."
    ),
)
NO_TASKS = Missing(
    what="No generation in this span has a topic label.",
    how="Serve with topic labels: `glasslipper up --classify`.",
)
NO_OPEN = Missing(
    what="No model with open weights was used, as far as is known.",
    how=(
        "Tell whose weights are open with `--models FILE` (a JSON list with `id`, "
        "`open_weights`, `country`)."
    ),
)


class Weeks(Struct, frozen=True, kw_only=True):
    """Amounts by week and name, in the order in which they are to be shown."""

    weeks: list[str]
    names: list[str]
    amounts: dict[str, list[float]]

    @property
    def totals(self) -> list[float]:
        """The sums of all names by week."""
        return [sum(row[i] for row in self.amounts.values()) for i in range(len(self.weeks))]

    def share(self, name: str) -> list[float]:
        """Return a name's share of each week; 0 where a week has nothing."""
        row = self.amounts.get(name, [0.0] * len(self.weeks))
        return [v / t if t else 0.0 for v, t in zip(row, self.totals, strict=True)]

    def overall(self, name: str, first: int = 0, last: int | None = None) -> float:
        """Return a name's share of the sum of some weeks."""
        total = sum(self.totals[first:last])
        return sum(self.amounts.get(name, [0.0])[first:last]) / total if total else 0.0


def by_week(
    rows: Iterable[Row],
    name: str,
    value: str = "t",
    *,
    order: Sequence[str] = (),
    most: int = 7,
    label: Callable[[str], str] = str,
) -> Weeks:
    """Return amounts by week; the largest `most` names keep theirs, the others become `Other`.

    With an `order`, exactly its names are shown, where they occur.
    """
    rows = list(rows)
    sums: dict[str, float] = {}
    for row in rows:
        key = label(_text(row[name]))
        sums[key] = sums.get(key, 0.0) + float(row[value])
    if order:
        there = [one for one in order if one in sums]
        kept = [one for one in there if sums[one]] or there
    else:
        ranked = sorted(sums, key=lambda key: (-sums[key], key))
        kept = ranked if len(ranked) <= most + 1 else ranked[:most]
    weeks = full_weeks(row["week"] for row in rows)
    place = {week: index for index, week in enumerate(weeks)}
    others = [key for key in sums if key not in kept and not order]
    names = [*kept, "Other"] if others else kept
    amounts = {key: [0.0] * len(weeks) for key in names}
    for row in rows:
        key = label(_text(row[name]))
        if key in amounts or others:
            amounts[key if key in kept else "Other"][place[row["week"]]] += float(row[value])
    return Weeks(weeks=weeks, names=names, amounts=amounts)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def full_weeks(found: Iterable[str]) -> list[str]:
    """Return every Monday from the first week to the last, those without rows included."""
    weeks = sorted(set(found))
    if not weeks:
        return []
    first, last = (date.fromisoformat(week).toordinal() for week in (weeks[0], weeks[-1]))
    return [date.fromordinal(day).isoformat() for day in range(first, last + 1, 7)]


def share_table(weeks: Weeks, what: str = "Tokens") -> Table:
    """Return shares by week, with the total."""
    shares = {name: weeks.share(name) for name in weeks.names}
    totals = weeks.totals
    rows: list[list[Cell]] = [
        [week, *(round(shares[name][i], 4) for name in weeks.names), round(totals[i])]
        for i, week in enumerate(weeks.weeks)
    ]
    return Table(headings=("Week", *(f"{name}%" for name in weeks.names), f"{what}#"), rows=rows)


def ends(weeks: Weeks, name: str) -> tuple[float, float]:
    """Return a name's share in the first and in the last weeks (four, or fewer of a short span)."""
    some = max(1, min(4, len(weeks.weeks) // 2))
    return weeks.overall(name, 0, some), weeks.overall(name, -some)


def moved(before: float, after: float) -> str:
    """Return how a share changed, in words.

    >>> moved(0.2, 0.5) == f"rose from {words.percent(0.2)} to {words.percent(0.5)}"
    True
    """
    if before == after:
        return f"stands at {words.percent(after)}"
    if abs(after - before) < 0.01:
        return f"held at {words.percent(after)}"
    verb = "rose" if after > before else "fell"
    return f"{verb} from {words.percent(before)} to {words.percent(after)}"


def ratio_moved(before: float, after: float, show: Callable[[float], str] = words.count) -> str:
    """Return how a quantity changed, in words, with the factor where it is a large one."""
    if not before or abs(after / before - 1) < 0.05:
        return f"held at {show(after)}"
    verb = "grew" if after > before else "fell"
    factor = f" (\u00d7{after / before:.1f})" if after / before >= 1.5 else ""
    return f"{verb} from {show(before)} to {show(after)}{factor}"


def whole_weeks(weeks: Sequence[str], first: date, last: date) -> list[int]:
    """Return the places of the weeks that are in a span with all their days.

    What is counted in a part of a week says nothing beside what is counted in a whole one.

    >>> whole_weeks(["2026-01-05", "2026-01-12", "2026-01-19"], date(2026, 1, 6), date(2026, 1, 25))
    [1, 2]
    """
    begun = [date.fromisoformat(week) for week in weeks]
    return [i for i, day in enumerate(begun) if first <= day and day + timedelta(days=6) <= last]


def first_and_last(values: Sequence[float | None]) -> tuple[float, float]:
    """Return the means of the first and of the last weeks that have a value."""
    there = [value for value in values if value is not None]
    some = max(1, min(4, len(there) // 2))
    head, tail = there[:some], there[-some:]
    return sum(head) / max(len(head), 1), sum(tail) / max(len(tail), 1)


def largest(sums: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return names and values, the largest first."""
    return sorted(sums.items(), key=lambda one: (-one[1], one[0]))
