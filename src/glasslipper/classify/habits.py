"""What each workload usually asks, learned from its own traffic without any label.

Requests of one key and application resemble each other, so what a workload asked before says
something about an unclear request. Its mixture of topics is the running mean of the probabilities
that were given to its requests, begun with some imagined requests of the mixture that the head
itself expects (`usual`); a request's scores are raised by the logarithm of how much more usual a
topic is here than the head expects, times `trust`.

Source: adjusting a classifier to new prior probabilities by expectation maximisation (Saerens,
Latinne & Decaestecker, Neural Computation 14, 2002), done request by request. Keeps sums of
probabilities and no words; forgets the workloads that were not seen for longest.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

IMAGINED = 30.0
"""Requests that a workload begins with, spread as the head expects them."""

MOST_WORKLOADS = 10_000
MEMORY = 5_000.0
"""Requests after which older ones begin to fade, so that a workload may change."""


class Habits:
    """The mixtures of many workloads; any thread may ask."""

    def __init__(self, usual: Floats, trust: float) -> None:
        """Know what mixture of topics the head expects, shape (labels,), summing to one.

        That is what it tells on average where every topic is asked alike (a head leans to some).
        `trust` lies between 0 (habits say nothing) and 1.
        """
        self._usual = usual
        self._trust = trust
        self._sums: OrderedDict[str, Floats] = OrderedDict()
        self._lock = threading.Lock()

    def apply(self, workload: str, chances: Floats) -> Floats:
        """Return the probabilities of a request in the light of its workload, and remember them.

        `chances` has shape (labels,) and sums to one; so has the result.
        """
        with self._lock:
            known = self._sums.pop(workload, None)
            if known is None:
                known = self._usual * IMAGINED
            total = known.sum()
            adjusted = chances * (known / (self._usual * total)) ** self._trust
            adjusted /= adjusted.sum()
            if total > MEMORY:
                known = known * (1.0 - 1.0 / MEMORY)
            self._sums[workload] = known + adjusted
            while len(self._sums) > MOST_WORKLOADS:
                self._sums.popitem(last=False)
        return adjusted
