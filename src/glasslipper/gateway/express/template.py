"""Bytes in which only some places change, cut out of what the usual encoder writes.

The encoder is given marks in place of values, and the marks are found again in what it wrote:
nothing is spelled out twice, so that whoever changes the encoder changes the template.
"""

from __future__ import annotations

from collections.abc import Sequence


class NotPlain(Exception):
    """What was written does not show its marks, each once and in order."""


def template(written: bytes, marks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return `written` with each mark, in order, replaced by its placeholder (`%d`, `%b`).

    Raises:
        NotPlain: A mark is missing, stands elsewhere, or stands there more than once.
    """
    parts = list[bytes]()
    rest = written
    for mark, placeholder in marks:
        before, found, rest = rest.partition(mark)
        if not found:
            raise NotPlain(f"{mark!r} does not stand in {written!r}")
        parts += (before.replace(b"%", b"%%"), placeholder)
    if any(mark in rest for mark, _ in marks):
        raise NotPlain(f"a mark stands twice in {written!r}")
    return b"".join((*parts, rest.replace(b"%", b"%%")))


def text_mark(number: int) -> str:
    """Return a text that stands for another."""
    return f"@@{number}@@"


def quoted(number: int) -> bytes:
    """Return the same as JSON writes it."""
    return b'"%b"' % text_mark(number).encode()
