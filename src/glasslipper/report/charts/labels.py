"""Where labels go so that none lies upon another. Knows places and sizes, no charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Side = Literal["right", "left", ""]


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return places in the same order, moved apart by at least `gap`, within low and high.

    >>> spread([0.5, 0.52], 0.1, 0.0, 1.0)
    [0.46, 0.56]
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    groups: list[tuple[float, list[int]]] = []
    for index in order:
        members = [index]
        middle = _middle(places, members, gap, low, high)
        while groups and groups[-1][0] + gap * _half(groups[-1][1]) + gap > (
            middle - gap * _half(members) + 1e-12
        ):
            members = groups.pop()[1] + members
            middle = _middle(places, members, gap, low, high)
        groups.append((middle, members))
    moved = [0.0] * len(places)
    for middle, members in groups:
        start = middle - gap * _half(members)
        for step, index in enumerate(members):
            moved[index] = round(start + step * gap, 6)
    return moved


def _half(members: Sequence[int]) -> float:
    return (len(members) - 1) / 2


def _middle(
    places: Sequence[float], members: Sequence[int], gap: float, low: float, high: float
) -> float:
    """Return where a group's middle would best be, all of it within low and high."""
    mean = sum(places[one] for one in members) / len(members)
    half = gap * _half(members)
    return min(max(mean, low + half), max(high - half, low + half))


def uncrowded(
    points: Sequence[tuple[float, float, str]], width: float, height: float, letter: float = 6.6
) -> list[Side]:
    """Return on which side points (in pixels, the first first) carry their text; "" for none."""
    boxes: list[tuple[float, float, float, float]] = []
    shown: list[Side] = []
    dots = [(x - 5, y - 5, x + 5, y + 5) for x, y, _ in points]
    for index, (x, y, text) in enumerate(points):
        long = letter * len(text)
        sides: dict[Side, tuple[float, float, float, float]] = {
            "right": (x + 7, y - 7, x + 9 + long, y + 7),
            "left": (x - 9 - long, y - 7, x - 7, y + 7),
        }
        others = [*boxes, *(dot for place, dot in enumerate(dots) if place != index)]
        chosen: Side = ""
        for side, box in sides.items():
            fits = box[0] >= 0 and box[2] <= width + 90 and 0 <= y <= height
            if fits and not any(_touch(box, other) for other in others):
                chosen = side
                boxes.append(box)
                break
        shown.append(chosen)
    return shown


def _touch(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
