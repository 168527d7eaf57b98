"""Which few models are worth having in an episode.

For each of several prices the best plain cascade is sought: step by step the model is added,
dropped or exchanged that makes it worth most. The models of all cascades are the pool. A cascade
asks from the cheapest to the dearest and stops when P(right) passes a threshold; it is judged by
held-out beliefs on a sample of the training tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glasslipper.puppeteer.belief import Mind, Tell
from glasslipper.puppeteer.outcomes import Floats

_PRICES = (0.01, 0.04, 0.08, 0.15, 0.3)
_THRESHOLDS = np.array([0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.94, 0.97, 1.01])
_SAMPLE = 1200
_LEAST_GAIN = 0.0004


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

    def worth(self, models: frozenset[int], price: float) -> float:
        """Return what the cascade through these models is worth, by its best threshold."""
        chain = tuple(sorted(models, key=lambda model: self.order[model]))
        seen = [self._right(chain[: k + 1]) for k in range(len(chain))]
        believed = np.stack([one for one, _ in seen])
        given = (believed + np.stack([one for _, one in seen])) / 2
        net = given - price * self._usd[:, list(chain)].cumsum(1).T
        columns = np.arange(len(self._rows))
        worths: list[float] = []
        for threshold in _THRESHOLDS:
            enough = believed >= threshold
            stop = np.where(enough.any(0), enough.argmax(0), len(chain) - 1)
            worths.append(float(net[stop, columns].mean()))
        return max(worths)

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
    """Return the columns of at most `size` models, those of the dearer prices first."""
    cascades = _Cascades(mind, wanted, np.random.default_rng((seed, 21)))
    models = range(mind.tasks.said.shape[1])
    found: list[frozenset[int]] = []
    for done, price in enumerate(_PRICES):
        found.append(_cascade(cascades, models, price, size))
        tell("pool", done + 1, len(_PRICES))
    counts = {model: sum(model in chain for chain in found) for model in models}
    order = sorted(models, key=lambda model: -counts[model])
    return sorted(model for model in order[:size] if counts[model])


def _cascade(cascades: _Cascades, models: Sequence[int], price: float, size: int) -> frozenset[int]:
    """Return the models of the best cascade at a price that steps lead to."""
    chosen, reached = frozenset[int](), -np.inf
    while True:
        added = [chosen | {model} for model in models if model not in chosen]
        dropped = [chosen - {model} for model in chosen]
        tried = [one for one in (*added, *dropped) if 0 < len(one) <= size]
        worths = [cascades.worth(one, price) for one in tried]
        best = int(np.argmax(worths))
        if not worths[best] >= reached + _LEAST_GAIN:
            return chosen
        chosen, reached = tried[best], worths[best]
