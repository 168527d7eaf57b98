"""The streaming selection: exact, by the rule, and the same however the work is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from glasslipper.dsa import codes, reference, select  # noqa: E402
from glasslipper.dsa.errors import NotANumber  # noqa: E402

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, queries: int, keys: int, *, heads: int = 3, width: int = 16, coarse: bool):
    """Random index vectors; coarse ones make many equal scores."""
    rng = np.random.default_rng(seed)
    q, k = rng.normal(size=(queries, heads, width)), rng.normal(size=(keys, width))
    w = rng.normal(size=(queries, heads))
    if coarse:
        q, k, w = np.round(q / 2), np.round(k / 2), np.sign(w)
    return (
        codes.encode_queries(torch.tensor(q), torch.tensor(w)),
        codes.encode_keys(torch.tensor(k)),
        torch.tensor(rng.integers(0, keys, size=queries)),
    )


def specified(queries: codes.Queries, keys: codes.Keys, at_T: torch.Tensor, k: int) -> np.ndarray:
    """What the specification selects from the same scores."""
    scores = codes.score(queries, keys).double().numpy()
    return reference.select(scores, at_T.numpy(), k)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 90), st.integers(1, 90), st.booleans())
def test_a_selection_is_the_specification_s(seed: int, k: int, chunk: int, coarse: bool) -> None:
    queries, keys, at_T = drawn(seed, 5, 70, coarse=coarse)
    ours = select.top_k(queries, keys, k, at_T, chunk=chunk).index_TK.numpy()
    theirs = specified(queries, keys, at_T, k)[:, : ours.shape[1]]
    assert (ours == theirs).all()


def test_a_thousand_replays_cut_anyhow_select_the_same_keys() -> None:
    queries, keys, at_T = drawn(7, 12, 300, coarse=True)
    first = select.top_k(queries, keys, 40, at_T)
    rng = np.random.default_rng(0)
    differences = 0
    for _ in range(1000):
        mix = torch.tensor(rng.permutation(12)[: rng.integers(1, 13)])
        some = codes.Queries(queries.codes_TJI[mix], queries.weight_TJ[mix])
        chunk, rows = int(rng.integers(1, 400)), int(rng.integers(1, 13))
        again = select.top_k(some, keys, 40, at_T[mix], chunk=chunk, rows=rows)
        differences += not torch.equal(again.index_TK, first.index_TK[mix])
        differences += not torch.equal(again.score_TK, first.score_TK[mix])
    assert differences == 0


def test_scores_come_near_those_of_the_unquantised_indexer() -> None:
    rng = np.random.default_rng(3)
    q, k, w = rng.normal(size=(6, 4, 64)), rng.normal(size=(200, 64)), rng.normal(size=(6, 4))
    ours = codes.score(
        codes.encode_queries(torch.tensor(q), torch.tensor(w)), codes.encode_keys(torch.tensor(k))
    ).numpy()
    exact = reference.index_scores(q, k, w)
    ours_error = np.abs(ours - exact).mean()
    assert ours_error < 0.01 * np.abs(exact).mean()
    assert ours_error < np.abs(reference.index_scores_e4m3(q, k, w) - exact).mean()


def test_zeros_of_either_sign_tie() -> None:
    scores = torch.tensor([[-0.0, 0.0, -1.0, 0.0, -0.0]])
    chosen = select.stream(lambda a, b: scores[:, a:b], torch.tensor([4]), 3, chunk=2)
    assert chosen.index_TK.tolist() == [[0, 1, 3]]


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 40))
def test_the_hierarchy_equals_the_flat_selection_when_candidates_cover_all(
    seed: int, k: int
) -> None:
    queries, keys, at_T = drawn(seed, 6, 100, coarse=True)
    flat = select.top_k(queries, keys, k, at_T)
    pooled = codes.pool(keys, 8)
    two_steps = select.hierarchical_top_k(
        queries, keys, pooled, k, at_T, pool_tokens=8, candidates=-(-100 // k) + 8
    )
    assert torch.equal(flat.index_TK, two_steps.index_TK)


def test_the_hierarchy_always_scores_the_run_that_the_query_stands_in() -> None:
    queries, keys, _ = drawn(1, 1, 64, coarse=False)
    pooled = codes.pool(keys, 8)
    for at in range(64):
        chosen = select.hierarchical_top_k(
            queries, keys, pooled, 16, torch.tensor([at]), pool_tokens=8, candidates=1
        )
        runs = {i // 8 for i in chosen.index_TK[0].tolist() if i >= 0}
        assert len(runs) <= 3
        assert max(chosen.index_TK[0].tolist()) <= at
        assert chosen.count_T.item() >= min(at % 8 + 1, 8)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(5, 80), st.integers(1, 90))
def test_a_block_of_one_query_selects_what_the_query_alone_does(
    seed: int, k: int, chunk: int
) -> None:
    queries, keys, at_T = drawn(seed, 5, 70, coarse=True)
    alone = select.top_k(queries, keys, k, at_T)
    assert torch.equal(
        select.block_top_k(queries, keys, k, at_T, block=1, chunk=chunk).index_TK, alone.index_TK
    )


def test_a_block_takes_the_keys_that_are_best_for_any_of_its_queries() -> None:
    queries, keys, _ = drawn(5, 8, 60, coarse=False)
    at_T = torch.arange(52, 60)
    chosen = select.block_top_k(queries, keys, 12, at_T, block=4, chunk=7)
    scores = codes.score(queries, keys).double().numpy()
    for b in range(2):
        seen = reference.visible(at_T.numpy(), 60)[4 * b : 4 * b + 4]
        best = np.where(seen, scores[4 * b : 4 * b + 4], -np.inf).max(0)
        theirs = reference.select(best[None], at_T.numpy()[4 * b + 3 : 4 * b + 4], 12)
        assert (chosen.index_TK[b].numpy() == theirs).all()
    with pytest.raises(ValueError, match="not above the block"):
        select.block_top_k(queries, keys, 4, at_T, block=4)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.05, 1.0))
def test_an_adapted_budget_holds_the_mass_that_it_promises(seed: int, mass: float) -> None:
    queries, keys, at_T = drawn(seed, 6, 90, coarse=False)
    full = select.top_k(queries, keys, 60, at_T)
    adapted = select.adapt(full, mass, at_T, least=1)
    scores = codes.score(queries, keys).double().numpy()
    guess = reference.softmax(scores, reference.visible(at_T.numpy(), 90))
    for t in range(6):
        kept = [i for i in adapted.selection.index_TK[t].tolist() if i >= 0]
        held = guess[t, kept].sum()
        assert held >= 1 - float(adapted.missing_T[t]) - 1e-6
        assert held >= mass - 1e-6 or len(kept) == int(full.count_T[t])
        assert guess[t, kept].min() >= max(
            (guess[t, i] for i in full.index_TK[t].tolist() if i >= 0 and i not in kept),
            default=0.0,
        )


def test_nan_is_an_error_that_says_so() -> None:
    bad = torch.full((2, 4), float("nan"))
    with pytest.raises(NotANumber, match="NaN"):
        codes.encode_keys(bad)
    with pytest.raises(NotANumber, match="NaN"):
        codes.encode_queries(torch.ones(2, 1, 4), torch.full((2, 1), float("inf")))
    with pytest.raises(ValueError, match="power of two"):
        codes.encode_keys(torch.ones(2, 12))
