"""Words that hint at what a text is about: the vocabulary of each topic, the verbs of each task.

A hint is a feature that a head weighs, not a verdict. The lists (`lexicon.tsv`) were written from
the meanings of the topics, not collected from any corpus. A word may stand in several lists; two
words joined by a hyphen are also found where a space is between them. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from importlib import resources
from itertools import pairwise
from typing import NamedTuple


class WordLists(NamedTuple):
    """Named lists, and in which of them (by position) each word stands."""

    names: tuple[str, ...]
    where: Mapping[str, tuple[int, ...]]

    def counts(self, words: Iterable[str]) -> list[int]:
        """Return how many of the words stand in each of the lists."""
        found = [0] * len(self.names)
        for word in words:
            for position in self.where.get(word, ()):
                found[position] += 1
        return found


class Lexicon(NamedTuple):
    """What the table holds; `pieces` are of scripts that put no spaces between words."""

    topics: WordLists
    tasks: WordLists
    pieces: Mapping[str, tuple[str, ...]]
    first_of_pairs: AbstractSet[str]


def load() -> Lexicon:
    """Read the table that comes with this package."""
    kinds: dict[str, dict[str, tuple[str, ...]]] = {"topic": {}, "task": {}, "piece": {}}
    table = resources.files("glasslipper.classify") / "lexicon.tsv"
    for line in table.read_text(encoding="utf-8").splitlines():
        kind, name, words = line.split("\t")
        kinds[kind][name] = tuple(words.split())
    listed = (word for words in kinds["topic"].values() for word in words)
    firsts = frozenset(word[:at] for word in listed for at, one in enumerate(word) if one == "-")
    return Lexicon(_lists(kinds["topic"]), _lists(kinds["task"]), kinds["piece"], firsts)


def with_pairs(words: list[str], distinct: set[str], firsts: AbstractSet[str]) -> set[str]:
    """Return the distinct words, and two neighbours joined by a hyphen where the first may be."""
    if distinct.isdisjoint(firsts):
        return distinct
    return distinct | {f"{one}-{other}" for one, other in pairwise(words) if one in firsts}


def _lists(words: Mapping[str, tuple[str, ...]]) -> WordLists:
    where: dict[str, tuple[int, ...]] = {}
    for position, listed in enumerate(words.values()):
        for word in listed:
            where[word] = (*where.get(word, ()), position)
    return WordLists(tuple(words), where)
