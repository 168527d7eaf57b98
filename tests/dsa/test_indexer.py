"""Indexers and their losses in torch, held against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glasslipper.dsa import reference
from glasslipper.dsa.errors import AdapterUnfit, NotANumber
from glasslipper.dsa.indexer import DropIn, IndexQuery, IndexShape, Stock, rope, scores
from glasslipper.dsa.looks import top_mask
from glasslipper.dsa.losses import index_loss
from glasslipper.dsa.optimiser import orthogonal

SHAPE = IndexShape(heads=2, width=16, rope_dims=8, rope_base=1e4)


def test_rope_is_the_references() -> None:
    x, at = torch.randn(5, 3, 16, dtype=torch.float64), torch.tensor([0, 7, 2000, 3, 8191])
    ours = rope(x, at[:, None], dims=8, base=1e4)
    theirs = reference.rope(x.numpy(), at[:, None].numpy(), dims=8, base=1e4)
    assert ours.numpy() == pytest.approx(theirs, abs=2e-3)
    near = rope(x, at[:, None] % 8, dims=8, base=1e4).numpy()
    assert near == pytest.approx(
        reference.rope(x.numpy(), at[:, None].numpy() % 8, dims=8, base=1e4), abs=1e-6
    )


@pytest.mark.parametrize("stage", ["warm-up", "sparse"])
def test_scores_and_losses_and_their_gradients_are_the_references(stage: str) -> None:
    torch.manual_seed(2)
    at = torch.tensor([6, 9, 11])
    q = torch.randn(3, 2, 16, dtype=torch.float64, requires_grad=True)
    k = torch.randn(12, 16, dtype=torch.float64, requires_grad=True)
    w = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    teacher = torch.rand(3, 12, dtype=torch.float64)
    arrays = [x.detach().numpy() for x in (q, k, w)]
    theirs = reference.index_scores(*arrays)
    may = reference.visible(at.numpy(), 12)
    if stage == "sparse":
        may = reference.chosen(reference.select(theirs, at.numpy(), 5), 12)
    loss, d_scores = reference.index_loss(theirs, teacher.numpy(), may)
    gradients = reference.index_score_gradients(*arrays, d_scores)

    ours = scores(IndexQuery(q, w), k)
    assert ours.detach().numpy() == pytest.approx(theirs)
    found = index_loss(ours, teacher, torch.from_numpy(may))
    found.backward()
    assert found.item() == pytest.approx(loss)
    for tensor, gradient in zip((q, k, w), gradients, strict=True):
        assert tensor.grad is not None
        assert tensor.grad.numpy() == pytest.approx(gradient)


def test_a_mask_keeps_what_the_reference_selects_ties_included() -> None:
    generator = np.random.default_rng(0)
    given = generator.integers(0, 4, size=(6, 40)).astype(float)
    at = generator.integers(0, 40, size=6)
    for k in (1, 7, 40):
        mask = top_mask(
            torch.from_numpy(given), torch.from_numpy(reference.visible(at, 40)), k
        ).numpy()
        assert (mask == reference.chosen(reference.select(given, at, k), 40)).all()


def test_an_indexer_looks_only_at_directions_of_heads_not_at_their_size() -> None:
    indexer = DropIn(SHAPE, heads=4, groups=2, width=16)
    raw_q, raw_k, at = torch.randn(3, 64), torch.randn(9, 32), torch.tensor([3, 5, 8])
    keys = indexer.keys(raw_k, torch.arange(9))
    query = indexer.queries(raw_q, at)
    assert torch.allclose(keys, indexer.keys(raw_k * 50, torch.arange(9)), atol=1e-4)
    assert torch.allclose(query.q_TJI, indexer.queries(raw_q * 50, at).q_TJI, atol=1e-4)
    assert query.q_TJI.shape == (3, 2, 16)


def test_a_stock_indexer_takes_weights_in_deepseeks_names() -> None:
    shape = IndexShape(heads=3, width=16, rope_dims=8, rope_base=1e4)
    stock = Stock(shape, hidden=24, latent=10)
    prefix = "model.layers.7.self_attn.indexer."
    weights = {
        prefix + "wq_b.weight": torch.randn(48, 10),
        prefix + "wk.weight": torch.randn(16, 24),
        prefix + "k_norm.weight": torch.rand(16) + 0.5,
        prefix + "k_norm.bias": torch.randn(16),
        prefix + "weights_proj.weight": torch.randn(3, 24),
        "model.layers.7.mlp.gate_proj.weight": torch.randn(2, 2),
    }
    stock.load(weights, layer=7)
    hidden, latent = torch.randn(6, 24), torch.randn(6, 10)
    with torch.no_grad():
        query = stock.queries(hidden, latent, torch.arange(6))
        ours = scores(query, stock.keys(hidden, torch.arange(6))).numpy()
    at = np.arange(6)
    w = {name.removeprefix(prefix): x.double().numpy() for name, x in weights.items()}
    q = (latent.double().numpy() @ w["wq_b.weight"].T).reshape(6, 3, 16)
    k = reference.layer_norm(
        hidden.double().numpy() @ w["wk.weight"].T, w["k_norm.weight"], w["k_norm.bias"]
    )
    theirs = reference.index_scores(
        reference.rope(q, at[:, None], dims=8, base=1e4),
        reference.rope(k, at, dims=8, base=1e4),
        hidden.double().numpy() @ w["weights_proj.weight"].T * 48**-0.5,
    )
    assert ours == pytest.approx(theirs, abs=1e-4)
    del weights[prefix + "wk.weight"]
    with pytest.raises(AdapterUnfit, match="layer 7"):
        stock.load(weights, layer=7)


def test_a_stock_indexer_takes_the_published_weights_which_are_e4m3_in_blocks() -> None:
    shape = IndexShape(heads=3, width=128, rope_dims=64, rope_base=1e4)
    stock = Stock(shape, hidden=200, latent=130)
    prefix = "model.layers.0.self_attn.indexer."
    exact = {"wq_b.weight": torch.randn(384, 130), "wk.weight": torch.randn(128, 200)}
    weights = {
        prefix + "k_norm.weight": torch.ones(128),
        prefix + "k_norm.bias": torch.zeros(128),
        prefix + "weights_proj.weight": torch.randn(3, 200).bfloat16(),
    }
    for name, weight in exact.items():
        blocks = (weight.shape[0] // 128, 2)
        scale = 2.0 ** torch.randint(-6, -2, blocks).float()
        wide = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)[:, : weight.shape[1]]
        weights[prefix + name] = (weight / wide).to(torch.float8_e4m3fn)
        weights[prefix + name + "_scale_inv"] = scale
    stock.load(weights, layer=0)
    for name, weight in exact.items():
        assert stock.get_parameter(name).detach() == pytest.approx(weight, rel=0.07, abs=1e-3)
    too_few = weights | {prefix + "wk.weight_scale_inv": torch.ones(1, 1)}
    with pytest.raises(AdapterUnfit, match="too few"):
        stock.load(too_few, layer=0)
    with pytest.raises(AdapterUnfit, match="layer 1") as caught:
        stock.load(weights, layer=1)
    assert caught.value.hint
    spoilt = weights | {prefix + "k_norm.bias": torch.full((128,), torch.nan)}
    with pytest.raises(NotANumber, match=r"k_norm\.bias"):
        stock.load(spoilt, layer=0)


def test_orthogonal_steps_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((12, 30), (30, 12)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(*shape)))
        assert 0.5 < values.min()
        assert values.max() < 1.5
