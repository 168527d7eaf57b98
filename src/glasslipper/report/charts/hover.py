"""What a chart tells of the place under the pointer, where its page is alive.

A layer that is only for the pointer is named `hover`: drawings on paper leave it out (`still`).
Knows no study; draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from glasslipper.report import words
from glasslipper.report.charts.frame import INK, TIME, Spec, mark

NAME = "hover"
_NOTHING = "\u2013"


def tips(**fields: str) -> Spec:
    """Return a channel that shows fields of a datum, each under its title, as they stand."""
    told = [{"field": field, "type": "nominal", "title": title} for field, title in fields.items()]
    return {"tooltip": told}


def reader(form: str) -> Callable[[float], str]:
    """Return what writes a number as claims do, for the D3 format of its axis."""
    if form.endswith("%") or form.endswith("p"):
        return words.percent
    if form == ".2f":
        return "{:.2f}".format
    if form.startswith("$"):
        return lambda value: words.usd(value * 1e9)
    return words.count


def band(
    places: Sequence[str] | Sequence[int],
    series: Mapping[str, Sequence[float | None]],
    *,
    form: str,
    called: str,
    width: int,
    height: int,
    kind: Literal["temporal", "quantitative"] = "temporal",
) -> Spec:
    """Return a strip over each place on the x axis that tells the value of every series there."""
    show = reader(form)
    rows = [
        {"x": place, "place": str(place)}
        | {
            f"s{number}": _NOTHING if (value := row[index]) is None else show(value)
            for number, row in enumerate(series.values())
        }
        for index, place in enumerate(places)
    ]
    names = {f"s{number}": name for number, name in enumerate(series)}
    return {
        "name": NAME,
        "params": [
            {
                "name": "at",
                "select": {
                    "type": "point",
                    "on": "pointerover",
                    "clear": "pointerout",
                    "encodings": ["x"],
                },
            }
        ],
        "data": {"values": rows},
        "mark": {**mark("rule", strokeWidth=width / max(len(places) - 1, 1)), "clip": True},
        "encoding": {
            "x": TIME if kind == "temporal" else {"field": "x", "type": kind},
            "y": {"value": 0},
            "y2": {"value": height},
            "color": {"value": INK},
            "opacity": {"condition": {"param": "at", "empty": False, "value": 0.1}, "value": 0},
            **tips(place=called, **names),
        },
    }


def apart(chart: Spec, number: int) -> Spec:
    """Return a chart that may stand beside others: what the pointer is at has a name of its own."""
    return {**chart, "layer": [_renamed(layer, f"at{number}") for layer in chart["layer"]]}


def _renamed(layer: Spec, name: str) -> Spec:
    if layer.get("name") != NAME:
        return layer
    opacity = layer["encoding"]["opacity"]
    condition = {**opacity["condition"], "param": name}
    return {
        **layer,
        "name": f"{NAME}-{name}",
        "params": [{**layer["params"][0], "name": name}],
        "encoding": {**layer["encoding"], "opacity": {**opacity, "condition": condition}},
    }


def still(spec: Spec) -> Spec:
    """Return a chart without the layers that are only for the pointer."""
    kept = dict(spec)
    if "layer" in spec:
        kept["layer"] = [
            one for one in spec["layer"] if not str(one.get("name", "")).startswith(NAME)
        ]
    if "concat" in spec:
        kept["concat"] = [still(one) for one in spec["concat"]]
    return kept
