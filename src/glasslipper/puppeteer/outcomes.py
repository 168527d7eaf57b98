"""Outcomes: what the models of a pool answered to tasks, what it cost, and who was right.

Plain arrays, one row a task and one column a model. A *candidate* is one thing that may be
answered: an option where the task offers some, else one of the distinct answers given. Knows no
file format and no policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """What is asked, as it is known before any model has been called.

    `kind` is the sort of task that its source names (a category, a benchmark) or empty;
    `options` are empty where the answer is free; `prompt_chars` is the length of all that is
    sent.
    """

    id: str
    kind: str
    text: str
    options: tuple[str, ...] = ()
    prompt_chars: int = 0


@dataclass(frozen=True)
class Gaps:
    """Questions that a source holds but the table does not, and how many each model lacks."""

    questions: int = 0
    models: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Outcomes:
    """The table. N tasks x M models.

    `said` is the index into the task's candidates, -1 for no answer that could be read; `right`
    whether that model's answer was judged right; `chars` the length of its output; `usd` what
    the call cost; `truth` the candidate that is right where the source says so, else -1; `gaps`
    what its source could not fill.
    """

    models: tuple[str, ...]
    tasks: tuple[Task, ...]
    candidates: tuple[tuple[str, ...], ...]
    said: Ints
    right: Bools
    chars: Ints
    usd: NDArray[np.float64]
    truth: Ints
    gaps: Gaps = field(default_factory=Gaps)

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.tasks)

    @property
    def best(self) -> int:
        """The model that is right most often."""
        return int(self.right.mean(0).argmax())

    @property
    def unit_usd(self) -> float:
        """The cost that counts as one: of the best model; where it is free, of all; never 0."""
        for usd in (self.usd[:, self.best].mean(), self.usd.mean()):
            if usd > 0:
                return float(usd)
        return 1.0

    @property
    def kinds(self) -> NDArray[np.str_]:
        """The kind of each task."""
        return np.array([task.kind for task in self.tasks], dtype=np.str_)

    def rows(self, chosen: NDArray[np.integer] | Bools) -> Outcomes:
        """Return some of the tasks, by index or by a mask."""
        places: Ints = np.arange(len(self))[chosen]
        order = [int(place) for place in places]
        return Outcomes(
            models=self.models,
            tasks=tuple(self.tasks[place] for place in order),
            candidates=tuple(self.candidates[place] for place in order),
            said=self.said[places],
            right=self.right[places],
            chars=self.chars[places],
            usd=self.usd[places],
            truth=self.truth[places],
        )

    def pool(self, models: Sequence[str]) -> Outcomes:
        """Return the same tasks with these models only, in this order."""
        columns = [self.models.index(model) for model in models]
        return Outcomes(
            models=tuple(models),
            tasks=self.tasks,
            candidates=self.candidates,
            said=self.said[:, columns],
            right=self.right[:, columns],
            chars=self.chars[:, columns],
            usd=self.usd[:, columns],
            truth=self.truth,
        )


def split(kinds: NDArray[np.str_], *, seed: int, share: float = 0.7) -> Bools:
    """Return a mask that is true for `share` of each kind, drawn with `seed`."""
    draw = np.random.default_rng(seed)
    is_train = np.zeros(len(kinds), dtype=np.bool_)
    for kind in np.unique(kinds):
        places = np.flatnonzero(kinds == kind)
        draw.shuffle(places)
        is_train[places[: round(share * len(places))]] = True
    return is_train
