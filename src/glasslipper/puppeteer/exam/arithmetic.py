"""Sums of two to four numbers, easy and hard."""

from __future__ import annotations

import random

from glasslipper.puppeteer.exam.task import Split, Task


def draw(split: Split, number: int) -> Task:
    """Return one of endlessly many sums; the two splits never meet."""
    chance = random.Random(f"arithmetic/{number}")  # noqa: S311 - tasks, not secrets
    while True:
        text, value = _sum(chance)
        if ("train" if sum(map(ord, text)) % 2 else "test") == split:
            return Task(
                id=f"arithmetic-{split}-{number}",
                kind="arithmetic",
                form="number",
                text=f"What is {text}?",
                gold=str(value),
            )


def _sum(chance: random.Random) -> tuple[str, int]:
    a, b = chance.randint(2, 99), chance.randint(2, 99)
    c, d = chance.randint(2, 999), chance.randint(2, 9999)
    match chance.randrange(5):
        case 0:
            return f"{a} + {c}", a + c
        case 1:
            return f"{c} - {b}", c - b
        case 2:
            return f"{a} * {b}", a * b
        case 3:
            return f"{a} * {b} + {c}", a * b + c
        case _:
            return f"({c} + {d}) * {a} - {b}", (c + d) * a - b
