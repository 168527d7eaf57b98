"""Reading outcome folders: `questions`, `prices.csv`, and what was answered, in two layouts.

*Letters*: `pred_letter.csv` and `output_chars.csv`, one row a question and one column a model,
for tasks with options. *Answers*: `outcomes.csv`, one row for each task and model, for free
answers. Any file but the prices may be gzipped. `prices.csv` names the pool; a question that not
every model of the pool has answered is left out.
"""

from __future__ import annotations

import csv
import gzip
import json
import string
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.puppeteer.answers import sense
from glasslipper.puppeteer.outcomes import Outcomes, Task

CHARS_PER_TOKEN = 4
"""How many characters make a token, where only characters were logged."""

_T = TypeVar("_T")
_LAYOUT = "See `glasslipper puppeteer bench --help` for the files of an outcome folder."


class _Question(msgspec.Struct):
    """One line of `questions.jsonl`, in either layout."""

    question: str
    answer: str | int | float = ""
    question_id: str | int | None = None
    id: str | int | None = None
    category: str = ""
    task: str = ""
    options: list[str] = []
    prompt_chars: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        name = self.question_id if self.question_id is not None else self.id
        return self.task, str(name)


@dataclass(frozen=True)
class _Cell:
    """What one model answered to one question."""

    said: str
    chars: int
    right: bool


_Cells = Callable[[_Question, str], _Cell | None]
_Prices = Mapping[str, tuple[float, float]]


def read(folder: Path, *, without: frozenset[str] = frozenset()) -> Outcomes:
    """Read an outcome folder, leaving models out of the pool.

    Raises:
        InvalidRequest: A file is missing or does not say what it should; the message names the
            file and the line.
    """
    if not folder.is_dir():
        raise _wrong(f"There is no folder {folder}.")
    prices = {name: price for name, price in _prices(folder).items() if name not in without}
    if not prices:
        raise _wrong(f"{folder / 'prices.csv'} names no model that is left in the pool.")
    questions = _questions(folder)
    cells = _letters(folder, prices) if _find(folder, "pred_letter.csv") else _answers(folder)
    return _table(folder, questions, prices, cells)


def _table(folder: Path, questions: list[_Question], prices: _Prices, cells: _Cells) -> Outcomes:
    rows = [(question, [cells(question, model) for model in prices]) for question in questions]
    whole = [
        (question, [cell for cell in row if cell is not None])
        for question, row in rows
        if None not in row
    ]
    if not whole:
        raise _wrong(
            f"No question of {folder} was answered by every model of {folder / 'prices.csv'}."
        )
    tasks = tuple(_task(question) for question, _ in whole)
    spoken = [_candidates(question, row) for question, row in whole]
    chars = np.array([[cell.chars for cell in row] for _, row in whole], dtype=np.int64)
    sent = np.array([task.prompt_chars for task in tasks], dtype=np.float64)[:, None]
    usd_per_mtok = np.array(list(prices.values()), dtype=np.float64)
    usd = (sent * usd_per_mtok[:, 0] + chars * usd_per_mtok[:, 1]) / CHARS_PER_TOKEN / 1e6
    return Outcomes(
        models=tuple(prices),
        tasks=tasks,
        candidates=tuple(candidates for candidates, _ in spoken),
        said=np.array([said for _, said in spoken], dtype=np.int64),
        right=np.array([[cell.right for cell in row] for _, row in whole], dtype=np.bool_),
        chars=chars,
        usd=usd,
        truth=np.array([_truth_of(question) for question, _ in whole], dtype=np.int64),
    )


def _task(question: _Question) -> Task:
    text_chars = len(question.question) + sum(map(len, question.options))
    return Task(
        id="/".join(filter(None, question.key)),
        kind=question.category or question.task,
        text=question.question,
        options=tuple(question.options),
        prompt_chars=text_chars if question.prompt_chars is None else question.prompt_chars,
    )


def _truth_of(question: _Question) -> int:
    place = string.ascii_uppercase.find(str(question.answer).strip().upper() or "?")
    return place if place < len(question.options) else -1


def _candidates(question: _Question, row: list[_Cell]) -> tuple[tuple[str, ...], list[int]]:
    """Return the candidates of a task and which of them each model named."""
    if question.options:
        places = {letter: place for place, letter in enumerate(string.ascii_uppercase)}
        count = len(question.options)
        said = [places.get(cell.said, -1) for cell in row]
        return tuple(question.options), [place if place < count else -1 for place in said]
    texts: dict[str, str] = {}
    senses = [sense(cell.said) for cell in row]
    for meant, cell in zip(senses, row, strict=True):
        texts.setdefault(meant, cell.said)
    order = {meant: place for place, meant in enumerate(texts)}
    return tuple(texts.values()), [order[meant] for meant in senses]


