"""The cache's bytes, and that pages and prefixes change no outcome."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from glasslipper.dsa import attend, codes, select  # noqa: E402
from glasslipper.dsa.cache import RUN, Layout, Store  # noqa: E402
from glasslipper.dsa.pages import PAGE, Book  # noqa: E402

LAYOUT = Layout(key_heads=2, head_dim=8, index_dim=16)


def tokens(seed: int, count: int):
    rng = np.random.default_rng(seed)
    k, v = (torch.tensor(rng.normal(size=(count, 2, 8))).bfloat16() for _ in range(2))
    return k, v, codes.encode_keys(torch.tensor(rng.normal(size=(count, 16))))


def asked(seed: int, count: int = 4):
    rng = np.random.default_rng(seed + 1)
    q, w = rng.normal(size=(count, 3, 16)), rng.normal(size=(count, 3))
    return codes.encode_queries(torch.tensor(q), torch.tensor(w)), torch.tensor(
        rng.normal(size=(count, 4, 8)), dtype=torch.float32
    )


def fill(store: Store, table: torch.Tensor, text, cuts: list[int]) -> None:
    k, v, keys = text
    for a, b in zip([0, *cuts], [*cuts, len(k)], strict=True):
        span = codes.Keys(keys.codes_SI[a:b], keys.scale_S[a:b])
        store.write(1, table, a, k[a:b], v[a:b], span)


def test_every_byte_lies_where_the_layout_says() -> None:
    store = Store(LAYOUT, layers=2, pages=3)
    _, v, keys = text = tokens(0, 130)
    fill(store, torch.tensor([2, 0, 1]), text, [50])
    page = store.index[1, 0].numpy().tobytes()  # tokens 64 … 127
    values = keys.codes_SI.numpy()
    for token, dim in ((64, 0), (64, 5), (81, 15), (127, 10)):
        i = token - 64
        offset = (i // 16) * 256 + (dim // 4) * 64 + (i % 16) * 4 + dim % 4
        assert np.int8(np.frombuffer(page, np.int8)[offset]) == values[token, dim]
        scale = np.frombuffer(page, "<f4", 1, 64 * 16 + 4 * i)
        assert scale[0] == keys.scale_S[token]
    row = store.kv[1, 2].view(torch.int16).numpy().tobytes()
    found = np.frombuffer(row, "<i2", 8, ((3 * 2 + 1) * 2 + 1) * 8 * 2)
    assert (found == v[3, 1].view(torch.int16).numpy()).all()
    pooled = np.frombuffer(store.pooled[1, 0].numpy().tobytes(), np.int8)
    runs = codes.pool(keys, RUN)
    assert pooled[(6 // 4) * 16 + 2 * 4 + 6 % 4] == runs.codes_RI[4 + 2, 6]
    numbers = np.frombuffer(store.pooled[1, 0].numpy().tobytes(), "<f4", 8, 64)
    assert numbers.tolist() == [*runs.scale_R[4:8].tolist(), *runs.spread_R[4:8].tolist()]


def test_an_8b_layer_pays_less_than_two_percent_for_its_index() -> None:
    layout = Layout(key_heads=8, head_dim=128, index_dim=64)
    store = Store(layout, layers=1, pages=2)
    assert store.kv.nbytes == 2 * PAGE * layout.kv_token_bytes
    assert (store.index.nbytes + store.pooled.nbytes) / store.kv.nbytes == layout.extra_share
    assert layout.extra_share < 0.02


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(1, 200), st.data())
def test_no_cutting_and_no_order_of_pages_changes_what_is_read(
    seed: int, count: int, data: st.DataObject
) -> None:
    text = tokens(seed, count)
    cuts = sorted(data.draw(st.sets(st.integers(1, count), max_size=4)) - {count})
    table = torch.tensor(data.draw(st.permutations(range(5))))
    store = Store(LAYOUT, layers=2, pages=5)
    fill(store, table, text, cuts)
    keys = store.keys(1, table, count)
    assert torch.equal(keys.codes_SI, text[2].codes_SI)
    assert torch.equal(keys.scale_S, text[2].scale_S)
    for held, pooled in zip(store.runs(1, table, count), codes.pool(text[2], RUN), strict=True):
        assert torch.equal(held, pooled)
    k, v = store.rows(1, table, torch.arange(count))
    assert torch.equal(k, text[0])
    assert torch.equal(v, text[1])


def answer(store: Store, table: torch.Tensor, count: int, seed: int):
    queries, q = asked(seed)
    at = torch.full((4,), count - 1)
    chosen = select.top_k(queries, store.keys(1, table, count), 24, at)
    k, v = store.rows(1, table, torch.arange(count))
    return chosen.index_TK, attend.attend(q, k, v, chosen.index_TK).out_THV


def test_a_reused_prefix_answers_as_no_cache_does() -> None:
    book, store = Book(8), Store(LAYOUT, layers=2, pages=8)
    prompt, text = list(range(150)), tokens(4, 170)
    first = book.open(prompt)
    book.append(first, prompt)
    fill(store, torch.tensor(first.pages), (text[0][:150], text[1][:150], _first(text[2], 150)), [])
    book.seal(first)
    longer = [*prompt, *range(500, 520)]
    second = book.open(longer)
    assert second.reused == 128
    book.append(second, longer[second.reused :])
    table = torch.tensor(second.pages)
    span = codes.Keys(text[2].codes_SI[128:], text[2].scale_S[128:])
    store.write(1, table, 128, text[0][128:], text[1][128:], span)
    alone, own = Store(LAYOUT, layers=2, pages=3), torch.arange(3)
    fill(alone, own, text, [])
    for ours, theirs in zip(answer(store, table, 170, 9), answer(alone, own, 170, 9), strict=True):
        assert torch.equal(ours, theirs)


def _first(keys: codes.Keys, count: int) -> codes.Keys:
    return codes.Keys(keys.codes_SI[:count], keys.scale_S[:count])


def test_a_shape_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        Layout(key_heads=1, head_dim=8, index_dim=10)
