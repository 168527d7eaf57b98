"""Lines over weeks or over months since a start, named at their ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from glasslipper.report.charts import hover
from glasslipper.report.charts.areas import FEWEST_WEEKS, end_labels
from glasslipper.report.charts.frame import (
    ACCENT,
    HEIGHT,
    MUTED,
    TIME,
    WIDTH,
    Datum,
    Spec,
    colours,
    framed,
    mark,
    time_axis,
    value_axis,
)


def over_weeks(
    weeks: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    title: str,
    form: str = "~s",
    top: float | None = None,
    market: Sequence[Datum] = (),
    shape: Literal["monotone", "step-after"] = "monotone",
) -> Spec | None:
    """Return lines over time from zero up; `None` leaves a gap.

    `market` is a thin dashed line; counts go by a `shape` of steps. There is no chart of fewer
    than three weeks.
    """
    if len(weeks) < FEWEST_WEEKS:
        return None
    names = list(series)
    data: list[Datum] = [
        {"x": week, "y": round(value, 6), "series": name}
        for name, row in series.items()
        for week, value in zip(weeks, row, strict=True)
        if value is not None
    ]
    high = top or max((datum["y"] for datum in [*data, *market]), default=1.0) * 1.05 or 1.0
    ends = [next((v for v in reversed(row) if v is not None), 0.0) for row in series.values()]
    layers: list[Spec] = [
        {
            "data": {"values": data},
            "mark": mark("line", strokeWidth=2, interpolate=shape),
            "encoding": {
                "x": time_axis(weeks=len(weeks)),
                "y": value_axis(title, form, domain=[0, high], nice=False),
                "color": colours(names),
            },
        }
    ]
    if len(names) > 1:
        layers += end_labels(names, ends, high, WIDTH, HEIGHT)
    if market:
        layers += _market(market)
        theirs = {datum["x"]: datum["y"] for datum in market}
        series = {**series, "The market": [theirs.get(week) for week in weeks]}
    layers.append(
        hover.band(weeks, series, form=form, called="Week of", width=WIDTH, height=HEIGHT)
    )
    return framed(layers)


def _market(market: Sequence[Datum]) -> list[Spec]:
    """Return a thin dashed line, called what it is at its end."""
    at: Spec = {
        "x": TIME,
        "y": {"field": "y", "type": "quantitative"},
    }
    return [
        {
            "data": {"values": list(market)},
            "mark": mark("line", strokeDash=[4, 3], strokeWidth=1.4, color=MUTED),
            "encoding": at,
        },
        {
            "data": {"values": [market[-1] | {"text": "the market"}]},
            "mark": mark("text", align="left", dx=6, color=MUTED),
            "encoding": at | {"text": {"field": "text"}},
        },
    ]


def cohorts(
    curves: Mapping[str, Sequence[float]],
    *,
    marked: Sequence[str] = (),
    height: int = 190,
    width: int = 270,
    title: str = "Still active",
) -> Spec:
    """Return a line for each cohort by months since its start; those `marked` stand out."""
    data = [
        {"x": k, "y": round(value, 4), "series": name}
        for name, row in curves.items()
        for k, value in enumerate(row)
    ]
    most = max((len(row) for row in curves.values()), default=2) - 1
    x: Spec = {
        "field": "x",
        "type": "quantitative",
        "scale": {"domain": [0, max(most, 1)], "nice": False},
        "axis": {
            "title": "months since the start",
            "tickMinStep": 1,
            "tickCount": min(most, 8),
            "labelFlush": False,
        },
    }
    y = value_axis(title, ".0%", domain=[0, 1])
    grey = [datum for datum in data if datum["series"] not in marked]
    bright = [datum for datum in data if datum["series"] in marked]
    layers: list[Spec] = [
        {
            "data": {"values": grey},
            "mark": mark("line", strokeWidth=1.3, color=MUTED, opacity=0.65),
            "encoding": {"x": x, "y": y, "detail": {"field": "series"}},
        }
    ]
    if bright:
        layers.append(
            {
                "data": {"values": bright},
                "mark": mark("line", strokeWidth=2.6, color=ACCENT),
                "encoding": {"x": x, "y": y, "detail": {"field": "series"}},
            }
        )
        ends = [{"x": len(curves[name]) - 1, "y": curves[name][-1], "t": name} for name in marked]
        layers.append(
            {
                "data": {"values": ends},
                "mark": mark("text", align="left", dx=5, color=ACCENT, fontWeight=600),
                "encoding": {"x": x, "y": y, "text": {"field": "t"}},
            }
        )
    layers.append(
        hover.band(
            range(most + 1),
            {name: [*row, *[None] * (most + 1 - len(row))] for name, row in curves.items()},
            form=".0%",
            called="Months",
            width=width,
            height=height,
            kind="quantitative",
        )
    )
    return framed(layers, width=width, height=height)


def forecast(
    days: Sequence[str],
    values: Sequence[float],
    *,
    ahead: Sequence[str],
    expected: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    title: str,
) -> Spec:
    """Return what was, what is to come, and how far that may be off."""
    x = time_axis(weeks=len(days))
    top = max([*values, *high]) * 1.05 or 1.0
    y = value_axis(title, "$~s", domain=[0, top], nice=False)
    past = [{"x": day, "y": value} for day, value in zip(days, values, strict=True)]
    band = [{"x": day, "y": a, "y2": b} for day, a, b in zip(ahead, low, high, strict=True)]
    line = [{"x": day, "y": value} for day, value in zip(ahead, expected, strict=True)]
    return framed(
        [
            {
                "data": {"values": past},
                "mark": mark("line", color=MUTED, strokeWidth=1.6),
                "encoding": {"x": x, "y": y},
            },
            {
                "data": {"values": band},
                "mark": mark("area", color=ACCENT, opacity=0.22),
                "encoding": {"x": x, "y": y, "y2": {"field": "y2"}},
            },
            {
                "data": {"values": line},
                "mark": mark("line", color=ACCENT, strokeWidth=2.2),
                "encoding": {"x": x, "y": y},
            },
            hover.band(
                [*days, *ahead],
                {
                    "Spent": [*values, *[None] * len(ahead)],
                    "Expected": [*[None] * len(days), *expected],
                    "At least": [*[None] * len(days), *low],
                    "At most": [*[None] * len(days), *high],
                },
                form="$~s",
                called="Day",
                width=WIDTH,
                height=HEIGHT,
            ),
        ]
    )
