"""What each workload usually asks, learned from its own traffic without any label.

Requests of one key and application resemble each other, so what a workload asked before says
something about an unclear request. Its mixture of topics is the running mean of the probabilities
that were given to its requests, begun with some imagined requests of every topic; a request's
scores are raised by the logarithm of how much more usual than even a topic is, times `trust`.

Source: adjusting a classifier to new prior probabilities by expectation maximisation (Saerens,
Latinne & Decaestecker, Neural Computation 14, 2002), done request by request. Keeps sums of
probabilities and no words; forgets the workloads that were not seen for longest.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

IMAGINED = 30.0
"""Requests that a workload begins with, spread evenly over the topics."""

MOST_WORKLOADS = 10_000
MEMORY = 5_000.0
"""Requests after which older ones begin to fade, so that a workload may change."""


class Habits:
    """The mixtures of many workloads; any thread may ask."""

    def __init__(self, labels: int, trust: float) -> None:
        """Know `labels` topics; `trust` lies between 0 (habits say nothing) and 1."""
        import numpy as np

        self._numpy = np
        self._labels = labels
        self._trust = trust
        self._sums: OrderedDict[str, Floats] = OrderedDict()
        self._lock = threading.Lock()

    def apply(self, workload: str, chances: Floats) -> Floats:
        """Return the probabilities of a request in the light of its workload, and remember them.

        `chances` has shape (labels,) and sums to one; so has the result.
        """
        np = self._numpy
        with self._lock:
            known = self._sums.pop(workload, None)
            if known is None:
                known = np.full(self._labels, IMAGINED / self._labels, dtype=np.float32)
            usual = known / known.sum()
            adjusted = chances * (usual * self._labels) ** self._trust
            adjusted = adjusted / adjusted.sum()
            if float(known.sum()) > MEMORY:
                known = known * np.float32(1.0 - 1.0 / MEMORY)
            self._sums[workload] = known + adjusted
            while len(self._sums) > MOST_WORKLOADS:
                self._sums.popitem(last=False)
        return cast("Floats", adjusted.astype(np.float32))
