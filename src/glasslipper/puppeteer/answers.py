"""When two answers say the same.

Free answers are compared by what they mean as far as a look at the text tells: numbers by value,
with their units and currency left out, everything else without spaces and quotes. Knows no model
and no right answer.
"""

from __future__ import annotations

import re

_NOISE = re.compile(r"[\s'\"`]|\\[!,;]|\\(?:text|left|right|dfrac|mathrm)")
_NUMBER = re.compile(r"\$?([-+]?(?:\d[\d,]*\.?\d*|\.\d+))[A-Za-z%/°²³.]*")
_BRACKETS = frozenset("[{(")


def sense(answer: str) -> str:
    """Return what an answer says: equal for answers that say the same, empty for none."""
    text = _NOISE.sub("", answer).rstrip(".").replace("\\%", "%").replace("\\$", "$")
    if not text:
        return "''" if answer else ""
    if "=" in text and text[-1].isdigit() and not _BRACKETS & set(text):
        text = text.rsplit("=", 1)[1]
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    return repr(float(number[1].replace(",", "")) + 0.0)
