"""Learning from one chosen action a task: linear bandits for models that have no history yet.

Ridge regressions of reward on the task, what is common to all models apart from what is each
model's own. `Thompson` draws from what the
regressions leave open (Agrawal & Goyal 2013), `LinUCB` adds a bonus for it (Li et al. 2010); both
keep a floor of chance for every model and log the probability of what they chose, without which
nothing can be judged afterwards. Rewards may come late: `learn` is called when one arrives.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Way = Literal["thompson", "linucb"]

_DRAWS = 256
_SEED = 7
_COMMON_RIDGE = 20.0


class Knowledge(Struct, frozen=True, kw_only=True):
    """All that a bandit knows, as plain lists; `ridge` and `spread` are what it began with."""

    way: Way
    ridge: float
    spread: float
    floor: float
    common: list[list[float]]
    common_moment: list[float]
    inverse: list[list[list[float]]]
    moment: list[list[float]]


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
        self._ridge = ridge
        self._spread = spread
        self._common = np.eye(wide + 1) / _COMMON_RIDGE
        self._common_moment = np.zeros(wide + 1)
        self._inverse = np.repeat(_unknown(wide, ridge)[None], models, axis=0)
        self._moment = np.zeros((models, wide + 1))

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

    def chances(
        self, contexts: Numbers, *, less: Numbers | None = None, may: Bools | None = None
    ) -> Numbers:
        """Return the probability with which each model is chosen (N x M).

        `less` is what each would cost, in rewards; `may` says which there are to choose from.
        """
        mean, spread = self.expected(contexts), self.open(contexts)
        if less is not None:
            mean = mean - less
        there = np.ones(mean.shape, np.bool_) if may is None else may
        mean = np.where(there, mean, -np.inf)
        if self.way == "linucb":
            greedy = np.eye(self.models)[(mean + 2 * spread).argmax(1)]
        else:
            noise = np.random.default_rng(_SEED).normal(size=(_DRAWS, *mean.shape))
            best = (mean + spread * noise).argmax(2)
            greedy = np.stack([(best == model).mean(0) for model in range(self.models)], axis=1)
        count = there.sum(1, keepdims=True)
        floor = np.minimum(self.floor, 0.5 / np.maximum(count, 1))
        return there * (floor + (1 - count * floor) * greedy)

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

    def widened(self, more: int) -> Bandit:
        """Return one that also knows of `more` models that nobody has tried."""
        wide = len(self._common_moment) - 1
        other = Bandit(
            self.models + more,
            wide,
            way=self.way,
            ridge=self._ridge,
            spread=self._spread,
            floor=self.floor,
        )
        other._common, other._common_moment = self._common, self._common_moment
        other._inverse[: self.models] = self._inverse
        other._moment[: self.models] = self._moment
        return other

    def told(self) -> Knowledge:
        """Return all that it knows."""
        return Knowledge(
            way=self.way,
            ridge=self._ridge,
            spread=self._spread,
            floor=self.floor,
            common=self._common.tolist(),
            common_moment=self._common_moment.tolist(),
            inverse=self._inverse.tolist(),
            moment=self._moment.tolist(),
        )

    @classmethod
    def of(cls, known: Knowledge) -> Bandit:
        """Return the bandit that knows this.

        Raises:
            ValueError: It does not fit together.
        """
        wide = len(known.common_moment) - 1
        made = cls(
            len(known.moment),
            wide,
            way=known.way,
            ridge=known.ridge,
            spread=known.spread,
            floor=known.floor,
        )
        for name in ("common", "common_moment", "inverse", "moment"):
            array = np.array(getattr(known, name), dtype=np.float64)
            if array.shape != getattr(made, f"_{name}").shape or not np.isfinite(array).all():
                raise ValueError(f"`{name}` does not fit the rest")
            setattr(made, f"_{name}", array)
        return made


def _unknown(wide: int, ridge: float) -> Numbers:
    """Return how open everything is about a model that nobody has tried."""
    first = np.full(wide + 1, 1 / ridge)
    first[0] = 1.0
    return np.diag(first)


def _with_one(contexts: Numbers) -> Numbers:
    return np.concatenate([np.ones((len(contexts), 1)), contexts], axis=1)


def _grown(inverse: Numbers, told: Numbers) -> Numbers:
    """Return the inverse after adding rows: by Woodbury if they are few."""
    if len(told) > len(inverse):
        return np.linalg.inv(np.linalg.inv(inverse) + told.T @ told).astype(np.float64)
    half = inverse @ told.T
    inner = np.linalg.inv(np.eye(len(told)) + told @ half)
    return inverse - half @ inner @ half.T
