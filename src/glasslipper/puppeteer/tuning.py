"""Tunes what calls are worth by reward: policy gradient on top of the values, at every price.

Values are predicted gains whose errors add up over an episode: here whole episodes are played, and
a small head learns what to add to each call's worth so that they end well. For every task a
group of episodes is drawn at one price; an episode's advantage is its reward less its group's mean
(as in RLOO and GRPO). Before anything is learned the head adds nothing. A sample of the training
tasks is enough; all that can happen on them, 2^P sets of called models, is worked out beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glasslipper.puppeteer.belief import Mind, Tell
from glasslipper.puppeteer.net import AdamW, backward, dense, forward, softmax
from glasslipper.puppeteer.outcomes import Bools, Floats, Ints
from glasslipper.puppeteer.value import WARMTH, Head, Values, priced

Numbers = NDArray[np.float64]

_HIDDEN = 48
_RATE = 4e-3
_DECAY = 0.01
_ENTROPY = 2e-3
_BATCH = 128
_GROUP = 8
_SPREAD = 0.05
_TOLD_EVERY = 20
_STILL = 1e-6


@dataclass(frozen=True)
class TuningPlan:
    """How heads are trained: on so many tasks, by so many updates; none if it is 0."""

    tasks: int = 3000
    updates: int = 400


@dataclass(frozen=True)
class Played:
    """B episodes: reward's two parts, and each step: whose, in which set, what, by which odds."""

    right: Numbers
    cost: Numbers
    steps: list[tuple[Ints, Ints, Ints, Floats]]


@dataclass(frozen=True)
class Rules:
    """What comes of episodes on N tasks: `right` (N x 2^P) and `cost` (N x P) of P models."""

    right: Numbers
    cost: Numbers

    def rows(self, chosen: Ints) -> Rules:
        """Return some of the tasks."""
        return Rules(self.right[chosen], self.cost[chosen])

    def play(self, scores: Floats, rows: Ints, draw: np.random.Generator | None) -> Played:
        """Play tasks `rows` by scores (N x 2^P x (P + 1)), the last for stopping.

        Actions that score -inf there are not; nobody stops unheard. Without chance the highest
        score decides.
        """
        size = self.cost.shape[1]
        masks = np.zeros(len(rows), np.int64)
        alive = np.arange(len(rows))
        cost = np.zeros(len(rows))
        steps: list[tuple[Ints, Ints, Ints, Floats]] = []
        for _ in range(size):
            now = masks[alive]
            seen = scores[rows[alive], now]
            may = np.isfinite(seen)
            may[:, -1] = now > 0
            odds = softmax(np.where(may, seen, 0).astype(np.float32), may)
            if draw is None:
                action = odds.argmax(1)
            else:
                action = (odds.cumsum(1) > draw.random((len(alive), 1))).argmax(1)
            steps.append((alive, now, action, odds))
            goes_on = action < size
            alive, action = alive[goes_on], action[goes_on]
            if len(alive) == 0:
                break
            masks[alive] |= 1 << action
            cost[alive] += self.cost[rows[alive], action]
        return Played(self.right[rows, masks], cost, steps)


