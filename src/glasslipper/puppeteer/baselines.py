"""What ours has to beat: single models, votes, one-shot routers, a fixed rule, and the oracle.

Each is fitted on the training part (`Peers.fit`) and plays new tasks. One-shot routers have a
price for money as their dial; it is chosen on the training part so that they cost at most what
the best single model does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glasslipper.puppeteer.outcomes import Floats, Ints, Outcomes
from glasslipper.puppeteer.replay import Played, Replay, voted

NEIGHBOURS = 100
CLUSTERS = 64
_MOST_VOTERS = 5
_VOTING_ROWS = 1500
_VOTING_MODELS = 8
_PRICES = np.concatenate([[0.0], np.geomspace(0.01, 2, 24)])

Predict = Callable[[Floats], NDArray[np.float64]]


@dataclass(frozen=True)
class Peers:
    """The fitted baselines of one training part."""

    best: int
    weights: NDArray[np.float64]
    voters: tuple[int, ...]
    pair: tuple[int, int]
    by_kind: dict[str, int]
    one_shots: dict[str, tuple[Predict, float]]
    unit_usd: float
    mean_usd: NDArray[np.float64]

    @classmethod
    def fit(cls, outcomes: Outcomes, vectors: Floats, *, seed: int) -> Peers:
        """Fit all on a training part; `vectors` are those of its tasks."""
        skill = outcomes.right.mean(0)
        best = outcomes.best
        weights = np.log(np.clip(skill, 0.05, 0.98) / (1 - np.clip(skill, 0.05, 0.98))) + 2
        weights = np.maximum(weights, 0.1)
        limit = float(outcomes.usd[:, best].mean())
        few = len(outcomes) < 3000
        predicts = {
            "knn": _neighbours(outcomes, vectors, NEIGHBOURS // 2 if few else NEIGHBOURS),
            "kmeans": _clusters(outcomes, vectors, CLUSTERS // 2 if few else CLUSTERS, seed),
        }
        mean_usd = outcomes.usd.mean(0)
        return cls(
            best=best,
            weights=weights,
            voters=_voters(outcomes, weights, limit),
            pair=_pair(outcomes, best, limit),
            by_kind={
                str(kind): int(outcomes.right[outcomes.kinds == kind].mean(0).argmax())
                for kind in np.unique(outcomes.kinds)
            },
            one_shots={
                name: (predict, _price(outcomes, predict, vectors, mean_usd, limit))
                for name, predict in predicts.items()
            },
            unit_usd=outcomes.unit_usd,
            mean_usd=mean_usd,
        )

    def play(self, outcomes: Outcomes, vectors: Floats) -> dict[str, Played]:
        """Play new tasks by every baseline that plays."""
        played = {
            "best_single": single(outcomes, np.full(len(outcomes), self.best)),
            "vote_equal_spend": _vote(outcomes, self.voters, self.weights),
            "category_best": single(
                outcomes,
                np.array([self.by_kind.get(str(kind), self.best) for kind in outcomes.kinds]),
            ),
            "agree_else_ask": agree_else_ask(outcomes, self.pair, self.best),
        }
        for name, (predict, price) in self.one_shots.items():
            worth = predict(vectors) - price * self.mean_usd / self.unit_usd
            played[name] = single(outcomes, worth.argmax(1))
        return played


def single(outcomes: Outcomes, chosen: Ints) -> Played:
    """Ask one model for each task."""
    replay = Replay(outcomes)
    replay.ask(np.arange(len(outcomes)), chosen)
    return Played(replay.called, chosen.astype(np.int64))


def oracle(outcomes: Outcomes) -> Played:
    """Ask the cheapest model that is right; where none is, the cheapest."""
    cost = np.where(outcomes.right, outcomes.usd, outcomes.usd + outcomes.usd.max() + 1)
    return single(outcomes, cost.argmin(1))


def agree_else_ask(outcomes: Outcomes, pair: tuple[int, int], best: int) -> Played:
    """Ask two models; if they agree stop, else ask a third and take its answer."""
    first, second = pair
    rows = np.arange(len(outcomes))
    replay = Replay(outcomes)
    replay.ask(rows, np.full(len(rows), first))
    replay.ask(rows, np.full(len(rows), second))
    agree = (replay.said[:, first] == replay.said[:, second]) & (replay.said[:, first] >= 0)
    replay.ask(rows[~agree], np.full(int((~agree).sum()), best))
    return Played(replay.called, np.where(agree, first, best))


def _vote(outcomes: Outcomes, voters: tuple[int, ...], weights: NDArray[np.float64]) -> Played:
    replay = Replay(outcomes)
    for model in voters:
        replay.ask(np.arange(len(outcomes)), np.full(len(outcomes), model))
    return replay.vote(weights)


def _voters(outcomes: Outcomes, weights: NDArray[np.float64], limit: float) -> tuple[int, ...]:
    """Return the models whose weighted vote is the best for at most `limit` USD a task."""
    some = outcomes.rows(np.arange(min(len(outcomes), _VOTING_ROWS)))
    usd = outcomes.usd.mean(0)
    able = [int(m) for m in (-weights).argsort() if usd[m] <= limit][:_VOTING_MODELS]
    able = able or [int(usd.argmin())]  # the best is the cheapest, but for the last binary digit
    found, top = (able[0],), -1.0
    for size in range(1, _MOST_VOTERS + 1):
        for group in itertools.combinations(able, size):
            if usd[list(group)].sum() > limit:
                continue
            columns = list(group)
            said = some.said[:, columns]
            winner = voted(said, np.ones(said.shape, np.bool_), weights[columns])
            right = some.right[:, columns][np.arange(len(some)), winner] & (winner >= 0)
            if right.mean() > top:
                found, top = group, float(right.mean())
    return found


def _pair(outcomes: Outcomes, best: int, limit: float) -> tuple[int, int]:
    """Return the pair whose agreement serves best for at most `limit` USD a task."""
    others = [model for model in range(len(outcomes.models)) if model != best]
    found, top = (others[0], others[min(1, len(others) - 1)]), -1.0
    for pair in itertools.permutations(others, 2):
        played = agree_else_ask(outcomes, pair, best)
        if played.usd(outcomes).mean() <= limit and played.right(outcomes).mean() > top:
            found, top = pair, float(played.right(outcomes).mean())
    return found


def _neighbours(outcomes: Outcomes, vectors: Floats, count: int) -> Predict:
    right = outcomes.right.astype(np.float64)
    nearest = min(count, len(right) - 1)

    def predict(queries: Floats) -> NDArray[np.float64]:
        told = np.zeros((len(queries), right.shape[1]))
        for start in range(0, len(queries), 512):
            near = queries[start : start + 512] @ vectors.T
            near[near > 1 - 1e-6] = -1  # a training task is not its own neighbour
            places = np.argpartition(-near, nearest, axis=1)[:, :nearest]
            told[start : start + 512] = right[places].mean(1)
        return told

    return predict


def _clusters(outcomes: Outcomes, vectors: Floats, count: int, seed: int) -> Predict:
    draw = np.random.default_rng((seed, 3))
    centres = vectors[draw.choice(len(vectors), min(count, len(vectors)), replace=False)].copy()
    for _ in range(25):
        owner = (vectors @ centres.T).argmax(1)
        for place in range(len(centres)):
            mine = vectors[owner == place]
            if len(mine):
                centres[place] = mine.sum(0) / (np.linalg.norm(mine.sum(0)) + 1e-9)
    owner = (vectors @ centres.T).argmax(1)
    overall = outcomes.right.mean(0)
    skills = np.array(
        [
            (outcomes.right[owner == place].sum(0) + 5 * overall) / ((owner == place).sum() + 5)
            for place in range(len(centres))
        ]
    )

    def predict(queries: Floats) -> NDArray[np.float64]:
        return skills[(queries @ centres.T).argmax(1)]

    return predict


def _price(
    outcomes: Outcomes,
    predict: Predict,
    vectors: Floats,
    mean_usd: NDArray[np.float64],
    limit: float,
) -> float:
    """Return the price at which a one-shot router is best for at most `limit` USD a task."""
    told = predict(vectors)
    rows = np.arange(len(outcomes))
    found, top = float(_PRICES[-1]), -1.0
    for price in map(float, _PRICES):
        chosen = (told - price * mean_usd / outcomes.unit_usd).argmax(1)
        right = outcomes.right[rows, chosen].mean()
        if outcomes.usd[rows, chosen].mean() <= limit and right > top:
            found, top = price, float(right)
    return found
