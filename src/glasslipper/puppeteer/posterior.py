"""P(right): which candidate is right, given who of the models called so far said what.

A network gives each candidate a score from who named it (and at what length), how it looks, and
what the task is; a softmax over the candidates makes probabilities. It is trained on random sets
of called models, so one network serves every state of an episode. Several networks, each trained
without a fold of the tasks, are averaged; `held_out` predictions of a task come only from those
that have not seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from glasslipper.puppeteer.encode import Encoded
from glasslipper.puppeteer.net import AdamW, Parameters, backward, cosine, dense, forward, softmax
from glasslipper.puppeteer.outcomes import Bools, Floats, Ints

_HIDDEN = (96, 48)
_BATCH = 128
_SHRINKAGE = 20.0


@dataclass(frozen=True)
class PosteriorPlan:
    """How a posterior is trained."""

    epochs: int = 14
    rate: float = 3e-3
    decay: float = 2e-2
    drop: float = 0.2
    noise: float = 0.0
    reads_slots: bool = True


class Scorer:
    """One network over the slots of a task."""

    def __init__(self, parameters: Parameters, *, reads_slots: bool = True) -> None:
        """Wrap trained parameters."""
        self.parameters = parameters
        self.reads_slots = reads_slots

    @classmethod
    def fresh(cls, tasks: Encoded, draw: np.random.Generator, *, reads_slots: bool) -> Scorer:
        """Return an untrained network for tasks like these."""
        models = tasks.said.shape[1]
        wide = {
            "named": models,
            "lengths": models,
            "slots": tasks.slots.shape[2],
            "context": tasks.context.shape[1],
            "called": models,
            "silent": models,
            "spoken": models,
            "none": 1,
        }
        spread = np.sqrt(2.0 / sum(wide.values()))
        parameters: Parameters = {
            name: draw.normal(0, spread, (size, _HIDDEN[0])).astype(np.float32)
            for name, size in wide.items()
        }
        parameters["bias"] = np.zeros(_HIDDEN[0], np.float32)
        parameters["sureness"] = np.zeros((models, 1), np.float32)
        parameters["straight"] = np.zeros(models, np.float32)
        parameters["votes"] = np.zeros((tasks.kinds.shape[1], models), np.float32)
        parameters |= dense((*_HIDDEN, 1), draw, prefix="t")
        return cls(parameters, reads_slots=reads_slots)

    def still(self, tasks: Encoded) -> Floats:
        """Return the part of the first layer that no call changes, N x S x H."""
        own = self.parameters
        told: Floats = (tasks.context @ own["context"] + own["bias"])[:, None]
        if not self.reads_slots:
            return np.repeat(told, tasks.slots.shape[1], axis=1)
        seen: Floats = tasks.slots @ own["slots"] + told
        return seen

    def scores(self, still: Floats, seen: Seen) -> Floats:
        """Return the scores of the slots of states, B x S."""
        first, straight = self._first(still, seen)
        np.maximum(first, 0, out=first)
        rows, slots, high = first.shape
        out = forward(self.parameters, first.reshape(rows * slots, high), prefix="t")[-1]
        return (out.reshape(rows, slots) + straight) * self._sureness(seen)

    def _sureness(self, seen: Seen) -> Floats:
        """Return what scores are multiplied with: votes of models that err together count less."""
        return np.exp(np.clip(seen.called @ self.parameters["sureness"], -2, 2)).astype(np.float32)

    def _first(self, still: Floats, seen: Seen) -> tuple[Floats, Floats]:
        own = self.parameters
        first: Floats = seen.named @ own["named"]
        first += seen.lengths @ own["lengths"]
        first += still
        state = seen.called @ own["called"] + seen.silent @ own["silent"]
        state += seen.spoken @ own["spoken"]
        first += state[:, None]
        first[:, 0] += own["none"][0]
        weights = seen.kinds @ own["votes"] + own["straight"]
        votes = np.matmul(seen.named, weights[:, :, None])[:, :, 0].astype(np.float32)
        return first, votes

    def learn(
        self,
        tasks: Encoded,
        wanted: Floats,
        plan: PosteriorPlan,
        seed: int,
        *,
        heard: Callable[[int, float], None],
    ) -> None:
        """Train on tasks (`wanted` is N x S) with random sets of called models.

        `heard` is told each epoch's number and mean loss, in nats.
        """
        draw = np.random.default_rng(seed)
        self._poll(tasks, wanted)
        adam = AdamW(self.parameters, decay=plan.decay, spare={"votes", "sureness"})
        batches = max(len(tasks) // _BATCH, 1)
        steps = plan.epochs * batches
        lost = 0.0
        for step, chosen in enumerate(_batches(len(tasks), plan.epochs, draw)):
            some = tasks.rows(chosen)
            called = random_calls(some, draw)
            rate = cosine(step, steps, plan.rate)
            lost += self._descend(some, called, wanted[chosen], adam, rate, plan) / batches
            if (step + 1) % batches == 0:
                heard((step + 1) // batches, lost)
                lost = 0.0

    def _poll(self, tasks: Encoded, wanted: Floats) -> None:
        """Begin with a vote: each model's weight is the log-odds of its being right, by kind."""
        right = np.take_along_axis(wanted, tasks.said, axis=1) * (tasks.said > 0)
        overall = right.mean(0)
        sums = tasks.kinds.T @ right + _SHRINKAGE * overall
        shares = sums / (tasks.kinds.sum(0)[:, None] + _SHRINKAGE)
        shares = np.clip(shares, 0.02, 0.98)
        self.parameters["votes"] = (0.7 * np.log(shares / (1 - shares)) + 1).astype(np.float32)

    def _descend(
        self,
        some: Encoded,
        called: Bools,
        wanted: Floats,
        adam: AdamW,
        rate: float,
        plan: PosteriorPlan,
    ) -> float:
        """Take one step down; return the mean loss before it, in nats."""
        own = self.parameters
        seen = see(some, called)
        first, straight = self._first(self.still(some), seen)
        np.maximum(first, 0, out=first)
        rows, slots, high = first.shape
        kept = np.ones((rows, 1, high), np.float32)
        if plan.drop:
            draw = np.random.default_rng(int(called.sum()) + len(some) * slots)
            kept = (draw.random((rows, 1, high)) > plan.drop) / np.float32(1 - plan.drop)
            kept = kept.astype(np.float32)
        flat = (first * kept).reshape(rows * slots, high)
        told = forward(own, flat, prefix="t")
        exists = seen.exists
        scores = told[-1].reshape(rows, slots) + straight
        sureness = self._sureness(seen)
        given = softmax(scores * sureness, exists)
        reachable = wanted * exists
        lost = 1 - reachable.sum(1)
        reachable[:, 0] += np.where(exists[:, 0], lost, 0)
        weight = reachable.sum(1, keepdims=True)
        slope = (given * weight - reachable) / np.float32(rows)
        stress = (slope * np.where(exists, scores, 0)).sum(1, keepdims=True) * sureness
        slope *= sureness
        gradients, inner = backward(own, told, slope.reshape(-1, 1), prefix="t")
        inner *= flat > 0
        inner = inner.reshape(rows, slots, high) * kept
        state = inner.sum(1)
        across = inner.reshape(rows * slots, high)
        slope = slope.astype(np.float32)
        cast = (slope[:, None, :] @ seen.named)[:, 0]
        gradients["straight"] = cast.sum(0)
        gradients["sureness"] = seen.called.T @ stress
        gradients["votes"] = np.matmul(seen.kinds.T, cast).astype(np.float32)
        gradients["named"] = _product(_flat(seen.named).T, across)
        gradients["lengths"] = _product(_flat(seen.lengths).T, across)
        if self.reads_slots:
            gradients["slots"] = _product(_flat(some.slots).T, across)
        gradients["context"] = some.context.T @ state
        gradients["called"] = seen.called.T @ state
        gradients["silent"] = seen.silent.T @ state
        gradients["spoken"] = seen.spoken.T @ state
        gradients["none"] = inner[:, 0].sum(0, keepdims=True)
        gradients["bias"] = state.sum(0)
        adam.step(gradients, rate)
        return float(-(reachable * np.log(np.maximum(given, 1e-9))).sum() / rows)


