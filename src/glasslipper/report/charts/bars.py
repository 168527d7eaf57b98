"""Ranked bars, and dots with intervals: one line for each name, its number at the end."""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.report import words
from glasslipper.report.charts import hover
from glasslipper.report.charts.frame import (
    ACCENT,
    INK,
    MUTED,
    SERIES,
    Spec,
    framed,
    label_limit,
    mark,
)

ROW_PX = 24
NAMES_PX = 260
"""Room for the names; longer ones are cut."""


def _names(names: Sequence[str], px: int = NAMES_PX) -> Spec:
    return {
        "field": "name",
        "type": "nominal",
        "sort": list(names),
        "axis": {"title": None, "labelLimit": label_limit(names, px), "labelColor": INK},
    }


def ranked(
    names: Sequence[str],
    values: Sequence[float],
    texts: Sequence[str],
    *,
    marked: int = 1,
    width: int = 420,
    names_px: int = 0,
) -> Spec:
    """Return horizontal bars in this order; the first `marked` are coloured.

    Bars below one another begin at one place if the same room is kept for their names.
    """
    data = [
        {"name": name, "x": value, "text": text, "bright": index < marked}
        for index, (name, value, text) in enumerate(zip(names, values, texts, strict=True))
    ]
    x: Spec = {
        "field": "x",
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [0, max([*values, 1e-12]) * 1.02]},
    }
    y = _names(names, names_px or NAMES_PX)
    if names_px:
        y["axis"] |= {"minExtent": names_px, "maxExtent": names_px}
    return framed(
        [
            {
                "data": {"values": data},
                "mark": mark("bar", height=15),
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": {
                        "condition": {"test": "datum.bright", "value": SERIES[0]},
                        "value": SERIES[8],
                    },
                    **hover.tips(name="Of", text="Is"),
                },
            },
            {
                "data": {"values": data},
                "mark": mark("text", align="left", dx=6, color=MUTED),
                "encoding": {"x": x, "y": y, "text": {"field": "text"}},
            },
        ],
        width=width,
        height=ROW_PX * max(len(data), 1),
    )


def intervals(
    names: Sequence[str],
    values: Sequence[tuple[float, float, float]],
    *,
    title: str,
    form: str = ".0%",
    marked: Sequence[int] = (),
    at: float | None = None,
    width: int = 420,
) -> Spec:
    """Return dots with their intervals (value, low, high); `at` draws a line of comparison."""
    show = hover.reader(form)
    data = [
        {
            "name": name,
            "x": value,
            "low": low,
            "high": high,
            "bright": index in marked,
            "text": show(value),
            "span": f"{show(low)} to {show(high)}",
        }
        for index, (name, (value, low, high)) in enumerate(zip(names, values, strict=True))
    ]
    y = _names(names)
    y["axis"] |= {"labelPadding": 12}
    axis: Spec = {
        "title": title,
        "grid": True,
        "tickCount": 6,
        "labelFlush": False,
        "labelOverlap": "greedy",
        "labelSeparation": 8,
    }
    if form:
        axis["format"] = form
    x: Spec = {
        "field": "low",
        "type": "quantitative",
        "axis": axis,
        "scale": {"zero": False, "nice": True},
    }
    tint: Spec = {"condition": {"test": "datum.bright", "value": ACCENT}, "value": SERIES[0]}
    told = hover.tips(name="Of", text="Is", span="From")
    layers: list[Spec] = [
        {
            "data": {"values": data},
            "mark": mark("rule", strokeWidth=2),
            "encoding": {"x": x, "x2": {"field": "high"}, "y": y, "color": tint, **told},
        },
        {
            "data": {"values": data},
            "mark": mark("circle", size=70, opacity=1),
            "encoding": {
                "x": {"field": "x", "type": "quantitative"},
                "y": y,
                "color": tint,
                **told,
            },
        },
    ]
    if at is not None:
        layers.insert(
            0,
            {
                "data": {"values": [{"x": at}]},
                "mark": mark("rule", strokeDash=[3, 3], color=MUTED),
                "encoding": {"x": {"field": "x", "type": "quantitative"}},
            },
        )
    return framed(layers, width=width, height=ROW_PX * max(len(data), 1))


def pairs(names: Sequence[str], values: Sequence[tuple[float, float]], *, title: str) -> Spec:
    """Return two shares for each name on a line between them: ours a dot, theirs a tick."""
    data = [
        {
            "name": name,
            "x": ours,
            "x2": theirs,
            "ours": words.percent(ours),
            "theirs": words.percent(theirs),
        }
        for name, (ours, theirs) in zip(names, values, strict=True)
    ]
    y = _names(names)
    y["axis"] |= {"labelPadding": 12}
    x: Spec = {
        "field": "x",
        "type": "quantitative",
        "axis": {"title": title, "format": ".0%", "grid": True, "tickCount": 6},
    }
    told = hover.tips(name="Of", ours="Yours", theirs="The market's")
    return framed(
        [
            {
                "data": {"values": data},
                "mark": mark("rule", strokeWidth=1.5, color=SERIES[8]),
                "encoding": {"x": x, "x2": {"field": "x2"}, "y": y, **told},
            },
            {
                "data": {"values": data},
                "mark": mark("tick", thickness=3, size=14, color=INK),
                "encoding": {"x": {"field": "x2", "type": "quantitative"}, "y": y, **told},
            },
            {
                "data": {"values": data},
                "mark": mark("circle", size=80, opacity=1, color=SERIES[0]),
                "encoding": {"x": x, "y": y, **told},
            },
        ],
        width=420,
        height=ROW_PX * max(len(data), 1),
    )