class Game:
    """All that may happen on the tasks of a mind when P of its models may be called.

    `looks` is the state in each set of called models (2^P of N x L).
    """

    def __init__(self, mind: Mind, pool: Sequence[int], right: Bools, skill: Floats) -> None:
        """Work it out; `right` tells who is right (N x M), `skill` orders those who agree."""
        self.pool = list(pool)
        self._tasks = mind.tasks
        self._models = len(skill)
        count = len(mind.tasks)
        rows = np.arange(count)
        ended = np.zeros((count, self.sets))
        self.looks: list[Floats] = []
        for mask in range(self.sets):
            called = self._called(mask)
            belief = mind.believe(rows, called)
            said = mind.tasks.said
            agrees = called & (said == belief.leader[:, None]) & (said > 0)
            who = np.where(agrees, skill, -1).argmax(1)
            ended[:, mask] = right[rows, who] & agrees.any(1)
            self.looks.append(belief.looks)
        self.right = ended
        spread = np.stack([one.std(0) for one in self.looks]).max(0)
        means = np.stack([one.mean(0) for one in self.looks])
        self.kept: Ints = np.flatnonzero((spread > _STILL) | (means.std(0) > _STILL))
        shown = np.concatenate([one[:, self.kept] for one in self.looks])
        self._mean, self._spread = shown.mean(0), shown.std(0) + np.float32(0.1)

    @property
    def sets(self) -> int:
        """How many sets of called models there are."""
        return 1 << len(self.pool)

    def _called(self, mask: int) -> Bools:
        called = np.zeros((len(self._tasks), self._models), np.bool_)
        called[:, [one for bit, one in enumerate(self.pool) if mask >> bit & 1]] = True
        return called

    def head(self, draw: np.random.Generator) -> Head:
        """Return a head that adds nothing yet."""
        layers = dense((len(self.kept) + 2, _HIDDEN, len(self.pool) + 1), draw)
        layers["W1"] *= 0
        pool = np.array(self.pool, np.int64)
        return Head(layers, pool, self.kept, self._mean, self._spread)

    def base(self, values: Values, rows: Ints, prices: Sequence[float]) -> Floats:
        """Return the scores of the values alone, R x prices x 2^P x (P + 1)."""
        size = len(self.pool)
        out = np.full((len(rows), len(prices), self.sets, size + 1), -np.inf, np.float32)
        out[..., -1] = 0
        usd = self._tasks.usd[rows]
        for mask in range(self.sets):
            called = self._called(mask)[rows]
            for place, price in enumerate(prices):
                paid = np.full(len(rows), price, np.float32)
                worth = values.worth(mask.bit_count(), self.looks[mask][rows], paid, usd, called)
                out[:, place, mask, :-1] = worth[:, self.pool] / WARMTH
        return out


def tune(
    game: Game,
    cost: Numbers,
    values: Values,
    rows: Ints,
    *,
    plan: TuningPlan,
    prices: Sequence[float],
    seed: int,
    tell: Tell,
    done: int = 0,
    todo: int = 0,
) -> Values:
    """Return values with a head, learned on tasks `rows` of the game; `cost` is N x M, in units."""
    draw = np.random.default_rng((seed, 41))
    start = game.base(values, rows, prices)
    looks = np.stack([one[rows] for one in game.looks], axis=1)
    head = game.head(draw)
    told = head.inputs(looks)
    rules = Rules(game.right[rows], cost[rows][:, game.pool])
    adam = AdamW(head.layers, decay=_DECAY)
    reward = 0.0
    for update in range(plan.updates):
        some = draw.choice(len(rows), min(_BATCH, len(rows)), replace=False)
        place = draw.integers(len(prices), size=len(some))
        price = np.array(prices, np.float32)[place]
        seen = _with_prices(told[some], price)
        shift = forward(head.layers, seen.reshape(-1, seen.shape[2]))[-1]
        scores = start[some, place] + shift.reshape(len(some), game.sets, -1)
        each = np.repeat(np.arange(len(some)), _GROUP)
        played = rules.rows(some).play(scores, each, draw)
        gradients = _gradients(head, seen, price, played, each)
        adam.step(gradients, _RATE * (1 - update / plan.updates))
        reward += float((played.right - price[each] * played.cost).mean()) / _TOLD_EVERY
        if (update + 1) % _TOLD_EVERY == 0:
            tell("tuning", done + update + 1, todo, step=update + 1, reward=reward)
            reward = 0.0
    return Values(values.levels, values.mean, values.spread, head=head)


def _gradients(
    head: Head, seen: Floats, price: Floats, played: Played, each: Ints
) -> dict[str, Floats]:
    reward = played.right - price[each] * played.cost
    advantage = reward - reward.reshape(-1, _GROUP).mean(1).repeat(_GROUP)
    advantage /= np.sqrt(_SPREAD + price[each])  # where money is dear, rewards differ by more
    states: list[Floats] = []
    slopes: list[Floats] = []
    for alive, now, action, odds in played.steps:
        slope = odds.copy()
        slope[np.arange(len(action)), action] -= 1
        slope *= advantage[alive][:, None].astype(np.float32)
        logs = np.log(np.maximum(odds, 1e-9))
        slope += _ENTROPY * odds * (logs - (odds * logs).sum(1, keepdims=True))
        states.append(seen[each[alive], now])
        slopes.append((slope / np.float32(len(each))).astype(np.float32))
    inputs = np.concatenate(states)
    gradients, _ = backward(head.layers, forward(head.layers, inputs), np.concatenate(slopes))
    return gradients


def _with_prices(told: Floats, price: Floats) -> Floats:
    """Return B x 2^P x F with the price of each of B tasks appended."""
    shown = np.broadcast_to(priced(price)[:, None], (*told.shape[:2], 2))
    return np.concatenate([told, shown], axis=2, dtype=np.float32)
