"""How long one token's attention takes in one layer on this CPU, densely and sparsely.

Keys and values are random: time does not depend on what they say. Dense attention is two matrix
products over all tokens; sparse attention scores, chooses and attends over the paged cache, as
serving does. Times are the least of several, so that what others do on the machine counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from glasslipper.dsa import codes, decode
from glasslipper.dsa.adapter import Adapter
from glasslipper.dsa.cache import Layout, Store
from glasslipper.dsa.indexer import IndexQuery
from glasslipper.dsa.pages import PAGE

LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768)
_REPEATS = 9
_CHUNK = 4096


def measure(
    adapter: Adapter,
    *,
    k: int,
    lengths: Sequence[int] = LENGTHS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return milliseconds by length, for a layer of the adapter's model and a budget of k."""
    found: dict[str, Any] = {"k": k, "threads": torch.get_num_threads(), "ms": {}}
    for number, length in enumerate(lengths):
        found["ms"][str(length)] = _at(adapter, k, length)
        on_progress(number + 1, len(lengths))
    return found


@torch.inference_mode()
def _at(adapter: Adapter, k: int, length: int) -> dict[str, float]:
    model, index = adapter.model, adapter.index
    draw = torch.Generator().manual_seed(length)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw)

    layout = Layout(key_heads=model.groups, head_dim=model.width, index_dim=index.width)
    store = Store(layout, layers=1, pages=-(-length // PAGE))
    table = torch.arange(-(-length // PAGE), dtype=torch.int32)
    for start in range(0, length, _CHUNK):
        count = min(_CHUNK, length - start)
        k_SGD, v_SGD = (drawn(count, model.groups, model.width) for _ in range(2))
        store.write(0, table, start, k_SGD, v_SGD, codes.encode_keys(drawn(count, index.width)))
    q = drawn(model.heads, model.width).bfloat16()
    sought = IndexQuery(drawn(1, index.heads, index.width), drawn(1, index.heads))
    rows = store.kv[0].flatten(0, 1)[:length]
    k_GSD, v_GSD = (rows[:, i].transpose(0, 1).contiguous() for i in range(2))
    q_GRD = q.view(model.groups, -1, model.width)
    scale = model.width**-0.5

    def dense() -> object:
        return ((q_GRD @ k_GSD.transpose(1, 2)).float() * scale).softmax(-1).bfloat16() @ v_GSD

    def sparse() -> object:
        return decode.step(store, 0, table, length, sought, q, k=k)

    return {"dense": _least_ms(dense), "sparse": _least_ms(sparse)}


def _least_ms(work: Callable[[], object]) -> float:
    work()
    times: list[float] = []
    for _ in range(_REPEATS):
        began_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - began_s)
    return min(times) * 1e3
