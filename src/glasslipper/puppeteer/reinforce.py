"""Policy-gradient learning on outcomes of real puppets, with a baseline from the group.

For every task a group of episodes is drawn; an episode's advantage is its reward less the mean
of its group (as in RLOO and GRPO), so that easy and hard tasks teach alike. The reward is
`right - λ · cost`, the cost in units of what the dearest puppet takes. The paper's own recipe
(arXiv 2505.19591: one episode at a time, no baseline, a cost that grows with the logarithm of the
step) is here as `paper`, to be beaten. Plays on a table: what a puppet says to a task does not
depend on who spoke before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from glasslipper.puppeteer.linear import FEATURES, Card, Linear, Vector, features, softmax
from glasslipper.puppeteer.turns import Puppet, Turn, leading

GAMMA = 0.99
Rights = NDArray[np.float64]


class Table(Struct, frozen=True, kw_only=True):
    """N tasks by A puppets: their turns, how right each is (0 to 1) and what each took."""

    puppets: tuple[Puppet, ...]
    texts: tuple[str, ...]
    forms: tuple[str, ...]
    turns: tuple[tuple[Turn, ...], ...]
    right: Rights
    cost: Rights
    tokens: Rights

    def rows(self, chosen: Sequence[int]) -> Table:
        """Return some of the tasks."""
        return Table(
            puppets=self.puppets,
            texts=tuple(self.texts[row] for row in chosen),
            forms=tuple(self.forms[row] for row in chosen),
            turns=tuple(self.turns[row] for row in chosen),
            right=self.right[list(chosen)],
            cost=self.cost[list(chosen)],
            tokens=self.tokens[list(chosen)],
        )


class Episode(Struct, kw_only=True):
    """What was done on one task: the acting puppets, and the gradient of its log-probability."""

    row: int
    acted: list[int]
    right: float
    cost: float
    tokens: float
    steps: list[tuple[Vector, Vector, int]]


class Recipe(Struct, frozen=True, kw_only=True):
    """How to learn. `price` is λ."""

    price: float
    rounds: int = 150
    group: int = 12
    rate: float = 0.05
    entropy: float = 0.01
    decay: float = 0.002
    most_turns: int = 4
    baseline: bool = True
    one_at_a_time: bool = False
    log_cost: bool = False

    @classmethod
    def paper(cls, price: float, rounds: int = 150) -> Recipe:
        """Return the published recipe, as far as it can be had on this state and this head."""
        return cls(
            price=price,
            rounds=rounds,
            group=1,
            rate=1e-4,
            entropy=0.0,
            decay=0.0,
            baseline=False,
            one_at_a_time=True,
            log_cost=True,
        )


class Round(Struct, frozen=True, kw_only=True):
    """How a round of training went, over its episodes."""

    number: int
    reward: float
    right: float
    cost: float
    tokens: float
    calls: float
    paths: list[list[str]]


Memory = dict[tuple[int, tuple[int, ...]], tuple[Vector, NDArray[np.bool_], float]]
"""What was seen before each step of a table's episodes, which actions there were, and whether
the leading answer was right: it only depends on who has acted."""


def play(
    policy: Linear,
    table: Table,
    row: int,
    draw: np.random.Generator | None,
    *,
    memory: Memory | None = None,
    odds_of: dict[int, Vector] | None = None,
) -> Episode:
    """Play one task of a table; without chance, take the likeliest action.

    `odds_of` remembers the odds in each state while the policy stays the same.
    """
    known = {} if memory is None else memory
    same = {} if odds_of is None else odds_of
    episode = Episode(row=row, acted=[], right=0.0, cost=0.0, tokens=0.0, steps=[])
    while True:
        key = (row, tuple(episode.acted))
        state = known.get(key)
        if state is None:
            state = known[key] = _look(policy, table, row, episode.acted)
        seen, mask, right = state
        odds = same.get(id(seen))
        if odds is None:
            odds = same[id(seen)] = softmax(policy.weights @ seen, mask)
        action = int(odds.argmax()) if draw is None else _drawn(odds, draw)
        episode.steps.append((seen, odds, action))
        if action == len(table.puppets):
            episode.right = right
            return episode
        episode.acted.append(action)
        episode.cost += float(table.cost[row, action])
        episode.tokens += float(table.tokens[row, action])


def _look(
    policy: Linear, table: Table, row: int, acted: Sequence[int]
) -> tuple[Vector, NDArray[np.bool_], float]:
    turns = [table.turns[row][one] for one in acted]
    seen = features(table.texts[row], table.forms[row], turns)
    mask = policy.mask(turns, np.ones(len(table.puppets), dtype=np.bool_))
    lead = leading(turns)
    if lead is None:
        return seen, mask, 0.0
    who = next(one for one in acted if table.turns[row][one] is lead)
    return seen, mask, float(table.right[row, who])


def _drawn(odds: Vector, draw: np.random.Generator) -> int:
    return min(int(np.searchsorted(np.cumsum(odds), draw.random())), int(np.flatnonzero(odds)[-1]))


def learn(
    table: Table, recipe: Recipe, *, seed: int, tell: Callable[[Round], None] | None = None
) -> Linear:
    """Return a policy that has learned from the table."""
    draw = np.random.default_rng(seed)
    policy = Linear(
        table.puppets,
        np.zeros((len(table.puppets) + 1, len(FEATURES))),
        card=Card(policy="linear"),
        most_turns=recipe.most_turns,
    )
    unit = float(table.cost.mean(0).max())
    memory: Memory = {}
    step = _Adam(policy.weights, recipe.rate)
    for number in range(recipe.rounds):
        groups: list[list[Episode]] = []
        same: dict[int, Vector] = {}
        for row in draw.permutation(len(table.texts)):
            groups.append(
                [
                    play(policy, table, row, draw, memory=memory, odds_of=same)
                    for _ in range(recipe.group)
                ]
            )
            if recipe.one_at_a_time:
                step.up(_gradient(policy, groups[-1:], table, recipe, unit))
                same = {}
        if not recipe.one_at_a_time:
            step.up(_gradient(policy, groups, table, recipe, unit))
        if tell is not None:
            tell(_round(number, [one for group in groups for one in group], table, recipe, unit))
    return policy


def _gradient(
    policy: Linear, groups: list[list[Episode]], table: Table, recipe: Recipe, unit: float
) -> Vector:
    pulls: dict[int, Vector] = {}
    seen_as: dict[int, Vector] = {}
    count = 0
    for group in groups:
        returns = [_returns(episode, table, recipe, unit) for episode in group]
        base = sum(one[0] for one in returns) / len(group) if recipe.baseline else 0.0
        for episode, worths in zip(group, returns, strict=True):
            count += 1
            for (seen, odds, action), worth in zip(episode.steps, worths, strict=True):
                advantage = (worths[0] - base) if recipe.baseline else worth
                pull = -odds * advantage
                pull[action] += advantage
                if recipe.entropy:
                    pull += recipe.entropy * _entropy_pull(odds)
                if id(seen) in pulls:
                    pulls[id(seen)] += pull
                else:
                    pulls[id(seen)], seen_as[id(seen)] = pull, seen
    total = sum(np.outer(pull, seen_as[key]) for key, pull in pulls.items())
    return total / count - recipe.decay * policy.weights


def _returns(episode: Episode, table: Table, recipe: Recipe, unit: float) -> list[float]:
    """Return what each step of an episode was worth from there on."""
    costs = [float(table.cost[episode.row, action]) / unit for action in episode.acted]
    if recipe.log_cost:
        horizon = recipe.most_turns
        costs = [cost * np.log(1 + (t + 1) / horizon) for t, cost in enumerate(costs)]
    worth = episode.right
    worths = [worth]
    for cost in reversed(costs):
        worth = (GAMMA if recipe.log_cost else 1.0) * worth - recipe.price * cost
        worths.append(worth)
    return worths[::-1][: len(episode.steps)]


def _entropy_pull(odds: Vector) -> Vector:
    logs = np.log(np.maximum(odds, 1e-12))
    entropy = -(odds * logs).sum()
    return -odds * (logs + entropy)


def _round(
    number: int, episodes: list[Episode], table: Table, recipe: Recipe, unit: float
) -> Round:
    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    return Round(
        number=number,
        reward=mean([one.right - recipe.price * one.cost / unit for one in episodes]),
        right=mean([one.right for one in episodes]),
        cost=mean([one.cost for one in episodes]),
        tokens=mean([one.tokens for one in episodes]),
        calls=mean([float(len(one.acted)) for one in episodes]),
        paths=[[table.puppets[action].name for action in one.acted] for one in episodes],
    )


class _Adam:
    """Kingma and Ba, arXiv 1412.6980, going up; changes the weights in place."""

    def __init__(self, weights: Vector, rate: float) -> None:
        self._weights = weights
        self._rate = rate
        self._mean = np.zeros_like(weights)
        self._square = np.zeros_like(weights)
        self._count = 0

    def up(self, gradient: Vector) -> None:
        self._count += 1
        self._mean += 0.1 * (gradient - self._mean)
        self._square += 0.001 * (gradient**2 - self._square)
        mean = self._mean / (1 - 0.9**self._count)
        square = self._square / (1 - 0.999**self._count)
        self._weights += self._rate * mean / (np.sqrt(square) + 1e-8)
