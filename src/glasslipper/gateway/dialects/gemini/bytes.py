"""Bytes as Google's JSON writes them: base64 in either alphabet, padded or not."""

from __future__ import annotations

import binascii

from glasslipper.gateway.dialects.body import invalid

_STANDARD = str.maketrans("-_", "+/")


def standard_base64(text: str) -> str | None:
    """Return base64 in the one standard form of its bytes, or `None` if it is none.

    >>> standard_base64("_-8"), standard_base64("nope!")
    ('/+8=', None)
    """
    standard = text.translate(_STANDARD).rstrip("=")
    standard += "=" * (-len(standard) % 4)
    try:
        raw = binascii.a2b_base64(standard.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def require_base64(text: str, path: str) -> str:
    """Return base64 in the standard alphabet.

    Raises:
        InvalidRequest: The text at the JSON path is no base64.
    """
    standard = standard_base64(text)
    if standard is None:
        raise invalid(path, "is not base64")
    return standard
