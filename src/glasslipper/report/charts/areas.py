"""Stacked areas and bars over weeks, with the names of the series at their right ends."""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.report import words
from glasslipper.report.charts import bars, hover, labels
from glasslipper.report.charts.frame import (
    HEIGHT,
    MUTED,
    PAPER,
    WIDTH,
    Datum,
    Spec,
    colours,
    framed,
    mark,
    time_axis,
    value_axis,
)

GAP_PX = 15
FEWEST_WEEKS = 3
"""Weeks that make a series; fewer are shown as bars."""


def shares(
    weeks: Sequence[str],
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    title: str = "Share of tokens",
    among: Sequence[str] = (),
) -> Spec:
    """Return shares over time: `values` has a row for each name, each week's shares add up to 1.

    `among` are the names of all charts that share their colours.
    """
    if len(weeks) < FEWEST_WEEKS:
        return _bars(names, values, width=width)
    data, middles = _stacked(weeks, names, values)
    return framed(
        [
            {
                "data": {"values": data},
                "mark": mark("area", stroke=PAPER, strokeWidth=0.7, interpolate="monotone"),
                "encoding": {
                    "x": time_axis(weeks=len(weeks), width=width),
                    "y": value_axis(title, ".0%", domain=[0, 1]),
                    "y2": {"field": "y2"},
                    "color": colours(names, among),
                },
            },
            *_end_labels(names, middles, 1.0, width, height, among=among),
            _hover(weeks, names, values, ".0%", width, height),
        ],
        width=width,
        height=height,
    )


def stacks(
    weeks: Sequence[str],
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    title: str,
    form: str = "~s",
    top: float | None = None,
) -> Spec:
    """Return amounts over time as stacked bars."""
    if len(weeks) < FEWEST_WEEKS:
        return bars.ranked(
            names, [sum(row) for row in values], [words.count(sum(row)) for row in values]
        )
    data, middles = _stacked(weeks, names, values)
    totals = [sum(row[index] for row in values) for index in range(len(weeks))]
    high = top or max(totals, default=1.0) * 1.02 or 1.0
    thick = max(2.0, min(40.0, WIDTH / max(len(weeks), 1) * 0.8))
    scale: Spec = {"domain": [0, high], "nice": False}
    return framed(
        [
            {
                "data": {"values": data},
                "mark": mark("bar", width=thick),
                "encoding": {
                    "x": time_axis(weeks=len(weeks)),
                    "y": value_axis(title, form, **scale),
                    "y2": {"field": "y2"},
                    "color": colours(names),
                },
            },
            *_end_labels(names, middles, high, WIDTH, HEIGHT, dx=8 + thick / 2),
            _hover(weeks, names, values, form, WIDTH, HEIGHT),
        ]
    )


def _hover(
    weeks: Sequence[str],
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    form: str,
    width: int,
    height: int,
) -> Spec:
    """Return what the pointer is told, in the order in which the layers lie."""
    series = dict(reversed(list(zip(names, values, strict=True))))
    return hover.band(weeks, series, form=form, called="Week of", width=width, height=height)


def _bars(names: Sequence[str], values: Sequence[Sequence[float]], *, width: int) -> Spec:
    """Return shares of a span that is too short for a series: one bar for each name."""
    means = [sum(row) / max(len(row), 1) for row in values]
    order = sorted(range(len(names)), key=lambda index: -means[index])
    shown = [means[index] for index in order]
    return bars.ranked(
        [names[index] for index in order],
        shown,
        [words.percent(value) for value in shown],
        width=min(420, width),
    )


def _stacked(
    weeks: Sequence[str], names: Sequence[str], values: Sequence[Sequence[float]]
) -> tuple[list[Datum], list[float]]:
    """Return the layers, the first name at the bottom, and their middles in the last week."""
    floor = [0.0] * len(weeks)
    data: list[Datum] = []
    middles: list[float] = []
    for name, row in zip(names, values, strict=True):
        for index, week in enumerate(weeks):
            top = floor[index] + row[index]
            data.append(
                {"x": week, "series": name, "y": round(floor[index], 5), "y2": round(top, 5)}
            )
        middles.append(floor[-1] + row[-1] / 2)
        floor = [low + high for low, high in zip(floor, row, strict=True)]
    return data, middles


def _end_labels(
    names: Sequence[str],
    places: Sequence[float],
    top: float,
    width: int,
    height: int,
    dx: float = 8,
    among: Sequence[str] = (),
) -> list[Spec]:
    """Return names at the right edge, beside a mark in the series' colour."""
    moved = labels.spread(places, GAP_PX * top / height, 0.0, top)
    data = [
        {"series": name, "y": place, "text": name} for name, place in zip(names, moved, strict=True)
    ]
    y: Spec = {"field": "y", "type": "quantitative"}
    at: Spec = {"value": width}
    return [
        {
            "data": {"values": data},
            "mark": mark("square", size=64, opacity=1, xOffset=dx),
            "encoding": {"x": at, "y": y, "color": colours(names, among)},
        },
        {
            "data": {"values": data},
            "mark": mark("text", align="left", dx=dx + 9, color=MUTED),
            "encoding": {"x": at, "y": y, "text": {"field": "text"}},
        },
    ]


end_labels = _end_labels
