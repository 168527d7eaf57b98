"""Shares hold what their intervals promise, however wrong the classifier is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from glasslipper.classify.shares import (
    FEWEST_JUDGED,
    Cell,
    Share,
    share,
    share_of_counts,
    share_of_sums,
)

TRIALS = 400


def traffic(
    seed: int, *, size: int, about: float, found: float, wrongly: float, uneven: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each request: what it is about, what is predicted, and its tokens."""
    chance = np.random.default_rng(seed)
    truth = (chance.random(size) < about).astype(float)
    predicted = np.where(truth > 0, chance.random(size) < found, chance.random(size) < wrongly)
    tokens = np.exp(chance.normal(0, uneven, size)) * np.where(truth > 0, 2.0, 1.0)
    return truth, predicted.astype(float), tokens


@pytest.mark.parametrize("uneven", [0.0, 1.0], ids=["requests", "tokens"])
@pytest.mark.parametrize(("found", "wrongly"), [(0.9, 0.05), (0.6, 0.3), (0.5, 0.5), (0.1, 0.9)])
@pytest.mark.parametrize("about", [0.02, 0.25, 0.6])
@pytest.mark.parametrize("judged", [40, 200])
def test_the_interval_holds_the_true_share_as_often_as_it_says(
    about: float, found: float, wrongly: float, uneven: float, judged: int
) -> None:
    truth, predicted, tokens = traffic(
        7, size=4_000, about=about, found=found, wrongly=wrongly, uneven=uneven
    )
    weights = tokens if uneven else None
    wanted = np.average(truth, weights=weights)
    chance = np.random.default_rng(11)
    held = 0
    for _ in range(TRIALS):
        sample = chance.choice(len(truth), judged, replace=False)
        estimate = share(predicted, sample, truth[sample], weights=weights)
        held += estimate.low <= wanted <= estimate.high
    assert held / TRIALS >= 0.92  # 0.95 less three standard errors of a share of 400


def test_a_good_classifier_narrows_the_interval() -> None:
    truth, predicted, _ = traffic(1, size=5_000, about=0.25, found=0.95, wrongly=0.03, uneven=0.0)
    sample = np.random.default_rng(2).choice(5_000, 200, replace=False)
    with_it = share(predicted, sample, truth[sample])
    without = share(np.zeros(5_000), sample, truth[sample])
    assert with_it.high - with_it.low < 0.7 * (without.high - without.low)
    assert with_it.power > 0.6


def test_a_classifier_that_is_always_wrong_is_not_relied_on() -> None:
    truth, _, _ = traffic(1, size=5_000, about=0.25, found=0.5, wrongly=0.5, uneven=0.0)
    sample = np.random.default_rng(2).choice(5_000, 300, replace=False)
    estimate = share(1.0 - truth, sample, truth[sample])
    assert estimate.power == 0.0
    assert estimate.low <= truth.mean() <= estimate.high
    assert estimate.predicted == pytest.approx(1 - truth.mean())


def test_without_a_judge_there_is_a_share_and_no_certainty() -> None:
    estimate = share([1.0, 0.0, 0.0, 1.0], [], [])
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.0, 1.0)


