"""A decoding step is the same by every path, and the same as without a cache."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from glasslipper.dsa import attend, codes, decode, select  # noqa: E402
from glasslipper.dsa.cache import Layout, Store  # noqa: E402
from glasslipper.dsa.errors import NotANumber  # noqa: E402


def sequence(length: int):
    rng = np.random.default_rng(length)
    store = Store(Layout(key_heads=2, head_dim=64, index_dim=32), layers=2, pages=20)
    table = torch.tensor(rng.permutation(20), dtype=torch.int32)
    k, v = (torch.tensor(rng.normal(size=(length, 2, 64))).bfloat16() for _ in range(2))
    keys = codes.encode_keys(torch.tensor(rng.normal(size=(length, 32))))
    store.write(1, table, 0, k, v, keys)
    q = torch.tensor(rng.normal(size=(6, 64)), dtype=torch.float32)
    queries = codes.encode_queries(
        torch.tensor(rng.normal(size=(1, 4, 32))), torch.tensor(rng.normal(size=(1, 4)))
    )
    return store, table, (k, v, keys), queries, q


@pytest.mark.parametrize("candidates", [0, 1, 4])
@pytest.mark.parametrize("length", [1, 17, 64, 700, 1217])
@pytest.mark.parametrize("is_native", [True, False])
def test_a_step_is_that_of_a_sequence_without_a_cache(
    length: int, candidates: int, is_native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, table, (k, v, keys), queries, q = sequence(length)
    if not is_native:
        monkeypatch.setattr(decode, "_is_native_there", lambda: False)
    ours = decode.step(store, 1, table, length, queries, q, k=48, candidates=candidates)
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


def test_without_a_compiler_the_torch_path_says_that_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CXX", raising=False)
    decode._is_native_there.cache_clear()
    decode.native.load.cache_clear()
    store, table, _, queries, q = sequence(70)
    with pytest.warns(UserWarning, match="plain torch"):
        decode.step(store, 1, table, 70, queries, q, k=8)
    decode._is_native_there.cache_clear()


@pytest.mark.parametrize("width", [4, 32, 64, 128])
def test_a_query_is_encoded_to_the_same_bits_by_either_path(width: int) -> None:
    rng = np.random.default_rng(width)
    for spread in (1e-20, 1.0, 1e20):
        q = torch.tensor(spread * rng.normal(size=(1, 5, width)), dtype=torch.float32)
        q[0, 0] = 0.0
        w = torch.tensor(rng.normal(size=(1, 5)), dtype=torch.float32)
        ours, theirs = decode.encode_query(q, w), codes.encode_queries(q, w)
        assert torch.equal(ours.codes_TJI, theirs.codes_TJI)
        assert torch.equal(ours.weight_TJ, theirs.weight_TJ)
    with pytest.raises(NotANumber):
        decode.encode_query(torch.full((1, 2, width), float("nan")), torch.ones(1, 2))
