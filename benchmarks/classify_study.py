"""Leave-one-source-out: how the heads are chosen, and judged on sources that they never saw.

To judge a family of corpora, everything is chosen without it: the knobs by leaving out each of
the *other* families in turn; the temperature, the mixture that the head expects and the trust in
habits on the same left-out predictions. What is chosen thus is fitted on all other families and
asked about the one left out, once. So nothing about a judged source, neither a text nor a label,
has any way into what labels it; a test scrambles its labels and gets the same answers.

`with_own_labels` is the other end: how far the same head comes when most of a source's own labels
are given to it, which bounds what any choice without them could reach.

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
from glasslipper.classify.features import SIGNALS_AT, features
from glasslipper.classify.fit import (
    Examples,
    Knobs,
    fit_apart,
    fit_meaning,
    fit_signals,
    temperature,
)
from glasslipper.classify.habits import Habits
from glasslipper.classify.head import LinearHead

if TYPE_CHECKING:
    from glasslipper.classify.features import Embed

MOST_OF_A_LABEL = 250
"""Prompts of one label that are trained on from one corpus."""

GRID = tuple(
    Knobs(pull, meaning_pull, meaning_weight, seeds)
    for pull, meaning_pull, meaning_weight, seeds in itertools.product(
        (0.003, 0.01), (0.001, 0.003), (0.5, 1.0, 1.5, 2.0), (6.0, 15.0)
    )
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
    """What was chosen without looking, and how well it did on the families left out inside.

    `usual` is the mixture of topics that the head expects, `trust` how far habits are trusted.
    """

    knobs: Knobs
    temperature: float
    usual: NDArray[np.float32]
    trust: float
    inner: float

    def told(self) -> dict[str, float]:
        """Return all numbers by name."""
        return {
            **self.knobs._asdict(),
            "temperature": round(self.temperature, 3),
            "trust": self.trust,
            "inner_balanced_accuracy": round(self.inner, 4),
        }


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
    usable = np.ones(len(data.labels), dtype=np.bool_)
    if without is not None:
        usable = ~data.family(without)
    inside = [
        _Inside(data, prior, usable, name)
        for name in data.judged()
        if name != without and (usable & data.family(name) & data.trains).any()
    ]

    def right(knobs: Knobs) -> float:
        shares = [balanced_accuracy(one.scores(knobs).argmax(axis=1), one.labels) for one in inside]
        return float(np.mean(shares))

    knobs = max(grid, key=right)
    labels = [one.labels for one in inside]
    scores = [one.scores(knobs) for one in inside]
    weights = [np.full(len(some), 1.0 / len(some)) for some in labels]
    fitted = temperature(np.vstack(scores), np.concatenate(labels), np.concatenate(weights))
    chances = [_probabilities(found, fitted) for found in scores]
    usual = _usual(chances, labels, len(data.names))
    return Chosen(knobs, fitted, usual, _trust(chances, labels, usual), right(knobs))


class _Inside:
    """A family left out inside: its rows' scores by heads that were fitted without it."""

    def __init__(
        self, data: Table, prior: NDArray[np.float64], usable: NDArray[np.bool_], name: str
    ) -> None:
        mine = usable & data.family(name) & data.trains
        self._rows, self.labels = data.rows[mine], data.labels[mine]
        self._examples, self._prior = data.examples(usable & ~data.family(name)), prior
        self._meaning: dict[tuple[float, float], NDArray[np.float64]] = {}
        self._signals: dict[tuple[float, float], NDArray[np.float64]] = {}

    def scores(self, knobs: Knobs) -> NDArray[np.float64]:
        """Return shape (rows, labels); each part is fitted once for all its weights."""
        at, how = SIGNALS_AT, (self._examples, self._prior, knobs)
        key = (knobs.meaning_pull, knobs.seed_weight)
        if key not in self._meaning:
            shown = np.hstack([self._rows[:, :at], self._rows[:, -1:]])
            self._meaning[key] = shown @ fit_meaning(*how, signals_at=at)
        other = (knobs.pull, knobs.seed_weight)
        if other not in self._signals:
            self._signals[other] = self._rows[:, at:] @ fit_signals(*how, signals_at=at)
        return knobs.meaning_weight * self._meaning[key] + self._signals[other]


def _probabilities(scores: NDArray[np.float64], temperature: float) -> NDArray[np.float32]:
    raised = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)


