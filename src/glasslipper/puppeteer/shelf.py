"""Networks as named arrays, as files hold them. Knows what is in a network, and no file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from glasslipper.puppeteer.net import Parameters
from glasslipper.puppeteer.outcomes import Floats
from glasslipper.puppeteer.value import Head, Values

_HEAD = ("pool", "kept", "mean", "spread")


def put(arrays: dict[str, Floats], prefix: str, parameters: Parameters) -> None:
    """Add a network's arrays under a prefix."""
    arrays.update({f"{prefix}|{name}": array for name, array in parameters.items()})


def get(arrays: Mapping[str, Floats], prefix: str) -> Parameters:
    """Return the network under a prefix.

    Raises:
        KeyError: There is none.
    """
    start = f"{prefix}|"
    found = {name[len(start) :]: a for name, a in arrays.items() if name.startswith(start)}
    if not found:
        raise KeyError(prefix)
    return found


def put_values(arrays: dict[str, Floats], fold: int, values: Values) -> None:
    """Add a fold's values and what tuning adds to them."""
    arrays[f"mean|{fold}"], arrays[f"spread|{fold}"] = values.mean, values.spread
    for level, parameters in enumerate(values.levels):
        put(arrays, f"value|{fold}|{level}", parameters)
    if values.head is not None:
        put(arrays, f"head|{fold}", values.head.layers)
        for name in _HEAD:
            arrays[f"of head|{fold}|{name}"] = getattr(values.head, name)


def get_values(arrays: Mapping[str, Floats], fold: int, *, levels: int) -> Values:
    """Return a fold's values.

    Raises:
        KeyError: They are not there, or not whole.
    """
    return Values(
        [get(arrays, f"value|{fold}|{level}") for level in range(levels)],
        arrays[f"mean|{fold}"],
        arrays[f"spread|{fold}"],
        head=_head(arrays, fold),
    )


def _head(arrays: Mapping[str, Floats], fold: int) -> Head | None:
    if f"head|{fold}|W0" not in arrays:
        return None
    pool, kept, mean, spread = (arrays[f"of head|{fold}|{name}"] for name in _HEAD)
    return Head(
        get(arrays, f"head|{fold}"),
        pool.astype(np.int64),
        kept.astype(np.int64),
        mean,
        spread,
    )
