"""The C++ kernel, without torch: the specification's numbers from bytes that the test lays out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.dsa import reference
from glasslipper.dsa.errors import NoCompiler, NotANumber
from glasslipper.dsa.kernels import native
from glasslipper.dsa.kernels.native import Layer, Query
from glasslipper.dsa.kernels.native.build import library

pytestmark = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")),
    reason="no C++ compiler on this machine",
)

SEEDS = st.integers(0, 2**32 - 1)
CPU = Path("/proc/cpuinfo")
OLDER = (
    [("-march=x86-64-v3",), ("-march=alderlake",), ("-march=x86-64-v2",)]
    if CPU.exists() and {"avx512_vnni", "avx_vnni"} <= set(CPU.read_text(encoding="utf-8").split())
    else []
)
"""Processors that this one can stand for."""

PAGE, RUN, G, D, I = 64, 16, 2, 32, 16  # noqa: E741


class Text(NamedTuple):
    """A sequence as plain arrays."""

    k_SGD: np.ndarray
    v_SGD: np.ndarray
    codes_SI: np.ndarray
    scale_S: np.ndarray
    pooled_RI: np.ndarray
    pooled_scale_R: np.ndarray
    spread_R: np.ndarray


def bf16(x: np.ndarray) -> np.ndarray:
    """Cut float32 to what bfloat16 holds."""
    return (x.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)


def text(rng: np.random.Generator, length: int, *, coarse: bool) -> Text:
    """Random keys; coarse ones make many equal scores. Pooled keys are as random as the rest."""
    most = 2 if coarse else 127
    runs = length // RUN

    def scales(count: int) -> np.ndarray:
        return (np.ones(count) if coarse else rng.random(count)).astype(np.float32)

    return Text(
        bf16(rng.normal(size=(length, G, D))),
        bf16(rng.normal(size=(length, G, D))),
        rng.integers(-most, most + 1, size=(length, I)).astype(np.int8),
        scales(length),
        rng.integers(-most, most + 1, size=(runs, I)).astype(np.int8),
        scales(runs),
        scales(runs),
    )


def lay_out(words: Text, table: np.ndarray, pages: int, rng: np.random.Generator) -> Layer:
    """Write a sequence into pages full of noise, byte by byte as `cache` says."""
    length = len(words.k_SGD)
    kv = rng.integers(0, 2**15, size=(pages, PAGE, 2, G, D)).astype(np.uint16)
    index = rng.integers(0, 256, size=(pages, PAGE * (I + 4))).astype(np.uint8)
    pooled = rng.integers(0, 256, size=(pages, 4 * (I + 8))).astype(np.uint8)
    for s in range(length):
        page, place = table[s // PAGE], s % PAGE
        kv[page, place, 0] = words.k_SGD[s].view(np.uint32) >> 16
        kv[page, place, 1] = words.v_SGD[s].view(np.uint32) >> 16
        run, lane = divmod(place, RUN)
        for i in range(I):
            at = run * RUN * I + (i // 4) * RUN * 4 + lane * 4 + i % 4
            index[page, at] = words.codes_SI[s, i].view(np.uint8)
        at = PAGE * I + 4 * place
        index[page, at : at + 4] = words.scale_S[s : s + 1].view(np.uint8)
    for r in range(length // RUN):
        page, run = table[r // 4], r % 4
        for i in range(I):
            pooled[page, (i // 4) * 16 + run * 4 + i % 4] = words.pooled_RI[r, i].view(np.uint8)
        at = 4 * I + 4 * run
        pooled[page, at : at + 4] = words.pooled_scale_R[r : r + 1].view(np.uint8)
        pooled[page, at + 16 : at + 20] = words.spread_R[r : r + 1].view(np.uint8)
    return Layer(kv, index, pooled)


def ask(rng: np.random.Generator, *, coarse: bool, heads: int = 6, index_heads: int = 3) -> Query:
    most = 2 if coarse else 127
    weight = rng.choice([-1.0, 1.0], index_heads) if coarse else rng.normal(size=index_heads)
    return Query(
        rng.integers(-most, most + 1, size=(index_heads, I)).astype(np.int8),
        weight.astype(np.float32),
        rng.normal(size=(heads, D)).astype(np.float32),
    )


def scores(query: Query, codes: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Scores in float32, rounded in the order that the format states."""
    total = np.zeros(len(codes), np.float32)
    for j, weight in enumerate(query.weight_J):
        dot = codes.astype(np.int32) @ query.codes_JI[j].astype(np.int32)
        total = total + weight * np.maximum(dot, 0).astype(np.float32)
    return total * scale


