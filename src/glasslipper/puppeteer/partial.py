"""The proof of learning from partial logs, on replayed outcomes.

Tasks of the training part come one at a time, drawn with replacement; a bandit chooses one model
for each, and only that model's reward is seen. What it has learned then plays the test part
beside the same regressions given every model's reward. Then fifty policies are judged by a log of
one fixed random policy, and the intervals are held against what replay knows to be true.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glasslipper.puppeteer.bandit import Bandit, Way
from glasslipper.puppeteer.belief import Tell
from glasslipper.puppeteer.offpolicy import Logs, doubly_robust, gain, ips, reward_model, snips

Numbers = NDArray[np.float64]

QUERIES = 8000
POLICIES = 50
_BATCH = 100
LOGS = 10
_FLOOR = 0.02


@dataclass(frozen=True)
class World:
    """Contexts (N x D) and the reward of every model for each (N x M)."""

    contexts: Numbers
    reward: Numbers


def learned(
    train: World, test: World, *, way: Way, seed: int, tell: Tell, queries: int = QUERIES
) -> dict[str, float]:
    """Return test rewards after so many partial rewards, and with all of them."""
    draw = np.random.default_rng((seed, 31))
    models, wide = train.reward.shape[1], train.contexts.shape[1]
    partial, full = Bandit(models, wide, way=way), Bandit(models, wide)
    for done in range(0, queries, _BATCH):
        rows = draw.integers(len(train.contexts), size=_BATCH)
        told = train.contexts[rows]
        chosen, _ = partial.choose(told, draw)
        partial.learn(told, chosen, train.reward[rows, chosen])
        for model in range(models):
            every = np.full(_BATCH, model, dtype=np.int64)
            full.learn(told, every, train.reward[rows, model])
        tell(f"partial logs, {way}", done + _BATCH, queries)
    return {
        "partial": _greedy(partial, test),
        "full": _greedy(full, test),
        "best_single": float(test.reward[:, int(train.reward.mean(0).argmax())].mean()),
    }


def coverage(
    world: World, *, seed: int, tell: Tell, queries: int = QUERIES, logs: int = LOGS
) -> dict[str, float]:
    """Return how often each estimator's 95 % interval holds the truth, over logs and policies."""
    draw = np.random.default_rng((seed, 32))
    held = {"ips": 0, "snips": 0, "dr": 0}
    wide = {"ips": 0.0, "snips": 0.0, "dr": 0.0}
    wrong, promoted = 0, 0
    for log in range(logs):
        logger = _soft(world, draw, sharp=2.0)
        rows = draw.integers(len(world.contexts), size=queries)
        chances = logger[rows]
        chosen = (chances.cumsum(1) > draw.random((queries, 1))).argmax(1)
        at = np.arange(queries)
        logged = Logs(
            contexts=world.contexts[rows],
            chosen=chosen,
            chance=chances[at, chosen],
            reward=world.reward[rows, chosen],
            models=world.reward.shape[1],
        )
        expected = reward_model(logged, seed=seed + log)
        for _ in range(POLICIES):
            policy = _soft(world, draw, sharp=float(draw.uniform(0, 12)))
            truth = float((policy * world.reward).sum(1).mean())
            told = {
                "ips": ips(logged, policy[rows]),
                "snips": snips(logged, policy[rows]),
                "dr": doubly_robust(logged, policy[rows], expected),
            }
            for name, estimate in told.items():
                held[name] += estimate.low <= truth <= estimate.high
                wide[name] += (estimate.high - estimate.low) / (logs * POLICIES)
            better = gain(logged, policy[rows], chances, expected)
            if better.low > 0:
                promoted += 1
                wrong += truth < float((logger * world.reward).sum(1).mean())
        tell("off-policy", log + 1, logs)
    total = logs * POLICIES
    return {
        "policies": POLICIES,
        "logs": logs,
        **{f"{name}_coverage": round(count / total, 4) for name, count in held.items()},
        **{f"{name}_width": round(size, 5) for name, size in wide.items()},
        "promoted": promoted,
        "promoted_wrongly": wrong,
    }


def _greedy(bandit: Bandit, test: World) -> float:
    chosen = bandit.expected(test.contexts).argmax(1)
    return float(test.reward[np.arange(len(chosen)), chosen].mean())


def _soft(world: World, draw: np.random.Generator, *, sharp: float) -> Numbers:
    """Return a random policy over the world's tasks: a softmax of random linear scores."""
    models, wide = len(world.reward.T), len(world.contexts.T)
    tilt = draw.normal(0, 0.3, (wide, models))
    lean = draw.normal(0, 1, (1, models)) + np.dot(world.contexts, tilt)
    scores = (sharp / 4) * lean
    powers = np.exp(scores - scores.max(1, keepdims=True))
    chances = powers / powers.sum(1, keepdims=True)
    return _FLOOR + (1 - models * _FLOOR) * chances
