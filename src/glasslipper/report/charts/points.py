"""Maps of cost against use, on logarithmic scales, with the names that find room."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from glasslipper.report import words
from glasslipper.report.charts import hover, labels
from glasslipper.report.charts.frame import (
    GRID,
    HEIGHT,
    MUTED,
    THOUSANDS,
    WIDTH,
    Spec,
    colours,
    framed,
    mark,
)


class Point(Struct, frozen=True, kw_only=True):
    """A dot: its place, what it is called, and the series that gives its colour."""

    x: float
    y: float
    name: str
    series: str


def log_map(
    points: Sequence[Point],
    *,
    x_title: str,
    y_title: str,
    cross: tuple[float, float] | None = None,
    line: tuple[float, float] | None = None,
) -> Spec:
    """Return points, the most important first; `cross` splits quadrants, `line` is (slope, start).

    The line is of log10 y on log10 x.
    """
    names = list(dict.fromkeys(point.series for point in points))
    x_ends, y_ends = _ends([p.x for p in points]), _ends([p.y for p in points])
    pixels = [
        (_place(p.x, x_ends) * WIDTH, (1 - _place(p.y, y_ends)) * HEIGHT, p.name) for p in points
    ]
    shown = labels.uncrowded(pixels, WIDTH, HEIGHT)
    data = [
        {
            "x": p.x,
            "y": p.y,
            "series": p.series,
            "name": p.name,
            "side": side,
            "price": f"${p.x:,.3g}",
            "use": words.count(p.y),
        }
        for p, side in zip(points, shown, strict=True)
    ]
    x = _log("x", x_title, x_ends, "$~g")
    y = _log("y", y_title, y_ends, "~s")
    layers: list[Spec] = []
    if cross is not None:
        layers += [
            {
                "data": {"values": [{"x": cross[0]}]},
                "mark": mark("rule", strokeDash=[3, 3], color=MUTED),
                "encoding": {"x": x},
            },
            {
                "data": {"values": [{"y": cross[1]}]},
                "mark": mark("rule", strokeDash=[3, 3], color=MUTED),
                "encoding": {"y": y},
            },
        ]
    if line is not None:
        slope, start = line
        ends = [
            {"x": end, "y": 10 ** (start + slope * math.log10(end))}
            for end in (min(p.x for p in points), max(p.x for p in points))
        ]
        layers.append(
            {
                "data": {"values": ends},
                "mark": mark("line", color=MUTED, strokeWidth=1.5),
                "encoding": {"x": x, "y": y},
            }
        )
    layers += [
        {
            "data": {"values": data},
            "mark": mark("circle", size=80, opacity=0.9),
            "encoding": {
                "x": x,
                "y": y,
                "color": colours(names),
                **hover.tips(name="Of", series="Among", price=x_title, use=y_title),
            },
        },
        *(
            {
                "data": {"values": [datum for datum in data if datum["side"] == side]},
                "mark": mark("text", align=align, dx=dx),
                "encoding": {"x": x, "y": y, "text": {"field": "name"}},
            }
            for side, align, dx in (("right", "left", 8), ("left", "right", -8))
        ),
    ]
    if len(names) > 1:
        layers += _key(names)
    return framed(layers)


def _key(names: Sequence[str]) -> list[Spec]:
    """Return the names of the colours, above the chart."""
    start = 0.0
    data: list[dict[str, object]] = []
    for name in names[:8]:
        data.append({"series": name, "at": start})
        start += 30 + 6.2 * len(name)
    x: Spec = {"field": "at", "type": "quantitative", "scale": None, "axis": None}
    return [
        {
            "data": {"values": data},
            "mark": mark("circle", size=80, opacity=1, yOffset=-38),
            "encoding": {
                "x": {"field": "at", "type": "quantitative", "scale": None},
                "y": {"value": 0},
                "color": colours(names),
            },
        },
        {
            "data": {"values": data},
            "mark": mark("text", align="left", dx=8, dy=-38, color=MUTED),
            "encoding": {"x": x, "y": {"value": 0}, "text": {"field": "series"}},
        },
    ]


def steps(low: float, high: float) -> list[float]:
    """Return round numbers between two, few enough to be read: 1, 2, 5 or only powers of ten.

    >>> steps(0.3, 30)
    [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    parts = (1, 2, 5) if len(decades) <= 4 else (1,)
    places = [float(f"{part}e{power}") for power in decades for part in parts]
    return [place for place in places if low <= place <= high]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return low / 1.6, high * 1.8


def _place(value: float, ends: tuple[float, float]) -> float:
    return (math.log(value) - math.log(ends[0])) / (math.log(ends[1]) - math.log(ends[0]))


def _log(field: str, title: str, ends: tuple[float, float], form: str) -> Spec:
    axis: Spec = {
        "title": title,
        "format": form,
        "grid": True,
        "gridColor": GRID,
        "values": steps(*ends),
        "labelOverlap": "greedy",
    }
    if form.endswith("~s"):
        axis["labelExpr"] = THOUSANDS
    return {
        "field": field,
        "type": "quantitative",
        "axis": axis,
        "scale": {"type": "log", "domain": list(ends), "nice": False},
    }
