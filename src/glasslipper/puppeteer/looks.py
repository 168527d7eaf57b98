"""How a task and its candidates look, as numbers, before anybody has said which is right.

A task by its length and make-up; an option beside the other options of its task (is it the odd
one out, how does its number relate to theirs); a free answer by itself and against the task's
text. Nothing here is learned and no right answer is read. Vectors of the texts come from
outside.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from glasslipper.puppeteer.answers import sense
from glasslipper.puppeteer.outcomes import Floats, Task

Vectors = Callable[[Sequence[str]], Floats]
"""Turns texts into one vector of length one each."""

_Row = NDArray[np.float64]

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"[-\u2212]?\d[\d,]*\.?\d*")
_DECIMALS = re.compile(r"\.(\d+)")
_MOST = 8.0
_STYLES: tuple[Callable[[str], bool], ...] = (
    lambda text: text[:1].isupper(),
    lambda text: text.rstrip().endswith("."),
    lambda text: any(map(str.isdigit, text)),
    lambda text: "$" in text,
    lambda text: "," in text,
    lambda text: "(" in text,
    lambda text: "%" in text,
    lambda text: not text.isascii(),
)
_PHRASES = (
    ("none of", "neither", "cannot be", "not enough"),
    ("all of", "both"),
    (" not ", "never", "no "),
    ("only", "always", "must"),
)
_POWERS_OF_TEN = (10.0, 100.0, 1000.0, 0.1, 0.01, 0.001)

TASK_LOOKS = 11
"""How many numbers describe a task."""
OPTION_LOOKS = 56
"""How many numbers describe an option beside the others."""
ANSWER_LOOKS = 16
"""How many numbers describe a free answer."""


def task_looks(task: Task) -> Floats:
    """Return `TASK_LOOKS` numbers: lengths in logarithms, shares of sorts of characters."""
    text = task.text
    size = max(len(text), 1)
    option_chars = sum(map(len, task.options))
    digits = sum(map(str.isdigit, text))
    return np.array(
        [
            np.log1p(len(text)),
            np.log1p(option_chars),
            np.log1p(task.prompt_chars),
            len(task.options) / 10,
            np.log1p(len(_NUMBER.findall(text))),
            10 * digits / size,
            10 * sum(text.count(sign) for sign in "\\$^=+") / size,
            np.log1p(text.count("\n")),
            float("?" in text),
            float(any(word in text.lower() for word in (" not ", "except", "false"))),
            float("___" in text),
        ],
        dtype=np.float32,
    )


def option_looks(task: Task, vectors: Floats, task_vector: Floats) -> Floats:
    """Return `OPTION_LOOKS` numbers for each option of a task.

    `vectors` has one row an option.
    """
    options = task.options
    columns = [
        *_meaning(vectors, task_vector),
        *_size(options),
        *_words(options, task.text),
        *_numbers(options),
        *_digits(options),
        *_style(options),
        *_place(len(options)),
    ]
    return np.clip(np.array(columns, dtype=np.float32).T, -_MOST, _MOST)


def answer_looks(task: Task, answer: str) -> Floats:
    """Return `ANSWER_LOOKS` numbers for a free answer."""
    meant = sense(answer)
    value = _float(meant)
    known = 0.0 if value is None else value
    told = {sense(number) for number in _NUMBER.findall(task.text)}
    size = max(len(answer), 1)
    return np.array(
        [
            float(not answer.strip()),
            float(value is not None),
            float(np.sign(known) * np.log1p(abs(known)) / 4),
            float(value is not None and known.is_integer()),
            float(known < 0),
            float(value == 0),
            float(value == 1),
            float(meant in told),
            float(value is not None and known.is_integer() and known % 5 == 0),
            min(float(np.log1p(len(answer))), _MOST) / 2,
            float(sum(map(str.isdigit, answer)) / size),
            float(sum(answer.count(sign) for sign in "\\^{}") / size),
            float("/" in answer or "frac" in answer),
            float(any(sign in answer for sign in "[({")),
            float(meant.lower() in ("true", "false", "none")),
            float(len(answer.split()) > 4),
        ],
        dtype=np.float32,
    )


def _meaning(vectors: Floats, task_vector: Floats) -> list[_Row]:
    """How near an option is to the others and to the task."""
    count = len(vectors)
    near = (vectors @ vectors.T).astype(np.float64)
    np.fill_diagonal(near, 0)
    central = near.sum(1) / max(count - 1, 1)
    np.fill_diagonal(near, -1)
    nearest = near.max(1) if count > 1 else np.zeros(count)
    to_task = (vectors @ task_vector).astype(np.float64)
    return [
        central,
        _standard(central),
        _rank(central),
        nearest,
        _standard(nearest),
        to_task,
        _standard(to_task),
    ]


def _size(options: Sequence[str]) -> list[_Row]:
    chars = np.array([len(option) for option in options], dtype=np.float64)
    words = np.array([len(option.split()) for option in options], dtype=np.float64)
    logs = np.log1p(chars)
    return [_rank(chars), _standard(logs), logs, _standard(words)]


def _words(options: Sequence[str], text: str) -> list[_Row]:
    """What an option shares with the others and with the task."""
    sets = [set(_WORD.findall(option.lower())) for option in options]
    shared = _overlaps(sets)
    triples = [{option[i : i + 3] for i in range(max(len(option) - 2, 1))} for option in options]
    alike = _overlaps(triples)
    told = set(_WORD.findall(text.lower()))
    overlap = np.array([len(words & told) / max(len(words), 1) for words in sets])
    first = [option.split()[0].lower() if option.split() else "" for option in options]
    last = [option.split()[-1].lower() if option.split() else "" for option in options]
    return [
        shared.sum(1) / max(len(options) - 1, 1),
        _standard(shared.sum(1)),
        shared.max(1),
        overlap,
        _standard(overlap),
        _standard(alike.sum(1)),
        alike.max(1),
        _commonness(first),
        _commonness(last),
    ]


def _overlaps(sets: Sequence[set[str]]) -> _Row:
    """Return the Jaccard similarity of each pair, 0 on the diagonal."""
    words: set[str] = set[str]().union(*sets)
    vocabulary = {word: place for place, word in enumerate(words)}
    holds = np.zeros((len(sets), max(len(vocabulary), 1)))
    for row, own in enumerate(sets):
        holds[row, [vocabulary[word] for word in own]] = 1
    both = holds @ holds.T
    sizes = holds.sum(1)
    either = sizes[:, None] + sizes[None] - both
    shared = both / np.maximum(either, 1)
    np.fill_diagonal(shared, 0)
    return shared


def _numbers(options: Sequence[str]) -> list[_Row]:
    """How an option's number relates to the others', where nearly all have one."""
    count = len(options)
    found = [_first_number(option) for option in options]
    has = np.array([number is not None for number in found])
    told = has.astype(np.float64)
    if has.sum() < max(count - 1, 2):
        return [np.zeros(count), told, *[np.zeros(count) for _ in range(12)]]
    values = np.array([0.0 if number is None else number for number in found])
    values[~has] = np.median(values[has])
    return [np.ones(count), told, *_relations(values)]


def _relations(values: _Row) -> list[_Row]:
    count = len(values)
    rank = _rank(values)
    logs = np.sign(values) * np.log1p(np.abs(values))
    safe = np.where(values == 0, np.nan, values)
    ratio = np.abs(values[:, None] / safe[None])
    near = (np.abs(ratio - 1) < 0.15) & (ratio != 1)
    double = (np.abs(ratio - 2) < 0.02) | (np.abs(ratio - 0.5) < 0.005)
    tenfold = np.any([np.abs(ratio / power - 1) < 0.01 for power in _POWERS_OF_TEN], axis=0)
    opposite = (values[:, None] == -values[None]) & (values[:, None] != 0)
    gaps = np.abs(logs[:, None] - logs[None])
    to_all = gaps.sum(1)
    np.fill_diagonal(gaps, np.inf)
    return [
        rank,
        rank * rank,
        np.abs(rank),
        _standard(logs),
        near.sum(1) / count,
        double.sum(1).astype(np.float64),
        tenfold.sum(1).astype(np.float64),
        opposite.sum(1).astype(np.float64),
        _standard(np.minimum(gaps.min(1), 5.0)),
        _standard(np.abs(logs - np.median(logs))),
        _standard(to_all),
        (values < 0).astype(np.float64),
    ]


def _digits(options: Sequence[str]) -> list[_Row]:
    """How exactly an option is given."""
    decimals = [len(found[1]) if (found := _DECIMALS.search(text)) else 0 for text in options]
    digits = [re.sub(r"\D", "", text).lstrip("0") for text in options]
    return [
        _commonness(decimals),
        np.array(decimals, dtype=np.float64),
        _standard(np.array(decimals, dtype=np.float64)),
        _standard(np.array([len(text) for text in digits], dtype=np.float64)),
        np.array([float(bool(text) and not text.endswith("0")) for text in digits]),
    ]


def _style(options: Sequence[str]) -> list[_Row]:
    rows = [[test(option) for test in _STYLES] for option in options]
    marks = np.array(rows, dtype=np.float64)
    spaced = [f" {option.lower()} " for option in options]
    phrases = [
        np.array([float(any(phrase in text for phrase in group)) for text in spaced])
        for group in _PHRASES
    ]
    return [
        *(marks - marks.mean(0)).T,
        _commonness([tuple(row) for row in rows]),
        *[mark - mark.mean() / 2 for mark in phrases],
    ]


def _place(count: int) -> list[_Row]:
    places = np.arange(count, dtype=np.float64)
    return [
        places / 9 - 0.5,
        (places == 0).astype(np.float64),
        (places < 4).astype(np.float64),
        np.full(count, count / 10),
    ]


def _commonness(values: Sequence[object]) -> _Row:
    """Return the share of the options that have the same value."""
    counts = Counter(values)
    return np.array([counts[value] / len(values) for value in values])


def _standard(values: _Row) -> _Row:
    spread = values.std() + 1e-3 + 1e-6 * abs(values.mean())
    return (values - values.mean()) / spread


def _rank(values: _Row) -> _Row:
    """Return ranks from -0.5 to 0.5, ties in the middle."""
    below = (values[:, None] > values[None]).sum(1)
    same = (values[:, None] == values[None]).sum(1) - 1
    return (below + same / 2) / max(len(values) - 1, 1) - 0.5


def _first_number(text: str) -> float | None:
    found = _NUMBER.search(text)
    return None if found is None else _float(found[0].replace(",", "").replace("\u2212", "-"))


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) and abs(value) < 1e300 else None
