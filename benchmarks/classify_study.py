"""Leave-one-source-out: how the heads are chosen, and judged on sources that they never saw.

To judge a family of corpora, everything is chosen without it: the knobs by leaving out each of
the *other* families in turn, the temperature on the same left-out predictions. What is chosen
thus is fitted on all other families and asked about the one left out, once.

Knows rows and labels; reads no file.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classify_corpora import OURS, Corpus, Prompt
from glasslipper.classify.features import features
from glasslipper.classify.fit import Examples, Knobs, fit, temperature
from glasslipper.classify.habits import Habits
from glasslipper.classify.head import LinearHead

if TYPE_CHECKING:
    from glasslipper.classify.features import Embed

MOST_OF_A_LABEL = 250
"""Prompts of one label that are trained on from one corpus."""

GRID = tuple(
    Knobs(pull=pull, prior_scale=1.0, seed_weight=seeds)
    for pull, seeds in itertools.product((0.003, 0.01, 0.03), (4.0, 10.0))
)

TRUSTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How far habits might be trusted."""


class Table(NamedTuple):
    """All prompts of all corpora as rows: features, label, corpus, and who may be trained on."""

    rows: NDArray[np.float64]
    labels: NDArray[np.int64]
    corpora: NDArray[np.int64]
    trains: NDArray[np.bool_]
    known: Sequence[Corpus]
    names: tuple[str, ...]

    def family(self, name: str) -> NDArray[np.bool_]:
        """Return which rows are of a family."""
        ours = [place for place, corpus in enumerate(self.known) if corpus.family == name]
        return np.isin(self.corpora, ours)

    def corpus(self, name: str) -> NDArray[np.bool_]:
        """Return which rows are of a corpus."""
        places = [place for place, corpus in enumerate(self.known) if corpus.name == name]
        return np.isin(self.corpora, places)

    def examples(self, mask: NDArray[np.bool_]) -> Examples:
        """Return the rows of a mask that may be trained on."""
        chosen = mask & self.trains
        return Examples(self.rows[chosen], self.labels[chosen], self.corpora[chosen])

    def judged(self) -> list[str]:
        """Return the families that figures are told for, as far as they have these labels."""
        names = dict.fromkeys(corpus.family for corpus in self.known if corpus.judged)
        return [name for name in names if self.family(name).any()]


class Judged(NamedTuple):
    """A left-out family: its rows, their probabilities, and what was chosen without it."""

    mask: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    chosen: Chosen


class Chosen(NamedTuple):
    """What was chosen without looking: knobs, temperature, and how far habits are trusted."""

    knobs: Knobs
    temperature: float
    trust: float

    def told(self) -> dict[str, float]:
        """Return all of it by name."""
        rounded = {"temperature": round(self.temperature, 3), "trust": self.trust}
        return {**self.knobs._asdict(), **rounded}


def prompts_of(corpora: Sequence[Corpus]) -> list[Prompt]:
    """Return all prompts, corpus after corpus."""
    return [prompt for corpus in corpora for prompt in corpus.prompts]


def rows_of(corpora: Sequence[Corpus], embed: Embed) -> NDArray[np.float64]:
    """Return the features of all prompts, in the order of `prompts_of`."""
    texts = [prompt.text for prompt in prompts_of(corpora)]
    return features(texts, embed).astype(np.float64)


def table(
    corpora: Sequence[Corpus], rows: NDArray[np.float64], names: tuple[str, ...], *, field: str
) -> Table:
    """Return a table for topics or for tags (`field`); prompts without that label are left out."""
    everything = prompts_of(corpora)
    places = [place for place, corpus in enumerate(corpora) for _ in corpus.prompts]
    kept = [at for at, prompt in enumerate(everything) if getattr(prompt, field)]
    labels = np.array([names.index(getattr(everything[at], field)) for at in kept])
    of = np.array([places[at] for at in kept])
    return Table(rows[kept], labels, of, _may_train(labels, of), corpora, names)


