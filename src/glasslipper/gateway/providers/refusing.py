"""What the codecs share in reading a provider's refusal: its JSON, its words, its wish to wait.

The provider's key never appears in what is repeated. Knows no provider's shape of an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

MAX_WORDS = 500
"""Characters of a provider's message that are repeated."""

MAX_RETRY_AFTER_S = 86_400


def read_json(text: bytes) -> object:
    """Return the value of a JSON text, or `None` if it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def sentence(name: str, what: str, words: str, *, key: str | None) -> str:
    """Return what a provider did, with its own words, shortened and without the key."""
    if key:
        words = words.replace(key, "[key]")
    words = " ".join(words.split())
    if len(words) > MAX_WORDS:
        words = words[:MAX_WORDS] + "…"
    return f"{name} {what}: {words}" if words else f"{name} {what}."


def retry_after_s(headers: Mapping[bytes, bytes]) -> int | None:
    """Return how many seconds a provider asks to wait, between 0 and a day, or `None`."""
    in_ms = _number(headers.get(b"retry-after-ms"))
    if in_ms is not None:
        return _bounded(in_ms / 1000)
    told = headers.get(b"retry-after")
    in_s = _number(told)
    if in_s is not None:
        return _bounded(in_s)
    if told is None:
        return None
    try:
        until = parsedate_to_datetime(told.decode("latin-1"))
        return _bounded((until.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _number(text: bytes | None) -> float | None:
    try:
        value = float(text or b"")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _bounded(wait_s: float) -> int:
    return math.ceil(min(max(wait_s, 0), MAX_RETRY_AFTER_S))
