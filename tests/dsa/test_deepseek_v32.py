"""A tiny random DeepSeek-V3.2 of transformers, an oracle that others wrote, agrees with ours."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from glasslipper.dsa import attend, codes, reference, select  # noqa: E402
from glasslipper.dsa import indexer as ours  # noqa: E402

TOKENS, K, HEADS, LATENT, ROPE, NOPE, VALUE = 48, 10, 4, 32, 16, 24, 20


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(5)
    config = transformers.DeepseekV32Config(
        vocab_size=97,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        first_k_dense_replace=2,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        kv_lora_rank=LATENT,
        q_lora_rank=40,
        qk_rope_head_dim=ROPE,
        qk_nope_head_dim=NOPE,
        v_head_dim=VALUE,
        index_topk=K,
        index_head_dim=32,
        index_n_heads=4,
        initializer_range=0.2,
        attn_implementation="eager",
    )
    made = transformers.DeepseekV32ForCausalLM(config).eval().float()
    for layer in made.model.layers:  # norms that do nothing would hide a mistake
        norm = layer.self_attn.indexer.k_norm
        torch.nn.init.normal_(norm.weight, 1.0, 0.3)
        torch.nn.init.normal_(norm.bias, 0.0, 0.3)
    return made


@pytest.fixture(scope="module")
def seen(model):
    """What every layer's attention and indexer got and gave, for one text."""
    found: dict[str, list] = {"in": [], "out": [], "indices": []}
    hooks = []
    for layer in model.model.layers:
        attention = layer.self_attn
        hooks += [
            attention.register_forward_hook(
                lambda _, args, kwargs, out: (
                    (
                        found["in"].append(args[0] if args else kwargs["hidden_states"]),
                        found["out"].append(out[0]),
                    )
                    and None
                ),
                with_kwargs=True,
            ),
            attention.indexer.register_forward_hook(
                lambda _, __, out: found["indices"].append(out) and None
            ),
        ]
    text = torch.tensor(np.random.default_rng(3).integers(0, 97, size=(1, TOKENS)))
    with torch.no_grad():
        model(text)
    for hook in hooks:
        hook.remove()
    return found


def choose(model, hidden, layer: int):
    """Our indexer, loaded with the model's weights, and our selection."""
    attention = model.model.layers[layer].self_attn
    base = model.config.rope_parameters["rope_theta"]
    shape = ours.IndexShape(heads=4, width=32, rope_dims=ROPE, rope_base=base)
    stock = ours.Stock(shape, hidden=64, latent=40)
    stock.load(model.state_dict(), layer=layer)
    at = torch.arange(TOKENS)
    query = stock.queries(hidden, attention.q_a_layernorm(attention.q_a_proj(hidden)), at)
    return query, stock.keys(hidden, at), at


@pytest.mark.parametrize("layer", [0, 1])
def test_our_indexer_chooses_what_theirs_does(model, seen, layer: int) -> None:
    with torch.no_grad():
        query, keys, at = choose(model, seen["in"][layer][0], layer)
        scores = ours.scores(query, keys)
    chosen = select.stream(lambda a, b: scores[:, a:b], at, K, chunk=7).index_TK
    exact = reference.index_scores(*(x.double().numpy() for x in (query.q_TJI, keys, query.w_TJ)))
    for t in range(TOKENS):
        mine = {i for i in chosen[t].tolist() if i >= 0}
        theirs = {i for i in seen["indices"][layer][0, t].tolist() if i <= t}
        # Where they part, the scores are equal to within float32: theirs has no rule for ties.
        parted = sorted(mine ^ theirs)
        assert len(mine) == len(theirs) == min(K, t + 1)
        assert exact[t, parted] == pytest.approx(
            np.broadcast_to(exact[t, parted[:1]], len(parted)), rel=1e-4, abs=1e-6
        )


@pytest.mark.parametrize("layer", [0, 1])
def test_int8_codes_choose_nearly_the_same(model, seen, layer: int) -> None:
    with torch.no_grad():
        query, keys, at = choose(model, seen["in"][layer][0], layer)
    coded = select.top_k(
        codes.encode_queries(query.q_TJI, query.w_TJ), codes.encode_keys(keys), K, at
    ).index_TK
    exact = select.stream(lambda a, b: ours.scores(query, keys)[:, a:b], at, K).index_TK
    pairs = zip(coded[K:].tolist(), exact[K:].tolist(), strict=True)
    shared = [len(set(a) & set(b)) / K for a, b in pairs]
    assert float(np.mean(shared)) > 0.95


@pytest.mark.parametrize("layer", [0, 1])
def test_attention_over_latents_gives_what_theirs_does(model, seen, layer: int) -> None:
    """Ours as one shared key head (MQA over latents, nothing expanded), theirs by masking."""
    attention, hidden = model.model.layers[layer].self_attn, seen["in"][layer][0]
    at = torch.arange(TOKENS)
    with torch.no_grad():
        latent = attention.q_a_layernorm(attention.q_a_proj(hidden))
        q = attention.q_b_proj(latent).view(TOKENS, HEADS, NOPE + ROPE)
        compressed, k_rope = attention.kv_a_proj_with_mqa(hidden).split([LATENT, ROPE], -1)
        compressed = attention.kv_a_layernorm(compressed)
        base = model.config.rope_parameters["rope_theta"]
        q_rope = interleaved(q[..., NOPE:], at[:, None], base)
        k_rope = interleaved(k_rope, at, base)
        up = attention.kv_b_proj.weight.view(HEADS, NOPE + VALUE, LATENT)
        q_latent = torch.einsum("thn,hnl->thl", q[..., :NOPE], up[:, :NOPE])
        chosen = torch.where(
            seen["indices"][layer][0] <= at[:, None], seen["indices"][layer][0], -1
        )
        out = attend.attend(
            torch.cat((q_latent, q_rope), -1),
            torch.cat((compressed, k_rope), -1)[:, None],
            compressed[:, None],
            chosen,
            scale=attention.scaling,
        ).out_THV
        out = torch.einsum("thl,hvl->thv", out, up[:, NOPE:])
        mine = attention.o_proj(out.flatten(1))
    assert mine.numpy() == pytest.approx(seen["out"][layer][0].numpy(), abs=1e-4)


def interleaved(x, at, base: float):
    """RoPE of the main attention: neighbours turn together; put half-split, and turned by ours."""
    apart = torch.cat((x[..., 0::2], x[..., 1::2]), -1)
    return ours.rope(apart, at, dims=ROPE, base=base)


def test_the_layout_of_rope_matters_to_the_sets(model, seen) -> None:
    """The mistake that engines made: interleaved RoPE in the indexer. It must be seen."""
    with torch.no_grad():
        query, keys, at = choose(model, seen["in"][0][0], 0)
        attention, hidden = model.model.layers[0].self_attn, seen["in"][0][0]
        raw = attention.indexer.k_norm(attention.indexer.wk(hidden))
        base = model.config.rope_parameters["rope_theta"]
        wrong = torch.cat((interleaved(raw[:, :ROPE], at, base), raw[:, ROPE:]), -1)
    right = select.stream(lambda a, b: ours.scores(query, keys)[:, a:b], at, K).index_TK
    other = select.stream(lambda a, b: ours.scores(query, wrong)[:, a:b], at, K).index_TK
    assert not torch.equal(right, other)