def _may_train(labels: NDArray[np.int64], corpora: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Choose at most `MOST_OF_A_LABEL` of every label from every corpus, always the same."""
    cells: dict[tuple[int, int], list[int]] = {}
    for at, cell in enumerate(zip(corpora.tolist(), labels.tolist(), strict=True)):
        cells.setdefault(cell, []).append(at)
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for members in cells.values():
        size = min(len(members), MOST_OF_A_LABEL)
        chosen[random.Random(7).sample(members, size)] = True
    return chosen


def choose(
    data: Table, prior: NDArray[np.float64], grid: Sequence[Knobs], *, without: str | None = None
) -> Chosen:
    """Return what does best on left-out families, `without` unseen.

    Of knobs, best is the mean over families of the mean accuracy over their labels; of trust in
    habits, the mean over families of the accuracy on their prompts as they come.
    """
    families = [name for name in data.judged() if name != without]
    usable = np.ones(len(data.labels), dtype=np.bool_)
    if without is not None:
        usable = ~data.family(without)
    tried: list[tuple[float, Knobs, list[NDArray[np.float64]]]] = []
    for knobs in grid:
        scores = [
            data.rows[usable & data.family(name) & data.trains]
            @ fit(data.examples(usable & ~data.family(name)), prior, knobs)
            for name in families
        ]
        right = [
            balanced_accuracy(found.argmax(axis=1), _labels(data, usable, name))
            for name, found in zip(families, scores, strict=True)
        ]
        tried.append((float(np.mean(right)), knobs, scores))
    _, knobs, scores = max(tried, key=lambda one: one[0])
    labels = [_labels(data, usable, name) for name in families]
    weights = [np.full(len(some), 1.0 / max(len(some), 1)) for some in labels]
    fitted = temperature(np.vstack(scores), np.concatenate(labels), np.concatenate(weights))
    return Chosen(knobs, fitted, _trust(scores, labels, fitted))


def _trust(
    scores: Sequence[NDArray[np.float64]], labels: Sequence[NDArray[np.int64]], fitted: float
) -> float:
    def right(trust: float) -> float:
        shares: list[float] = []
        for found, wanted in zip(scores, labels, strict=True):
            chances = np.exp(found / fitted - (found / fitted).max(axis=1, keepdims=True))
            chances = (chances / chances.sum(axis=1, keepdims=True)).astype(np.float32)
            shares.append(float((in_turn(chances, trust).argmax(axis=1) == wanted).mean()))
        return float(np.mean(shares))

    return max(TRUSTS, key=right)


def in_turn(chances: NDArray[np.float32], trust: float) -> NDArray[np.float32]:
    """Return what a workload of these prompts, in random order, makes of their probabilities."""
    habits = Habits(chances.shape[1], trust)
    order = np.random.default_rng(7).permutation(len(chances))
    adjusted = np.empty_like(chances)
    for at in order.tolist():
        adjusted[at] = habits.apply("one", chances[at])
    return adjusted


def _labels(data: Table, usable: NDArray[np.bool_], name: str) -> NDArray[np.int64]:
    return data.labels[usable & data.family(name) & data.trains]


def judge(data: Table, prior: NDArray[np.float64], grid: Sequence[Knobs], *, family: str) -> Judged:
    """Choose and fit without a family, then ask about all its judged prompts."""
    chosen = choose(data, prior, grid, without=family)
    mine = data.family(family)
    weights = fit(data.examples(~mine), prior, chosen.knobs).astype(np.float32)
    shown = np.array([data.known[place].judged for place in data.corpora.tolist()])
    mask = mine & shown
    asked = LinearHead(data.names, weights, chosen.temperature)
    return Judged(mask, asked.probabilities(data.rows[mask].astype(np.float32)), chosen)


def balanced_accuracy(found: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the mean over the labels of the share that was found."""
    return float(np.mean([(found[labels == one] == one).mean() for one in np.unique(labels)]))


def f1(found: NDArray[np.int64], labels: NDArray[np.int64], label: int) -> float:
    """Return the harmonic mean of precision and recall of one label."""
    right = int(((found == label) & (labels == label)).sum())
    told = int((found == label).sum()) + int((labels == label).sum())
    return 2 * right / told if told else 0.0


def macro_f1(found: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the mean F1 over the labels that occur."""
    return float(np.mean([f1(found, labels, int(one)) for one in np.unique(labels)]))


__all__ = [
    "GRID",
    "OURS",
    "Judged",
    "Table",
    "balanced_accuracy",
    "choose",
    "f1",
    "in_turn",
    "judge",
    "macro_f1",
    "prompts_of",
    "rows_of",
    "table",
]