def test_judging_everything_leaves_no_doubt() -> None:
    truth, predicted, tokens = traffic(3, size=400, about=0.3, found=0.6, wrongly=0.2, uneven=1.0)
    estimate = share(predicted, np.arange(400), truth, weights=tokens)
    assert estimate.value == pytest.approx(np.average(truth, weights=tokens))
    assert estimate.high - estimate.low == pytest.approx(0.0, abs=1e-9)


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=20, max_size=80),
    st.integers(FEWEST_JUDGED, 20),
    st.randoms(use_true_random=False),
)
def test_laws_of_shares(pairs: list[tuple[bool, bool]], judged: int, chance: object) -> None:
    truth = np.array([float(one) for one, _ in pairs])
    predicted = np.array([float(other) for _, other in pairs])
    sample = np.array(chance.sample(range(len(pairs)), judged))  # type: ignore[attr-defined]
    estimate = share(predicted, sample, truth[sample])
    assert 0.0 <= estimate.low <= estimate.value <= estimate.high <= 1.0
    # the order of the sample says nothing
    turned = share(predicted, sample[::-1], truth[sample][::-1])
    assert turned.value == pytest.approx(estimate.value)
    # a share and the share of its opposite are one
    opposite = share(1 - predicted, sample, 1 - truth[sample])
    assert opposite.low == pytest.approx(1 - estimate.high, abs=1e-9)
    assert opposite.high == pytest.approx(1 - estimate.low, abs=1e-9)
    # equal weights are no weights
    weighed = share(predicted, sample, truth[sample], weights=np.full(len(pairs), 3.5))
    assert weighed.low == pytest.approx(estimate.low)
    # a higher level is a wider interval
    wider = share(predicted, sample, truth[sample], level=0.99)
    assert wider.low <= estimate.low
    assert wider.high >= estimate.high
    assume(len(pairs) > judged)
    assert estimate.high - estimate.low > 0


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.data())
def test_counts_tell_the_same_as_the_requests_that_were_counted(
    both: int, only_judge: int, only_classifier: int, neither: int, data: st.DataObject
) -> None:
    truth = np.repeat([1.0, 1.0, 0.0, 0.0], [both, only_judge, only_classifier, neither])
    told = np.repeat([1.0, 0.0, 1.0, 0.0], [both, only_judge, only_classifier, neither])
    rest = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=90)))
    everything = np.concatenate([told, rest])
    by_request = share(everything, np.arange(len(truth)), truth)
    by_counts = share_of_counts(
        int(everything.sum()),
        len(everything),
        both=both,
        only_judge=only_judge,
        only_classifier=only_classifier,
        judged=len(truth),
    )
    for name in Share.__struct_fields__:
        assert getattr(by_counts, name) == pytest.approx(getattr(by_request, name), abs=1e-9), name


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="More were counted"):
        share_of_counts(3, 10, both=5, only_judge=4, only_classifier=3, judged=8)


@pytest.mark.parametrize(
    ("sample", "judged", "weights"),
    [
        ([0, 0], [1.0, 1.0], None),
        ([0], [], None),
        ([9], [1.0], None),
        ([-1], [1.0], None),
        ([0], [1.0], [1.0, -1.0, 1.0]),
        ([0], [1.0], [0.0, 0.0, 0.0]),
        ([0], [1.0], [1.0]),
    ],
)
def test_what_is_no_sample_is_refused(
    sample: list[int], judged: list[float], weights: list[float] | None
) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        share([1.0, 0.0, 1.0], sample, judged, weights=weights)


def test_shares_of_sums_hold_the_true_ratio_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(11)
    held, width, tries, of = 0, 0.0, 400, 20_000
    for _ in range(tries):
        mine = rng.random(of) < 0.4  # of the whole: whose model serves
        truth = rng.random(of) < np.where(mine, 0.35, 0.15)
        told = np.where(rng.random(of) < 0.2, rng.random(of) < 0.2, truth)
        weight = rng.lognormal(7, 1.0, of) * np.where(truth, 2.0, 1.0)
        sample = rng.permutation(of)[:400]
        cells = [
            Cell(
                1,
                weight[i],
                weight[i] ** 2,
                truth[i] & mine[i],
                truth[i],
                told[i] & mine[i],
                told[i],
            )
            for i in sample
        ]
        share = share_of_sums(weight[told & mine].sum(), weight[told].sum(), of, cells)
        width += share.high - share.low
        held += share.low <= weight[truth & mine].sum() / weight[truth].sum() <= share.high
    assert held / tries >= 0.93
    assert width / tries < 0.25


def test_a_share_of_sums_of_which_nothing_was_judged_may_be_anything() -> None:
    share = share_of_sums(10.0, 40.0, 100, [])
    assert (share.value, share.low, share.high) == (0.25, 0.0, 1.0)
