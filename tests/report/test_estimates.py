"""Estimators keep their promises."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasslipper.report import estimates, forecast
from glasslipper.report.charts import labels


@given(n=st.integers(1, 2_000), data=st.data())
def test_a_share_lies_in_its_interval_and_the_interval_within_0_and_1(
    n: int, data: st.DataObject
) -> None:
    hits = data.draw(st.integers(0, n))
    one = estimates.share(hits, n)
    assert 0 <= one.low <= one.value <= one.high <= 1


@pytest.mark.parametrize("p", [0.1, 0.3, 0.7])
def test_nineteen_in_twenty_share_intervals_hold_the_truth(p: float) -> None:
    rng = np.random.default_rng(1)
    held = [estimates.share(int(hits), 60).covers(p) for hits in rng.binomial(60, p, 4_000)]
    assert 0.93 < sum(held) / len(held) < 0.975


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_corrected_tests_reject_no_more_than_plain_ones(p_values: list[float]) -> None:
    stands = estimates.discoveries(p_values)
    assert all(p <= 0.05 for p, stood in zip(p_values, stands, strict=True) if stood)


def test_without_effects_discoveries_are_rare() -> None:
    rng = np.random.default_rng(2)
    alarms = sum(any(estimates.discoveries(list(rng.random(40)))) for _ in range(400))
    assert alarms / 400 < 0.09


def test_exact_tests_agree_with_sums_done_by_hand() -> None:
    assert math.isclose(estimates.more_gained_than_lost(5, 0), 1 / 32)
    assert math.isclose(estimates.larger_share(3, 3, 0, 3), 1 / 20)
    assert estimates.more_gained_than_lost(0, 7) == 1.0


def test_a_slope_is_found_within_groups_and_not_between_them() -> None:
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(6), 12)
    x = rng.normal(size=72)
    y = 5.0 * group - 0.6 * x + rng.normal(0, 0.1, 72)
    found = estimates.slope(x, y, group)
    assert found is not None
    assert found.covers(-0.6)
    assert estimates.slope(group.astype(float), y, group) is None


def test_a_forecast_of_steady_growth_holds_what_came() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(100):
        days = np.arange(252 + forecast.AHEAD)
        level = np.exp(rng.normal(0, 0.05)) * np.exp(days * 0.002)
        series = level * np.where(days % 7 < 5, 1.0, 0.4) * rng.lognormal(0, 0.1, len(days))
        one = forecast.ahead(list(series[:252]))
        held += one.total.covers(float(series[252:].sum()))
    assert held >= 88


@given(
    places=st.lists(st.floats(0, 1), min_size=1, max_size=8),
)
def test_labels_are_spread_and_stay_in_order(places: list[float]) -> None:
    gap = 0.08
    moved = labels.spread(places, gap, 0.0, 1.0)
    order = sorted(range(len(places)), key=lambda index: places[index])
    in_order = [moved[index] for index in order]
    assert all(b - a >= gap - 1e-6 for a, b in itertools.pairwise(in_order))
