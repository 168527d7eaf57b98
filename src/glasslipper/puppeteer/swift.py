"""One episode's beliefs and worths, quickly: all networks of a policy as one stack of arrays.

`belief` and `value` judge thousands of states at once, network by network; here is one state, and
a dozen networks would take their time with calls alone. The numbers are the same but for rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glasslipper.puppeteer.belief import LOG_ODDS, Ensemble, state_looks
from glasslipper.puppeteer.encode import Encoded
from glasslipper.puppeteer.net import depth, softmax
from glasslipper.puppeteer.outcomes import Bools, Floats, Ints
from glasslipper.puppeteer.value import WARMTH, Values, priced

_ROW = np.zeros(1, np.int64)


class Layers:
    """E networks of the same shape, run together."""

    def __init__(self, networks: Sequence[Mapping[str, Floats]], *, prefix: str = "") -> None:
        """Stack the dense layers of each."""
        self._layers = [
            (_stack(networks, f"{prefix}W{layer}"), _stack(networks, f"{prefix}b{layer}")[:, None])
            for layer in range(depth(networks[0], prefix))
        ]

    def forward(self, inputs: Floats) -> Floats:
        """Return outputs (E x B x O) of inputs (B x I, or E x B x I)."""
        for place, (weights, bias) in enumerate(self._layers):
            inputs = np.matmul(inputs, weights)
            inputs += bias
            if place < len(self._layers) - 1:
                np.maximum(inputs, 0, out=inputs)
        return inputs


class Stack:
    """The networks of a policy."""

    def __init__(self, ensemble: Ensemble, values: Sequence[Values]) -> None:
        """Stack them; later changes of theirs are not seen. Heads read the same columns."""
        scorers = [scorer for fold in ensemble.scorers for scorer in fold]
        own = [scorer.parameters for scorer in scorers]
        self.reads_slots = scorers[0].reads_slots
        self.named, self.lengths = _stack(own, "named"), _stack(own, "lengths")
        self.slots, self.context = _stack(own, "slots"), _stack(own, "context")
        self.state = np.concatenate([_stack(own, n) for n in ("called", "silent", "spoken")], 1)
        self.bias, self.none = _stack(own, "bias"), _stack(own, "none")[:, 0]
        self.sureness = _stack(own, "sureness")[:, :, 0]
        self.straight, self.votes = _stack(own, "straight"), _stack(own, "votes")
        self.tail = Layers(own, prefix="t")
        trusts = ensemble.trusts
        learned = [{n: a for n, a in one.items() if n[0] in "Wb"} for one in trusts]
        self.trusts = Layers(learned) if trusts else None
        self.trust_scale = (_stack(trusts, "mean"), _stack(trusts, "spread")) if trusts else None
        self.levels = [
            Layers([one.levels[level] for one in values]) for level in range(len(values[0].levels))
        ]
        heads = [one.head for one in values if one.head is not None]
        self.head = heads[0] if heads else None
        self.heads = Layers([one.layers for one in heads]) if heads else None
        self.mean = np.stack([one.mean for one in values])[:, None]
        self.spread = np.stack([one.spread for one in values])[:, None]


def _stack(networks: Sequence[Mapping[str, Floats]], name: str) -> Floats:
    return np.stack([network[name] for network in networks])


@dataclass(frozen=True)
class Seen:
    """What is believed in one state: P(right) of the leading slot, and the state's looks."""

    leader: int
    right: float
    looks: Floats


class Task:
    """One encoded task, with what no call changes worked out."""

    def __init__(self, stack: Stack, task: Encoded) -> None:
        """Prepare for a task (`Encoded` of one row)."""
        self.task = task
        self._stack = stack
        first = np.matmul(task.context[0], stack.context) + stack.bias
        self._still = first[:, None]
        if stack.reads_slots:
            self._still = np.matmul(task.slots[0], stack.slots) + self._still
        self._weights = np.matmul(task.kinds[0], stack.votes) + stack.straight
        self._places: Ints = np.arange(task.slots.shape[1])[:, None]

    def believe(self, called: Bools) -> Seen:
        """Return what to believe when `called` (M) have answered."""
        task = self.task
        heard = np.where(called, task.said[0], 0)
        named: Bools = (heard == self._places) & (heard > 0)
        is_named: Bools = np.any(named, axis=1)
        exists: Bools = task.exists[0] & (is_named | (not bool(task.is_open[0])))
        exists[0] = task.exists[0, 0]
        slots = self._slots(called, named.astype(np.float32), exists)
        shown = np.where(is_named, slots, np.float32(-1))
        shown[0] = 0
        leader = int(shown.argmax())
        raw = float(slots[leader]) if leader > 0 else 0.0
        looks = state_looks(
            task,
            _ROW,
            called=called[None],
            slots=slots[None],
            named=is_named[None],
            leader=np.array([leader]),
            right=np.array([raw], np.float32),
        )
        return Seen(leader, self._right(looks, raw), looks)

    def _slots(self, called: Bools, named: Floats, exists: Bools) -> Floats:
        task, stack = self.task, self._stack
        is_called = called.astype(np.float32)
        spoken = np.where(called, task.lengths[0], 0).astype(np.float32)
        silent = (called & (task.said[0] == 0)).astype(np.float32)
        first = np.matmul(named, stack.named)
        first += np.matmul(named * spoken, stack.lengths)
        first += self._still
        first += np.matmul(np.concatenate([is_called, silent, spoken]), stack.state)[:, None]
        first[:, 0] += stack.none
        np.maximum(first, 0, out=first)
        scores = stack.tail.forward(first)[:, :, 0] + np.matmul(self._weights, named.T)
        scores *= np.exp(np.clip(stack.sureness @ is_called, -2, 2))[:, None]
        given = softmax(scores, exists).sum(0)
        return (given / given.sum()).astype(np.float32)

    def _right(self, looks: Floats, raw: float) -> float:
        stack = self._stack
        if raw <= 0 or stack.trusts is None or stack.trust_scale is None:
            return raw
        mean, spread = stack.trust_scale
        told = stack.trusts.forward(((looks - mean) / spread)[:, None])[:, 0, 0]
        odds = np.clip(told + 3 * looks[0, LOG_ODDS], -20, 20)
        return float((1 / (1 + np.exp(-odds))).mean())

    def worth(self, looks: Floats, price: float, *, level: int) -> Floats:
        """Return what asking each model is worth beyond stopping now (M), after `level` calls."""
        stack = self._stack
        if level >= len(stack.levels):
            return np.full(len(self.task.usd[0]), -np.inf, np.float32)
        cost = np.broadcast_to(priced(np.array([price], np.float32)), (len(stack.mean), 1, 2))
        inputs = np.concatenate([(looks - stack.mean) / stack.spread, cost], 2, dtype=np.float32)
        gains = stack.levels[level].forward(inputs)[:, 0].mean(0)
        net = gains - np.float32(price) * self.task.usd[0]
        if stack.head is not None and stack.heads is not None:
            told = np.concatenate([stack.head.inputs(looks), cost[0]], axis=1, dtype=np.float32)
            added = stack.heads.forward(told)[:, 0].mean(0)
            net[stack.head.pool] += WARMTH * (added[:-1] - added[-1])
        return net.astype(np.float32)
