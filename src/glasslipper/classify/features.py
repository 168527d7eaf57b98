"""From a text to the row of numbers that a head weighs: two static embeddings and the signals.

The vectors of the whole text and of its beginning come from whoever was plugged in; this room
knows only that they have `DIMENSIONS` components and length one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from glasslipper.classify.signals import NAMES, signals
from glasslipper.classify.turns import cut

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Embed = Callable[[Sequence[str]], NDArray[np.float32]]
    """Returns one row of length one for each text."""

DIMENSIONS = 256
WIDTH = 2 * DIMENSIONS + len(NAMES) + 1
"""Columns of a row: the text, its beginning, the signals, and a one."""

SIGNALS_AT = 2 * DIMENSIONS

_SCALE = 1.0
_BEGINNING_CHARACTERS = 200


def features(texts: Sequence[str], embed: Embed) -> NDArray[np.float32]:
    """Return one row for each text; shape (texts, `WIDTH`)."""
    import numpy as np  # costs a tenth of a second, which only labelling needs

    rows = np.ones((len(texts), WIDTH), dtype=np.float32)
    shown = [cut(text) or " " for text in texts]
    starts = [text[:_BEGINNING_CHARACTERS].strip() or " " for text in shown]
    longer = [at for at, text in enumerate(shown) if len(text) > _BEGINNING_CHARACTERS]
    found = embed([*shown, *(starts[at] for at in longer)])
    whole = found[: len(shown)] * _SCALE
    rows[:, :DIMENSIONS] = rows[:, DIMENSIONS:SIGNALS_AT] = whole
    rows[longer, DIMENSIONS:SIGNALS_AT] = found[len(shown) :] * _SCALE
    for row, text in zip(rows, shown, strict=True):
        row[SIGNALS_AT:-1] = signals(text)
    return rows
