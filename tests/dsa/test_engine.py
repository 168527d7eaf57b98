"""Answers of the engine: the same as the model's own, whatever is shared, chunked or selected."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from glasslipper.dsa import codes, looks, select, warmup
from glasslipper.dsa import engine as engine_room
from glasslipper.dsa.adapter import Adapter, LayerPlan
from glasslipper.dsa.cache import Layout, Store
from glasslipper.dsa.engine import SparseEngine
from glasslipper.dsa.errors import ContextExceeded, NotANumber
from glasslipper.dsa.paged import Paged

GREEDY = {"temperature": 0, "max_tokens": 12}


def adapter_for(opened: Any, host: Any, plan: tuple[LayerPlan, ...]) -> Adapter:
    torch.manual_seed(0)
    shape = warmup.index_shape(host.shape)
    indexers = {
        n: warmup.new_indexer(host.shape, shape).requires_grad_(requires_grad=False)
        for n, layer in enumerate(plan)
        if layer.kind == "full"
    }
    return Adapter(
        model=host.shape,
        index=shape,
        fingerprint=opened.fingerprint,
        context_tokens=opened.context_tokens,
        plan=plan,
        indexers=indexers,
    )


def full(k: int) -> tuple[LayerPlan, ...]:
    return tuple(LayerPlan("full", k, n) for n in range(4))


def said(engine: SparseEngine, words: str, **more: Any) -> tuple[str, Any]:
    answer = engine.generate([{"role": "user", "content": words}], GREEDY | more)
    text = "".join(token.text for token in answer)
    return text, answer.told


def test_attention_over_pages_is_the_models_own_attention(tiny: Any) -> None:
    opened, host = tiny
    own = type(opened.model)(copy.deepcopy(opened.model.config))
    own.load_state_dict(opened.model.state_dict())
    own.set_attn_implementation("eager")
    tokens = torch.randint(0, 40_000, (300,), generator=torch.Generator().manual_seed(1))
    layout = Layout(key_heads=2, head_dim=32, index_dim=32)
    look = Paged(Store(layout, layers=4, pages=8), adapter_for(opened, host, full(512)))
    look.table_P = torch.tensor([5, 1, 2, 7, 3, 0], dtype=torch.int32)
    with torch.inference_mode(), host.looking(look):
        for start, end in ((0, 100), (100, 299), (299, 300)):
            look.begin(start, end - start)
            at = torch.arange(start, end)[None]
            ours = host.hidden(tokens[start:end], use_cache=False, position_ids=at)
    with torch.inference_mode():
        theirs = own.model(tokens[None]).last_hidden_state[0, -1]
    assert ours.last_hidden_state[0, -1] == pytest.approx(theirs, abs=0.05)
    assert theirs.std() > 0.5


def test_a_budget_that_covers_all_says_what_the_dense_model_says(tiny: Any) -> None:
    opened, host = tiny
    adapter = adapter_for(opened, host, full(512))
    words = "red green blue " * 30
    text, told = said(SparseEngine(opened, host, adapter), words)
    assert text == said(SparseEngine(opened, host, adapter, is_sparse=False), words)[0]
    assert told.fell_back_at is None


def test_a_prompt_seen_before_is_not_worked_on_again_and_changes_nothing(tiny: Any) -> None:
    opened, host = tiny
    plan = (LayerPlan("dense"), LayerPlan("full", 32, 1), LayerPlan("shared", 32, 1))
    adapter = adapter_for(opened, host, (*plan, LayerPlan("full", 48, 3)))
    engine = SparseEngine(opened, host, adapter, threshold=1.1)
    words = "up and down " * 40
    fresh, first = said(engine, words, reuse_prompt=False)
    filled, _ = said(engine, words)
    again, second = said(engine, words)
    assert fresh == filled == again
    assert first.cached_tokens == 0
    assert second.cached_tokens >= 64


def test_chunks_of_a_prompt_change_nothing(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, host = tiny
    engine = SparseEngine(opened, host, adapter_for(opened, host, full(40)), threshold=1.1)
    words = "left and right " * 40
    whole, _ = said(engine, words, reuse_prompt=False)
    monkeypatch.setattr(engine_room, "CHUNK", 7)
    assert said(engine, words, reuse_prompt=False)[0] == whole


def test_a_prompt_read_by_blocks_is_the_same_in_any_chunks_and_is_dense_where_all_is_chosen(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, host = tiny
    words = "north and south " * 40
    plan = (LayerPlan("full", 40, 0), LayerPlan("shared", 40, 0), *full(40)[2:])
    engine = SparseEngine(opened, host, adapter_for(opened, host, plan), threshold=1.1, block=32)
    whole, _ = said(engine, words, reuse_prompt=False)
    monkeypatch.setattr(engine_room, "CHUNK", 96)
    assert said(engine, words, reuse_prompt=False)[0] == whole
    all_of_it = adapter_for(opened, host, full(512))
    text, _ = said(SparseEngine(opened, host, all_of_it, block=32), words)
    assert text == said(SparseEngine(opened, host, all_of_it, is_sparse=False), words)[0]


def test_what_a_block_chooses_is_judged_as_it_is_served() -> None:
    draw = torch.Generator().manual_seed(0)
    queries = codes.encode_queries(
        torch.randn(100, 2, 32, generator=draw), torch.rand(100, 2, generator=draw)
    )
    keys = codes.encode_keys(torch.randn(100, 32, generator=draw))
    at = torch.arange(100)
    chosen = select.block_top_k(queries, keys, 50, at, block=32).index_TK
    seen = at[None] <= at[:, None]
    mask = looks.block_mask(codes.score(queries, keys), seen, 50, 32)
    for row in range(100):
        block = chosen[row // 32]
        mine = block[(block >= 0) & (block <= row)]
        assert mask[row].nonzero()[:, 0].tolist() == mine.tolist()


def test_attention_goes_on_densely_when_too_much_may_be_missed(tiny: Any) -> None:
    opened, host = tiny
    heard: list[Any] = []
    adapter = adapter_for(opened, host, full(1))
    engine = SparseEngine(opened, host, adapter, threshold=0.2, on_end=heard.append)
    _, told = said(engine, "salt and pepper " * 40)
    assert told.fell_back_at is not None
    assert told.missed is not None
    assert told.missed > 0.2
    assert heard == [told]


def test_an_adaptive_budget_works_less_and_all_of_it_changes_nothing(tiny: Any) -> None:
    opened, host = tiny
    words = "tea and coffee " * 60

    def worked(mass: float | None) -> tuple[str, int]:
        plan = (LayerPlan("full", 150, 0), LayerPlan("shared", 150, 0), *full(150)[2:])
        engine = SparseEngine(
            opened, host, adapter_for(opened, host, plan), threshold=1.0, mass=mass
        )
        answer = engine.generate([{"role": "user", "content": words}], GREEDY)
        text = "".join(token.text for token in answer)
        return text, sum(work.attention for work in answer.work)

    fixed, all_of_it, less = worked(None), worked(1.0), worked(0.3)
    assert all_of_it == fixed
    assert less[1] < 0.8 * fixed[1]


@pytest.mark.parametrize("kind", ["full", "shared"])
def test_numbers_that_are_none_are_said_where_they_come_up(tiny: Any, kind: Any) -> None:
    opened, host = tiny
    plan = (*full(30)[:2], LayerPlan(kind, 30, 2 if kind == "full" else 1), LayerPlan("dense"))
    engine = SparseEngine(opened, host, adapter_for(opened, host, plan), threshold=1.0)
    with torch.no_grad():
        opened.model.model.layers[2].self_attn.q_proj.weight[0, 0] = float("nan")
    with pytest.raises(NotANumber):
        said(engine, "many words " * 80)
    with torch.no_grad():
        opened.model.model.layers[2].self_attn.q_proj.weight[0, 0] = 0.0
    assert said(engine, "many words " * 80)[0], "the pages were given back"


def test_nothing_is_missed_where_everything_is_selected(tiny: Any) -> None:
    opened, host = tiny
    _, told = said(SparseEngine(opened, host, adapter_for(opened, host, full(500))), "hi " * 90)
    assert told.looks == 0
    assert told.fell_back_at is None


def test_the_same_seed_draws_the_same_answer(tiny: Any) -> None:
    opened, host = tiny
    engine = SparseEngine(opened, host, adapter_for(opened, host, full(30)), threshold=1.1)
    draws = [said(engine, "dice", temperature=1.0, top_p=0.9, seed=seed)[0] for seed in (5, 5, 6)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_an_answer_ends_before_a_stop_text(tiny: Any) -> None:
    opened, host = tiny
    engine = SparseEngine(opened, host, adapter_for(opened, host, full(30)), threshold=1.1)
    whole, _ = said(engine, "where to stop")
    stop = whole[len(whole) // 2 :][:3]
    text, told = said(engine, "where to stop", stop=[stop])
    assert text == whole[: whole.index(stop)]
    assert told.finish == "stop"


def test_a_prompt_beyond_the_context_is_refused(tiny: Any) -> None:
    opened, host = tiny
    engine = SparseEngine(opened, host, adapter_for(opened, host, full(30)))
    with pytest.raises(ContextExceeded, match="512"):
        said(engine, "too long " * 600)
    with pytest.raises(ContextExceeded, match="trained for 512"):
        SparseEngine(opened, host, adapter_for(opened, host, full(30)), context_tokens=513)


def test_a_closed_answer_gives_its_pages_back(tiny: Any) -> None:
    opened, host = tiny
    engine = SparseEngine(opened, host, adapter_for(opened, host, full(30)), threshold=1.1)
    for _ in range(6):
        answer = engine.generate([{"role": "user", "content": "many words " * 80}], GREEDY)
        for _, _ in zip(range(3), answer, strict=False):
            pass
        answer.close()
    assert said(engine, "many words " * 80)[0]
