"""A provider's bill, from a CSV file: what it asks for, by day and model.

Columns are found by their usual names: a day (`date`, `day`, `usage_date`, `start_time`), a model
(`model`, `model_id`, `line_item`), an amount in dollars (`cost_usd`, `amount_usd`, `cost`,
`amount`, `usage`), and perhaps a `provider`. Amounts are read as people write them, with a comma
or a point before the cents; what is in another currency is refused.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import chain
from pathlib import Path

from msgspec import Struct

from glasslipper.kernel import numerals
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.money import NANO

_DAY = (
    "date",
    "day",
    "usage_date",
    "start_time_iso",
    "start_time",
    "timestamp",
    "usage_date_utc",
    "created_at",
)
_MODEL = ("model", "model_id", "model_version", "line_item", "model_permaslug")
_AMOUNT = (
    "cost_usd",
    "amount_usd",
    "amount_value",
    "cost",
    "amount",
    "usage",
    "usd",
    "cost_total",
)
_CURRENCY = ("currency", "amount_currency", "cost_currency")
_KINDS = {"input", "cached input", "output", "cache write", "cache read", "reasoning"}
"""What some providers write behind a model and a comma: the same model, another line."""

_SEPARATORS = ",;\t"


class Line(Struct, frozen=True, kw_only=True):
    """What a provider asks for one model on one day."""

    day: date
    model: str
    provider: str
    nanousd: int


class Bill(Struct, frozen=True, kw_only=True):
    """All lines of a bill and the file's name."""

    name: str
    lines: list[Line]


def read(path: Path) -> Bill:
    """Return the bill in a CSV file.

    Raises:
        InvalidRequest: It is not there, or has no such columns or values.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = next((line for line in file if line.strip()), "")
            reader = csv.DictReader(
                chain([heading], file), delimiter=max(_SEPARATORS, key=heading.count)
            )
            names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            found = [row for row in reader if any(map(_says_something, row.values()))]
        lines = _lines(path, names, found)
    except (OSError, ValueError, csv.Error) as error:
        raise InvalidRequest(
            f"{path} cannot be read as a provider's bill: {error}",
            hint="It needs a column of days (2026-11-26), one of models and one of US dollars.",
        ) from error
    if not lines:
        raise InvalidRequest(f"{path} has no lines.")
    return Bill(name=path.name, lines=lines)


def _says_something(cell: object) -> bool:
    return isinstance(cell, str) and bool(cell.strip())


def _lines(path: Path, names: dict[str, str], found: Sequence[dict[str, str]]) -> list[Line]:
    day, model, amount = (_column(path, names, wanted) for wanted in (_DAY, _MODEL, _AMOUNT))
    provider = names.get("provider")
    currency = next((names[name] for name in _CURRENCY if name in names), None)
    rows = [row for row in found if (row[day] or "").strip()]
    amounts = [row[amount] or "" for row in rows]
    # Where one amount can only have a comma before its cents, so have all.
    comma_is_point = any(map(numerals.says_comma_is_point, amounts))
    if comma_is_point and any(map(_says_point, amounts)):
        raise ValueError(f"`{amount}` has amounts with a point and some with a comma before cents.")
    lines: list[Line] = []
    for row, text in zip(rows, amounts, strict=True):
        said = (row[currency] or "").strip() if currency else ""
        if said.upper() not in {"", "USD", "$", "US$"}:
            raise ValueError(f"it is in {said[:20]}; the ledger counts US dollars.")
        lines.append(
            Line(
                day=_day(row[day].strip()),
                model=_model(row[model] or ""),
                provider=(row[provider] or "").strip() if provider else "",
                nanousd=_nanousd(text, comma_is_point=comma_is_point),
            )
        )
    return lines


def _says_point(text: str) -> bool:
    """Tell whether an amount can only be read with a point before its cents."""
    before, point, cents = text.strip().rpartition(".")
    return bool(point) and "," not in cents and (len(cents.rstrip(" )")) != 3 or "," in before)


def _nanousd(text: str, *, comma_is_point: bool) -> int:
    if numerals.is_blank(text):
        return 0
    read = numerals.read(text, comma_is_point=comma_is_point)
    return int((read * NANO).to_integral_value())


def _day(text: str) -> date:
    """Return a day as it is written, or the one that a Unix time in seconds is in (UTC)."""
    if text.isdecimal() and len(text) in {10, 13}:
        return datetime.fromtimestamp(int(text[:10]), UTC).date()
    return date.fromisoformat(text[:10])


def _model(text: str) -> str:
    """Return a line's model, without the kind of tokens that the line is for."""
    model, _, kind = text.strip().rpartition(",")
    return model.strip() if kind.strip().lower() in _KINDS else text.strip()


def _column(path: Path, names: dict[str, str], wanted: Sequence[str]) -> str:
    for name in wanted:
        if name in names:
            return names[name]
    raise InvalidRequest(f"{path} has no column named {', '.join(wanted[:3])} or alike.")
