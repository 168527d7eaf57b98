"""Pictures as SVG: the cost-accuracy front, and curves over training. Draws, knows no policy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

_WIDE, _HIGH = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 48, 56
_LETTER = 6.6
_MARKED = 30
_COLOURS = ("#1f5fa8", "#c2410c", "#15803d", "#7c3aed", "#a16207", "#be185d")


@dataclass(frozen=True)
class Axis:
    """What is drawn along an axis: its words, its range, and whether it is logarithmic."""

    title: str
    low: float
    high: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies, from 0 to 1."""
        if self.is_log:
            low, high = math.log(self.low), math.log(self.high)
            value = math.log(max(value, self.low))
        else:
            low, high = self.low, self.high
        return (value - low) / (high - low or 1)

    def ticks(self) -> list[float]:
        """Return round values within the range."""
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        else:
            rough = (self.high - self.low) / 6 or 1
            unit = 10.0 ** math.floor(math.log10(rough))
            step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough)
            first = math.ceil(self.low / step)
            ticks = [step * (first + n) for n in range(12)]
        return [tick for tick in ticks if self.low <= tick <= self.high]


def draw(
    title: str, x: Axis, y: Axis, *, lines: Mapping[str, Points], dots: Mapping[str, Points]
) -> str:
    """Return an SVG of named lines and named single points.

    Names are put where they cover neither each other nor a point, as far as there is room.
    """
    inner: list[str] = [*_frame(title, x, y)]
    spots = [(_x(x, a), _y(y, b)) for points in dots.values() for a, b in points]
    traced = {
        name: [(_x(x, a), _y(y, b)) for a, b in sorted(points)] for name, points in lines.items()
    }
    names = _Names([*spots, *(one for shown in traced.values() for one in _along(shown))])
    for place, (name, shown) in enumerate(traced.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        path = " ".join(f"{left:.1f},{top:.1f}" for left, top in shown)
        inner.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(shown) <= _MARKED:
            inner += [_dot(left, top, 2.5, colour) for left, top in shown]
        inner.append(_words(_WIDE - _RIGHT, _TOP - 6 + 16 * place, name, colour, "end"))
    for (left, top), name in zip(spots, _each_name(dots), strict=True):
        inner.append(_dot(left, top, 3.5 if name else 2.5, "#444" if name else "#999"))
        if name:
            inner += names.put(left, top, name)
    body = "\n".join(inner)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {_HIGH}" role="img" '
        f'aria-label="{escape(title, {chr(34): "&quot;"})}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="{_WIDE}" height="{_HIGH}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _along(shown: Points) -> list[tuple[float, float]]:
    """Return points all along a line, a few pixels apart."""
    every: list[tuple[float, float]] = []
    for (left, top), (right, low) in pairwise(shown):
        count = int(abs(right - left) // 6) + 1
        every += [
            (left + (right - left) * n / count, top + (low - top) * n / count) for n in range(count)
        ]
    return every


def _each_name(dots: Mapping[str, Points]) -> list[str]:
    return [name for name, points in dots.items() for _ in points]


class _Names:
    """Places for the names of points: beside the point, or further off with a line to it."""

    def __init__(self, spots: Points) -> None:
        self._taken = [(left - 4, top - 4, left + 4, top + 4) for left, top in spots]

    def put(self, left: float, top: float, name: str) -> list[str]:
        """Return the words for a point, and the line to them where they lie off."""
        wide = _LETTER * len(name)
        found = None
        for off in (0, 14, -14, 28, -28, 42, -42, 56, -56, 70, -70):
            for side in ("start", "end"):
                begins = left + 8 if side == "start" else left - 8 - wide
                box = (begins, top + off - 6, begins + wide, top + off + 6)
                found = found or (box, side, off)
                if self._is_free(box):
                    found = (box, side, off)
                    break
            else:
                continue
            break
        assert found is not None  # noqa: S101 - the first place is taken if none is free
        box, side, off = found
        self._taken.append(box)
        edge = left + (8 if side == "start" else -8)
        told = [_words(edge, top + off + 4, name, "#444", side)]
        if off:
            told.append(_rule(left, top, edge, top + off, "#999"))
        return told

    def _is_free(self, box: tuple[float, float, float, float]) -> bool:
        left, top, right, bottom = box
        if left < _LEFT or right > _WIDE or top < _TOP or bottom > _HIGH - _BOTTOM:
            return False
        return all(right < a or left > c or bottom < b or top > d for a, b, c, d in self._taken)


def front(title: str, curves: Mapping[str, Points], dots: Mapping[str, Points]) -> str:
    """Return the cost-accuracy front: USD per 1,000 tasks (logarithmic) against percent right."""
    every = [point for points in (*curves.values(), *dots.values()) for point in points]
    costs = [cost for cost, _ in every if cost > 0]
    heights = [height for _, height in every]
    low, high = (min(costs) * 0.8, max(costs) * 1.3) if costs else (0.1, 1.0)
    x = Axis("USD per 1,000 tasks", low, high, is_log=True)
    y = Axis("right, %", min(heights) - 2, max(heights) + 2)
    return draw(title, x, y, lines=curves, dots=dots)


def learning(title: str, curves: Mapping[str, Points], *, x_title: str, y_title: str) -> str:
    """Return curves over training."""
    every = [point for points in curves.values() for point in points] or [(0.0, 0.0)]
    x = Axis(x_title, min(a for a, _ in every), max(a for a, _ in every) or 1)
    low, high = min(b for _, b in every), max(b for _, b in every)
    room = (high - low) / 10 or 0.1
    return draw(title, x, Axis(y_title, low - room, high + room), lines=curves, dots={})


def _frame(title: str, x: Axis, y: Axis) -> list[str]:
    made = [f'<text x="{_LEFT}" y="26" font-size="16" fill="#111">{escape(title)}</text>']
    for tick in x.ticks():
        left = _x(x, tick)
        made.append(_rule(left, _TOP, left, _HIGH - _BOTTOM))
        made.append(_words(left, _HIGH - _BOTTOM + 18, f"{tick:g}", "#444", "middle"))
    for tick in y.ticks():
        top = _y(y, tick)
        made.append(_rule(_LEFT, top, _WIDE - _RIGHT, top))
        made.append(_words(_LEFT - 8, top + 4, f"{tick:g}", "#444", "end"))
    made.append(_words((_LEFT + _WIDE) / 2, _HIGH - 12, x.title, "#111", "middle"))
    made.append(
        f'<text transform="translate(16 {_HIGH / 2}) rotate(-90)" text-anchor="middle" '
        f'fill="#111">{escape(y.title)}</text>'
    )
    return made


def _dot(left: float, top: float, radius: float, colour: str) -> str:
    return f'<circle cx="{left:.1f}" cy="{top:.1f}" r="{radius}" fill="{colour}"/>'


def _rule(left: float, top: float, right: float, bottom: float, colour: str = "#ddd") -> str:
    return (
        f'<line x1="{left:.1f}" y1="{top:.1f}" x2="{right:.1f}" y2="{bottom:.1f}" '
        f'stroke="{colour}"/>'
    )


def _words(left: float, top: float, text: str, colour: str, anchor: str) -> str:
    return (
        f'<text x="{left:.1f}" y="{top:.1f}" fill="{colour}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _x(axis: Axis, value: float) -> float:
    return _LEFT + axis.place(value) * (_WIDE - _LEFT - _RIGHT)


def _y(axis: Axis, value: float) -> float:
    return _HIGH - _BOTTOM - axis.place(value) * (_HIGH - _TOP - _BOTTOM)
