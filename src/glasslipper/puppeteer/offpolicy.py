"""What a policy would have earned, judged by logs of another: IPS, SNIPS and doubly robust.

Logs hold for each task the model chosen, the probability that it had, and the reward. Estimators
after Horvitz & Thompson 1952, Swaminathan & Joachims 2015, Dudik et al. 2011. Intervals are
normal, from the spread of each task's contribution. The doubly robust estimate uses a model of
rewards fitted on other folds of the log, so its errors are independent of the task judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

Z95 = 1.959964
_FOLDS = 5
_RIDGE = 10.0


@dataclass(frozen=True)
class Logs:
    """N logged choices: contexts (N x D), chosen model, its probability, reward."""

    contexts: Numbers
    chosen: NDArray[np.int64]
    chance: Numbers
    reward: Numbers
    models: int

    def __len__(self) -> int:
        """Return the number of choices."""
        return len(self.chosen)


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def reward_model(logs: Logs, *, seed: int = 0) -> Numbers:
    """Return the reward to expect of every model for every logged task (N x M), by other folds."""
    folds = np.random.default_rng(seed).integers(0, _FOLDS, len(logs))
    told = np.concatenate([logs.contexts, np.ones((len(logs), 1))], axis=1)
    expected = np.zeros((len(logs), logs.models))
    for fold in range(_FOLDS):
        away = folds == fold
        for model in range(logs.models):
            mine = ~away & (logs.chosen == model)
            mean = logs.reward[mine].mean() if mine.any() else logs.reward[~away].mean()
            some: Numbers = told[mine]
            square: Numbers = some.T @ some + _RIDGE * np.eye(len(some.T))
            moment: Numbers = some.T @ (logs.reward[mine] - mean)
            weights = np.linalg.solve(square, moment)
            expected[away, model] = mean + told[away] @ weights
    return expected


def ips(logs: Logs, policy: Numbers) -> Estimate:
    """Return the inverse-propensity estimate of a policy (its probabilities, N x M)."""
    return _mean(_weights(logs, policy) * logs.reward)


def snips(logs: Logs, policy: Numbers) -> Estimate:
    """Return the self-normalised inverse-propensity estimate."""
    weights = _weights(logs, policy)
    value = float((weights * logs.reward).sum() / max(weights.sum(), 1e-12))
    spread = weights * (logs.reward - value) / max(weights.mean(), 1e-12)
    return _around(value, spread)


def doubly_robust(logs: Logs, policy: Numbers, expected: Numbers) -> Estimate:
    """Return the doubly robust estimate, given `reward_model(logs)`."""
    return _mean(contributions(logs, policy, expected))


def contributions(logs: Logs, policy: Numbers, expected: Numbers) -> Numbers:
    """Return what each logged task adds to the doubly robust estimate."""
    at_choice = expected[np.arange(len(logs)), logs.chosen]
    correction = _weights(logs, policy) * (logs.reward - at_choice)
    return (policy * expected).sum(1) + correction


def gain(
    logs: Logs, candidate: Numbers, running: Numbers, expected: Numbers, *, risk: float = 0.05
) -> Estimate:
    """Return by how much a candidate would beat the running policy.

    `low` lies above the truth with probability `risk` at most, and so does the truth above `high`.
    """
    each = contributions(logs, candidate, expected) - contributions(logs, running, expected)
    value, error = float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))
    wide = NormalDist().inv_cdf(1 - risk) * error
    return Estimate(value, value - wide, value + wide)


def _weights(logs: Logs, policy: Numbers) -> Numbers:
    return policy[np.arange(len(logs)), logs.chosen] / logs.chance


def _mean(each: Numbers) -> Estimate:
    return _around(float(each.mean()), each)


def _around(value: float, each: Numbers) -> Estimate:
    error = float(each.std(ddof=1) / np.sqrt(len(each)))
    return Estimate(value, value - Z95 * error, value + Z95 * error)
