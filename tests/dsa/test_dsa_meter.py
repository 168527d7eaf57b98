"""The meter of what is missed: its limit holds, and closes in."""

from __future__ import annotations

import numpy as np
import pytest

from glasslipper.dsa.meter import Meter


def metered(shares: object) -> Meter:
    meter = Meter()
    for share in np.asarray(shares, dtype=float):
        meter.add(float(share))
    return meter


@pytest.mark.parametrize("mean", [0.02, 0.1, 0.5])
def test_the_limit_is_above_the_mean_as_often_as_it_says(mean: float) -> None:
    rng = np.random.default_rng(7)
    limits = [metered(rng.random(150) < mean).upper for _ in range(120)]
    assert np.mean(np.array(limits) < mean) <= 0.05


def test_the_limit_closes_in_on_the_mean() -> None:
    rng = np.random.default_rng(1)
    few, many = (metered(rng.beta(1, 9, n)).upper for n in (20, 2000))
    assert many < few
    assert 0.1 < many < 0.13


def test_before_any_look_everything_may_be_missed() -> None:
    meter = Meter()
    assert meter.mean is None
    assert meter.upper == 1


def test_what_is_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        Meter().add(float("nan"))
