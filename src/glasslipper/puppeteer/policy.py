"""Ours: a policy that believes, knows what one more call is worth, and stops when it does not pay.

Training, all of it on the training part: an ensemble of posteriors by folds, their calibration,
a pool of models, values of calls under a price for money, and their tuning by reward. A *dial* is
a price; what each dial gives is measured on held-out folds, and the named dials are chosen by that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial

import numpy as np
from numpy.typing import NDArray

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.puppeteer import swift
from glasslipper.puppeteer.belief import Ensemble, Mind, Tell
from glasslipper.puppeteer.encode import Encoded, Looks, Scale, compact, targets
from glasslipper.puppeteer.outcomes import Floats, Ints, Outcomes
from glasslipper.puppeteer.pool import choose
from glasslipper.puppeteer.posterior import PosteriorPlan
from glasslipper.puppeteer.replay import Played
from glasslipper.puppeteer.shelf import get_values, put_values
from glasslipper.puppeteer.stages import Arrays, Stages
from glasslipper.puppeteer.tuning import Game, TuningPlan, tune
from glasslipper.puppeteer.value import Induction, ValuePlan, Values

DIALS = 11
"""How many prices the dial has, from the dearest money to the cheapest."""

_LEAST_PRICE = 0.001
_COST_MARGIN = 0.97
_ACCURACY_MARGIN = 0.003
_SMALL = 3000
_FEWEST_MODELS = 2


@dataclass(frozen=True)
class Plan:
    """How a policy is trained. The defaults are chosen by the number of training tasks."""

    folds: int = 4
    each: int = 2
    pool: int = 6
    posterior: PosteriorPlan = field(default_factory=PosteriorPlan)
    values: ValuePlan = field(
        default_factory=lambda: ValuePlan(depth=7, epochs=10, states=7500, siblings=3)
    )
    tuning: TuningPlan = field(default_factory=TuningPlan)

    @classmethod
    def for_tasks(cls, count: int, *, reads_slots: bool = True) -> Plan:
        """Return a plan: with few tasks, networks are held back more, and see more of them."""
        if count < _SMALL:
            few = PosteriorPlan(epochs=25, drop=0.4, decay=0.1, reads_slots=reads_slots)
            return cls(folds=8, each=1, posterior=few)
        many = PosteriorPlan(epochs=14, drop=0.3, decay=0.05, reads_slots=reads_slots)
        return cls(posterior=many)


QUICK = Plan(
    folds=2,
    each=1,
    pool=4,
    posterior=PosteriorPlan(epochs=12),
    values=ValuePlan(depth=4, states=4000, passes=1, epochs=16),
    tuning=TuningPlan(tasks=400, updates=40),
)
"""A plan for trying things out: seconds instead of minutes, and not as good."""


@dataclass(frozen=True)
class Dial:
    """A price, what it gave on held-out folds, and what it is expected to cost (USD a task)."""

    price: float
    accuracy: float
    usd: float


@dataclass
class Policy:
    """A trained policy. `skill` orders models whose answers say the same."""

    scale: Scale
    ensemble: Ensemble
    values: list[Values]
    pool: tuple[int, ...]
    skill: Floats
    dials: list[Dial]
    named: dict[str, float]

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it knows, in the order of its columns."""
        return self.scale.models

    @classmethod
    def train(
        cls,
        outcomes: Outcomes,
        looks: Looks,
        *,
        seed: int,
        plan: Plan | None = None,
        tell: Tell,
        stages: Stages | None = None,
    ) -> Policy:
        """Learn from outcomes; with `stages`, go on where the same training was stopped.

        Raises:
            InvalidRequest: There is only one model, or no answer that can be read.
        """
        plan, stages = plan or Plan.for_tasks(len(outcomes)), stages or Stages()
        if len(outcomes.models) < _FEWEST_MODELS:
            raise InvalidRequest(
                f"There is only {outcomes.models[0]} to ask: nothing can be learned.",
                hint=f"Give prices and answers of at least {_FEWEST_MODELS} models.",
            )
        if (outcomes.said < 0).all():
            raise InvalidRequest(
                "None of the answers to learn from can be read.",
                hint="Look at the answers in pred_letter.csv or outcomes.csv.",
            )
        skill = outcomes.right.mean(0)
        best = outcomes.best
        scale = Scale.fit(outcomes, looks, unit_usd=outcomes.unit_usd)
        tasks = scale.encode(outcomes, looks)
        wanted = targets(outcomes, looks.slots.shape[1])
        folds = np.random.default_rng(seed).integers(0, plan.folds, len(outcomes))
        ensemble = Ensemble.train(
            tasks,
            wanted,
            folds,
            plan.posterior,
            seed=seed,
            each=plan.each,
            tell=tell,
            stages=stages,
        )
        mind = ensemble.held_out(tasks, folds)
        pupils = [np.flatnonzero(folds != fold) for fold in range(plan.folds)]
        found = stages.once("pool", partial(_chosen, mind, wanted, plan, seed, tell))
        pool = [int(model) for model in found["pool"]]
        mind = ensemble.held_out(compact(tasks, pool), folds)
        induction = Induction(mind, plan.values, pool=pool, seed=seed + 1)
        found = stages.once("values", partial(_valued, induction, pupils, tell))
        values = [get_values(found, fold, levels=induction.depth) for fold in range(plan.folds)]
        if plan.tuning.updates:
            values = _tuned(values, mind, outcomes, pool, folds, plan, seed, tell, stages)
        made = cls(
            scale=scale,
            ensemble=ensemble,
            values=values,
            pool=tuple(pool),
            skill=skill.astype(np.float32),
            dials=[],
            named={},
        )
        made.dials = made._measure(outcomes, mind, folds, plan.values)
        best_usd = float(outcomes.usd[:, best].mean())
        made.named = _named(made.dials, float(skill[best]), best_usd)
        return made

    def price(self, dial: float) -> float:
        """Return the price of a dial from 0 (as cheap as can be) to 10 (as good as can be)."""
        places = np.linspace(0, 10, len(self.dials))
        logs = np.log([one.price for one in self.dials])
        return float(np.exp(np.interp(dial, places, logs)))

    @cached_property
    def stack(self) -> swift.Stack:
        """The networks, as a single episode asks them."""
        return swift.Stack(self.ensemble, self.values)

    def episode(self, task: Encoded) -> Episode:
        """Begin an episode on one encoded task."""
        return Episode(self, task)

    def play(self, outcomes: Outcomes, looks: Looks, prices: Sequence[float]) -> list[Played]:
        """Play new tasks at several prices."""
        tasks = self.scale.encode(outcomes.pool(self.models), looks)
        mind = self.ensemble.fresh(compact(tasks, self.pool))
        return [self.episodes(mind, price, None) for price in prices]

    def episodes(self, mind: Mind, price: float, folds: Ints | None) -> Played:
        """Play the tasks of a mind at one price; with folds, by the held-out networks."""
        called = walk(mind, self.values, self.pool, price=price, folds=folds)
        leader = mind.believe(np.arange(len(mind.tasks)), called).leader
        return Played(called, speaker(mind.tasks, called, leader, self.skill))

    def _measure(self, outcomes: Outcomes, mind: Mind, folds: Ints, plan: ValuePlan) -> list[Dial]:
        """Play the training tasks at every step of the dial.

        Right is what networks got that had not seen the task. What new tasks will cost is taken to
        lie halfway between what these spent (each set of values alone asks on for its own errors)
        and what all together would have spent (which know the tasks, and stop the sooner).
        """
        dials: list[Dial] = []
        for price in map(float, np.geomspace(plan.most_price, _LEAST_PRICE, DIALS)):
            apart, together = (self.episodes(mind, price, who) for who in (folds, None))
            usd = (apart.usd(outcomes).mean() + together.usd(outcomes).mean()) / 2
            dials.append(Dial(price, float(apart.right(outcomes).mean()), float(usd)))
        return dials


