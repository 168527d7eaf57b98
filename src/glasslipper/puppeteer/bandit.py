"""Learning from one chosen action a task: linear bandits for models that have no history yet.

Ridge regressions of reward on the task, what is common to all models apart from what is each
model's own. `Thompson` draws from what the
regressions leave open (Agrawal & Goyal 2013), `LinUCB` adds a bonus for it (Li et al. 2010); both
keep a floor of chance for every model and log the probability of what they chose, without which
nothing can be judged afterwards. Rewards may come late: `learn` is called when one arrives.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Way = Literal["thompson", "linucb"]

_DRAWS = 256
_COMMON_RIDGE = 20.0


class Bandit:
    """Regressions on contexts of D numbers; rewards lie about 0 to 1.

    How hard a task is, is common to all models and learned from all choices; each model then has
    a regression of its own on what is left, whose slopes are held back by `ridge` and whose
    level hardly is.
    """

    def __init__(
        self,
        models: int,
        wide: int,
        *,
        way: Way = "thompson",
        ridge: float = 1000.0,
        spread: float = 0.3,
        floor: float = 0.02,
    ) -> None:
        """Know nothing yet. `floor` is the least chance that each model gets."""
        self.way: Way = way
        self.floor = floor
        self._spread = spread
        self._common = np.eye(wide + 1) / _COMMON_RIDGE
        self._common_moment = np.zeros(wide + 1)
        first = np.full(wide + 1, 1 / ridge)
        first[0] = 1.0
        self._inverse = np.repeat(np.diag(first)[None], models, axis=0)
        self._moment = np.zeros((models, wide + 1))
        self._draw = np.random.default_rng(7)

    @property
    def models(self) -> int:
        """How many models there are to choose from."""
        return len(self._moment)

    def expected(self, contexts: Numbers) -> Numbers:
        """Return the reward to expect of each model (N x M)."""
        told = _with_one(contexts)
        weights = (self._inverse @ self._moment[:, :, None])[:, :, 0]
        hardness = told @ (self._common @ self._common_moment)
        return hardness[:, None] + told @ weights.T

    def open(self, contexts: Numbers) -> Numbers:
        """Return the standard deviation of that expectation (N x M)."""
        told = _with_one(contexts)
        left = np.einsum("nd,mde->nme", told, self._inverse)
        return self._spread * np.sqrt(np.maximum(np.einsum("nme,ne->nm", left, told), 0))

    def chances(self, contexts: Numbers) -> Numbers:
        """Return the probability with which each model is chosen (N x M)."""
        mean, spread = self.expected(contexts), self.open(contexts)
        count = self.models
        if self.way == "linucb":
            greedy = np.eye(count)[(mean + 2 * spread).argmax(1)]
        else:
            noise = self._draw.normal(size=(_DRAWS, *mean.shape))
            best = (mean + spread * noise).argmax(2)
            greedy = np.stack([(best == model).mean(0) for model in range(count)], axis=1)
        return self.floor + (1 - count * self.floor) * greedy

    def choose(
        self, contexts: Numbers, draw: np.random.Generator
    ) -> tuple[NDArray[np.int64], Numbers]:
        """Return a model for each context, and the probability that it had."""
        chances = self.chances(contexts)
        chosen = (chances.cumsum(1) > draw.random((len(contexts), 1))).argmax(1)
        return chosen, chances[np.arange(len(contexts)), chosen]

    def learn(self, contexts: Numbers, chosen: NDArray[np.int64], rewards: Numbers) -> None:
        """Take in rewards that have arrived."""
        told = _with_one(contexts)
        self._common = _grown(self._common, told)
        self._common_moment += told.T @ rewards
        rest = rewards - told @ (self._common @ self._common_moment)
        for model in np.unique(chosen):
            mine = chosen == model
            self._inverse[model] = _grown(self._inverse[model], told[mine])
            self._moment[model] += told[mine].T @ rest[mine]

    def save(self, path: Path, models: Sequence[str]) -> None:
        """Write what has been learned, with the names of the models, as a whole or not at all."""
        temporary = path.with_suffix(".tmp.npz")
        np.savez(
            temporary,
            names=np.array(list(models)),
            common=self._common @ self._common_moment,
            inverse=self._inverse,
            moment=self._moment,
            floor=np.array(self.floor),
        )
        temporary.replace(path)


def _with_one(contexts: Numbers) -> Numbers:
    return np.concatenate([np.ones((len(contexts), 1)), contexts], axis=1)


def _grown(inverse: Numbers, told: Numbers) -> Numbers:
    """Return the inverse after adding rows, by Woodbury."""
    half = inverse @ told.T
    inner = np.linalg.inv(np.eye(len(told)) + told @ half)
    return inverse - half @ inner @ half.T
