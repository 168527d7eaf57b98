"""Small Python functions: a wish in words, one example, and probes that decide.

What is wished for differs between training and judging, not only its numbers.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from typing import NamedTuple, cast

from glasslipper.puppeteer.exam.task import Split, Task

_WORDS = ["level", "Banana", "hello world", "a", "", "Noon", "abcabc", "The quick fox", "zz9"]


class _Wish(NamedTuple):
    name: str
    parameter: str
    says: str
    of: Callable[[object, int], object]


def _of_numbers(name: str, says: str, does: Callable[[list[int], int], object]) -> _Wish:
    def of(value: object, k: int) -> object:
        return does(cast("list[int]", value), k)

    return _Wish(name, "xs", says, of)


def _of_text(name: str, says: str, does: Callable[[str, int], object]) -> _Wish:
    def of(value: object, k: int) -> object:
        return does(cast("str", value), k)

    return _Wish(name, "s", says, of)


def _numbers(chance: random.Random) -> list[int]:
    return [chance.randint(-20, 40) for _ in range(chance.randint(0, 7))]


_TRAIN: list[_Wish] = [
    _of_numbers(
        "total_above",
        "the sum of the numbers in xs that are greater than {k}",
        lambda xs, k: sum(x for x in xs if x > k),
    ),
    _of_numbers(
        "count_even",
        "how many numbers in xs are even",
        lambda xs, k: sum(x % 2 == 0 for x in xs),
    ),
    _of_numbers(
        "scaled",
        "a list of the numbers in xs, each multiplied by {k}",
        lambda xs, k: [x * k for x in xs],
    ),
    _of_numbers(
        "spread",
        "the largest minus the smallest number in xs, or 0 if xs is empty",
        lambda xs, k: max(xs) - min(xs) if xs else 0,
    ),
    _of_numbers(
        "distinct",
        "the numbers in xs without duplicates, in the order of first appearance",
        lambda xs, k: list(dict.fromkeys(xs)),
    ),
    _of_numbers(
        "every_nth",
        "every {k}-th element of xs, starting with the first",
        lambda xs, k: xs[::k],
    ),
    _of_text(
        "vowels",
        "how many of the letters aeiou are in s, ignoring case",
        lambda s, k: sum(c in "aeiou" for c in s.lower()),
    ),
    _of_text(
        "is_palindrome",
        "whether s reads the same backwards, ignoring case",
        lambda s, k: s.lower() == s.lower()[::-1],
    ),
    _of_text(
        "first_chars",
        "the first {k} characters of s, in upper case",
        lambda s, k: s[:k].upper(),
    ),
    _of_text("without_spaces", "s without its spaces", lambda s, k: s.replace(" ", "")),
    _of_numbers(
        "rotate",
        "xs rotated left by {k} places (an empty list stays empty)",
        lambda xs, k: xs[k % len(xs) :] + xs[: k % len(xs)] if xs else [],
    ),
    _of_text("digits", "the number of digits in s", lambda s, k: sum(c.isdigit() for c in s)),
]
_TEST: list[_Wish] = [
    _of_numbers(
        "count_below",
        "how many numbers in xs are smaller than {k}",
        lambda xs, k: sum(x < k for x in xs),
    ),
    _of_numbers(
        "product_of_positive",
        "the product of the positive numbers in xs (1 if there are none)",
        lambda xs, k: math.prod(x for x in xs if x > 0),
    ),
    _of_numbers(
        "shifted",
        "a list of the numbers in xs, each increased by {k}",
        lambda xs, k: [x + k for x in xs],
    ),
    _of_numbers(
        "second_largest",
        "the second largest distinct number in xs, or None if there is none",
        lambda xs, k: sorted(set(xs))[-2] if len(set(xs)) > 1 else None,
    ),
    _of_numbers(
        "running_totals",
        "the list of running totals of xs",
        lambda xs, k: [sum(xs[: i + 1]) for i in range(len(xs))],
    ),
    _of_numbers(
        "pairs_with_sum",
        "how many pairs of positions i < j in xs have xs[i] + xs[j] == {k}",
        lambda xs, k: sum(xs[i] + xs[j] == k for j in range(len(xs)) for i in range(j)),
    ),
    _of_text(
        "consonants",
        "how many letters of s are not vowels, ignoring case",
        lambda s, k: sum(c.isalpha() and c not in "aeiou" for c in s.lower()),
    ),
    _of_text(
        "capital_words",
        "s with the first letter of every word in upper case and the rest unchanged",
        lambda s, k: " ".join(w[:1].upper() + w[1:] for w in s.split(" ")),
    ),
    _of_text("last_chars", "the last {k} characters of s, reversed", lambda s, k: s[-k:][::-1]),
    _of_text(
        "word_lengths",
        "a list with the length of every word of s",
        lambda s, k: [len(w) for w in s.split()],
    ),
    _of_text(
        "repeated", "s repeated {k} times, joined by a hyphen", lambda s, k: "-".join([s] * k)
    ),
    _of_numbers(
        "clipped",
        "a list of the numbers in xs, where every number above {k} becomes {k}",
        lambda xs, k: [min(x, k) for x in xs],
    ),
]


def draw(split: Split, number: int) -> Task:
    """Return a wish, with numbers of its own."""
    wishes = _TRAIN if split == "train" else _TEST
    wish = wishes[number % len(wishes)]
    chance = random.Random(f"functions/{split}/{number}")  # noqa: S311 - tasks, not secrets
    k = chance.randint(2, 5)
    inputs: list[object] = (
        [_numbers(chance) for _ in range(6)] if wish.parameter == "xs" else list(_WORDS)
    )
    shown = [chance.randint(-9, 20) for _ in range(4)] if wish.parameter == "xs" else "Hello 42 all"
    does = wish.of
    example = f"{wish.name}({shown!r}) == {does(shown, k)!r}"
    return Task(
        id=f"functions-{split}-{number}",
        kind="functions",
        form="code",
        text=(
            f"Write a Python function {wish.name}({wish.parameter}) that returns "
            f"{wish.says.format(k=k)}.\nExample: {example}"
        ),
        gold=json.dumps([does(value, k) for value in inputs]),
        function=wish.name,
        probes=json.dumps(inputs),
        example=example,
    )
