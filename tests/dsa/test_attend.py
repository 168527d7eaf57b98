"""Attention over a selection: the specification's numbers, and dense when all is selected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from glasslipper.dsa import attend, reference  # noqa: E402

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, *, heads: int, groups: int, keys: int = 40, queries: int = 6):
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(queries, heads, 8))
    k, v = rng.normal(size=(keys, groups, 8)), rng.normal(size=(keys, groups, 8))
    at = np.sort(rng.integers(0, keys, size=queries))
    return tuple(torch.tensor(x) for x in (q, k, v, at))


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([(4, 1), (6, 3), (4, 4)]), st.integers(1, 50))
def test_attention_over_a_selection_is_the_specification_s(
    seed: int, heads: tuple[int, int], k: int
) -> None:
    q, key, v, at = drawn(seed, heads=heads[0], groups=heads[1])
    scores = np.random.default_rng(seed).normal(size=(6, 40))
    chosen = reference.select(scores, at.numpy(), k)
    ours = attend.attend(q, key, v, torch.tensor(chosen), scale=0.3).out_THV
    theirs = reference.attend(q.numpy(), key.numpy(), v.numpy(), chosen, scale=0.3)
    assert ours.numpy() == pytest.approx(theirs, abs=1e-12)


@given(SEEDS, st.sampled_from([(4, 1), (6, 3), (4, 4)]))
@settings(max_examples=25, deadline=None)
def test_sparse_is_dense_when_the_budget_covers_all(seed: int, heads: tuple[int, int]) -> None:
    q, k, v, at = drawn(seed, heads=heads[0], groups=heads[1])
    index = torch.arange(40).expand(6, 40)
    everything = torch.where(index <= at[:, None], index, -1)
    dense = attend.attend_dense(q, k, v, at, rows=2)
    sparse = attend.attend(q, k, v, everything)
    blocks = attend.attend_blocks(q, k, v, index[:3], at, block=2)
    for other in (sparse, blocks):
        assert other.out_THV.numpy() == pytest.approx(dense.out_THV.numpy(), abs=1e-12)
        assert other.lse_TH.numpy() == pytest.approx(dense.lse_TH.numpy(), abs=1e-12)


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_parts_merge_into_the_whole(seed: int) -> None:
    q, k, v, at = drawn(seed, heads=4, groups=2)
    index = torch.arange(40).expand(6, 40)
    index = torch.where(index <= at[:, None], index, -1)
    parts = [attend.attend(q, k, v, index[:, a:b]) for a, b in ((0, 9), (9, 33), (33, 40))]
    whole = attend.attend(q, k, v, index)
    merged = attend.merge(parts)
    assert merged.out_THV.numpy() == pytest.approx(whole.out_THV.numpy(), abs=1e-12)
    assert merged.lse_TH.numpy() == pytest.approx(whole.lse_TH.numpy(), abs=1e-12)


def test_a_query_without_keys_gets_zeros() -> None:
    q, k, v, _ = drawn(0, heads=4, groups=2)
    nothing = attend.attend(q, k, v, torch.full((6, 3), -1))
    assert not nothing.out_THV.any()
    assert (nothing.lse_TH == float("-inf")).all()
    assert not attend.merge([nothing, nothing]).out_THV.any()


def test_heads_that_do_not_divide_are_refused() -> None:
    q, k, v, at = drawn(0, heads=5, groups=2)
    with pytest.raises(ValueError, match="no multiple"):
        attend.attend_dense(q, k, v, at)
