"""The specification itself: golden vectors, laws, and gradients by finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.dsa import reference

SEEDS = st.integers(0, 2**32 - 1)


def test_rope_turns_a_component_with_its_partner_half_the_width_away() -> None:
    x = np.array([1.0, 0.0, 0.0, 0.0, 7.0])
    turned = reference.rope(x, np.array(1), dims=4, base=100.0)
    assert turned == pytest.approx([np.cos(1.0), 0.0, np.sin(1.0), 0.0, 7.0])
    second = reference.rope(np.array([0.0, 1.0, 0.0, 0.0]), np.array(3), dims=4, base=100.0)
    assert second == pytest.approx([0.0, np.cos(0.3), 0.0, np.sin(0.3)])


@given(SEEDS)
def test_hadamard_leaves_dot_products_and_undoes_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 3, 16))
    ours = reference.hadamard(a) @ reference.hadamard(b).T
    assert ours == pytest.approx(a @ b.T)
    assert reference.hadamard(reference.hadamard(a)) == pytest.approx(a)


def test_e4m3_has_the_values_that_the_format_has() -> None:
    bits = np.arange(127)
    exponent, mantissa = bits >> 3, bits & 7
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    values = np.where(exponent > 0, normal, mantissa / 8 * 2.0**-6)
    assert reference.to_e4m3(values) == pytest.approx(values, abs=0)
    middles = (values[:-1] + values[1:]) / 2
    even = np.where(bits[:-1] % 2 == 0, values[:-1], values[1:])
    assert (reference.to_e4m3(middles) == even).all()
    assert reference.to_e4m3(np.array([-500.0, 1e9])).tolist() == [-448.0, 448.0]


@given(SEEDS)
def test_a_scale_is_the_least_power_of_two_that_fits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(5, 32)) * 10.0 ** rng.uniform(-3, 3, size=(5, 1))
    values, scale = reference.quantise(x)
    assert (np.abs(values).max(-1) > 200).all()
    assert (np.log2(scale) % 1 == 0).all()
    assert np.abs(values * scale[:, None] - x).max(-1) == pytest.approx(
        0, abs=float((scale * 16.01).max())
    )


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 30))
def test_a_selection_has_the_highest_scores_and_of_equals_the_first(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, size=(4, 24)).astype(float)
    at = rng.integers(0, 24, size=4)
    for row, chosen in enumerate(reference.select(scores, at, k)):
        kept = [s for s in chosen if s != reference.NOTHING]
        ranked = sorted(range(at[row] + 1), key=lambda s: (-scores[row, s], s))
        assert kept == sorted(ranked[:k])


def test_scores_that_are_no_numbers_are_an_error_where_they_are_seen() -> None:
    scores = np.zeros((1, 4))
    scores[0, 3] = np.nan
    assert reference.select(scores, np.array([2]), 2).tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="not a number"):
        reference.select(scores, np.array([3]), 2)


@settings(max_examples=20)
@given(SEEDS)
def test_a_budget_that_covers_all_is_dense_attention(seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, k, v = rng.normal(size=(7, 6, 8)), rng.normal(size=(9, 2, 8)), rng.normal(size=(9, 2, 8))
    at = rng.integers(0, 9, size=7)
    everything = reference.select(rng.normal(size=(7, 9)), at, 9)
    sparse = reference.attend(q, k, v, everything, scale=0.3)
    weights = reference.attention(q, k, reference.visible(at, 9), scale=0.3)
    dense = np.einsum("hts,shd->thd", weights, np.repeat(v, 3, axis=1))
    assert sparse == pytest.approx(dense)
    assert reference.mass(weights.mean(0), everything) == pytest.approx(1)


@pytest.mark.parametrize("stage", ["warm-up", "sparse"])
def test_the_loss_has_the_gradient_that_it_says(stage: str) -> None:
    rng = np.random.default_rng(5)
    at = np.array([4, 7, 5])
    q, k, w = rng.normal(size=(3, 2, 4)), rng.normal(size=(8, 4)), rng.normal(size=(3, 2))
    target = reference.teacher(
        rng.normal(size=(3, 4, 6)), rng.normal(size=(8, 2, 6)), at, scale=0.4
    )
    may = reference.visible(at, 8)
    if stage == "sparse":
        may = reference.chosen(reference.select(reference.index_scores(q, k, w), at, 4), 8)

    def loss() -> float:
        return reference.index_loss(reference.index_scores(q, k, w), target, may)[0]

    _, d_scores = reference.index_loss(reference.index_scores(q, k, w), target, may)
    for array, gradient in zip(
        (q, k, w), reference.index_score_gradients(q, k, w, d_scores), strict=True
    ):
        for place in np.ndindex(array.shape):
            kept = array[place]
            array[place] = kept + 1e-6
            above = loss()
            array[place] = kept - 1e-6
            below = loss()
            array[place] = kept
            assert gradient[place] == pytest.approx((above - below) / 2e-6, abs=1e-7)


def test_quantised_scores_stay_near_the_exact_ones() -> None:
    rng = np.random.default_rng(1)
    q, k, w = rng.normal(size=(5, 4, 32)), rng.normal(size=(40, 32)), rng.normal(size=(5, 4))
    exact = reference.index_scores(q, k, w)
    near = reference.index_scores_e4m3(q, k, w)
    assert np.abs(near - exact).max() < 0.06 * np.abs(exact).max()