def run_scores(query: Query, words: Text) -> np.ndarray:
    """Scores of runs in float32: how far a head sees beyond the mean depends on its length."""
    total = np.zeros(len(words.pooled_RI), np.float32)
    for codes_I, weight in zip(query.codes_JI.astype(np.int32), query.weight_J, strict=True):
        dot = (words.pooled_RI.astype(np.int32) @ codes_I).astype(np.float32)
        reach = np.float32(0.5) * np.sqrt(np.float64(codes_I @ codes_I)).astype(np.float32)
        seen = dot * words.pooled_scale_R + reach * words.spread_R
        total = total + weight * np.maximum(seen, np.float32(0))
    return total


def case(seed: int, length: int, *, coarse: bool, **shape: int):
    rng = np.random.default_rng(seed)
    pages = -(-length // PAGE) + 2
    table = rng.permutation(pages).astype(np.int32)[:-2]
    words = text(rng, length, coarse=coarse)
    return words, lay_out(words, table, pages, rng), table, ask(rng, coarse=coarse, **shape)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 300), st.integers(1, 320), st.integers(1, 9), st.booleans())
def test_a_step_chooses_and_sees_what_the_specification_does(
    seed: int, length: int, k: int, index_heads: int, coarse: bool
) -> None:
    words, layer, table, query = case(seed, length, coarse=coarse, index_heads=index_heads)
    ours = native.decode(layer, table, length, query, k=k, scale=0.2, threads=1 + seed % 3)
    score = scores(query, words.codes_SI, words.scale_S)
    at = np.array([length - 1])
    chosen = reference.select(score[None].astype(np.float64), at, k)
    assert (ours.index_K == chosen[0][chosen[0] >= 0]).all()
    assert (ours.score_K == score[ours.index_K]).all()
    seen = reference.attend(
        *(x.astype(np.float64) for x in (query.q_HD[None], words.k_SGD, words.v_SGD)),
        chosen,
        scale=0.2,
    )
    assert ours.out_HD == pytest.approx(seen[0], abs=2e-5)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 400), st.integers(1, 64), st.integers(1, 9), st.booleans())
