"""Numbers as people and spreadsheets write them: `1,234.50`, `$0.75`, `1.234,50 USD`.

What can be read in two ways is left to the caller (`comma_is_point`); what is no number is
never taken for zero. Pure.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

BLANK = frozenset({"", "-", "n/a", "na", "nan", "null", "none", "\\n"})
"""How a cell says, in lower case, that there is no number in it."""

_SIGNED = re.compile(r"^(?:US)?\$|(?:US\$|\$|USD)$", re.IGNORECASE)
_SPACES = str.maketrans("", "", " \u00a0\u202f'\u2019")
_COMMAS_GROUP = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?")
_POINTS_GROUP = re.compile(r"\d{1,3}(?:\.\d{3})+,\d*|\d{1,3}(?:\.\d{3}){2,}")
_ONE_COMMA = re.compile(r"\d*,\d+")
_POINTS_ALONE = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+")
_PLAIN = re.compile(r"-?\d+(?:\.\d+)?")
_EITHER = re.compile(r"[1-9]\d{0,2},\d{3}")


def is_blank(text: str) -> bool:
    """Tell whether a cell says that there is no number in it."""
    return text.strip().lower() in BLANK


def says_comma_is_point(text: str) -> bool:
    """Tell whether a number can only be read with a comma before its fraction."""
    digits = _bare(text)[1]
    return bool(_POINTS_GROUP.fullmatch(digits) or _ONE_COMMA.fullmatch(digits)) and not bool(
        _EITHER.fullmatch(digits)
    )


def read(text: str, *, comma_is_point: bool = False) -> Decimal:
    """Return a finite number; `1,234` is a thousand and more, unless `comma_is_point`.

    Raises:
        ValueError: It is none, or says that its amount is in another currency than US dollars.

    >>> read("1,234.50"), read("$-0.75"), read("1.234,5 USD"), read("2,5")
    (Decimal('1234.50'), Decimal('-0.75'), Decimal('1234.5'), Decimal('2.5'))
    """
    if _PLAIN.fullmatch(text) and not comma_is_point:
        return Decimal(text)
    sign, digits = _bare(text)
    if comma_is_point and (_POINTS_ALONE.fullmatch(digits) or _ONE_COMMA.fullmatch(digits)):
        digits = digits.replace(".", "").replace(",", ".")
    elif _COMMAS_GROUP.fullmatch(digits):
        digits = digits.replace(",", "")
    elif _POINTS_GROUP.fullmatch(digits) or _ONE_COMMA.fullmatch(digits):
        digits = digits.replace(".", "").replace(",", ".")
    try:
        found = Decimal(sign + digits)
    except InvalidOperation:
        raise ValueError(f"{text[:80]!r} is no number") from None
    if not found.is_finite():
        raise ValueError(f"{text[:80]!r} is no number")
    return found


def _bare(text: str) -> tuple[str, str]:
    """Return a number's sign, and its digits without spaces and dollars."""
    found = text.strip()
    negative = found.startswith("(") and found.endswith(")")  # as book-keepers write it
    found = found[1:-1] if negative else found
    for _ in range(2):
        if found[:1] in {"-", "\u2212", "+"}:
            negative ^= found[0] != "+"
            found = found[1:]
        found = _SIGNED.sub("", found.translate(_SPACES))
    return "-" if negative else "", found
