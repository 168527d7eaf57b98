"""The replayed environment: episodes over logged answers, many at once.

Answers are hidden until their model is called. `Played` is how episodes ended; only scoring
reads who was right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glasslipper.puppeteer.outcomes import Bools, Ints, Outcomes


@dataclass(frozen=True)
class Played:
    """N episodes: who was called (N x M), and whose answer was returned (N), -1 for nobody's."""

    called: Bools
    returned: Ints

    def right(self, outcomes: Outcomes) -> NDArray[np.float64]:
        """Return 1 where the answer returned was right, else 0."""
        rows = np.arange(len(outcomes))
        right = outcomes.right[rows, np.maximum(self.returned, 0)] & (self.returned >= 0)
        return right.astype(np.float64)

    def usd(self, outcomes: Outcomes) -> NDArray[np.float64]:
        """Return what each episode cost, USD."""
        return (outcomes.usd * self.called).sum(1)


class Replay:
    """Episodes on every task of the outcomes, in step."""

    def __init__(self, outcomes: Outcomes) -> None:
        """Begin: nobody has been called."""
        self._outcomes = outcomes
        self.called: Bools = np.zeros(outcomes.said.shape, dtype=np.bool_)

    @property
    def said(self) -> Ints:
        """What the called models answered (N x M candidates); -1 for no answer, -2 if hidden."""
        return np.where(self.called, self._outcomes.said, -2)

    def ask(self, rows: Ints, models: Ints) -> None:
        """Call a model each on some tasks."""
        self.called[rows, models] = True

    def vote(self, weights: NDArray[np.floating]) -> Played:
        """End: return the answer with the most weight (M, or N x M), by its weightiest model."""
        return Played(self.called.copy(), voted(self._outcomes.said, self.called, weights))


def voted(said: Ints, called: Bools, weights: NDArray[np.floating]) -> Ints:
    """Return whose answer wins a weighted vote of the called models, -1 where none answered."""
    speaks = called & (said >= 0)
    weight = np.where(speaks, np.broadcast_to(weights, said.shape), 0)
    agree = (said[:, :, None] == said[:, None, :]) & speaks[:, :, None] & speaks[:, None, :]
    support = (agree * weight[:, None, :]).sum(2)
    score = np.where(speaks, support + 1e-6 * weight, -np.inf)
    winner = score.argmax(1)
    return np.where(speaks.any(1), winner, -1)