def _product(left: Floats, right: Floats) -> Floats:
    return np.matmul(left, right).astype(np.float32, copy=False)


def _flat(array: Floats) -> Floats:
    """Return B x S x F as (B S) x F."""
    return array.reshape(-1, array.shape[2])


@dataclass(frozen=True)
class Seen:
    """What B states show: who named which slot (B x S x M), how long they were, who is silent.

    `called`, `silent` (called, but said nothing that could be read) and `spoken` (lengths) are
    B x M; `exists` are the slots that may be right as far as the state knows, `named` those that
    somebody has named.
    """

    named: Floats
    lengths: Floats
    called: Floats
    silent: Floats
    spoken: Floats
    exists: Bools
    kinds: Floats

    def rows(self, chosen: Ints) -> Seen:
        """Return some of the states."""
        return Seen(
            named=self.named[chosen],
            lengths=self.lengths[chosen],
            called=self.called[chosen],
            silent=self.silent[chosen],
            spoken=self.spoken[chosen],
            exists=self.exists[chosen],
            kinds=self.kinds[chosen],
        )


def see(tasks: Encoded, called: Bools) -> Seen:
    """Return the states in which `called` (B x M) have answered; the other answers stay hidden."""
    slots: Ints = np.arange(tasks.slots.shape[1], dtype=np.int64)
    heard: Ints = np.where(called, tasks.said, 0)
    named: Bools = (heard[:, None, :] == slots[None, :, None]) & (heard[:, None, :] > 0)
    spoken = np.where(called, tasks.lengths, 0).astype(np.float32)
    is_known: Bools = np.any(named, axis=2)
    is_known[:, 0] = True
    return Seen(
        named=named.astype(np.float32),
        lengths=named * spoken[:, None, :],
        called=called.astype(np.float32),
        silent=(called & (tasks.said == 0)).astype(np.float32),
        spoken=spoken,
        exists=tasks.exists & (is_known | ~tasks.is_open[:, None]),
        kinds=tasks.kinds,
    )


def random_calls(tasks: Encoded, draw: np.random.Generator) -> Bools:
    """Return random sets of called models (N x M): of one to all, small ones and cheap more often.

    Episodes begin cheap and end early, so most states that matter are small.
    """
    count, models = tasks.said.shape
    sizes = np.exp(draw.random((count, 1)) * np.log(models + 1)).astype(np.int64)
    thrift = draw.uniform(-0.2, 1.2, (count, 1))
    appeal = draw.gumbel(size=(count, models)) - thrift * np.log(tasks.usd + 1e-3)
    ranks = (-appeal).argsort(1).argsort(1)
    return ranks < np.maximum(sizes, 1)


def _batches(count: int, epochs: int, draw: np.random.Generator) -> Iterator[Ints]:
    size = min(_BATCH, count)
    for _ in range(epochs):
        order = draw.permutation(count)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]
