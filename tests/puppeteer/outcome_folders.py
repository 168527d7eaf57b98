"""Outcome folders made up for tests: who is right follows a rule, so there is something to learn.

`sage` is right four times in five and dear; `clerk` and `parrot` are cheap, and right together
mostly; when they disagree, neither is to be trusted.
"""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

MODELS = {"made/sage": (2.0, 8.0), "made/clerk": (0.1, 0.2), "made/parrot": (0.1, 0.3)}
OPTIONS = ("red", "green", "blue", "grey")


def letters(folder: Path, count: int, *, seed: int, first: int = 0) -> Path:
    """Write `count` tasks with options."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    questions, said, chars = [], [], []
    for number in range(first, first + count):
        truth = draw.randrange(4)
        answers = _answers(draw, truth)
        questions.append(
            {
                "question_id": number,
                "category": ("maths", "law")[number % 2],
                "question": f"Question {number}: which colour has the thing of {draw.random()}?",
                "options": list(OPTIONS),
                "answer": "ABCD"[truth],
            }
        )
        said.append([number, *("-" if a is None else "ABCD"[a] for a in answers)])
        chars.append([number, *(draw.randrange(50, 400) for _ in answers)])
    _prices(folder)
    lines = "\n".join(map(json.dumps, questions))
    (folder / "questions.jsonl").write_text(lines, encoding="utf-8")
    _table(folder / "pred_letter.csv", ["question_id", *MODELS], said)
    _table(folder / "output_chars.csv", ["question_id", *MODELS], chars)
    return folder


def answers(folder: Path, count: int, *, seed: int) -> Path:
    """Write `count` tasks with free answers."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    questions, rows = [], []
    for number in range(count):
        truth = draw.randrange(100)
        told = _answers(draw, 0)
        questions.append(
            {"task": "sums", "id": f"s{number}", "question": f"Sum {number}?", "answer": truth}
        )
        for model, place in zip(MODELS, told, strict=True):
            value = "" if place is None else f"${truth + place}.00"
            rows.append(["sums", f"s{number}", model, int(place == 0), 120, value])
    _prices(folder)
    lines = "\n".join(map(json.dumps, questions))
    (folder / "questions.jsonl").write_text(lines, encoding="utf-8")
    heads = ["task", "id", "model", "correct", "output_chars", "extracted_answer"]
    _table(folder / "outcomes.csv", heads, rows)
    return folder


def _answers(draw: random.Random, truth: int) -> list[int | None]:
    is_easy = draw.random() < 0.6
    sage = truth if draw.random() < (0.95 if is_easy else 0.6) else draw.randrange(4)
    cheap = [truth if is_easy and draw.random() < 0.95 else draw.randrange(4) for _ in range(2)]
    return [sage, *(None if draw.random() < 0.02 else one for one in cheap)]


def _prices(folder: Path) -> None:
    rows = [[model, *price] for model, price in MODELS.items()]
    _table(folder / "prices.csv", ["model", "usd_per_mtok_in", "usd_per_mtok_out"], rows)


def _table(path: Path, heads: list[str], rows: list[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        writer.writerows(rows)
