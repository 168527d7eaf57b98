"""Tasks and answers as arrays that networks read: looks, scaled by what the training part had.

`look` describes outcomes without learning anything; a `Scale` is fitted on the training part's
looks, lengths and costs, never on which answer is right, and turns looks into `Encoded`.

Slots: each task has S of them; slot 0 is "none of these", slot j + 1 is candidate j.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from glasslipper.puppeteer.looks import (
    ANSWER_LOOKS,
    OPTION_LOOKS,
    TASK_LOOKS,
    Vectors,
    answer_looks,
    option_looks,
    task_looks,
)
from glasslipper.puppeteer.outcomes import Bools, Floats, Ints, Outcomes, Task

CANDIDATE_LOOKS = OPTION_LOOKS + ANSWER_LOOKS
_COMPONENTS = 32
_RIDGE = 30.0
_LEAST_SHARE = 0.2


@dataclass(frozen=True)
class Looks:
    """What can be seen of N tasks: numbers of the task, its vector, numbers of each slot.

    `is_open` tells the tasks without options, `exists` (N x S) the slots that the task has.
    """

    tasks: Floats
    vectors: Floats
    slots: Floats
    exists: Bools
    is_open: Bools

    def rows(self, chosen: Ints | Bools) -> Looks:
        """Return some of the tasks."""
        return Looks(
            tasks=self.tasks[chosen],
            vectors=self.vectors[chosen],
            slots=self.slots[chosen],
            exists=self.exists[chosen],
            is_open=self.is_open[chosen],
        )


def look(tasks: Sequence[Task], candidates: Sequence[Sequence[str]], vectors: Vectors) -> Looks:
    """Look at tasks and at what may be, or has been, answered."""
    slots = 1 + max(map(len, candidates), default=0)
    count = len(tasks)
    seen = np.zeros((count, slots, CANDIDATE_LOOKS), dtype=np.float32)
    exists = np.zeros((count, slots), dtype=np.bool_)
    task_vectors = vectors([task.text or "-" for task in tasks])
    for row, (task, named) in enumerate(zip(tasks, candidates, strict=True)):
        exists[row, 1 : 1 + len(named)] = True
        exists[row, 0] = not task.options
        if task.options:
            texts = vectors([option or "-" for option in task.options])
            shown = option_looks(task, texts, task_vectors[row])
            seen[row, 1 : 1 + len(named), :OPTION_LOOKS] = shown
        else:
            for slot, answer in enumerate(named, start=1):
                seen[row, slot, OPTION_LOOKS:] = answer_looks(task, answer)
    return Looks(
        tasks=np.array([task_looks(task) for task in tasks], np.float32).reshape(-1, TASK_LOOKS),
        vectors=task_vectors.astype(np.float32),
        slots=seen,
        exists=exists,
        is_open=np.array([not task.options for task in tasks], dtype=np.bool_),
    )


@dataclass(frozen=True)
class Encoded:
    """N tasks as networks read them.

    `context` (N x C) is the task, `slots` (N x S x F) its candidates, `exists` and `is_open` as
    in `Looks`; `said` (N x M) is the slot that each model named, 0 for none; `lengths` (N x M)
    are standardised logarithms of output lengths; `usd` (N x M) are costs *expected* before the
    call, in units of `Scale.unit_usd`; `kinds` one-hot kinds and `plain` the context without the
    components of its vector. A policy may look at the columns of `said` and `lengths`
    whose models it has called, and at no others.
    """

    context: Floats
    slots: Floats
    exists: Bools
    is_open: Bools
    said: Ints
    lengths: Floats
    usd: Floats
    plain: Floats
    kinds: Floats

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.context)

    def rows(self, chosen: Ints | Bools) -> Encoded:
        """Return some of the tasks."""
        return Encoded(
            context=self.context[chosen],
            slots=self.slots[chosen],
            exists=self.exists[chosen],
            is_open=self.is_open[chosen],
            said=self.said[chosen],
            lengths=self.lengths[chosen],
            usd=self.usd[chosen],
            plain=self.plain[chosen],
            kinds=self.kinds[chosen],
        )


def compact(tasks: Encoded, pool: Sequence[int]) -> Encoded:
    """Return open tasks with the slots only that models of the pool have named.

    What the others have said is nobody's slot any more. Tasks with options stay as they are.
    """
    if not tasks.is_open.all():
        return tasks
    said = np.zeros_like(tasks.said)
    order = np.zeros((len(tasks), 1 + len(pool)), dtype=np.int64)
    used = np.zeros(len(tasks), dtype=np.int64)
    rows = np.arange(len(tasks))
    for model in pool:
        known = order == tasks.said[:, [model]]
        known[:, 0] = False
        is_new = (tasks.said[:, model] > 0) & ~known.any(1)
        used += is_new
        order[rows[is_new], used[is_new]] = tasks.said[is_new, model]
        place = (order == tasks.said[:, [model]])[:, 1:].argmax(1) + 1
        said[:, model] = np.where(tasks.said[:, model] > 0, place, 0)
    exists = order > 0
    exists[:, 0] = tasks.exists[:, 0]
    slots = np.take_along_axis(tasks.slots, order[:, :, None], axis=1)
    return replace(tasks, said=said, slots=slots, exists=exists)


@dataclass(frozen=True)
class Scale:
    """How to encode, learned from the training part without its right answers."""

    models: tuple[str, ...]
    kinds: tuple[str, ...]
    task_mean: Floats
    task_spread: Floats
    slot_mean: Floats
    slot_spread: Floats
    vector_mean: Floats
    vector_axes: Floats
    length_mean: Floats
    length_spread: Floats
    usd_weights: Floats
    usd_least: Floats
    unit_usd: float

    @classmethod
    def fit(cls, outcomes: Outcomes, looks: Looks, *, unit_usd: float) -> Scale:
        """Learn from the training part; `unit_usd` is the cost that counts as one."""
        mean = looks.vectors.mean(0)
        centred = looks.vectors - mean
        _, spread, axes = np.linalg.svd(centred[:6000], full_matrices=False)
        kept = min(_COMPONENTS, int((spread > 1e-6).sum()))
        scores = centred @ axes[:kept].T
        vector_axes = (axes[:kept] / (scores.std(0)[:, None] + 1e-6) / 2).T
        shown = looks.slots[looks.exists]
        logs = np.log1p(outcomes.chars).astype(np.float32)
        bare = cls(
            models=outcomes.models,
            kinds=tuple(map(str, np.unique(outcomes.kinds))),
            task_mean=looks.tasks.mean(0),
            task_spread=looks.tasks.std(0) + np.float32(1e-3),
            slot_mean=shown.mean(0),
            slot_spread=shown.std(0) + np.float32(1e-3),
            vector_mean=mean,
            vector_axes=vector_axes.astype(np.float32),
            length_mean=logs.mean(0),
            length_spread=logs.std(0) + np.float32(1e-3),
            usd_weights=np.zeros((0, 0), np.float32),
            usd_least=(outcomes.usd.mean(0) / unit_usd * _LEAST_SHARE).astype(np.float32),
            unit_usd=unit_usd,
        )
        weights = _ridge(_with_one(bare.context(outcomes.tasks, looks)), outcomes.usd / unit_usd)
        return replace(bare, usd_weights=weights)

    def context(self, tasks: Sequence[Task], looks: Looks) -> Floats:
        """Return what is known of the tasks before any call."""
        return np.concatenate(
            [
                np.clip((looks.tasks - self.task_mean) / self.task_spread, -4, 4),
                (looks.vectors - self.vector_mean) @ self.vector_axes,
                1.5 * self._kinds(tasks),
            ],
            axis=1,
            dtype=np.float32,
        )

    def _kinds(self, tasks: Sequence[Task]) -> Floats:
        places = {kind: place for place, kind in enumerate(self.kinds)}
        kinds = np.zeros((len(tasks), len(self.kinds)), dtype=np.float32)
        for row, task in enumerate(tasks):
            if task.kind in places:
                kinds[row, places[task.kind]] = 1
        return kinds

    def encode(self, outcomes: Outcomes, looks: Looks) -> Encoded:
        """Encode tasks together with all that was answered to them."""
        context = self.context(outcomes.tasks, looks)
        kinds = self._kinds(outcomes.tasks)
        slots = (looks.slots - self.slot_mean) / self.slot_spread
        slots = np.where(looks.exists[:, :, None], np.clip(slots, -5, 5), np.float32(0))
        slots[:, 0] = 0
        logs = np.log1p(outcomes.chars).astype(np.float32)
        return Encoded(
            context=context,
            slots=slots.astype(np.float32),
            exists=looks.exists,
            is_open=looks.is_open,
            said=outcomes.said + 1,
            lengths=np.clip((logs - self.length_mean) / self.length_spread, -4, 4),
            usd=np.maximum(_with_one(context) @ self.usd_weights, self.usd_least),
            plain=np.concatenate([context[:, :TASK_LOOKS], 1.5 * kinds], axis=1),
            kinds=kinds,
        )


def targets(outcomes: Outcomes, slots: int) -> Floats:
    """Return the probability (N x S) that each slot is right, as it was judged.

    That is the candidate which the source names, else whatever most of those who gave it were
    judged right for, else slot 0.
    """
    share = np.zeros((len(outcomes), slots), dtype=np.float32)
    named = np.zeros_like(share)
    rows, columns = np.nonzero(outcomes.said >= 0)
    places = outcomes.said[rows, columns] + 1
    np.add.at(named, (rows, places), 1)
    np.add.at(share, (rows, places), outcomes.right[rows, columns])
    share = (share > named / 2).astype(np.float32)
    known = np.flatnonzero(outcomes.truth >= 0)
    share[known] = 0
    share[known, outcomes.truth[known] + 1] = 1
    share[~share.any(1), 0] = 1
    return share / share.sum(1, keepdims=True)


def _with_one(array: Floats) -> Floats:
    return np.concatenate([array, np.ones((len(array), 1), np.float32)], axis=1)


def _ridge(inputs: Floats, wanted: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Floats:
    wide = inputs.astype(np.float64)
    square = wide.T @ wide + _RIDGE * np.eye(wide.shape[1])
    square[-1, -1] -= _RIDGE
    return np.linalg.solve(square, wide.T @ wanted).astype(np.float32)
