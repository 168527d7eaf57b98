"""The sparse stage on a tiny model: what learns by which loss, and what comes of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from glasslipper.dsa import adapter as adapters
from glasslipper.dsa import looks, quality, sparse_stage, tuning, warmup
from glasslipper.dsa.adapter import Adapter, LayerPlan
from glasslipper.dsa.sparse_stage import Stage

PLAN = (
    LayerPlan("dense"),
    LayerPlan("full", 48, 1),
    LayerPlan("shared", 48, 1),
    LayerPlan("full", 32, 3),
)


@pytest.fixture
def started(tiny: Any) -> tuple[Any, Any, Adapter, list[Tensor]]:
    opened, host = tiny
    torch.manual_seed(0)
    shape = warmup.index_shape(host.shape)
    adapter = Adapter(
        model=host.shape,
        index=shape,
        fingerprint=opened.fingerprint,
        context_tokens=opened.context_tokens,
        plan=PLAN,
        indexers={n: warmup.new_indexer(host.shape, shape) for n in (1, 3)},
    )
    for indexer in adapter.indexers.values():
        indexer.requires_grad_(requires_grad=False)
    return opened, host, adapter, [monotonous(seed, first=1000) for seed in range(6)]


def monotonous(seed: int, *, first: int) -> Tensor:
    """Return a text of few words: even a random model learns which they are."""
    return torch.randint(first, first + 8, (160,), generator=torch.Generator().manual_seed(seed))


def gradients(some: list[Tensor]) -> list[float]:
    return [0.0 if x.grad is None else float(x.grad.abs().sum()) for x in some]


def test_neither_loss_reaches_what_the_other_teaches(
    started: tuple[Any, Any, Adapter, list[Tensor]],
) -> None:
    _, host, adapter, cut = started
    draw = torch.Generator().manual_seed(1)
    made = tuning.untaught(host.layers, "lora", rank=4)
    changes = {n: (a, torch.randn(b.shape, generator=draw) * 0.01) for n, (a, b) in made.items()}
    inner = [m.requires_grad_() for change in changes.values() for m in change]
    outer = [p.requires_grad_() for x in adapter.indexers.values() for p in x.parameters()]
    for weight in host.model.parameters():
        weight.requires_grad_(False)
    host.tune(changes)
    indexers = dict(adapter.indexers)
    found = sparse_stage.losses(host, PLAN, indexers, cut[0], rows=40, draw=draw)
    found.indexers.backward(retain_graph=True)
    assert max(gradients(inner)) == 0
    assert min(gradients(outer)) > 0
    for x in outer:
        x.grad = None
    found.model.backward()
    assert max(gradients(outer)) == 0
    assert min(gradients(inner)) > 0
    assert all(weight.grad is None for weight in host.model.parameters())


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_the_loss_falls_and_what_was_learned_is_saved_and_loaded(
    kind: Any, started: tuple[Any, Any, Adapter, list[Tensor]], tmp_path: Path
) -> None:
    opened, host, adapter, cut = started
    before = {name: weight.clone() for name, weight in opened.model.state_dict().items()}
    stage = Stage(kind=kind, steps=30, rank=4, rate=3e-2, index_rate=3e-3, rows=24)
    taught = sparse_stage.train(host, adapter, cut[:4], cut[4:], stage, tmp_path)
    told = taught.made_with["sparse_stage"]
    assert told["held_after"] < told["held_before"] - 0.05
    for name, weight in opened.model.state_dict().items():
        assert torch.equal(weight, before[name]), name
    adapters.save(taught, tmp_path)
    read = adapters.load(tmp_path, fingerprint=opened.fingerprint)
    assert read.parameters == taught.parameters > adapter.parameters
    host.tune(read.tuning)
    found = quality.likelihoods(
        host,
        cut[4:],
        {"plan": looks.planned(read), "dense": looks.dense},
        bucket=160,
    )
    assert found["plan"].mean() == pytest.approx(told["held_after"], abs=0.02)
    host.tune({})
    untuned = quality.likelihoods(host, cut[4:], {"dense": looks.dense}, bucket=160)
    assert found["dense"].nll == untuned["dense"].nll, "the dense model is the untouched one"


def test_a_stage_that_was_stopped_goes_on_and_finds_the_same(
    started: tuple[Any, Any, Adapter, list[Tensor]], tmp_path: Path
) -> None:
    _, host, adapter, cut = started
    stage = Stage(steps=12, rank=2, rate=1e-3, rows=16)

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 11:
            raise Stopped

    def train(folder: str, **more: Any) -> Adapter:
        return sparse_stage.train(host, adapter, cut[:4], cut[4:], stage, tmp_path / folder, **more)

    with pytest.raises(Stopped):
        train("stopped", on_progress=stop)
    steps: list[int] = []
    resumed = train("stopped", on_progress=lambda done, total: steps.append(done))
    assert steps[0] == 11
    whole = train("whole")
    for name, change in whole.tuning.items():
        for one, other in zip(change, resumed.tuning[name], strict=True):
            assert torch.allclose(one, other, atol=1e-6)


def test_what_is_no_better_is_not_kept(
    started: tuple[Any, Any, Adapter, list[Tensor]], tmp_path: Path
) -> None:
    _, host, adapter, cut = started
    stage = Stage(steps=20, rank=2, rate=3e-2, rows=16)
    others = [monotonous(seed, first=2000) for seed in range(2)]
    kept = sparse_stage.train(host, adapter, cut, others, stage, tmp_path)
    told = kept.made_with["sparse_stage"]
    assert told["held_after"] >= told["held_before"]
    assert kept.tuning == {}
    assert dataclasses.replace(kept, made_with={}).indexers == adapter.indexers
