"""From a file to rows of named values, and from values to numbers, amounts and moments.

Files may be CSV (between commas, semicolons or tabs), JSON (a list, or an object with a list in it)
or JSON lines, plain or gzipped. Values are what those formats make of them, so every reader takes
text as well as numbers. What stands where a number belongs and is none is refused, never taken for
zero.
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
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

from glasslipper.kernel import numerals
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.finish import FinishReason
from glasslipper.kernel.money import NANO, Price

Row = Mapping[str, Any]  # whatever an export holds

Priced = Callable[[str, str, int, int], Price | None]
"""The price of a provider's model at a moment (Unix ms) for a prompt of so many tokens."""

_LISTS = ("data", "logs", "results", "observations", "items")
_OF_ONE = ("id", "request_id", "start_time", "start_time_iso", "starting_at")
"""Members of a row; an object that has one is no page of rows, whatever lists it holds."""

_EPOCHS = ((10**17, 1_000_000), (10**14, 1_000), (10**11, 1))
"""A number of at least so much counts so many parts of a millisecond since 1970; else seconds."""
LAST_MS = 4_102_444_799_999  # of the year 2099
MOST = 10**15
"""No number of tokens is so great."""
MOST_NANOUSD = 10**18
"""No call, and no hour or day of calls, costs so much."""

_LONGEST_CELL = 1 << 30
_SEPARATORS = ",;\t"


def read(path: Path) -> Iterator[Row]:
    """Yield the rows of a file.

    Raises:
        InvalidRequest: It cannot be read, or holds something else.
    """
    try:
        with _opened(path) as file:
            first = _next_line(file)
            is_all = not _next_line(file)
            file.seek(0)
            if not first.startswith(("{", "[")):
                yield from _csv(path, file)
            elif first.startswith("{") and (is_all or _is_json(first)):
                yield from _lines(path, file)
            else:
                yield from _json(path, file)
    except (OSError, EOFError, UnicodeError, csv.Error) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}.") from error


def _opened(path: Path) -> IO[str]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    opened = cast("IO[bytes]", gzip.open(path, "rb") if is_gzip else path.open("rb"))
    try:
        start = opened.read(2)
        opened.seek(0)
        coding = "utf-16" if start in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
        return TextIOWrapper(opened, coding, newline="")
    except BaseException:
        opened.close()
        raise


def _next_line(file: IO[str]) -> str:
    """Return the next line that is not blank; nothing at the end."""
    return next((line.strip("\ufeff \t\r\n") for line in file if line.strip()), "")


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _csv(path: Path, file: IO[str]) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)  # logs may hold whole conversations
    heading = next((line for line in file if line.strip()), "")
    separator = max(_SEPARATORS, key=heading.count)
    rows = csv.DictReader(chain([heading], file), delimiter=separator)
    if not rows.fieldnames or len(rows.fieldnames) < 2:
        raise InvalidRequest(f"{path} is neither CSV with a heading nor JSON.")
    rows.fieldnames = [name.strip("\ufeff \t") for name in rows.fieldnames]
    for row in rows:
        # Programs put semicolons between cells where a comma stands before a fraction.
        yield {name: _pointed(cell) for name, cell in row.items()} if separator == ";" else row


def _pointed(cell: object) -> object:
    if not isinstance(cell, str) or "," not in cell:
        return cell
    try:
        return str(numerals.read(cell, comma_is_point=True))
    except ValueError:
        return cell


def _lines(path: Path, file: IO[str]) -> Iterator[Row]:
    for number, line in enumerate(file, 1):
        if line.strip():
            value = _value(path, line, f"line {number}")
            if not isinstance(value, dict):
                raise InvalidRequest(f"{path}, line {number}: a row is a JSON object.")
            yield from _rows_in(path, cast("Row", value))


def _json(path: Path, file: IO[str]) -> Iterator[Row]:
    yield from _rows_in(path, _value(path, file.read(), "which is not whole JSON"))


def _value(path: Path, text: str, where: str) -> object:
    try:
        value: object = json.loads(text)
        if "\\ud" in text or "\\uD" in text:  # perhaps half of a pair, which no file can hold
            whole = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
            value = json.loads(whole)
    except ValueError as error:
        raise InvalidRequest(f"{path}, {where}: {error}.") from error
    except RecursionError as error:
        raise InvalidRequest(f"{path} is nested too deeply to be an export.") from error
    return value


def _rows_in(path: Path, value: object) -> Iterator[Row]:
    if isinstance(value, dict):
        found = _page(cast("Row", value))
        if found is None:
            yield cast("Row", value)
            return
        value = found
    for one in cast("list[object]", value):
        # Several pages of an API, one after the other, are a list of objects with lists.
        if not isinstance(one, dict):
            raise InvalidRequest(f"{path} holds a list of other things than rows.")
        yield from _rows_in(path, cast("object", one))


def _page(members: Row) -> list[object] | None:
    """Return the rows of a page of an API's answer; `None` if this is a row itself."""
    if any(name in members for name in _OF_ONE):
        return None
    lists = [members[name] for name in _LISTS if isinstance(members.get(name), list)]
    return lists[0] if lists else None


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
    """Return the first member that is a number, cut to a whole one; 0 where there is none or less.

    Raises:
        InvalidRequest: What stands there is no number, or too great a one.
    """
    value = decimal(row, *names)
    return max(int(value), 0) if value is not None else 0


def decimal(row: Row, *names: str) -> Decimal | None:
    """Return the first member that is not empty, as a finite number.

    Raises:
        InvalidRequest: What stands there is no number, or too great a one.
    """
    for name in names:
        value = row.get(name)
        if value is None or isinstance(value, bool | dict | list) or numerals.is_blank(str(value)):
            continue
        try:
            found = numerals.read(str(value))
        except ValueError as error:
            raise InvalidRequest(f"A row's `{name}` cannot be read: {error}.", param=name) from None
        if abs(found) >= MOST:
            raise InvalidRequest(f"A row's `{name}` is too great: {found:.3g}.", param=name)
        return found
    return None


def nanousd(row: Row, *names: str) -> int:
    """Return the first member that is an amount of dollars, in nano-USD; never below 0.

    Raises:
        InvalidRequest: What stands there is no number, or too great a one.
    """
    value = decimal(row, *names)
    if value is not None and value * NANO >= MOST_NANOUSD:
        raise InvalidRequest(f"No call costs ${value:.3g}.", param=names[0])
    return max(int((value * NANO).to_integral_value()), 0) if value is not None else 0


def flag(row: Row, *names: str) -> bool:
    """Tell whether the first member that is there says yes."""
    return (text(row, *names) or "").lower() in {"true", "1", "yes", "t"}


def moment_ms(row: Row, *names: str) -> int | None:
    """Return the first member that is a moment, in Unix milliseconds; without a zone it is UTC.

    Years from 1970 to 2099 are moments, as are seconds, milliseconds, micro- or nanoseconds since
    1970.
    """
    value = (text(row, *names) or "").strip()
    if not value:
        return None
    try:
        found = _counted_ms(Decimal(value))
    except InvalidOperation:
        found = _written_ms(value)
    return found if found is not None and 0 <= found <= LAST_MS else None


def _counted_ms(count: Decimal) -> int | None:
    if not count.is_finite() or abs(count) >= 10**20:
        return None
    parts = next((parts for least, parts in _EPOCHS if count >= least), 0)
    return int(count / parts) if parts else int(count * 1000)


def _written_ms(value: str) -> int | None:
    try:
        found = datetime.fromisoformat(value.replace(" UTC", "+00:00"))
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


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
