"""The graph of activations: who handed on to whom (arXiv 2505.19591, section 4.3).

Nodes are puppets or, seen from further off, their models; an edge leads from each to whoever
acted next. Density is edges for each node, as the paper draws it (above 1 where paths cross);
cycles are pairs that handed on to each other, within one episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct


class Measures(Struct, frozen=True, kw_only=True):
    """Of some episodes: means over them, and of the graph of them all."""

    nodes: int
    edges: int
    density: float
    cycles: float
    calls: float


def measure(paths: Sequence[Sequence[str]]) -> Measures:
    """Return the measures of episodes, each given as who acted, in order."""
    nodes: set[str] = set()
    edges: set[tuple[str, str]] = set()
    cycles = 0
    for path in paths:
        own = set(pairwise(path))
        nodes.update(path)
        edges |= own
        cycles += sum((b, a) in own for a, b in own if a <= b)
    return Measures(
        nodes=len(nodes),
        edges=len(edges),
        density=len(edges) / max(len(nodes), 1),
        cycles=cycles / max(len(paths), 1),
        calls=sum(map(len, paths)) / max(len(paths), 1),
    )
