"""The Triton kernels, in Triton's interpreter, against the plain path and float64."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from glasslipper.dsa import attend, codes, decode, reference, select  # noqa: E402
from glasslipper.dsa.cache import Layout, Store  # noqa: E402
from glasslipper.dsa.indexer import IndexQuery  # noqa: E402
from glasslipper.dsa.kernels import gpu  # noqa: E402

BATCH, LENGTH, PAGES = 2, 280, 12


def drawn(seed: int, queries: int, *, heads: int = 3, width: int = 32, coarse: bool):
    """Two sequences in shuffled pages of one store, and queries for each."""
    rng = np.random.default_rng(seed)
    store = Store(Layout(key_heads=2, head_dim=32, index_dim=width), layers=2, pages=PAGES)
    tables = torch.tensor(rng.permutation(PAGES).reshape(BATCH, -1), dtype=torch.int32)
    texts, asked = [], []
    for b in range(BATCH):
        k, v = (torch.tensor(rng.normal(size=(LENGTH, 2, 32))).bfloat16() for _ in range(2))
        index, q = rng.normal(size=(LENGTH, width)), rng.normal(size=(queries, heads, width))
        w = rng.normal(size=(queries, heads))
        if coarse:
            index, q, w = np.round(index / 2), np.round(q / 2), np.sign(w)
        keys = codes.encode_keys(torch.tensor(index))
        store.write(1, tables[b], 0, k, v, keys)
        texts.append((k, v, keys))
        asked.append(codes.encode_queries(torch.tensor(q), torch.tensor(w)))
    at = torch.tensor(rng.integers(0, LENGTH, size=(BATCH, queries)), dtype=torch.int32)
    stacked = [torch.stack([getattr(a, name) for a in asked]) for name in codes.Queries._fields]
    return store, tables, texts, asked, stacked, at


@pytest.mark.parametrize(
    ("seed", "queries", "heads", "coarse"), [(0, 17, 4, False), (1, 1, 3, True), (2, 1, 18, False)]
)
def test_scores_equal_the_plain_path_s_to_the_last_bit(
    seed: int, queries: int, heads: int, coarse: bool
) -> None:
    store, tables, texts, asked, stacked, at = drawn(seed, queries, heads=heads, coarse=coarse)
    ours = gpu.score(store, 1, tables, *stacked, at, 220)
    for b in range(BATCH):
        keys = codes.Keys(texts[b][2].codes_SI[:220], texts[b][2].scale_S[:220])
        theirs = codes.score(asked[b], keys)
        hidden = torch.arange(220) > at[b][:, None]
        assert torch.equal(ours[b], theirs.masked_fill(hidden, float("-inf")))
    assert torch.equal(gpu.score(store, 1, tables, *stacked, at, 220, columns=32), ours)


@pytest.mark.parametrize(
    ("k", "queries", "chunk", "rows", "coarse"),
    [
        (20, 2, 64, 1, True),  # rounds of picking over 5, 2 and 1 spans, a query at a time
        (70, 2, None, None, True),
        (30, 1, 100, None, False),
        (1, 1, None, None, False),
        (30, 70, None, 64, True),
        (320, 2, 200, 1, False),
    ],
)
def test_the_sets_are_those_of_the_plain_path(
    k: int, queries: int, chunk: int | None, rows: int | None, coarse: bool
) -> None:
    store, tables, texts, asked, stacked, at = drawn(k, queries, coarse=coarse)
    ours = gpu.top_k(store, 1, tables, *stacked, at, k, chunk=chunk, rows=rows)
    for b in range(BATCH):
        theirs = select.top_k(asked[b], texts[b][2], k, at[b])
        width = theirs.index_TK.shape[1]
        assert torch.equal(ours.index_TK[b, :, :width], theirs.index_TK)
        assert torch.equal(ours.score_TK[b, :, :width], theirs.score_TK)
        assert (ours.index_TK[b, :, width:] == -1).all()


@pytest.mark.parametrize(("block", "rows"), [(8, 64), (12, 36)])
def test_blocks_choose_as_on_the_plain_path(block: int, rows: int) -> None:
    store, tables, texts, asked, stacked, _ = drawn(5, 72, coarse=True)
    at = torch.stack([torch.arange(72) + first for first in (0, LENGTH - 72)])
    ours = gpu.top_k(store, 1, tables, *stacked, at, 40, block=block, rows=rows)
    for b in range(BATCH):
        theirs = select.block_top_k(asked[b], texts[b][2], 40, at[b], block=block)
        assert torch.equal(ours.index_TK[b], theirs.index_TK)
        assert torch.equal(ours.score_TK[b], theirs.score_TK)


def test_a_budget_that_no_program_can_hold_is_refused() -> None:
    store, tables, _, _, stacked, at = drawn(5, 1, coarse=True)
    with pytest.raises(ValueError, match="1 to 16384 keys, not 16385"):
        gpu.top_k(store, 1, tables, *stacked, at, 16385)


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("heads", [2, 8])
def test_decoding_attends_as_float64_does(heads: int, splits: int) -> None:
    store, tables, texts, _, _, at = drawn(splits, 1, coarse=False)
    q = torch.tensor(np.random.default_rng(1).normal(size=(BATCH, 1, heads, 32))).bfloat16()
    chosen = torch.full((BATCH, 150), -1, dtype=torch.int32)
    for b, count in enumerate((150, 7)):
        some = np.random.default_rng(b).permutation(LENGTH)[:count]
        chosen[b, :count] = torch.tensor(np.sort(some))
    at = torch.full((BATCH, 1), LENGTH - 1)
    ours = gpu.attend(store, 1, tables, q.float(), at, chosen, splits=splits)
    for b in range(BATCH):
        k, v, _ = texts[b]
        theirs = attend.attend(q[b].double(), k.double(), v.double(), chosen[b : b + 1])
        assert ours.out_THV[b : b + 1].numpy() == pytest.approx(theirs.out_THV.numpy(), abs=1e-5)
        assert ours.lse_TH[b : b + 1].numpy() == pytest.approx(theirs.lse_TH.numpy(), abs=1e-5)


def test_prefill_by_blocks_attends_as_float64_does() -> None:
    store, tables, texts, asked, _, _ = drawn(4, 24, coarse=False)
    k, v, keys = texts[0]
    at = torch.arange(LENGTH - 24, LENGTH)
    chosen = select.block_top_k(asked[0], keys, 90, at, block=8).index_TK
    coded = [x[None] for x in asked[0]]
    shared = gpu.top_k(store, 1, tables[:1], *coded, at[None], 90, block=8, chunk=200)
    assert torch.equal(shared.index_TK[0], chosen)
    q = torch.tensor(np.random.default_rng(2).normal(size=(24, 4, 32))).bfloat16()
    theirs = attend.attend_blocks(q.double(), k.double(), v.double(), chosen, at, block=8)
    ours = gpu.attend(
        store, 1, tables[:1].repeat(3, 1), q.view(3, 8, 4, 32).float(), at.view(3, 8), chosen
    )
    assert ours.out_THV.numpy() == pytest.approx(theirs.out_THV.numpy(), abs=1e-5)


def test_a_step_on_a_gpu_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    store, tables, _, _, _, _ = drawn(6, 1, coarse=True)
    rng = np.random.default_rng(8)
    index_q, q = rng.normal(size=(1, 3, 32)), rng.normal(size=(4, 32))
    sought = IndexQuery(torch.tensor(index_q).float(), torch.tensor(rng.normal(size=(1, 3))))
    monkeypatch.setattr(decode, "_is_native_there", lambda: False)
    arguments = (store, 1, tables[0], 270, sought, torch.tensor(q).bfloat16())
    for mass in (None, 0.6):
        plain = decode.step(*arguments, k=50, mass=mass)
        with monkeypatch.context() as patch:
            patch.setattr(decode, "is_on_gpu", lambda store: True)
            ours = decode.step(*arguments, k=50, mass=mass)
        count = int(plain.selection.count_T[0])
        assert torch.equal(ours.selection.index_TK[:, :count], plain.selection.index_TK[:, :count])
        assert int(ours.selection.count_T[0]) == count
        for one, other in zip(ours.attended, plain.attended, strict=True):
            assert one.float().numpy() == pytest.approx(other.float().numpy(), abs=2e-2)


def test_nothing_chosen_is_nothing_seen() -> None:
    store, tables, *_ = drawn(4, 1, coarse=False)
    ours = gpu.attend(
        store,
        1,
        tables,
        torch.ones(BATCH, 1, 4, 32),
        torch.full((BATCH, 1), LENGTH - 1),
        torch.full((BATCH, 70), -1, dtype=torch.int32),
    )
    assert not ours.out_THV.any()
    assert (ours.lse_TH == float("-inf")).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_and_its_gradient_are_the_specification_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, teacher = 3 * rng.normal(size=(3, 1500)), rng.random(size=(3, 1500)) ** 8
    may = rng.random(size=(3, 1500)) < 0.7
    loss, gradient = gpu.divergence(
        torch.tensor(np.where(may, score, -np.inf)), torch.tensor(teacher)
    )
    theirs, their_gradient = reference.index_loss(score, teacher, may)
    assert loss.mean().item() == pytest.approx(theirs, abs=1e-5)
    assert gradient.numpy() / 3 == pytest.approx(their_gradient, abs=1e-6)


@pytest.mark.timeout(600)
def test_the_script_for_a_gpu_runs_through_without_one(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    script = Path(__file__).parents[2] / "benchmarks" / "dsa_gpu.py"
    done = subprocess.run(
        [sys.executable, str(script), "--interpret", "--out", str(kept)],
        stdout=subprocess.PIPE,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["left_out"] == {}
    assert found["checks_passed"]
    assert {"date", "torch", "triton", "replays", "score_top_k", "decode", "prefill"} <= set(found)
    assert json.loads(kept.read_text(encoding="utf-8"))["prefill"] == found["prefill"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("architecture", ["80", "86", "89", "90", "100", "120"])
def test_every_kernel_builds_for_gpus_that_are_not_here(architecture: str) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    built = subprocess.run(
        [sys.executable, "-m", "glasslipper.dsa.kernels.gpu.compile", architecture],
        env=environ,
        stdout=subprocess.PIPE,
        check=True,
    )
    found = {line["kernel"]: line for line in map(json.loads, built.stdout.splitlines())}
    assert all(line["cubin_bytes"] > 1000 for line in found.values())
    assert all(line["shared_bytes"] < 99 << 10 for line in found.values())  # what an sm_86 has
    for name, kinds in (("decode", "bf16"), ("prefill", "bf16|kind::f16")):
        assert re.search(kinds, str(found[name]["matrix"]))
    scoring = [line for name, line in found.items() if name.startswith("score")]
    assert len(scoring) == 4
    assert all(re.search("s8|i8", str(line["matrix"])) for line in scoring)
    assert all(line["fused_floats"] == 0 for line in scoring)
