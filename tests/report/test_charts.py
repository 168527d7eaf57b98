"""Charts say in letters what the data say."""

import copy
import re

from glasslipper.report.charts import bars, draw, points
from glasslipper.report.charts.frame import label_limit
from glasslipper.report.charts.points import Point


def drawn(spec: object) -> str:
    assert isinstance(spec, dict)
    return draw.svg(spec, title="A chart", description="What it shows", identity="chart")


def test_small_numbers_keep_their_digits_in_texts() -> None:
    svg = drawn(bars.ranked(["a", "b"], [0.9, 0.0004], ["90 %", "0.04 %"]))
    assert "0.04 %" in svg


def test_ticks_of_a_map_are_told_apart() -> None:
    spots = [
        Point(x=0.03, y=2e7, name="cheap", series="A"),
        Point(x=4.0, y=1e8, name="dear", series="B"),
    ]
    texts = re.findall(
        r">(\$[0-9.]+)<", drawn(points.log_map(spots, x_title="$", y_title="Tokens"))
    )
    assert len(texts) == len(set(texts)) >= 4


def test_a_chart_is_named_and_described_and_the_same_twice() -> None:
    spec = bars.ranked(["a"], [1.0], ["1"])
    one = drawn(spec)
    assert 'role="img"' in one
    assert "<title" in one
    assert "<desc" in one
    assert one == drawn(spec)


def test_names_that_cannot_be_too_long_are_drawn_the_same_without_a_limit() -> None:
    names = ["W" * 20, "@@@ mmm WWW %%%", "a"]
    free = bars.ranked(names, [3.0, 2.0, 1.0], ["3", "2", "1"])
    bound = copy.deepcopy(free)
    for one, layer in zip(free["layer"], bound["layer"], strict=True):
        assert one["encoding"]["y"]["axis"]["labelLimit"] == 0
        layer["encoding"]["y"]["axis"]["labelLimit"] = bars.NAMES_PX
    assert drawn(free) == drawn(bound)


def test_names_that_may_be_too_long_are_cut() -> None:
    svg = drawn(bars.ranked(["W" * 60, "short"], [2.0, 1.0], ["2", "1"]))
    assert "…" in svg
    assert "W" * 60 + "</text>" not in svg
    assert label_limit(["漢字"], 100) == 100
