"""Several small charts in a row or grid, under one title each."""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.report.charts.frame import CONFIG, INK, Spec
from glasslipper.report.charts.hover import apart


def grid(charts: Sequence[tuple[str, Spec]], *, columns: int = 2) -> Spec:
    """Return charts as panels, each under its name."""
    panels: list[Spec] = []
    for number, (name, chart) in enumerate(charts, 1):
        whole = apart(chart, number)
        bare = {key: value for key, value in whole.items() if key not in ("config", "$schema")}
        title = {
            "text": name,
            "anchor": "start",
            "color": INK,
            "fontSize": 13,
            "fontWeight": 600,
            "offset": 14,
        }
        panels.append({**bare, "title": title})
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "concat": panels,
        "columns": columns,
        "spacing": 28,
        "config": CONFIG,
        "resolve": {"scale": {"x": "independent", "y": "independent", "color": "independent"}},
    }
