"""Identifiers sort by the time of their making and can be made by many processes at once.

An id is a prefix, 48 bits of Unix milliseconds and 80 random bits, in Crockford's base 32
(the layout of a ULID). It says nothing about what it names.
"""

from __future__ import annotations

import base64
import os
import time
from functools import lru_cache

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_TO_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _ALPHABET.encode())
_RANDOM_BYTES = 10
_POOL = 512
_pool: list[str] = []


def _refill() -> None:
    """Draw in bulk: asking the kernel costs more than all the rest of an id."""
    bulk = base64.b32encode(os.urandom(_RANDOM_BYTES * _POOL)).translate(_TO_CROCKFORD).decode()
    _pool.extend([bulk[start : start + 16] for start in range(0, 16 * _POOL, 16)])


os.register_at_fork(after_in_child=_pool.clear)


def new_id(prefix: str, at_ms: int | None = None) -> str:
    """Return `prefix-` and 26 characters, e.g. `gen-01jd3f…`.

    `at_ms` is the Unix time in milliseconds; now, if it is left out.
    """
    when = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    try:
        tail = _pool.pop()
    except IndexError:
        _refill()
        tail = _pool.pop()
    return f"{prefix}-{_head_of(when)}{tail}"


@lru_cache(maxsize=4)
def _head_of(when: int) -> str:
    """Return the ten characters of an id that say when it was made."""
    return "".join([_PAIRS[(when >> shift) & 1023] for shift in range(40, -1, -10)])


def attempt_id(generation_id: str, number: int) -> str:
    """Return the id of an exchange's attempt, the first of which is number 1.

    >>> attempt_id("gen-01jd3f0000aaaaaaaaaaaaaaaa", 1)
    'att-01jd3f0000aaaaaaaaaaaaaaaa-1'
    """
    return f"att-{generation_id.removeprefix('gen-')}-{number}"


def made_at_ms(identifier: str) -> int:
    """Return the Unix milliseconds inside an id.

    Raises:
        ValueError: The text is not such an id.
    """
    text = identifier.rpartition("-")[2]
    if len(text) != 26 or any(letter not in _ALPHABET for letter in text):
        raise ValueError(f"not an id: {identifier!r}")
    bits = 0
    for letter in text:
        bits = bits << 5 | _ALPHABET.index(letter)
    return bits >> 80
