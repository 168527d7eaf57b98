"""A table of numbers whose cells are tinted: who went from what to what, when there is a rush."""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.report.charts import hover
from glasslipper.report.charts.frame import INK, SERIES, Spec, framed, label_limit, mark


def tinted(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
    *,
    column_title: str,
    row_title: str = "From",
    cell: int = 44,
) -> Spec:
    """Return cells for each row and column; the highest value has the strongest tint."""
    most = max((value for row in values for value in row), default=1.0) or 1.0
    data = [
        {
            "row": name,
            "column": column,
            "v": round(0.75 * value / most, 4),
            "text": text,
            "told": text or f"{value:,.0f}",
        }
        for name, line, words in zip(rows, values, texts, strict=True)
        for column, value, text in zip(columns, line, words, strict=True)
    ]
    y: Spec = {
        "field": "row",
        "type": "nominal",
        "sort": list(rows),
        "axis": {"title": None, "labelLimit": label_limit(rows, 220), "labelColor": INK},
    }
    x: Spec = {
        "field": "column",
        "type": "nominal",
        "sort": list(columns),
        "axis": {
            "title": column_title or None,
            "orient": "top",
            "labelColor": INK,
            "labelAngle": -35 if cell > 30 else 0,
            "labelAlign": "left" if cell > 30 else "center",
            "labelLimit": label_limit(columns, 160),
        },
    }
    opacity: Spec = {"field": "v", "type": "quantitative", "scale": None, "legend": None}
    return framed(
        [
            {
                "data": {"values": data},
                "mark": mark("rect", color=SERIES[0]),
                "encoding": {
                    "x": x,
                    "y": y,
                    "opacity": opacity,
                    **hover.tips(row=row_title, column=column_title or "To", told="Is"),
                },
            },
            {
                "data": {"values": data},
                "mark": mark("text", color=INK),
                "encoding": {"x": x, "y": y, "text": {"field": "text"}},
            },
        ],
        width=cell * max(len(columns), 1),
        height=26 * max(len(rows), 1),
    )
