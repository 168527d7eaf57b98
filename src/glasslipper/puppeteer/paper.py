"""Puppeteer as published (arXiv 2505.19591), on a cheap state: the baseline named `paper`.

REINFORCE: a network of 512-128-32 rectified units and a softmax over the puppets and the
terminator; Adam, rate 1e-4; one task an update, no baseline, no normalisation; reward 1 for a right
answer, else 0, less lambda (0.1) times the cost of each step, C_t = F log(1 + t/phi), discounted by
0.99; at most 4 steps; actions are sampled; the answers are put to a vote. F is the step's price in
units of the best single model's, phi the horizon. The state is the task and who said what of those
called; the published one is the last hidden state of a 70B reward model. What the code released
with the paper adds is left out: a reward of -1 for a wrong answer, and the policy's entropy at
weight 1, which keeps it from settling on anybody.
`extra` appends any other description of the tasks to it, such as a small language model's state.

A model cannot be asked twice (answers are logged once), and the terminator not before somebody
has answered: both only help the baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glasslipper.puppeteer.belief import Tell
from glasslipper.puppeteer.encode import Encoded
from glasslipper.puppeteer.net import AdamW, Parameters, backward, dense, forward, softmax
from glasslipper.puppeteer.outcomes import Bools, Floats, Ints, Outcomes
from glasslipper.puppeteer.replay import Played, voted

HIDDEN = (512, 128, 32)
RATE = 1e-4
DISCOUNT = 0.99
PRICE = 0.1
STEPS = 4
PASSES = 3
_TOLD_EVERY = 200


@dataclass
class Paper:
    """The policy of the paper. `weights` are the votes' (M)."""

    parameters: Parameters
    weights: NDArray[np.float64]

    @classmethod
    def train(
        cls,
        outcomes: Outcomes,
        tasks: Encoded,
        *,
        seed: int,
        weights: NDArray[np.float64],
        tell: Tell,
        extra: Floats | None = None,
        passes: int = PASSES,
    ) -> Paper:
        """Go over the tasks `passes` times, one update a task."""
        draw = np.random.default_rng((seed, 11))
        models = len(outcomes.models)
        nobody = np.zeros((1, models), np.bool_)
        wide = _state(tasks, nobody, np.zeros(1, np.int64), extra).size
        parameters = dense((wide, *HIDDEN, models + 1), draw)
        adam = AdamW(parameters)
        usd = outcomes.usd / outcomes.unit_usd
        made = cls(parameters, weights)
        right = 0.0
        for turn in range(passes):
            for place, row in enumerate(draw.permutation(len(tasks))):
                right += made._episode(int(row), outcomes, tasks, usd[row], adam, draw, extra)
                done = turn * len(tasks) + place + 1
                if done % _TOLD_EVERY == 0:
                    tell("paper", done, passes * len(tasks), step=done, right=right / _TOLD_EVERY)
                    right = 0.0
        return made

    def play(
        self, outcomes: Outcomes, tasks: Encoded, *, seed: int, extra: Floats | None = None
    ) -> Played:
        """Play new tasks, sampling actions."""
        draw = np.random.default_rng((seed, 12))
        rows = np.arange(len(tasks))
        called = np.zeros(tasks.said.shape, dtype=np.bool_)
        alive = rows
        for step in range(STEPS):
            state = _state(tasks, called[alive], alive, extra)
            chance = self._chances(state, called[alive], step)
            picked = (chance.cumsum(1) > draw.random((len(alive), 1))).argmax(1)
            goes_on = picked < len(self.weights)
            alive, picked = alive[goes_on], picked[goes_on]
            called[alive, picked] = True
        return Played(called, voted(outcomes.said, called, self.weights))

    def _chances(self, state: Floats, called: Bools, step: int) -> Floats:
        scores = forward(self.parameters, state)[-1]
        return softmax(scores, _allowed(called, step))

    def _episode(
        self,
        row: int,
        outcomes: Outcomes,
        tasks: Encoded,
        usd: NDArray[np.float64],
        adam: AdamW,
        draw: np.random.Generator,
        extra: Floats | None,
    ) -> float:
        """Play a task and learn from it; return 1 if its answer was right, else 0."""
        rows = np.array([row])
        called = np.zeros((1, len(usd)), dtype=np.bool_)
        states: list[Floats] = []
        masks: list[Bools] = []
        picks: list[int] = []
        costs: list[float] = []
        for step in range(STEPS):
            states.append(_state(tasks, called, rows, extra))
            masks.append(_allowed(called, step))
            chance = softmax(forward(self.parameters, states[-1])[-1], masks[-1])[0]
            pick = int(min((chance.cumsum() > draw.random()).argmax(), len(usd)))
            picks.append(pick)
            if pick == len(usd):
                costs.append(0.0)
                break
            called[0, pick] = True
            costs.append(float(usd[pick]) * float(np.log1p((step + 1) / STEPS)))
        who = int(voted(outcomes.said[rows], called, self.weights)[0])
        reward = 1.0 if who >= 0 and outcomes.right[row, who] else 0.0
        returns = np.zeros(len(picks), np.float32)
        ahead = reward
        for step in reversed(range(len(picks))):
            ahead = (ahead if step == len(picks) - 1 else DISCOUNT * ahead) - PRICE * costs[step]
            returns[step] = ahead
        self._update(np.concatenate(states), np.concatenate(masks), picks, returns, adam)
        return reward

    def _update(
        self, states: Floats, masks: Bools, picks: list[int], returns: Floats, adam: AdamW
    ) -> None:
        told = forward(self.parameters, states)
        chance = softmax(told[-1], masks)
        taken = np.zeros_like(chance)
        taken[np.arange(len(picks)), picks] = 1
        slope = (chance - taken) * returns[:, None]  # descend on -return * log pi(taken)
        gradients, _ = backward(self.parameters, told, slope.astype(np.float32))
        adam.step(gradients, RATE)


def _allowed(called: Bools, step: int) -> Bools:
    ends = np.full((len(called), 1), step > 0)
    return np.concatenate([~called, ends], axis=1)


def _state(tasks: Encoded, called: Bools, rows: Ints, extra: Floats | None) -> Floats:
    """Return the task and what the called have said: who stands with the most, how long."""
    said = np.where(called, tasks.said[rows], 0)
    same = (said[:, :, None] == said[:, None, :]) & (said > 0)[:, :, None]
    support = same.sum(2)
    most = support.max(1, keepdims=True)
    parts = [
        tasks.context[rows],
        called,
        (support == most) & (said > 0),
        np.where(called, tasks.lengths[rows], 0),
        support / STEPS,
        called.sum(1, keepdims=True) / STEPS,
    ]
    if extra is not None:
        parts.append(extra[rows])
    return np.concatenate(parts, axis=1, dtype=np.float32)