class Episode:
    """One task: `decide` whom to ask, then `hear` that its answer is there."""

    def __init__(self, policy: Policy, task: Encoded) -> None:
        """Begin; nobody has been called."""
        self.called = np.zeros(len(policy.models), dtype=np.bool_)
        self._closed = np.ones(len(policy.models), dtype=np.bool_)
        self._closed[list(policy.pool)] = False
        self._policy = policy
        self._swift = swift.Task(policy.stack, task)
        self._seen: swift.Seen | None = None

    def hear(self, model: int, task: Encoded | None = None) -> None:
        """Take note that a model has answered; `task` holds its answer, where it did not yet."""
        self.called[model] = True
        self._seen = None
        if task is not None:
            self._swift = swift.Task(self._policy.stack, task)

    @property
    def seen(self) -> swift.Seen:
        """What is believed now."""
        if self._seen is None:
            self._seen = self._swift.believe(self.called)
        return self._seen

    @property
    def sure(self) -> float:
        """P(right) of the leading answer, as calibrated."""
        return self.seen.right

    def worth(self, price: float, *, away: NDArray[np.bool_] | None = None) -> Floats:
        """Return what asking each model is worth beyond stopping now (M); -inf if it cannot be.

        `away` are models that cannot be asked just now.
        """
        barred = self.called | self._closed
        if away is not None:
            barred |= away
        if barred.all():
            return np.full(len(barred), -np.inf, np.float32)
        worth = self._swift.worth(self.seen.looks, price, level=int(self.called.sum()))
        return np.where(barred, np.float32(-np.inf), worth)

    def decide(self, price: float, *, away: NDArray[np.bool_] | None = None) -> int | None:
        """Return the model to ask next, or `None` to stop."""
        worth = self.worth(price, away=away)
        best = int(worth.argmax())
        begins = not self.called.any()
        return best if worth[best] > 0 or (begins and np.isfinite(worth[best])) else None