def test_the_hierarchy_chooses_runs_first(
    seed: int, length: int, k: int, candidates: int, coarse: bool
) -> None:
    words, layer, table, query = case(seed, length, coarse=coarse)
    ours = native.decode(
        layer, table, length, query, k=k, scale=0.2, candidates=candidates, threads=2
    )
    full = length // RUN
    pooled = run_scores(query, words)[None].astype(np.float64)
    runs = reference.select(pooled, np.array([full - 1]), max(1, candidates * k // RUN))[0]
    allowed = np.isin(np.arange(length) // RUN, [*runs[runs >= 0], full])
    score = scores(query, words.codes_SI, words.scale_S).astype(np.float64)
    among = np.flatnonzero(allowed)
    chosen = reference.select(score[None, among], np.array([len(among) - 1]), k)[0]
    assert (ours.index_K == among[chosen[chosen >= 0]]).all()


def test_long_rows_are_chosen_exactly() -> None:
    words, layer, table, query = case(5, 20_000, coarse=False)
    score = scores(query, words.codes_SI, words.scale_S)[None].astype(np.float64)
    for k in (1, 100, 2048, 9_999, 19_999):
        ours = native.decode(layer, table, 20_000, query, k=k, scale=0.2)
        assert (ours.index_K == reference.select(score, np.array([19_999]), k)[0]).all()


@pytest.mark.parametrize("heads", [2, 4, 6, 8, 10, 14, 16])
@pytest.mark.parametrize("width", [32, 64, 96])
def test_any_group_and_width_attends_as_specified(heads: int, width: int) -> None:
    rng = np.random.default_rng(heads * width)
    length = 130
    kv = rng.normal(size=(3, PAGE, 2, G, width)).astype(np.float32)
    kv = (bf16(kv).view(np.uint32) >> 16).astype(np.uint16)
    noise = np.zeros((3, PAGE * (I + 4)), np.uint8), np.zeros((3, 4 * (I + 8)), np.uint8)
    layer, table = Layer(kv, *noise), np.array([1, 0, 2], np.int32)
    query = ask(rng, coarse=True)._replace(
        q_HD=(5 * rng.normal(size=(heads, width))).astype(np.float32)
    )
    flat = (kv[table].reshape(-1, 2, G, width)[:length].astype(np.uint32) << 16).view(np.float32)
    k, v = flat[:, 0].astype(np.float64), flat[:, 1].astype(np.float64)
    chosen = np.sort(rng.permutation(length)[:77])
    theirs = reference.attend(
        query.q_HD[None].astype(np.float64), k, v, chosen[None].astype(np.int64), scale=0.3
    )[0]
    ours = native.attend(layer, table, length, query, index_K=chosen, scale=0.3, threads=2)
    assert ours.out_HD == pytest.approx(theirs, abs=5e-5)
    everything = native.attend(layer, table, length, query, index_K=np.arange(length), scale=0.3)
    dense = native.dense(layer, table, length, query, scale=0.3)
    assert (everything.out_HD == dense.out_HD).all()
    logits = np.einsum("ghd,sgd->ghs", query.q_HD.reshape(G, -1, width).astype(np.float64), k)
    lse = np.logaddexp.reduce(logits.reshape(heads, -1) * 0.3, axis=-1)
    assert dense.lse_H == pytest.approx(lse, abs=1e-4)


def test_sparse_is_dense_when_the_budget_covers_all() -> None:
    _, layer, table, query = case(11, 200, coarse=False)
    sparse = native.decode(layer, table, 200, query, k=200, scale=0.2, threads=2)
    dense = native.dense(layer, table, 200, query, scale=0.2, threads=2)
    assert (sparse.out_HD == dense.out_HD).all()


def test_a_thousand_replays_in_other_pages_and_threads_choose_the_same() -> None:
    length, k = 700, 64
    rng = np.random.default_rng(1)
    words, query = text(rng, length, coarse=True), ask(rng, coarse=True)
    first: list[np.ndarray | None] = [None, None]
    differences = 0
    for replay in range(1000):
        if replay % 20 == 0:
            table = rng.permutation(14).astype(np.int32)[:11]
            layer = lay_out(words, table, 14, rng)
        which = replay % 2
        found = native.decode(
            layer,
            table,
            length,
            query,
            k=k,
            scale=0.2,
            candidates=2 * which,
            threads=1 + replay % 5,
        ).index_K
        first[which] = found if first[which] is None else first[which]
        differences += not np.array_equal(found, first[which])
    assert differences == 0


@pytest.mark.parametrize("flags", [("-DDSA_PLAIN",), *OLDER])
def test_builds_for_other_processors_equal_the_one_for_this(
    flags: tuple[str, ...], tmp_path: Path
) -> None:
    _, layer, table, query = case(3, 500, coarse=False)
    plain = native.load(library(extra=flags, folder=tmp_path))
    for candidates in (0, 2):
        options = {"k": 50, "scale": 0.2, "candidates": candidates}
        ours = native.decode(layer, table, 500, query, **options)
        theirs = native.decode(layer, table, 500, query, **options, built=plain)
        assert (ours.index_K == theirs.index_K).all()
        assert (ours.score_K == theirs.score_K).all()
        assert ours.out_HD == pytest.approx(theirs.out_HD, abs=2e-5)


def test_what_does_not_fit_is_refused() -> None:
    _, layer, table, query = case(3, 100, coarse=True)
    good = {"k": 5, "scale": 1.0}
    with pytest.raises(ValueError, match="do not hold"):
        native.decode(layer, table, 129, query, **good)
    with pytest.raises(ValueError, match="does not have"):
        native.decode(layer, np.array([0, 99], np.int32), 100, query, **good)
    with pytest.raises(ValueError, match="do not fit"):
        native.decode(layer, table, 100, query._replace(weight_J=np.ones(9, np.float32)), **good)
    with pytest.raises(ValueError, match="cannot be"):
        native.decode(layer, table, 100, query, k=0, scale=1.0)
    with pytest.raises(ValueError, match="outside"):
        native.attend(layer, table, 100, query, index_K=np.array([100]), scale=1.0)
    bad = query._replace(weight_J=np.full(3, np.nan, np.float32))
    with pytest.raises(NotANumber):
        native.decode(layer, table, 100, bad, **good)


def test_without_a_compiler_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(NoCompiler, match="no C\\+\\+ compiler") as caught:
        library()
    assert "apt install" in caught.value.hint


def test_a_compiler_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "c++"
    script.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo 1 && exit 0\necho too old >&2\nexit 1\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    with pytest.raises(NoCompiler, match="too old"):
        library(folder=tmp_path / "built")
    assert not list((tmp_path / "built").iterdir())


def test_a_place_where_nothing_can_be_kept_or_run_is_named(
    tmp_path: Path,
) -> None:
    taken = tmp_path / "taken"
    taken.write_bytes(b"")
    with pytest.raises(NoCompiler, match="cannot be kept") as caught:
        library(folder=taken / "kernels")
    assert "XDG_CACHE_HOME" in caught.value.hint
    damaged = tmp_path / "damaged.so"
    damaged.write_bytes(b"no library")
    with pytest.raises(NoCompiler, match="cannot be loaded") as caught:
        native.load(damaged)
    assert str(damaged) in caught.value.hint
