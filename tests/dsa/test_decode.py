"""A decoding step is the same by every path, and the same as without a cache."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from glasslipper.dsa import attend, codes, decode, select  # noqa: E402
from glasslipper.dsa.cache import Layout, Store  # noqa: E402
from glasslipper.dsa.errors import NotANumber  # noqa: E402
from glasslipper.dsa.indexer import IndexQuery  # noqa: E402
from glasslipper.dsa.kernels import native  # noqa: E402


def sequence(length: int):
    rng = np.random.default_rng(length)
    store = Store(Layout(key_heads=2, head_dim=64, index_dim=32), layers=2, pages=20)
    table = torch.tensor(rng.permutation(20), dtype=torch.int32)
    k, v = (torch.tensor(rng.normal(size=(length, 2, 64))).bfloat16() for _ in range(2))
    keys = codes.encode_keys(torch.tensor(rng.normal(size=(length, 32))))
    store.write(1, table, 0, k, v, keys)
    q = torch.tensor(rng.normal(size=(6, 64)), dtype=torch.float32)
    sought = IndexQuery(
        torch.tensor(rng.normal(size=(1, 4, 32))).float(), torch.tensor(rng.normal(size=(1, 4)))
    )
    return store, table, (k, v, keys), sought, q


@pytest.mark.parametrize("candidates", [0, 1, 4])
@pytest.mark.parametrize("length", [1, 17, 64, 700, 1217])
@pytest.mark.parametrize("is_native", [True, False])
def test_a_step_is_that_of_a_sequence_without_a_cache(
    length: int, candidates: int, is_native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, table, (k, v, keys), sought, q = sequence(length)
    if not is_native:
        monkeypatch.setattr(decode, "_is_native_there", lambda: False)
    ours = decode.step(store, 1, table, length, sought, q, k=48, candidates=candidates)
    queries = codes.encode_queries(*sought)
    at = torch.tensor([length - 1])
    if candidates:
        pooled = codes.pool(keys, 16)
        chosen = select.hierarchical_top_k(queries, keys, pooled, 48, at, candidates=candidates)
    else:
        chosen = select.top_k(queries, keys, 48, at)
    count = int(chosen.count_T[0])
    assert torch.equal(ours.selection.index_TK[:, :count], chosen.index_TK[:, :count])
    assert torch.equal(ours.selection.score_TK[:, :count], chosen.score_TK[:, :count])
    seen = attend.attend(q[None], k, v, chosen.index_TK)
    assert ours.attended.out_THV.numpy() == pytest.approx(seen.out_THV.numpy(), abs=2e-5)
    assert ours.attended.lse_TH.numpy() == pytest.approx(seen.lse_TH.numpy(), abs=2e-5)


@pytest.mark.parametrize("is_native", [True, False])
def test_an_adaptive_budget_keeps_what_holds_the_share_and_attends_to_that_alone(
    is_native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = 900
    store, table, (k, v, keys), sought, q = sequence(length)
    sought = sought._replace(w_TJ=sought.w_TJ.abs() * 0.1)
    if not is_native:
        monkeypatch.setattr(decode, "_is_native_there", lambda: False)
    at = torch.tensor([length - 1])
    whole = select.top_k(codes.encode_queries(*sought), keys, 400, at)
    counts = []
    for mass in (0.2, 0.5, 1.0):
        ours = decode.step(store, 1, table, length, sought, q, k=400, mass=mass)
        theirs = select.adapt(whole, mass, at).selection
        count = int(theirs.count_T[0])
        counts.append(int(ours.selection.count_T[0]))
        assert torch.equal(ours.selection.index_TK[:, :count], theirs.index_TK[:, :count])
        seen = attend.attend(q[None], k, v, theirs.index_TK)
        assert ours.attended.out_THV.numpy() == pytest.approx(seen.out_THV.numpy(), abs=2e-5)
        assert ours.attended.lse_TH.numpy() == pytest.approx(seen.lse_TH.numpy(), abs=2e-5)
    assert counts[0] < counts[1] < counts[2] == 400


@pytest.mark.parametrize("is_native", [True, False])
def test_what_another_layer_chose_is_attended_to(
    is_native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, table, (k, v, _), _, q = sequence(700)
    if not is_native:
        monkeypatch.setattr(decode, "_is_native_there", lambda: False)
    chosen = torch.tensor([0, 3, 64, 65, 300, 699])
    for query in (q, q.bfloat16()):
        ours = decode.attend_chosen(store, 1, table, 700, query, chosen)
        theirs = attend.attend(query[None], k, v, chosen[None])
        assert ours.out_THV.dtype == query.dtype
        assert ours.out_THV.float().numpy() == pytest.approx(
            theirs.out_THV.float().numpy(), abs=2e-5 if query.dtype == q.dtype else 1e-2
        )
        assert ours.lse_TH.numpy() == pytest.approx(theirs.lse_TH.numpy(), abs=1e-4)


def test_without_a_compiler_the_torch_path_says_that_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CXX", raising=False)
    decode._is_native_there.cache_clear()
    decode.native.load.cache_clear()
    store, table, _, sought, q = sequence(70)
    with pytest.warns(UserWarning, match="plain torch"):
        decode.step(store, 1, table, 70, sought, q, k=8)
    decode._is_native_there.cache_clear()


@pytest.mark.parametrize("width", [4, 32, 64, 128])
def test_a_query_is_encoded_to_the_same_bits_by_either_path(width: int) -> None:
    rng = np.random.default_rng(width)
    for spread in (1e-20, 1.0, 1e20):
        q = (spread * rng.normal(size=(5, width))).astype(np.float32)
        q[0] = 0.0
        w = rng.normal(size=5).astype(np.float32)
        theirs = codes.encode_queries(torch.from_numpy(q)[None], torch.from_numpy(w)[None])
        for one, other in zip(native.encode(q, w), theirs, strict=True):
            assert (one == other[0].numpy()).all()
    with pytest.raises(NotANumber):
        native.encode(np.full((2, width), np.nan, np.float32), np.ones(2, np.float32))


def test_a_bfloat16_query_is_answered_in_bfloat16() -> None:
    store, table, _, sought, q = sequence(700)
    ours = decode.step(store, 1, table, 700, sought, q.bfloat16(), k=48)
    theirs = decode.step(store, 1, table, 700, sought, q.bfloat16().float(), k=48)
    assert torch.equal(ours.attended.out_THV, theirs.attended.out_THV.bfloat16())
    assert torch.equal(ours.attended.lse_TH, theirs.attended.lse_TH)


@pytest.mark.parametrize("candidates", [0, 4])
def test_any_number_of_threads_gives_the_same_bits(candidates: int) -> None:
    store, table, _, sought, q = sequence(1217)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 5) * 5:
            torch.set_num_threads(threads)
            found.append(
                decode.step(store, 1, table, 1217, sought, q, k=600, candidates=candidates)
            )
    finally:
        torch.set_num_threads(before)
    for step in found[1:]:
        assert torch.equal(step.selection.index_TK, found[0].selection.index_TK)
        assert torch.equal(step.attended.out_THV, found[0].attended.out_THV)


def test_a_query_or_table_that_cannot_be_is_refused() -> None:
    store, table, _, sought, q = sequence(700)
    with pytest.raises(NotANumber, match="query"):
        decode.step(store, 1, table, 700, sought._replace(w_TJ=sought.w_TJ * torch.nan), q, k=8)
    with pytest.raises(ValueError, match="pages"):
        decode.step(store, 1, table[:3], 700, sought, q, k=8)
    with pytest.raises(ValueError, match="pages"):
        decode.step(store, 1, table + 20, 700, sought, q, k=8)
    with pytest.raises(ValueError, match="wide"):
        decode.step(store, 1, table, 700, sought, q[:, :32], k=8)
