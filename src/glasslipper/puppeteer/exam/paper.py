"""The order of an exam's tasks: kinds take turns, so that any beginning is a fair sample."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from glasslipper.puppeteer.exam import arithmetic, extraction, functions, gsm_hard, sentence
from glasslipper.puppeteer.exam.task import Kind, Split, Task

TURNS: tuple[Kind, ...] = (
    "arithmetic",
    "gsm_hard",
    "extraction",
    "functions",
    "gsm_hard",
    "arithmetic",
    "functions",
    "extraction",
    "sentence",
)


def draw(data: Path, split: Split, count: int) -> list[Task]:
    """Return the first `count` tasks of a split; `data` is the folder of the real ones.

    Raises:
        SetupMissing: The real ones are not there.
    """
    drawn: Counter[Kind] = Counter()
    tasks: list[Task] = []
    for place in range(count):
        kind = TURNS[place % len(TURNS)]
        tasks.append(_one(data, split, kind, drawn[kind]))
        drawn[kind] += 1
    return tasks


def _one(data: Path, split: Split, kind: Kind, number: int) -> Task:
    match kind:
        case "arithmetic":
            return arithmetic.draw(split, number)
        case "gsm_hard":
            return gsm_hard.draw(data, split, number)
        case "extraction":
            return extraction.draw(split, number)
        case "functions":
            return functions.draw(split, number)
        case "sentence":
            return sentence.draw(data, split, number)
