"""The head of a GGUF file: that it is one, and the context that its model was made for.

Reads the few metadata entries at the start of the file and stops before the vocabulary. The
file may be hostile: every length is checked against a bound before anything is read.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO

from glasslipper.kernel.errors import InvalidRequest

MAGIC = b"GGUF"

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING = 8
_ARRAY = 9
_MOST_ITEMS = 1000
_MOST_ENTRIES = 200
_MOST_TEXT_BYTES = 1 << 16


def check(path: Path) -> None:
    """Make sure that the file starts as a GGUF file does.

    Raises:
        InvalidRequest: It does not, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = file.read(len(MAGIC))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    if found != MAGIC:
        raise InvalidRequest(
            f"{path} is not a GGUF file.", hint="Give the path of a model file in GGUF format."
        )


def context_tokens(path: Path) -> int | None:
    """Return the context length that the file states near its start, if it does."""
    try:
        with path.open("rb") as file:
            return _find_context(file)
    except (OSError, struct.error, UnicodeDecodeError, ValueError):
        return None


def _find_context(file: IO[bytes]) -> int | None:
    magic, _version, _tensors, entries = struct.unpack("<4sIQQ", file.read(24))
    if magic != MAGIC:
        return None
    for _ in range(min(entries, _MOST_ENTRIES)):
        key = _text(file)
        value = _value(file)
        if key.endswith(".context_length") and isinstance(value, int):
            return value if value > 0 else None
    return None


def _value(file: IO[bytes]) -> int | float | str:
    (kind,) = struct.unpack("<I", file.read(4))
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        return _skip_array(file)
    code = _SCALARS.get(kind)
    if code is None:
        raise ValueError("no such type")
    (value,) = struct.unpack("<" + code, file.read(struct.calcsize(code)))
    return value


def _skip_array(file: IO[bytes]) -> str:
    """Pass over a short array; a long one is the vocabulary, where reading ends."""
    kind, count = struct.unpack("<IQ", file.read(12))
    if count > _MOST_ITEMS or (kind != _STRING and kind not in _SCALARS):
        raise ValueError("the vocabulary begins")
    for _ in range(count):
        if kind == _STRING:
            _text(file)
        else:
            file.read(struct.calcsize("<" + _SCALARS[kind]))
    return ""


def _text(file: IO[bytes]) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _MOST_TEXT_BYTES:
        raise ValueError("text too long")
    return file.read(length).decode()
