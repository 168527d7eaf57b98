"""What one more call is worth: Q(state, model) under a price for money, by backward induction.

In a state an episode may stop, which is worth P(right), or ask one more model, which is worth
the value of the state that follows less the price of its cost. `price` says how much probability
of a right answer one unit of cost must buy. For each number of calls made so far a small network
predicts the *gain*, value of the next state minus P(right) now, for every model and price; it is
fitted to states one call deeper, whose answers the training part knows. The first pass draws
states at random, later passes draw those that the policy itself visits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from glasslipper.puppeteer.belief import Belief, Mind, Tell
from glasslipper.puppeteer.net import AdamW, Parameters, backward, cosine, dense, forward
from glasslipper.puppeteer.outcomes import Bools, Floats, Ints

_HIDDEN = (96, 48)
_BATCH = 128


@dataclass(frozen=True)
class ValuePlan:
    """How values are fitted: episodes drawn, calls at most, networks' training."""

    depth: int = 6
    states: int = 9000
    siblings: int = 4
    passes: int = 2
    epochs: int = 20
    rate: float = 2e-3
    decay: float = 3e-2
    least_price: float = 0.004
    most_price: float = 1.5


WARMTH = 0.02
"""How far worths lie apart, in P(right), for a tuned policy to be about sure of a choice."""


@dataclass(frozen=True)
class Head:
    """What tuning (`tuning`) adds to the worth of asking each model of a pool, in a state.

    Reads the columns `kept` of a state's looks, scaled, and the price; its last output is for
    stopping.
    """

    layers: Parameters
    pool: Ints
    kept: Ints
    mean: Floats
    spread: Floats

    def inputs(self, looks: Floats) -> Floats:
        """Return what it reads of states, all but the price (... x F)."""
        return np.clip((looks[..., self.kept] - self.mean) / self.spread, -4, 4)

    def shift(self, looks: Floats, prices: Floats, models: int) -> Floats:
        """Return what is added to the worth of each model (B x M), in P(right)."""
        inputs = np.concatenate([self.inputs(looks), priced(prices)], axis=1, dtype=np.float32)
        told = forward(self.layers, inputs)[-1]
        out = np.zeros((len(looks), models), np.float32)
        out[:, self.pool] = WARMTH * (told[:, :-1] - told[:, -1:])
        return out


class Values:
    """Gain networks, one for each number of calls made so far, and what tuning adds to them."""

    def __init__(
        self,
        levels: Sequence[Parameters],
        mean: Floats,
        spread: Floats,
        *,
        head: Head | None = None,
    ) -> None:
        """Wrap trained parameters and the scale of their inputs."""
        self.levels = list(levels)
        self.mean = mean
        self.spread = spread
        self.head = head

    def gains(self, level: int, looks: Floats, prices: Floats) -> Floats:
        """Return the predicted gain (B x M) of asking each model, its cost not yet charged."""
        return forward(self.levels[level], self.inputs(looks, prices))[-1]

    def inputs(self, looks: Floats, prices: Floats) -> Floats:
        """Return what the networks read."""
        scaled = (looks - self.mean) / self.spread
        return np.concatenate([scaled, priced(prices)], axis=1, dtype=np.float32)

    def worth(
        self, level: int, looks: Floats, prices: Floats, usd: Floats, called: Bools
    ) -> Floats:
        """Return what asking each model is worth beyond stopping now, -inf where it was called."""
        if level >= len(self.levels):
            return np.full(called.shape, -np.inf, dtype=np.float32)
        net = self.gains(level, looks, prices) - prices[:, None] * usd
        if self.head is not None:
            net += self.head.shift(looks, prices, called.shape[1])
        return np.where(called, -np.inf, net).astype(np.float32)


def priced(prices: Floats) -> Floats:
    """Return prices as the networks read them (B x 2)."""
    logs = np.log(np.maximum(prices, 1e-4))
    return np.stack([logs / 3, logs * logs / 20], axis=1).astype(np.float32)


@dataclass(frozen=True)
class _States:
    """B states of one depth, each with a price."""

    rows: Ints
    called: Bools
    prices: Floats


