"""What is to be seen of a task before anybody has been asked: a few numbers, none of its words.

Policies read them, and the ledger may keep them: they tell how a task is shaped, not what it says.
"""

from __future__ import annotations

import math
import re
import sys

from glasslipper.puppeteer.turns import View

_NUMBER = re.compile(r"\d[\d,]*\.?\d*")
_OPTION = re.compile(r"^\s*\(?[A-Ja-j][.):]\s", re.MULTILINE)
FORMS = ("number", "json", "code", "words")


def of_words(task: str) -> tuple[float, float, float, float]:
    """Return length, count of numbers, largest number and operators, each about 0 to 1."""
    told = (float(found.replace(",", "")) for found in _NUMBER.findall(task))
    numbers = [min(number, sys.float_info.max) for number in told]
    return (
        min(math.log1p(len(task)) / 6, 1.5),
        min(len(numbers) / 6, 1.5),
        math.log10(1 + max(numbers, default=0.0)) / 8,
        min(sum(map(task.count, "*+-/()")) / 4, 1.5),
    )


def first(view: View) -> dict[str, float]:
    """Return what is seen of a request before the first step, by name."""
    length, numbers, largest, operators = of_words(view.task)
    return {
        **{form: float(view.form == form) for form in FORMS},
        "length": length,
        "numbers": numbers,
        "largest": min(largest, 2.0),
        "operators": operators,
        "options": min(len(_OPTION.findall(view.task)) / 4, 1.5),
        "lines": min(math.log1p(view.task.count("\n")) / 4, 1.5),
        "asks": float("?" in view.task),
        "earlier": min(math.log1p(len(view.request.messages) - 1) / 3, 1.5),
        "tools": min(len(view.request.tools) / 8, 1.5),
        "thrift": (10 - view.dial) / 5,
        "one call": float(view.calls_left == 1),
    }
