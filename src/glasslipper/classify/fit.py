"""Trains a linear head that is meant for sources that it has never seen.

Multinomial logistic regression with four twists against learning the habits of its corpora:

- every corpus gets an intercept of its own for each label, which is thrown away afterwards, so
  that the mixture of labels in a corpus does not look like knowledge about words;
- weights are pulled towards a prior (`prior`), not towards zero;
- what a corpus says about a label weighs by the root of the number of its prompts, so that a
  large corpus does not drown the others;
- the columns of the words' meaning and those of the signals are fitted apart and added up
  (`fit_apart`), so that neither leans on how the other behaves in these corpora.

The same data gives the same weights. Knows arrays only: no text, no file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_STEPS = 120
_MEMORY = 8
_TOLERANCE = 1e-5
_LEAST_STEP = 1e-6


class Knobs(NamedTuple):
    """What inner validation chooses.

    `pull` is that of the prior on the signals, `meaning_pull` that of zero on the meaning,
    `meaning_weight` how much the meaning counts beside the signals, `seed_weight` how much one of
    our own seeds counts beside another corpus's prompt.
    """

    pull: float = 0.003
    meaning_pull: float = 0.001
    meaning_weight: float = 1.5
    seed_weight: float = 10.0


class Examples(NamedTuple):
    """Rows of features (n, width), their labels (n) and the corpus that each is from (n).

    Corpus 0 is our own seeds: it has every label and no intercept of its own.
    """

    rows: Floats
    labels: Ints
    corpora: Ints

    def where(self, mask: NDArray[np.bool_]) -> Examples:
        """Return the examples that the mask lets through."""
        return Examples(self.rows[mask], self.labels[mask], self.corpora[mask])


def fit_apart(examples: Examples, prior: Floats, knobs: Knobs, *, signals_at: int) -> Floats:
    """Return weights of the prior's shape; columns before `signals_at` are of meaning."""
    meaning = fit_meaning(examples, prior, knobs, signals_at=signals_at)
    return joined(meaning, fit_signals(examples, prior, knobs, signals_at=signals_at), knobs)


def fit_meaning(examples: Examples, prior: Floats, knobs: Knobs, *, signals_at: int) -> Floats:
    """Return weights of the columns before `signals_at`, and of a one after them."""
    import numpy as np

    one = examples.rows[:, -1:]
    shown = examples._replace(rows=np.hstack([examples.rows[:, :signals_at], one]))
    centre = np.zeros((signals_at + 1, prior.shape[1]), dtype=np.float64)
    return fit(shown, centre, pull=knobs.meaning_pull, seed_weight=knobs.seed_weight)


def fit_signals(examples: Examples, prior: Floats, knobs: Knobs, *, signals_at: int) -> Floats:
    """Return weights of the columns from `signals_at` on, the last of which is a one."""
    shown = examples._replace(rows=examples.rows[:, signals_at:])
    return fit(shown, prior[signals_at:], pull=knobs.pull, seed_weight=knobs.seed_weight)


def joined(meaning: Floats, signals: Floats, knobs: Knobs) -> Floats:
    """Return one head whose scores are the sum of both."""
    import numpy as np

    weights = np.vstack([knobs.meaning_weight * meaning[:-1], signals])
    weights[-1] += knobs.meaning_weight * meaning[-1]
    return weights


