"""What all charts share: size, axes, and colours by name. Builds Vega-Lite, draws nothing.

A colour stands in a specification as a code that `draw` turns into a CSS variable, so that one
drawing serves light and dark pages and print.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Spec = dict[str, Any]  # a Vega-Lite specification is open JSON
Datum = dict[str, Any]

WIDTH, HEIGHT = 640, 280
NARROW = 300
"""A width below which names of months would touch each other."""

WEEKS_OF_A_YEAR = 52
INK, MUTED, GRID, PAPER, ACCENT = "#010101", "#010102", "#010103", "#010104", "#010105"
SERIES = tuple(f"#0102{number:02x}" for number in range(1, 10))
"""Nine series colours; the ninth is the grey of what is neither named nor known."""

VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    ACCENT: "var(--accent)",
} | {code: f"var(--s{number})" for number, code in enumerate(SERIES, 1)}

THOUSANDS = "datum.value == 0 ? '0' : replace(datum.label, 'k', 'K')"
"""Labels of an axis that goes to thousands, spelt as in claims."""

FONT = "Helvetica, Arial, sans-serif"
LABEL_PX = 12
WIDEST_LETTER = 1.02
"""Of ASCII in these fonts, the @, as a multiple of the font's size."""


def framed(layers: Sequence[Spec], *, width: int = WIDTH, height: int = HEIGHT) -> Spec:
    """Return layers as one chart."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": width,
        "height": height,
        "layer": list(layers),
        "config": CONFIG,
    }


CONFIG: Spec = {
    "background": None,
    "font": FONT,
    "padding": 4,
    "view": {"stroke": None},
    "axis": {
        "domain": False,
        "ticks": False,
        "labelColor": MUTED,
        "titleColor": MUTED,
        "gridColor": GRID,
        "labelFontSize": 12,
        "labelLimit": 0,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelPadding": 6,
        "gridWidth": 1,
    },
    "axisY": {
        "titleAngle": 0,
        "titleAlign": "left",
        "titleAnchor": "end",
        "titleY": -10,
        "titleX": 0,
        "titleBaseline": "bottom",
    },
    "axisX": {"grid": False},
    "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "labelFontWeight": 600},
    "text": {"color": INK, "fontSize": LABEL_PX},
}


TIME: Spec = {"field": "x", "type": "temporal", "scale": {"type": "utc"}}
"""The x channel of a time: days are those of UTC, wherever the page is looked at."""


def mark(kind: str, **more: object) -> Spec:
    """Return a mark; marks speak to no screen reader: the chart's description and table do."""
    return {"type": kind, "aria": False, "clip": False, **more}


def time_axis(*, weeks: int, width: int = WIDTH) -> Spec:
    """Return the x channel of a time series with so many weeks."""
    form = "%b %Y" if weeks > 11 else "%d %b"
    ticks: object = max(2, width // 105)
    if width < NARROW and weeks > WEEKS_OF_A_YEAR // 2:
        ticks = {"interval": "month", "step": 6}
    return {
        **TIME,
        "axis": {
            "format": form,
            "title": None,
            "labelFlush": True,
            "tickCount": ticks,
            "labelOverlap": "greedy",
        },
    }


def value_axis(title: str, form: str = "", **scale: object) -> Spec:
    """Return the y channel of a quantity; `form` is a D3 format."""
    axis: Spec = {"title": title, "tickCount": 5}
    if form:
        axis["format"] = form
    if form.endswith("~s"):
        axis["labelExpr"] = THOUSANDS
    if form == "d":
        axis["tickMinStep"] = 1
    return {"field": "y", "type": "quantitative", "axis": axis, "scale": {"nice": True, **scale}}


def label_limit(names: Sequence[str], px: int) -> int:
    """Return how long names on an axis may be, in pixels; 0, for no limit, if none can be so long.

    What draws measures a label several times over where there is a limit, and that is most of its
    work.
    """
    longest = max((len(name) for name in names), default=0)
    fits = all(name.isascii() for name in names) and longest * WIDEST_LETTER * LABEL_PX <= px
    return 0 if fits else px


def colours(names: Sequence[str], among: Sequence[str] = ()) -> Spec:
    """Return a colour channel for series in this order, without a legend.

    Charts that are to give one name one colour say `among` which names they all have.
    """
    grey = {"Other", "Unknown", "Unclassified"}
    tints = SERIES[:-1]
    named = [name for name in among or names if name not in grey]
    chosen = [
        SERIES[-1] if name in grey else tints[named.index(name) % len(tints)] for name in names
    ]
    return {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": list(names), "range": chosen},
        "legend": None,
    }
