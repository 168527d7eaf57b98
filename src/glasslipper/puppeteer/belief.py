"""What a policy believes in a state: probabilities of the slots, and numbers that sum them up.

An ensemble of posteriors, calibrated by one temperature. Built with a plan of folds: `held_out`
beliefs about a training task come only from networks that have not seen it, so what is learned
from them (a temperature, values, a dial) holds for new tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from glasslipper.puppeteer.encode import Encoded
from glasslipper.puppeteer.net import (
    AdamW,
    Parameters,
    backward,
    cosine,
    dense,
    forward,
    softmax,
)
from glasslipper.puppeteer.outcomes import Bools, Floats, Ints
from glasslipper.puppeteer.posterior import PosteriorPlan, Scorer, random_calls, see
from glasslipper.puppeteer.stages import Stages


class Tell(Protocol):
    """Hears how far a long work is: what, steps done, steps in all, and figures by name."""

    def __call__(self, what: str, done: int, todo: int, **figures: float) -> None:
        """Hear it."""
        ...


_CHUNK = 4096
_TRUST_STATES = 30_000
_TRUST_HIDDEN = 32
_TRUST_BATCH = 256
_TRUST_EPOCHS = 8
_TRUST_RATE = 2e-3
_TRUST_DECAY = 0.1
LOG_ODDS = 3


@dataclass(frozen=True)
class Belief:
    """B states: probability of each slot (B x S), which are named, the leader and its odds.

    `leader` is the likeliest slot that some called model named, 0 where there is none; `right`
    (B) is its probability.
    """

    slots: Floats
    named: Bools
    leader: Ints
    right: Floats
    looks: Floats


class Ensemble:
    """Networks by fold; those of fold k have not seen the tasks of fold k."""

    def __init__(
        self, scorers: Sequence[Sequence[Scorer]], trusts: Sequence[Parameters] = ()
    ) -> None:
        """Take the networks of each fold, and the calibration of each."""
        self.scorers = [list(fold) for fold in scorers]
        self.trusts = list(trusts)

    @classmethod
    def train(
        cls,
        tasks: Encoded,
        wanted: Floats,
        folds: Ints,
        plan: PosteriorPlan,
        *,
        seed: int,
        each: int,
        tell: Tell,
        stages: Stages | None = None,
    ) -> Ensemble:
        """Train `each` networks for every fold, then calibrate on held-out beliefs."""
        stages = stages or Stages()
        count = int(folds.max()) + 1
        whole = count * each * plan.epochs

        def learned(fold: int, number: int) -> Parameters:
            def heard(epoch: int, loss: float) -> None:
                tell("posterior", number * plan.epochs + epoch, whole, step=epoch, loss=loss)

            draw = np.random.default_rng((seed, number))
            scorer = Scorer.fresh(tasks, draw, reads_slots=plan.reads_slots)
            chosen = np.flatnonzero(folds != fold)
            own_seed = seed * 1000 + number
            scorer.learn(tasks.rows(chosen), wanted[chosen], plan, own_seed, heard=heard)
            return scorer.parameters

        scorers: list[list[Scorer]] = []
        for fold in range(count):
            scorers.append([])
            for number in range(fold * each, (fold + 1) * each):
                made = stages.once(f"posterior-{number}", partial(learned, fold, number))
                tell("posterior", (number + 1) * plan.epochs, whole)
                scorers[-1].append(Scorer(dict(made), reads_slots=plan.reads_slots))
        ensemble = cls(scorers)
        ensemble.trusts = ensemble._calibrate(tasks, wanted, folds, seed)
        return ensemble

    def held_out(self, tasks: Encoded, folds: Ints) -> Mind:
        """Return the mind that judges each task by the networks which have not seen it."""
        return Mind(self, tasks, folds)

    def fresh(self, tasks: Encoded) -> Mind:
        """Return the mind that judges new tasks, by all networks."""
        return Mind(self, tasks, None)

    def _calibrate(
        self, tasks: Encoded, wanted: Floats, folds: Ints, seed: int
    ) -> list[Parameters]:
        """Return networks that turn held-out beliefs into probabilities that hold."""
        draw = np.random.default_rng((seed, 77))
        rounds = max(_TRUST_STATES // len(tasks), 1)
        rows = np.tile(np.arange(len(tasks)), rounds)
        called = random_calls(tasks.rows(rows), draw)
        belief = self.held_out(tasks, folds).believe(rows, called)
        is_right = (wanted[rows, belief.leader] > 0) & (belief.leader > 0)
        some = belief.leader > 0
        trusts: list[Parameters] = []
        for fold in range(len(self.scorers)):
            mine = np.flatnonzero(some & (folds[rows] != fold))
            trusts.append(_trust(belief.looks[mine], is_right[mine], draw))
        return trusts


def _trust(looks: Floats, is_right: Bools, draw: np.random.Generator) -> Parameters:
    own = dense((looks.shape[1], _TRUST_HIDDEN, 1), draw)
    if len(looks) == 0:
        looks, is_right = np.zeros((1, looks.shape[1]), np.float32), np.zeros(1, np.bool_)
    own["mean"], own["spread"] = looks.mean(0), looks.std(0) + np.float32(0.1)
    learned = {name: array for name, array in own.items() if name[0] in "Wb"}
    adam = AdamW(learned, decay=_TRUST_DECAY)
    batches = max(len(looks) // _TRUST_BATCH, 1)
    steps = _TRUST_EPOCHS * batches
    for step in range(steps):
        some: Ints = draw.integers(len(looks), size=_TRUST_BATCH)
        told = forward(learned, (looks[some] - own["mean"]) / own["spread"])
        given = _logistic(told[-1][:, 0] + 3 * looks[some, LOG_ODDS])
        slope = (given - is_right[some])[:, None] / np.float32(_TRUST_BATCH)
        gradients, _ = backward(learned, told, slope.astype(np.float32))
        adam.step(gradients, cosine(step, steps, _TRUST_RATE))
    return own


def _trusted(own: Parameters, looks: Floats) -> Floats:
    learned = {name: array for name, array in own.items() if name[0] in "Wb"}
    told = forward(learned, (looks - own["mean"]) / own["spread"])
    return _logistic(told[-1][:, 0] + 3 * looks[:, LOG_ODDS])


def _logistic(values: Floats) -> Floats:
    return (1 / (1 + np.exp(-np.clip(values, -20, 20)))).astype(np.float32)


class Mind:
    """Beliefs about the states of given tasks; keeps what no call changes."""

    def __init__(self, ensemble: Ensemble, tasks: Encoded, folds: Ints | None) -> None:
        """Prepare for tasks; `folds` names for each the networks that may judge it."""
        self.tasks = tasks
        self.folds = folds
        self._ensemble = ensemble
        self._still = [[scorer.still(tasks) for scorer in fold] for fold in ensemble.scorers]

    def rows(self, chosen: Ints) -> Mind:
        """Return the mind of some of the tasks."""
        folds = None if self.folds is None else self.folds[chosen]
        return Mind(self._ensemble, self.tasks.rows(chosen), folds)

    def believe(self, rows: Ints, called: Bools) -> Belief:
        """Return what to believe of tasks `rows` (B) when `called` (B x M) have answered."""
        slots = np.zeros((len(rows), self.tasks.slots.shape[1]), dtype=np.float32)
        named = np.zeros(slots.shape, dtype=np.bool_)
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            slots[part], named[part] = self._slots(rows[part], called[part])
        shown = np.where(named, slots, np.float32(-1))
        shown[:, 0] = 0
        leader = shown.argmax(1)
        raw = np.where(leader > 0, shown[np.arange(len(rows)), leader], 0).astype(np.float32)
        looks = state_looks(
            self.tasks, rows, called=called, slots=slots, named=named, leader=leader, right=raw
        )
        right = self._trusted(rows, looks, raw)
        return Belief(slots=slots, named=named, leader=leader, right=right, looks=looks)

    def _trusted(self, rows: Ints, looks: Floats, raw: Floats) -> Floats:
        trusts = self._ensemble.trusts
        if not trusts:
            return raw
        if self.folds is None:
            right = np.mean([_trusted(own, looks) for own in trusts], axis=0)
        else:
            right = np.zeros(len(rows), np.float32)
            for fold, own in enumerate(trusts):
                mine = self.folds[rows] == fold
                right[mine] = _trusted(own, looks[mine])
        return np.where(raw > 0, right, 0).astype(np.float32)

    def _slots(self, rows: Ints, called: Bools) -> tuple[Floats, Bools]:
        some = self.tasks.rows(rows)
        seen = see(some, called)
        total = np.zeros(seen.exists.shape, dtype=np.float32)
        for fold, scorers in enumerate(self._ensemble.scorers):
            if self.folds is None:
                for member, scorer in enumerate(scorers):
                    total += softmax(
                        scorer.scores(self._still[fold][member][rows], seen), seen.exists
                    )
                continue
            mine = np.flatnonzero(self.folds[rows] == fold)
            if len(mine) == 0:
                continue
            part = seen.rows(mine)
            for member, scorer in enumerate(scorers):
                still = self._still[fold][member][rows[mine]]
                total[mine] += softmax(scorer.scores(still, part), part.exists)
        is_named: Bools = seen.named.max(2) > 0
        return (total / total.sum(1, keepdims=True)).astype(np.float32), is_named


def state_looks(
    tasks: Encoded,
    rows: Ints,
    *,
    called: Bools,
    slots: Floats,
    named: Bools,
    leader: Ints,
    right: Floats,
) -> Floats:
    """Return the state as a value network reads it: belief, who stands where, the task."""
    shown = np.sort(np.where(named, slots, 0), axis=1)[:, ::-1]
    top = np.zeros((len(rows), 3), np.float32)
    top[:, : min(3, shown.shape[1])] = shown[:, :3]
    entropy = -(slots * np.log(np.maximum(slots, 1e-9))).sum(1)
    clipped = np.clip(right, 0.005, 0.995)
    said = tasks.said[rows]
    agrees = called & (said == leader[:, None]) & (said > 0)
    differs = called & ~agrees & (said > 0)
    sums = np.stack(
        [
            *top.T,
            np.log(clipped / (1 - clipped)) / 3,
            entropy,
            1 - shown.sum(1),
            agrees.sum(1) / 3,
            differs.sum(1) / 3,
            right * (1 - right) * 4,
        ],
        axis=1,
    )
    heard = np.where(called & (said > 0), np.take_along_axis(slots, said, axis=1), 0)
    parts = [sums, agrees, differs, called, heard, tasks.plain[rows]]
    return np.concatenate(parts, axis=1, dtype=np.float32)
