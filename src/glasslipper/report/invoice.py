"""A provider's bill, from a CSV file: what it asks for, by day and model.

Columns are found by their usual names: a day (`date`, `day`, `usage_date`, `start_time`), a model
(`model`, `model_id`, `line_item`), an amount in dollars (`cost_usd`, `amount_usd`, `cost`,
`amount`, `usage`), and perhaps a `provider`.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from msgspec import Struct

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.money import nanousd

_DAY = ("date", "day", "usage_date", "start_time", "timestamp", "usage_date_utc")
_MODEL = ("model", "model_id", "model_version", "line_item", "model_permaslug")
_AMOUNT = ("cost_usd", "amount_usd", "amount_value", "cost", "amount", "usage", "usd")


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
            reader = csv.DictReader(file)
            names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            day, model, amount = (
                _column(path, names, wanted) for wanted in (_DAY, _MODEL, _AMOUNT)
            )
            provider = names.get("provider")
            lines = [
                Line(
                    day=date.fromisoformat(row[day].strip()[:10]),
                    model=row[model].strip(),
                    provider=(row[provider] or "").strip() if provider else "",
                    nanousd=nanousd((row[amount] or "0").strip().lstrip("$").replace(",", "")),
                )
                for row in reader
                if (row[day] or "").strip()
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise InvalidRequest(f"{path} cannot be read as a provider's bill: {error}") from error
    if not lines:
        raise InvalidRequest(f"{path} has no lines.")
    return Bill(name=path.name, lines=lines)


def _column(path: Path, names: dict[str, str], wanted: Sequence[str]) -> str:
    for name in wanted:
        if name in names:
            return names[name]
    raise InvalidRequest(f"{path} has no column named {', '.join(wanted[:3])} or alike.")