def _usual(
    chances: Sequence[NDArray[np.float32]], labels: Sequence[NDArray[np.int64]], count: int
) -> NDArray[np.float32]:
    """Return what is told on average where every label is asked alike.

    Families that have a label count alike for it; one that none has is taken to be told as often
    as it is asked.
    """
    told = np.eye(count)
    for label in range(count):
        means = [
            found[wanted == label].mean(axis=0)
            for found, wanted in zip(chances, labels, strict=True)
            if (wanted == label).any()
        ]
        if means:
            told[label] = np.mean(means, axis=0)
    usual = told.mean(axis=0)
    return (usual / usual.sum()).astype(np.float32)


def _trust(
    chances: Sequence[NDArray[np.float32]],
    labels: Sequence[NDArray[np.int64]],
    usual: NDArray[np.float32],
) -> float:
    def right(trust: float) -> float:
        shares = [
            float((in_turn(found, usual, trust).argmax(axis=1) == wanted).mean())
            for found, wanted in zip(chances, labels, strict=True)
        ]
        return float(np.mean(shares))

    return max(TRUSTS, key=right)


def in_turn(
    chances: NDArray[np.float32], usual: NDArray[np.float32], trust: float
) -> NDArray[np.float32]:
    """Return what a workload of these prompts, in random order, makes of their probabilities."""
    habits = Habits(usual, trust)
    order = np.random.default_rng(7).permutation(len(chances))
    adjusted = np.empty_like(chances)
    for at in order.tolist():
        adjusted[at] = habits.apply("one", chances[at])
    return adjusted


def judge(data: Table, prior: NDArray[np.float64], grid: Sequence[Knobs], *, family: str) -> Judged:
    """Choose and fit without a family, then ask about all its judged prompts."""
    chosen = choose(data, prior, grid, without=family)
    mine = data.family(family)
    weights = fit_apart(data.examples(~mine), prior, chosen.knobs, signals_at=SIGNALS_AT)
    shown = np.array([data.known[place].judged for place in data.corpora.tolist()])
    mask = mine & shown
    asked = LinearHead(data.names, weights.astype(np.float32), chosen.temperature)
    return Judged(mask, asked.probabilities(data.rows[mask].astype(np.float32)), chosen)


def with_own_labels(
    data: Table,
    prior: NDArray[np.float64],
    chosen: Chosen,
    *,
    corpus: str,
    folds: int,
    alone: bool,
) -> NDArray[np.float64]:
    """Return scores of a corpus's prompts, the labels of its *other* folds given.

    They are added to everything else, or stand `alone`: then the head learns the corpus's mixture
    of labels too. This is no figure of the classifier: it tells what the labels allow.
    """
    mine = data.corpus(corpus)
    fold = np.random.default_rng(7).integers(0, folds, len(data.labels))
    scores = np.zeros((len(data.labels), len(data.names)))
    for one in range(folds):
        asked = mine & (fold == one)
        if alone:
            examples = data.examples(mine & ~asked)
            examples = examples._replace(corpora=np.zeros_like(examples.corpora))
        else:
            examples = data.examples(~asked)
        weights = fit_apart(examples, prior, chosen.knobs, signals_at=SIGNALS_AT)
        scores[asked] = data.rows[asked] @ weights
    return scores[mine]


def balanced_accuracy(found: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the mean over the labels of the share that was found."""
    return float(np.mean([(found[labels == one] == one).mean() for one in np.unique(labels)]))


def f1(found: NDArray[np.int64], labels: NDArray[np.int64], label: int) -> float:
    """Return the harmonic mean of precision and recall of one label."""
    right = int(((found == label) & (labels == label)).sum())
    told = int((found == label).sum()) + int((labels == label).sum())
    return 2 * right / told if told else 0.0


def best_f1(scores: NDArray[np.float64], is_label: NDArray[np.bool_]) -> float:
    """Return the F1 of the best threshold on a score, chosen with all labels in sight."""
    right = np.cumsum(is_label[np.argsort(-scores, kind="stable")])
    told = np.arange(1, len(scores) + 1) + int(is_label.sum())
    return float((2 * right / told).max())


def macro_f1(found: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the mean F1 over the labels that occur."""
    return float(np.mean([f1(found, labels, int(one)) for one in np.unique(labels)]))


__all__ = [
    "GRID",
    "OURS",
    "Judged",
    "Table",
    "balanced_accuracy",
    "best_f1",
    "choose",
    "f1",
    "in_turn",
    "judge",
    "macro_f1",
    "prompts_of",
    "rows_of",
    "table",
    "with_own_labels",
]
