"""From the bytes of a request to typed values, or to a sentence that says where they go wrong.

Whatever the bytes are, the only exception is a kind of `InvalidRequest`. Knows no dialect.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import TypeVar

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder

from glasslipper.kernel.errors import BadJSON, InvalidRequest

T = TypeVar("T")

MAX_WORDS = 300
"""Characters of an explanation: a hostile value may be quoted in it."""

_WHERE = re.compile(r"(?P<what>.*) - at (?:key in )?`(?P<path>\$.*)`\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`\Z")
_AT_BYTE = re.compile(r"(?:JSON is malformed: )?(?P<what>.*) \(byte (?P<byte>\d+)\)\Z", re.DOTALL)
_MEMBERS: Decoder[dict[str, Raw]] = Decoder(dict[str, Raw])


def parse(body: bytes, decoder: Decoder[T]) -> T:
    """Return what `decoder` makes of a body.

    Raises:
        BadJSON: The body is not JSON in UTF-8; the sentence says at which byte.
        InvalidRequest: It is JSON of another shape; `param` is the JSON path.
    """
    try:
        return decoder.decode(body)
    except ValidationError as error:
        raise _misshapen(str(error)) from None
    except DecodeError as error:
        raise _malformed(body, str(error)) from None
    except UnicodeDecodeError as error:
        raise _not_utf8(body, error) from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.", param="$") from None


def require_utf8(body: bytes) -> None:
    """Make sure of a body parts of which will travel on as they stand.

    Raises:
        BadJSON: It is not UTF-8; the sentence says at which byte.
    """
    try:
        str(body, "utf-8")
    except UnicodeDecodeError as error:
        raise BadJSON(f"The body is not UTF-8: {error.reason} at byte {error.start}.") from None


def unknown(body: bytes, known: Container[str]) -> dict[str, Raw]:
    """Return the members of a JSON object that are not `known`, as raw JSON by name.

    Raises:
        BadJSON: The body is not JSON in UTF-8.
        InvalidRequest: It is not an object, or nested too deeply.
    """
    members = parse(body, _MEMBERS)
    rest = {name: raw.copy() for name, raw in members.items() if name not in known}
    for raw in rest.values():
        try:
            str(raw, "utf-8")
        except UnicodeDecodeError as error:
            raise _not_utf8(body, error) from None
    return rest


def invalid(path: str, what: str) -> InvalidRequest:
    """Return the error that says of the value at a JSON path what is wrong with it."""
    return InvalidRequest(f"`{path}`: {what}.", param=path)


def _misshapen(words: str) -> InvalidRequest:
    found = _WHERE.match(words)
    path, what = (found["path"], found["what"]) if found else ("$", words)
    missing = _MISSING.match(what)
    if missing:
        return invalid(f"{path}.{missing['name']}", "is required")
    what = what.replace("Invalid enum value", "Invalid value")[:MAX_WORDS]
    return invalid(path, what[:1].lower() + what[1:])


def _malformed(body: bytes, words: str) -> BadJSON:
    if not body.strip():
        return BadJSON("The body is empty.")
    found = _AT_BYTE.match(words)
    if found:
        return BadJSON(f"The body is not JSON: {found['what']} at byte {found['byte']}.")
    # Half of a surrogate pair is called truncated too, so the end of the body may be innocent.
    return BadJSON(f"The body is not JSON: something in its {len(body)} bytes is cut short.")


def _not_utf8(body: bytes, error: UnicodeDecodeError) -> BadJSON:
    start = error.start
    try:
        str(body, "utf-8")
    except UnicodeDecodeError as whole:
        start = whole.start
    return BadJSON(f"The body is not UTF-8: {error.reason} at byte {start}.")
