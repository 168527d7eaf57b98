"""Identifiers sort by the time of their making and can be made by many processes at once.

An id is a prefix, 48 bits of Unix milliseconds and 80 random bits, in Crockford's base 32
(the layout of a ULID). It says nothing about what it names.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_POOL_BYTES = 4_096
_pool: list[bytes] = []


def _refill() -> None:
    """Fetch random bytes in bulk: asking the kernel costs more than all the rest of an id."""
    bulk = os.urandom(_POOL_BYTES)
    _pool.extend(bulk[start : start + 10] for start in range(0, _POOL_BYTES - 10, 10))


os.register_at_fork(after_in_child=_pool.clear)


def _random() -> bytes:
    while True:
        try:
            return _pool.pop()
        except IndexError:
            _refill()


def new_id(prefix: str, at_ms: int | None = None) -> str:
    """Return `prefix-` and 26 characters, e.g. `gen-01jd3f…`.

    `at_ms` is the Unix time in milliseconds; now, if it is left out.
    """
    when = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    bits = int.from_bytes(_random(), "big")
    p = _PAIRS
    return (
        f"{prefix}-{_head_of(when)}{p[bits >> 70]}{p[bits >> 60 & 1023]}{p[bits >> 50 & 1023]}"
        f"{p[bits >> 40 & 1023]}{p[bits >> 30 & 1023]}{p[bits >> 20 & 1023]}"
        f"{p[bits >> 10 & 1023]}{p[bits & 1023]}"
    )


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