def _letters(folder: Path, prices: _Prices) -> _Cells:
    letters = _by_question(folder, "pred_letter.csv", prices)
    lengths = _by_question(folder, "output_chars.csv", prices)

    def cell(question: _Question, model: str) -> _Cell | None:
        if not question.options:
            raise _wrong(f"Question {question.key[1]} of {folder} has no options.")
        name = question.key[1]
        letter = letters.get(name, {}).get(model, "").strip().upper()
        if not letter:
            return None
        length = lengths.get(name, {}).get(model, "")
        chars = _count(length or "0", f"{folder}: output_chars of question {name}, {model}")
        return _Cell(said=letter, chars=chars, right=letter == str(question.answer).strip().upper())

    return cell


def _by_question(folder: Path, name: str, prices: _Prices) -> dict[str, dict[str, str]]:
    rows: dict[str, dict[str, str]] = {}
    path = _need(folder, name)
    for line, row in enumerate(_csv(path), start=2):
        missing = [model for model in ("question_id", *prices) if row.get(model) is None]
        if missing:
            raise _wrong(f"{path}, line {line}: there is no column {missing[0]!r}.")
        rows[row["question_id"]] = row
    return rows


def _answers(folder: Path) -> _Cells:
    path = _need(folder, "outcomes.csv")
    cells: dict[tuple[str, str, str], _Cell] = {}
    for line, row in enumerate(_csv(path), start=2):
        place = f"{path}, line {line}"
        wanted = ("task", "id", "model", "correct", "output_chars", "extracted_answer")
        missing = [name for name in wanted if row.get(name) is None]
        if missing:
            raise _wrong(f"{place}: there is no {missing[0]!r}.")
        cells[row["task"], row["id"], row["model"]] = _Cell(
            said=row["extracted_answer"],
            chars=_count(row["output_chars"] or "0", place),
            right=_truth(row["correct"], place),
        )

    def cell(question: _Question, model: str) -> _Cell | None:
        return cells.get((*question.key, model))

    return cell


def _prices(folder: Path) -> dict[str, tuple[float, float]]:
    path = _need(folder, "prices.csv")
    prices: dict[str, tuple[float, float]] = {}
    for line, row in enumerate(_csv(path), start=2):
        try:
            price = float(row["usd_per_mtok_in"]), float(row["usd_per_mtok_out"])
        except (KeyError, ValueError, TypeError):
            raise _wrong(
                f"{path}, line {line}: wanted model,usd_per_mtok_in,usd_per_mtok_out."
            ) from None
        if not all(0 <= amount < float("inf") for amount in price):
            raise _wrong(f"{path}, line {line}: a price is a number from 0 up.")
        prices[row.get("model") or ""] = price
    return prices


def _questions(folder: Path) -> list[_Question]:
    path = _need(folder, "questions.jsonl")
    decoder = msgspec.json.Decoder(_Question)
    found: dict[tuple[str, str], _Question] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            question = decoder.decode(line)
        except (msgspec.DecodeError, json.JSONDecodeError) as error:
            raise _wrong(f"{path}, line {number}: {error}.") from None
        if question.key[1] == "None":
            raise _wrong(f"{path}, line {number}: neither `question_id` nor `id`.")
        if found.setdefault(question.key, question) is not question:
            raise _wrong(f"{path}, line {number}: question {question.key[1]} is there twice.")
    return list(found.values())


def _find(folder: Path, name: str) -> Path | None:
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if path.is_file()), None)


def _need(folder: Path, name: str) -> Path:
    path = _find(folder, name)
    if path is None:
        raise _wrong(f"{folder} has no {name} (nor {name}.gz).")
    return path


def _lines(path: Path) -> Iterator[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            yield from file
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise _wrong(f"{path} could not be read: {error}.") from error


def _csv(path: Path) -> Iterator[dict[str, str]]:
    try:
        yield from csv.DictReader(_lines(path))
    except csv.Error as error:
        raise _wrong(f"{path} is not CSV: {error}.") from error


def _count(text: str, place: str) -> int:
    try:
        value = int(float(text))
    except (ValueError, OverflowError):
        raise _wrong(f"{place}: {text!r} is not a number of characters.") from None
    if value < 0:
        raise _wrong(f"{place}: {text!r} is below zero.")
    return value


def _truth(text: str, place: str) -> bool:
    truths = {"1": True, "0": False, "true": True, "false": False, "1.0": True, "0.0": False}
    found = truths.get(text.strip().lower())
    if found is None:
        raise _wrong(f"{place}: `correct` is {text!r}, neither 1 nor 0.")
    return found


def _wrong(message: str) -> InvalidRequest:
    return InvalidRequest(message, hint=_LAYOUT)
