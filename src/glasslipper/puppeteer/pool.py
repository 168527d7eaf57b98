"""Which few models are worth having in an episode.

Greedy: to begin with nobody, add the model with which a plain cascade does best, and again. The
cascade asks from the cheapest to the dearest and stops when P(right) passes a threshold; it is
judged by held-out beliefs at several prices, on a sample of the training tasks.
"""

from __future__ import annotations

import numpy as np

from glasslipper.puppeteer.belief import Mind, Tell
from glasslipper.puppeteer.outcomes import Floats

_PRICES = (0.03, 0.08, 0.15)
_THRESHOLDS = np.array([0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.94, 0.97, 1.01])
_SAMPLE = 1200


class _Cascades:
    """Cascades on a sample, with the beliefs of every prefix remembered.

    What a cascade gives is counted half by what is believed of its answers and half by what they
    were: the one errs with the belief, the other with the sample.
    """

    def __init__(self, mind: Mind, wanted: Floats, draw: np.random.Generator) -> None:
        self._mind = mind
        count = len(mind.tasks)
        self._rows = draw.permutation(count)[: min(_SAMPLE, count)]
        self._wanted = wanted[self._rows]
        self._usd = mind.tasks.usd[self._rows]
        self._known: dict[tuple[int, ...], tuple[Floats, Floats]] = {}
        self.order = mind.tasks.usd.mean(0)

    def worth(self, models: tuple[int, ...]) -> float:
        """Return what the cascade through these models is worth, summed over the prices."""
        chain = tuple(sorted(models, key=lambda model: self.order[model]))
        seen = [self._right(chain[: k + 1]) for k in range(len(chain))]
        believed = np.stack([one for one, _ in seen])
        given = (believed + np.stack([one for _, one in seen])) / 2
        cost = self._usd[:, list(chain)].cumsum(1).T
        worths = np.zeros((len(_PRICES), len(_THRESHOLDS)))
        columns = np.arange(len(self._rows))
        for place, threshold in enumerate(_THRESHOLDS):
            enough = believed >= threshold
            stop = np.where(enough.any(0), enough.argmax(0), len(chain) - 1)
            for row, price in enumerate(_PRICES):
                worths[row, place] = (given - price * cost)[stop, columns].mean()
        return float(worths.max(1).sum())

    def _right(self, called: tuple[int, ...]) -> tuple[Floats, Floats]:
        key = tuple(sorted(called))
        if key not in self._known:
            mask = np.zeros((len(self._rows), self._mind.tasks.said.shape[1]), np.bool_)
            mask[:, list(called)] = True
            belief = self._mind.believe(self._rows, mask)
            was = self._wanted[np.arange(len(self._rows)), belief.leader] > 0
            self._known[key] = belief.right, (was & (belief.leader > 0)).astype(np.float32)
        return self._known[key]


def choose(mind: Mind, wanted: Floats, size: int, *, seed: int, tell: Tell) -> list[int]:
    """Return the columns of at most `size` models."""
    cascades = _Cascades(mind, wanted, np.random.default_rng((seed, 21)))
    models = range(mind.tasks.said.shape[1])
    chosen: tuple[int, ...] = ()
    for done in range(min(size, len(models))):
        left = [model for model in models if model not in chosen]
        worths = {model: cascades.worth((*chosen, model)) for model in left}
        chosen = (*chosen, max(worths, key=lambda model: worths[model]))
        tell("pool", done + 1, size)
    return sorted(chosen)
