"""How much attention a selection misses, estimated while answering, with an upper limit.

Now and then one query of one layer also computes its dense attention, which says exactly what
the selection missed there. Which one is drawn at random, so the mean of such looks estimates the
mean of all, and a bet against every value that the mean might have gives the limit: whoever bets
that the mean is below m, with stakes fixed in advance, wins a thousandfold no more often than
once in a thousand if it is not. The limit therefore holds however long one watches.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting"
(2024), with a mixture of constant stakes. Knows only numbers between 0 and 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95

_MEANS = np.linspace(0.0, 1.0, 401)[1:]
_STAKES = np.geomspace(0.02, 0.98, 24)


class Meter:
    """Takes missed shares as they are seen; knows their mean and its upper limit."""

    def __init__(self, *, level: float = LEVEL) -> None:
        """Let the limit hold with probability `level`."""
        self._log_level = -np.log1p(-level)
        self._log_wealth: NDArray[np.float64] = np.zeros((len(_MEANS), len(_STAKES)))
        self._sum = 0.0
        self.looks = 0

    def add(self, missed: float) -> None:
        """Take the share that one query of one layer missed.

        Raises:
            ValueError: It is not between 0 and 1.
        """
        if not -1e-3 <= missed <= 1 + 1e-3:
            raise ValueError(f"a share cannot be {missed}")
        share = min(1.0, max(0.0, missed))
        self.looks += 1
        self._sum += share
        # The stake is a share of what can be lost at most when a 1 comes: 1 - m.
        stake = _STAKES[None] / np.maximum(1 - _MEANS[:, None], 1e-9)
        self._log_wealth += np.log1p(np.minimum(stake, 1e3) * (_MEANS[:, None] - share))

    @property
    def mean(self) -> float | None:
        """The estimated mean share that is missed; `None` before the first look."""
        return self._sum / self.looks if self.looks else None

    @property
    def upper(self) -> float:
        """The upper limit of that mean; 1 as long as nothing is known."""
        most = self._log_wealth.max(1, keepdims=True)
        mixed = most[:, 0] + np.log(np.exp(self._log_wealth - most).mean(1))
        refuted = mixed >= self._log_level
        # All means from some point on are refuted; what lies above a refuted one is worse still.
        below = np.flatnonzero(~refuted)
        return float(_MEANS[min(below[-1] + 1, len(_MEANS) - 1)]) if len(below) else 0.0