def walk(
    mind: Mind, values: Sequence[Values], pool: Sequence[int], *, price: float, folds: Ints | None
) -> NDArray[np.bool_]:
    """Return who is called (N x M) when episodes go on for as long as it pays."""
    tasks = mind.tasks
    called = np.zeros(tasks.said.shape, dtype=np.bool_)
    barred = np.ones(len(tasks.said.T), dtype=np.bool_)
    barred[list(pool)] = False
    alive = np.arange(len(tasks))
    for level in range(min(len(values[0].levels), len(pool))):
        if len(alive) == 0:
            break
        worth = worths(
            values,
            level,
            mind.believe(alive, called[alive]).looks,
            prices=np.full(len(alive), price, np.float32),
            usd=tasks.usd[alive],
            barred=called[alive] | barred,
            folds=None if folds is None else folds[alive],
        )
        goes_on = (worth.max(1) > 0) | (level == 0)
        alive, chosen = alive[goes_on], worth.argmax(1)[goes_on]
        called[alive, chosen] = True
    return called


def worths(
    values: Sequence[Values],
    level: int,
    looks: Floats,
    *,
    prices: Floats,
    usd: Floats,
    barred: NDArray[np.bool_],
    folds: Ints | None,
) -> Floats:
    """Return what asking each model is worth (B x M): by all networks, or the held-out ones."""
    if folds is None:
        every = [own.worth(level, looks, prices, usd, barred) for own in values]
        return np.mean(every, axis=0)
    worth = np.full(barred.shape, -np.inf, dtype=np.float32)
    for fold, own in enumerate(values):
        mine = folds == fold
        worth[mine] = own.worth(level, looks[mine], prices[mine], usd[mine], barred[mine])
    return worth


def speaker(tasks: Encoded, called: NDArray[np.bool_], leader: Ints, skill: Floats) -> Ints:
    """Return the most skilled of the called models that named the leading answer, or -1."""
    agrees = called & (tasks.said == leader[:, None]) & (tasks.said > 0)
    return np.where(agrees.any(1), np.where(agrees, skill, -1).argmax(1), -1)


def _prices(plan: ValuePlan) -> list[float]:
    return [float(price) for price in np.geomspace(plan.most_price, plan.least_price, DIALS)]


def _chosen(mind: Mind, wanted: Floats, plan: Plan, seed: int, tell: Tell) -> Arrays:
    pool = choose(mind, wanted, plan.pool, seed=seed, tell=tell)
    return {"pool": np.array(pool, np.float32)}


def _valued(induction: Induction, pupils: Sequence[Ints], tell: Tell) -> Arrays:
    arrays: dict[str, Floats] = {}
    for fold, own in enumerate(induction.fit(pupils, tell)):
        put_values(arrays, fold, own)
    return arrays


def _tuned(
    values: Sequence[Values],
    mind: Mind,
    outcomes: Outcomes,
    pool: Sequence[int],
    folds: Ints,
    plan: Plan,
    seed: int,
    tell: Tell,
    stages: Stages,
) -> list[Values]:
    """Tune each set of values on a sample of the tasks that it may learn from."""
    count = min(plan.tuning.tasks, len(outcomes))
    some = np.sort(np.random.default_rng((seed, 40)).permutation(len(outcomes))[:count])
    skill = outcomes.right.mean(0).astype(np.float32)
    cost = outcomes.usd[some] / outcomes.unit_usd
    todo = len(values) * plan.tuning.updates
    game = cache(lambda: Game(mind.rows(some), pool, outcomes.right[some], skill))

    def tuned(fold: int) -> Arrays:
        made = tune(
            game(),
            cost,
            values[fold],
            np.flatnonzero(folds[some] != fold),
            plan=plan.tuning,
            prices=_prices(plan.values),
            seed=seed * 100 + fold,
            tell=tell,
            done=fold * plan.tuning.updates,
            todo=todo,
        )
        arrays: dict[str, Floats] = {}
        put_values(arrays, fold, made)
        return arrays

    return [
        get_values(
            stages.once(f"tuning-{fold}", partial(tuned, fold)), fold, levels=len(own.levels)
        )
        for fold, own in enumerate(values)
    ]


def _named(dials: Sequence[Dial], best_accuracy: float, best_usd: float) -> dict[str, float]:
    """Choose dials on the training part.

    The cheapest that is as good as the best single model, the best that is at most as dear, and
    the best of all. What was measured is smoothed first, so that no dial is chosen for its luck.
    """
    logs = np.log([dial.price for dial in dials])
    usd = rising([dial.usd for dial in dials])
    right = rising([dial.accuracy for dial in dials])
    slope = 1e-9 * np.arange(len(dials))
    saving = np.interp(best_accuracy + _ACCURACY_MARGIN, right + slope, logs)
    even = np.interp(_COST_MARGIN * best_usd, usd + slope, logs)
    top = dials[int(right.argmax())]
    return {"saving": float(np.exp(saving)), "even": float(np.exp(even)), "best": top.price}


def rising(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the nearest row of numbers that never falls (least squares; pool adjacent violators).

    Source: Barlow et al., Statistical Inference under Order Restrictions, 1972.
    """
    blocks: list[tuple[float, int]] = []
    for value in values:
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (one, before), (other, after) = blocks[-2:]
            whole = before + after
            blocks[-2:] = [((one * before + other * after) / whole, whole)]
    return np.repeat([mean for mean, _ in blocks], [count for _, count in blocks])