def fit(examples: Examples, prior: Floats, *, pull: float, seed_weight: float) -> Floats:
    """Return weights of the prior's shape (width, labels), pulled towards it."""
    import numpy as np

    width, labels = prior.shape
    weights = _example_weights(examples, labels, seed_weight)
    others = int(examples.corpora.max(initial=0))
    own = np.zeros((len(examples.labels), others), dtype=np.float64)
    from_others = examples.corpora > 0
    own[from_others, examples.corpora[from_others] - 1] = _FREEDOM
    rows = np.hstack([examples.rows, own])
    centre = np.zeros((width + others, labels), dtype=np.float64)
    centre[:width] = prior
    wanted = np.zeros((len(examples.labels), labels), dtype=np.float64)
    wanted[np.arange(len(examples.labels)), examples.labels] = 1.0

    def loss(at: Floats) -> tuple[float, Floats]:
        scores = rows @ at
        scores -= scores.max(axis=1, keepdims=True)
        chances = np.exp(scores)
        chances /= chances.sum(axis=1, keepdims=True)
        away = at - centre
        told = np.log((chances * wanted).sum(axis=1) + 1e-12)
        value = -(weights * told).sum() + 0.5 * pull * float((away * away).sum())
        return float(value), rows.T @ ((chances - wanted) * weights[:, None]) + pull * away

    return _descend(loss, centre)[:width]


_FREEDOM = 5.0
"""The size of a corpus's own column: its intercepts are hardly pulled at all."""


def _example_weights(examples: Examples, labels: int, seed_weight: float) -> Floats:
    """Weigh every example; they add up to one."""
    import numpy as np

    cells = examples.corpora * labels + examples.labels
    sizes = np.bincount(cells)
    weights = sizes[cells].astype(np.float64) ** -0.5
    per_label = np.bincount(examples.labels, weights, minlength=labels)
    weights *= per_label[examples.labels] ** -0.5
    weights *= np.where(examples.corpora == 0, seed_weight, 1.0)
    return weights / weights.sum()


def _descend(loss: Callable[[Floats], tuple[float, Floats]], start: Floats) -> Floats:
    """Return where a smooth convex loss is least: L-BFGS (Nocedal 1980) with backtracking."""
    at = start
    value, slope = loss(at)
    history: list[tuple[Floats, Floats]] = []
    for _ in range(_STEPS):
        way = _direction(slope, history)
        promised = float((slope * way).sum())
        step = 1.0
        while True:
            there = at - step * way
            found, turned = loss(there)
            if found <= value - 1e-4 * step * promised or step < _LEAST_STEP:
                break
            step /= 2
        moved, bent = there - at, turned - slope
        if float((moved * bent).sum()) > 1e-12:
            history = [*history[1 - _MEMORY :], (moved, bent)]
        is_done = abs(value - found) < _TOLERANCE * max(1.0, abs(value))
        at, value, slope = there, found, turned
        if is_done:
            break
    return at


def _direction(slope: Floats, history: list[tuple[Floats, Floats]]) -> Floats:
    way = slope.copy()
    taken: list[float] = []
    for moved, bent in reversed(history):
        share = float((moved * way).sum() / (moved * bent).sum())
        taken.append(share)
        way = way - share * bent
    if history:
        moved, bent = history[-1]
        way = way * float((moved * bent).sum() / (bent * bent).sum())
    else:
        way = way / max(1.0, float((slope * slope).sum()) ** 0.5)
    for (moved, bent), share in zip(history, reversed(taken), strict=True):
        way = way + moved * (share - float((bent * way).sum() / (moved * bent).sum()))
    return way


def temperature(scores: Floats, labels: Ints, weights: Floats) -> float:
    """Return what the scores are best divided by to become probabilities (Guo et al. 2017).

    `scores` (n, labels) are of examples that were left out; the fit is by golden section on the
    logarithm of the temperature between a quarter and sixteen.
    """
    import numpy as np

    def surprise(log_temperature: float) -> float:
        divided = scores / float(np.exp(log_temperature))
        divided -= divided.max(axis=1, keepdims=True)
        told = divided[np.arange(len(labels)), labels] - np.log(np.exp(divided).sum(axis=1))
        return -float((weights * told).sum() / weights.sum())

    low, high = float(np.log(0.25)), float(np.log(16.0))
    golden = (5**0.5 - 1) / 2
    while high - low > 1e-3:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if surprise(left) < surprise(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))
