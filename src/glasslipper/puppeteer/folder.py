"""Reading outcome folders: `questions`, `prices.csv`, and what was answered, in two layouts.

*Letters*: `pred_letter.csv` and `output_chars.csv`, one row a question and one column a model,
for tasks with options (one that has none is judged by its letter all the same). *Answers*:
`outcomes.csv`, one row for each task and model, for free answers. Any file may be gzipped, and
columns that mean nothing here are passed over. `prices.csv` names the pool; a question that not
every model of the pool has answered is left out, and counted.
"""

from __future__ import annotations

import csv
import gzip
import json
import string
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.puppeteer.answers import sense
from glasslipper.puppeteer.outcomes import Gaps, Outcomes, Task

CHARS_PER_TOKEN = 4
"""How many characters make a token, where only characters were logged."""

_T = TypeVar("_T")
_UNREAD = "-"
_LONGEST_FIELD = 64 << 20
_LAYOUT = "See `glasslipper puppeteer bench --help` for the files of an outcome folder."


class _Question(msgspec.Struct):
    """One line of `questions.jsonl`, in either layout."""

    question: str
    answer: str | int | float | bool | None = ""
    question_id: str | int | None = None
    id: str | int | None = None
    category: str | None = None
    task: str | None = None
    options: list[str] | None = None
    prompt_chars: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        name = self.question_id if self.question_id is not None else self.id
        return self.task or "", str(name)

    @property
    def offers(self) -> list[str]:
        return self.options or []


@dataclass(frozen=True)
class _Cell:
    """What one model answered to one question; `None` if that could not be read."""

    said: str | None
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


def priced(folder: Path) -> tuple[str, ...]:
    """Return the models that a folder's `prices.csv` names.

    Raises:
        InvalidRequest: It is missing, or not as it should be.
    """
    return tuple(_prices(folder))


def _table(folder: Path, questions: list[_Question], prices: _Prices, cells: _Cells) -> Outcomes:
    rows = [(question, [cells(question, model) for model in prices]) for question in questions]
    whole = [
        (question, [cell for cell in row if cell is not None])
        for question, row in rows
        if None not in row
    ]
    silent = Counter(
        model for _, row in rows for model, cell in zip(prices, row, strict=True) if cell is None
    )
    gaps = Gaps(questions=len(rows) - len(whole), models=dict(silent.most_common()))
    if not whole:
        raise _empty(folder, gaps)
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
        gaps=gaps,
    )


def _empty(folder: Path, gaps: Gaps) -> InvalidRequest:
    if not gaps.models:
        return _wrong(f"{folder} holds no question.")
    model, count = next(iter(gaps.models.items()))
    return InvalidRequest(
        f"No question of {folder} was answered by every model of {folder / 'prices.csv'}: "
        f"{count} of {gaps.questions} lack an answer of {model}.",
        hint=f"Leave out of the pool whoever did not answer: --without {model}.",
    )


def _task(question: _Question) -> Task:
    text_chars = len(question.question) + sum(map(len, question.offers))
    return Task(
        id="/".join(filter(None, question.key)),
        kind=question.category or question.task or "",
        text=question.question,
        options=tuple(question.offers),
        prompt_chars=text_chars if question.prompt_chars is None else question.prompt_chars,
    )


def _truth_of(question: _Question) -> int:
    return _place(str(question.answer), question.offers)


def _place(said: str, offers: Sequence[str]) -> int:
    """Return which option is meant, by its letter or its words; -1 if it is none."""
    letter = said.strip(" \t().:").upper()
    if len(letter) == 1 and letter in string.ascii_uppercase:
        place = string.ascii_uppercase.index(letter)
        return place if place < len(offers) else -1
    meant = sense(said)
    return next((place for place, one in enumerate(offers) if meant and sense(one) == meant), -1)


def _gold(folder: Path, question: _Question) -> str:
    """Return the letter that is right.

    Raises:
        InvalidRequest: The question does not say.
    """
    letter = str(question.answer).strip().upper()
    if question.offers:
        place = _place(str(question.answer), question.offers)
        letter = string.ascii_uppercase[place] if 0 <= place < len(string.ascii_uppercase) else ""
    if len(letter) != 1 or letter not in string.ascii_uppercase:
        raise _wrong(
            f"{folder}: the answer to question {question.key[1]} is {question.answer!r}, which is "
            "not the letter of an option."
        )
    return letter


def _candidates(question: _Question, row: list[_Cell]) -> tuple[tuple[str, ...], list[int]]:
    """Return the candidates of a task and which of them each model named."""
    if question.offers:
        said = [_place(cell.said or "", question.offers) for cell in row]
        return tuple(question.offers), said
    texts: dict[str, str] = {}
    senses = [None if cell.said is None else sense(cell.said) for cell in row]
    for meant, cell in zip(senses, row, strict=True):
        if meant is not None:
            texts.setdefault(meant, cell.said or "")
    order = {meant: place for place, meant in enumerate(texts)}
    return tuple(texts.values()), [-1 if meant is None else order[meant] for meant in senses]


def _letters(folder: Path, prices: _Prices) -> _Cells:
    letters = _by_question(folder, "pred_letter.csv", prices)
    lengths = _by_question(folder, "output_chars.csv", prices)

    def cell(question: _Question, model: str) -> _Cell | None:
        name = question.key[1]
        letter = letters.get(name, {}).get(model, "").strip(" \t().:").upper()
        if not letter:
            return None
        length = lengths.get(name, {}).get(model, "")
        chars = _count(length or "0", f"{folder}: output_chars of question {name}, {model}")
        said = None if letter == _UNREAD else letter
        return _Cell(said=said, chars=chars, right=letter == _gold(folder, question))

    return cell


def _by_question(folder: Path, name: str, prices: _Prices) -> dict[str, dict[str, str]]:
    rows: dict[str, dict[str, str]] = {}
    path = _need(folder, name)
    for line, row in enumerate(_csv(path), start=2):
        missing = [model for model in ("question_id", *prices) if row.get(model) is None]
        if missing:
            raise _wrong(f"{path}, line {line}: there is no column {missing[0]!r}.")
        if rows.setdefault(row["question_id"], row) is not row:
            raise _wrong(f"{path}, line {line}: question {row['question_id']} is there twice.")
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
        key = row["task"], row["id"], row["model"]
        if key in cells:
            raise _wrong(f"{place}: {row['model']} answers question {row['id']} twice.")
        cells[key] = _Cell(
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
        if not row.get("model"):
            raise _wrong(f"{path}, line {line}: there is no model.")
        if row["model"] in prices:
            raise _wrong(f"{path}, line {line}: {row['model']} is there twice.")
        prices[row["model"]] = price
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
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield from file
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise _wrong(f"{path} could not be read: {error}.") from error


def _csv(path: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(_LONGEST_FIELD)
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
