"""Numbers as people read them, in claims, tables and charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from glasslipper.kernel.money import NANO

if TYPE_CHECKING:
    from glasslipper.report.estimates import Estimate

NBSP, MINUS = "\u00a0", "\u2212"

_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K"))


def count(value: float) -> str:
    """Return a quantity in at most four letters and a unit.

    >>> count(1234567), count(999), count(0.25)
    ('1.23M', '999', '0.25')
    """
    for step, letter in _STEPS:
        if abs(value) >= step * 0.9995:
            return f"{_short(value / step)}{letter}"
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


def percent(value: float) -> str:
    """Return a share.

    Number and sign are kept together by a space that does not break.

    >>> percent(0.4216) == "42\u00a0%", percent(0.0123) == "1.2\u00a0%"
    (True, True)
    """
    if math.isnan(value):
        return "n/a"
    points = value * 100
    if 0 < points < 0.01:
        return f"< 0.01{NBSP}%"
    if (abs(points) >= 10 and not 99.5 <= abs(points) < 100) or points == 0:
        return f"{points:.0f}{NBSP}%"
    return f"{points:.1f}{NBSP}%" if abs(points) >= 0.1 else f"{points:.1g}{NBSP}%"


def points(value: float) -> str:
    """Return a change of a share in percentage points, with its sign."""
    return f"{value * 100:+.1f} points".replace("-", MINUS)


def usd(nanousd: float) -> str:
    """Return an amount of nano-USD as dollars.

    >>> usd(1_234_000_000_000), usd(12_340_000), usd(4_000), usd(0)
    ('$1,234', '$0.012', '$0.000004', '$0')
    """
    value = nanousd / NANO
    if value == 0:
        return "$0"
    if abs(value) >= 100:
        return f"${value:,.0f}".replace("$-", MINUS + "$")
    if abs(value) >= 1:
        return f"${value:,.2f}".replace("$-", MINUS + "$")
    return f"${Decimal(f'{value:.2g}'):f}".replace("$-", MINUS + "$")


def span(estimate: Estimate, form: str = "%") -> str:
    """Return an interval in brackets, as shares or as plain numbers."""
    show = {"%": percent, "$": usd}.get(form, _plain)
    return f"(95{NBSP}%: {show(estimate.low)} to {show(estimate.high)})"


def _plain(value: float) -> str:
    return f"{value:.2f}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return names as words: `a, b and c`."""
    shown = list(names[:most])
    rest = len(names) - len(shown)
    if rest > 0:
        shown.append(f"{rest} more")
    return (
        shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""
    )


def short(model: str) -> str:
    """Return a model's name without its author."""
    return model.partition("/")[2] or model


TITLES = {"seo": "SEO", "": "Unclassified", "other": "Other topics"}
SHORTS = {"ui": "UI", "sql": "SQL", "qa": "Q&A", "impl": "implementation"}


def title(word: str) -> str:
    """Return a label with a capital letter."""
    spelt = spaced(word)
    return TITLES.get(word, spelt[:1].upper() + spelt[1:])


def spaced(word: str) -> str:
    """Return a label as words within a sentence.

    >>> spaced("frontend_ui")
    'frontend UI'
    """
    return " ".join(SHORTS.get(part, part) for part in word.split("_"))


def duration(ms: float) -> str:
    """Return a span of time in the unit that suits it.

    >>> duration(850), duration(15_000), duration(3_200_000), duration(9_000_000)
    ('850 ms', '15 seconds', '53 minutes', '2.5 hours')
    """
    for most, unit, name in ((1e3, 1, "ms"), (12e4, 1e3, "seconds"), (72e5, 6e4, "minutes")):
        if ms < most:
            return f"{ms / unit:.0f} {name}"
    return f"{count(round(ms / 3_600_000, 1))} hours"


def plural(n: int, one: str, many: str = "") -> str:
    """Return a number and its noun.

    >>> plural(1, "cohort"), plural(3, "cohort")
    ('1 cohort', '3 cohorts')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"