class Induction:
    """Fits values for the tasks of a mind. One instance serves all folds: beliefs are shared."""

    def __init__(self, mind: Mind, plan: ValuePlan, *, pool: Sequence[int], seed: int) -> None:
        """Prepare to draw states of the mind's tasks in which only `pool` is called."""
        self._mind = mind
        self._plan = plan
        self._draw = np.random.default_rng((seed, 5))
        self._models = mind.tasks.said.shape[1]
        self._closed = np.ones(self._models, dtype=np.bool_)
        self._closed[list(pool)] = False
        self._size = len(pool)
        self.depth = min(plan.depth, len(pool))

    def fit(self, pupils: Sequence[Ints], tell: Tell) -> list[Values]:
        """Return one `Values` for each set of task rows that may be learned from."""
        made: list[Values] | None = None
        done, todo = 0, self._plan.passes * self.depth
        for _ in range(self._plan.passes):
            visited = self._visit(made)
            fresh = [_empty(self._mind, visited[0], self.depth) for _ in pupils]
            for level in reversed(range(self.depth)):
                error = self._level(level, visited[level], fresh, pupils)
                done += 1
                tell("values", done, todo, step=done, error=error)
            made = fresh
        return made or []

    def _visit(self, made: list[Values] | None) -> list[_States]:
        """Return states of each depth: random, or where the policy goes (with detours)."""
        plan, tasks = self._plan, self._mind.tasks
        count = plan.states
        rows = self._draw.integers(len(tasks), size=count)
        low, high = np.log(plan.least_price), np.log(plan.most_price)
        prices = np.exp(self._draw.uniform(low, high, count)).astype(np.float32)
        called = np.zeros((count, self._models), dtype=np.bool_)
        appeal = self._draw.normal(size=(count, self._models)) - 0.5 * np.log(
            tasks.usd[rows] + 0.02
        ) * self._draw.uniform(0, 1, (count, 1))
        states: list[_States] = []
        for level in range(self.depth):
            states.append(_States(rows, called.copy(), prices))
            choice = np.where(called | self._closed, -np.inf, appeal).argmax(1)
            if made is not None:
                known = self._wishes(made, level, states[-1])
                wander = self._draw.random(count) < 0.3
                choice = np.where(wander, choice, known)
            called[np.arange(count), choice] = True
        return states

    def _wishes(self, made: list[Values], level: int, states: _States) -> Ints:
        belief = self._mind.believe(states.rows, states.called)
        usd = self._mind.tasks.usd[states.rows]
        barred = states.called | self._closed
        worths = [v.worth(level, belief.looks, states.prices, usd, barred) for v in made]
        return np.mean(worths, axis=0).argmax(1)

    def _level(
        self, level: int, states: _States, fresh: list[Values], pupils: Sequence[Ints]
    ) -> float:
        """Fit one depth; return how far off the gains are at the end (mean absolute error)."""
        plan = self._plan
        rows, called, prices = states.rows, states.called, states.prices
        now = self._mind.believe(rows, called)
        looks = now.looks
        barred = called | self._closed
        order = np.where(barred, -1, self._draw.random(called.shape)).argsort(1)[:, ::-1]
        siblings = min(plan.siblings, self._size - level)
        asked = order[:, :siblings]
        nexts: list[tuple[Belief, Bools]] = []
        for sibling in range(siblings):
            after = called.copy()
            after[np.arange(len(rows)), asked[:, sibling]] = True
            belief = self._mind.believe(rows, after)
            nexts.append((belief, after))
        worths = [
            self._ahead(fresh, level + 1, rows, prices, after, belief.looks)
            for belief, after in nexts
        ]
        errors: list[float] = []
        for place, (values, own) in enumerate(zip(fresh, pupils, strict=True)):
            gains = np.stack(
                [
                    belief.right + _double(worth, place)
                    for (belief, _), worth in zip(nexts, worths, strict=True)
                ],
                axis=1,
            )
            gains -= now.right[:, None]
            mine = np.isin(rows, own)
            inputs = values.inputs(looks[mine], prices[mine])
            network = values.levels[level]
            _regress(network, inputs, asked[mine], gains[mine], plan, self._draw)
            told = np.take_along_axis(forward(network, inputs)[-1], asked[mine], axis=1)
            errors.append(float(np.abs(told - gains[mine]).mean()))
        return float(np.mean(errors))

    def _ahead(
        self,
        fresh: list[Values],
        level: int,
        rows: Ints,
        prices: Floats,
        called: Bools,
        looks: Floats,
    ) -> Floats:
        """Return what each set of networks thinks that going on is worth, P x B x M."""
        usd = self._mind.tasks.usd[rows]
        barred = called | self._closed
        return np.stack([v.worth(level, looks, prices, usd, barred) for v in fresh])


def _double(worths: Floats, place: int) -> Floats:
    """Return the worth of going on by one set of networks where the others choose (B).

    Choosing and valuing with the same network would take its luckiest error for a value
    (van Hasselt 2010).
    """
    others = np.delete(worths, place, axis=0).mean(0) if len(worths) > 1 else worths[0]
    choice = others.argmax(1)
    rows = np.arange(len(choice))
    goes_on = others[rows, choice] > 0
    own = np.where(goes_on, worths[place][rows, choice], 0)
    return np.where(np.isfinite(own), own, 0).astype(np.float32)


def _empty(mind: Mind, states: _States, depth: int) -> Values:
    some = states.rows[:512]
    called = np.random.default_rng(0).random((len(some), states.called.shape[1])) < 0.3
    looks = mind.believe(some, called).looks
    models = states.called.shape[1]
    draw = np.random.default_rng(1)
    sizes = (looks.shape[1] + 2, *_HIDDEN, models)
    levels = [dense(sizes, draw) for _ in range(depth)]
    return Values(levels, looks.mean(0), looks.std(0) + np.float32(0.1))


def _regress(
    parameters: Parameters,
    inputs: Floats,
    asked: Ints,
    gains: Floats,
    plan: ValuePlan,
    draw: np.random.Generator,
) -> None:
    """Fit the outputs `asked` (B x siblings) to `gains` by least squares."""
    adam = AdamW(parameters, decay=plan.decay)
    size = min(_BATCH, len(inputs))
    steps = plan.epochs * (len(inputs) // size)
    for step, some in enumerate(_batches(len(inputs), size, plan.epochs, draw)):
        told = forward(parameters, inputs[some])
        given = np.take_along_axis(told[-1], asked[some], axis=1)
        slope = np.zeros_like(told[-1])
        np.put_along_axis(slope, asked[some], (given - gains[some]) / np.float32(size), axis=1)
        gradients, _ = backward(parameters, told, slope)
        adam.step(gradients, cosine(step, steps, plan.rate))


def _batches(count: int, size: int, epochs: int, draw: np.random.Generator) -> Iterator[Ints]:
    for _ in range(epochs):
        order = draw.permutation(count)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]
