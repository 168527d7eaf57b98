"""From a file to rows of named values, and from values to numbers, amounts and moments.

Files may be CSV, JSON (a list, or an object with a list in it) or JSON lines, plain or gzipped.
Values are what those formats make of them, so every reader takes text as well as numbers.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, cast

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.finish import FinishReason
from glasslipper.kernel.money import NANO, Price

Row = Mapping[str, Any]  # whatever an export holds

Priced = Callable[[str, str, int, int], Price | None]
"""The price of a provider's model at a moment (Unix ms) for a prompt of so many tokens."""

_LISTS = ("data", "logs", "results", "observations", "items")
_EPOCH_MS_FROM = 10**11
"""A number of at least this is milliseconds since 1970; a smaller one is seconds."""


def read(path: Path) -> Iterator[Row]:
    """Yield the rows of a file.

    Raises:
        InvalidRequest: It cannot be read, or holds something else.
    """
    try:
        with _opened(path) as file:
            start = file.read(1 << 12).lstrip("\ufeff \t\r\n")
            file.seek(0)
            if not start.startswith(("{", "[")):
                yield from _csv(path, file)
            elif start.startswith("{") and _is_lines(start):
                yield from _lines(path, file)
            else:
                yield from _json(path, file)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}.") from error


def _opened(path: Path) -> IO[str]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    if is_gzip:
        return TextIOWrapper(cast("IO[bytes]", gzip.open(path, "rb")), "utf-8-sig")
    return path.open(encoding="utf-8-sig", newline="")


def _is_lines(start: str) -> bool:
    """Tell whether the first line is JSON by itself, or too long to say."""
    first, newline, _ = start.partition("\n")
    if not newline:
        return '"data"' not in first[:200]
    try:
        json.loads(first)
    except ValueError:
        return False
    return True


def _csv(path: Path, file: IO[str]) -> Iterator[Row]:
    rows = csv.DictReader(file)
    if not rows.fieldnames or len(rows.fieldnames) < 2:
        raise InvalidRequest(f"{path} is neither CSV with a heading nor JSON.")
    yield from rows


def _lines(path: Path, file: IO[str]) -> Iterator[Row]:
    for number, line in enumerate(file, 1):
        if line.strip():
            yield _object(path, line, f"line {number}")


def _object(path: Path, text: str, where: str) -> Row:
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{path}, {where}: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path}, {where}: a row is a JSON object.")
    return cast("Row", value)


def _json(path: Path, file: IO[str]) -> Iterator[Row]:
    try:
        value: object = json.load(file)
    except ValueError as error:
        raise InvalidRequest(f"{path} is not whole JSON: {error}.") from error
    yield from _rows_in(path, value)


def _rows_in(path: Path, value: object) -> Iterator[Row]:
    if isinstance(value, dict):
        members = cast("Row", value)
        lists = [members[name] for name in _LISTS if isinstance(members.get(name), list)]
        if not lists:
            yield members
            return
        value = lists[0]
    for one in cast("list[object]", value):
        # Several pages of an API, one after the other, are a list of objects with lists.
        if isinstance(one, dict) and isinstance(cast("Row", one).get("data"), list):
            yield from _rows_in(path, cast("object", one))
        elif isinstance(one, dict):
            yield cast("Row", one)
        else:
            raise InvalidRequest(f"{path} holds a list of other things than rows.")


def need(row: Row, name: str, what: str) -> str:
    """Return the text of a member that must be there.

    Raises:
        InvalidRequest: It is not, so the file is no such export.
    """
    value = text(row, name)
    if value is None:
        raise InvalidRequest(f"A row has no `{name}`: this does not look like {what}.", param=name)
    return value


def text(row: Row, *names: str) -> str | None:
    """Return the first member that is there and not empty, as text."""
    for name in names:
        value = row.get(name)
        if value is not None and value != "":
            return str(value)
    return None


def number(row: Row, *names: str) -> int:
    """Return the first member that is a number, cut to a whole one; 0 where there is none."""
    value = decimal(row, *names)
    return int(value) if value is not None else 0


def decimal(row: Row, *names: str) -> Decimal | None:
    """Return the first member that is a finite number."""
    for name in names:
        value = row.get(name)
        if value is None or value == "" or isinstance(value, bool | dict | list):
            continue
        try:
            found = Decimal(str(value))
        except InvalidOperation:
            continue
        if found.is_finite():
            return found
    return None


def nanousd(row: Row, *names: str) -> int:
    """Return the first member that is an amount of dollars, in nano-USD; never below 0."""
    value = decimal(row, *names)
    return max(int((value * NANO).to_integral_value()), 0) if value is not None else 0


def flag(row: Row, *names: str) -> bool:
    """Tell whether the first member that is there says yes."""
    return (text(row, *names) or "").lower() in {"true", "1", "yes", "t"}


def moment_ms(row: Row, *names: str) -> int | None:
    """Return the first member that is a moment, in Unix milliseconds; without a zone it is UTC."""
    value = text(row, *names)
    if value is None:
        return None
    count = decimal({"value": value}, "value")
    if count is not None:
        return int(count) if count >= _EPOCH_MS_FROM else int(count * 1000)
    try:
        found = datetime.fromisoformat(value.strip().replace(" UTC", "+00:00"))
    except ValueError:
        return None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def moment(row: Row, what: str, *names: str) -> int:
    """Return a moment that must be there.

    Raises:
        InvalidRequest: It is not.
    """
    found = moment_ms(row, *names)
    if found is None:
        raise InvalidRequest(
            f"A row has no moment in `{names[0]}`: this does not look like {what}.", param=names[0]
        )
    return found


def nested(row: Row, *names: str) -> Row:
    """Return the first member that is an object, or the text of one."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                value = json.loads(value)
            except ValueError:
                continue
        if isinstance(value, dict):
            return cast("Row", value)
    return {}


def inside(row: Row, name: str) -> list[Row]:
    """Return the rows in a member of a row, or the row itself where it has none."""
    found = row.get(name)
    return cast("list[Row]", found) if isinstance(found, list) else [row]


def identity(source: str, *parts: object) -> str:
    """Return an id that is the same for the same parts."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass"))
    return f"{source}-{digest.hexdigest()[:26]}"


def key_of(source: str, name: str | None) -> str:
    """Return the id of a key that is known by a name elsewhere."""
    return f"{source}/{name}" if name else source


_FINISHES: dict[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
    "error": "error",
}


def finish(native: str | None) -> FinishReason | None:
    """Return the reason why an answer ended, in our words."""
    return _FINISHES.get((native or "").lower())


def authored(model: str, provider: str | None) -> str:
    """Return a model's name with its author; a bare one is taken to be its provider's."""
    if "/" in model or not provider:
        return model
    return f"{provider}/{model}"


def shared_out(whole: int, count: int, number: int) -> int:
    """Return the share of one of `count`, from 0 on, so that all shares sum to the whole."""
    return whole * (number + 1) // count - whole * number // count
