"""One decoding step of one layer over the paged cache, by the best path that there is.

C++ on a CPU with a compiler, Triton on a GPU, plain torch otherwise. All choose the same keys.
Knows one query of one sequence; letters as in `cache`, `select` and `attend`.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from .attend import Attended, attend
from .cache import RUN, Store
from .codes import encode_queries
from .errors import NoCompiler
from .indexer import IndexQuery
from .kernels import native
from .select import Selection, adapt, hierarchical_top_k, top_k

_KINDS = {torch.float32: False, torch.bfloat16: True}


class Step(NamedTuple):
    """What a step chose and saw, with an axis T of one."""

    selection: Selection
    attended: Attended


def step(
    store: Store,
    layer: int,
    table_P: Tensor,
    length: int,
    sought: IndexQuery,
    q_HD: Tensor,
    *,
    k: int,
    candidates: int = 0,
    mass: float | None = None,
    scale: float | None = None,
) -> Step:
    """Choose k of the sequence's first `length` tokens, all written, and attend to them.

    Args:
        store: The cache.
        layer: Which layer.
        table_P: The sequence's pages, int32.
        length: How many tokens the query sees, its own among them.
        sought: What the indexer gives for the query (T = 1).
        q_HD: The query of the main attention, after RoPE.
        k: The budget.
        candidates: 0 scores every token; otherwise see `select.hierarchical_top_k`.
        mass: Of the chosen, only as many as hold this share (see `select.adapt`).
        scale: Factor of the logits; by default 1/√D.

    Raises:
        NotANumber: The index query or a score is NaN.
        ValueError: The table does not hold so many tokens.
    """
    factor = q_HD.shape[-1] ** -0.5 if scale is None else scale
    if mass is None and _is_native(store):
        return _native(store, layer, table_P, length, sought, q_HD, k, candidates, factor)
    chosen = choose(store, layer, table_P, length, sought, k=k, candidates=candidates)
    if mass is not None:
        chosen = adapt(chosen, mass, torch.tensor([length - 1], device=table_P.device)).selection
    found = chosen.index_TK[0][chosen.index_TK[0] >= 0]
    return Step(chosen, attend_chosen(store, layer, table_P, length, q_HD, found, scale=factor))


def choose(
    store: Store,
    layer: int,
    table_P: Tensor,
    length: int,
    sought: IndexQuery,
    *,
    k: int,
    candidates: int = 0,
) -> Selection:
    """Choose as `step` does, and attend to nothing."""
    if _is_native(store):
        return _native(store, layer, table_P, length, sought, None, k, candidates, 1.0).selection
    queries = encode_queries(*sought)
    at_T = torch.tensor([length - 1], device=table_P.device)
    if is_on_gpu(store) and not candidates:
        from .kernels import gpu

        coded = queries.codes_TJI[None], queries.weight_TJ[None]
        found = gpu.top_k(store, layer, table_P[None], *coded, at_T[None], k, visible=length)
        return Selection(found.index_TK[0], found.score_TK[0])
    keys = store.keys(layer, table_P, length)
    if not candidates:
        return top_k(queries, keys, k, at_T)
    runs = store.runs(layer, table_P, length)
    return hierarchical_top_k(queries, keys, runs, k, at_T, pool_tokens=RUN, candidates=candidates)


def attend_chosen(
    store: Store,
    layer: int,
    table_P: Tensor,
    length: int,
    q_HD: Tensor,
    index_K: Tensor,
    *,
    scale: float | None = None,
) -> Attended:
    """Attend with one query to tokens that were chosen before; reads nothing but them.

    Raises:
        ValueError: A token lies outside of the first `length`.
    """
    factor = q_HD.shape[-1] ** -0.5 if scale is None else scale
    if is_on_gpu(store):
        from .kernels import gpu

        at_11 = torch.tensor([[length - 1]], device=table_P.device)
        index_1K = index_K.to(torch.int32)[None]
        q_11HD = q_HD[None, None]
        return gpu.attend(store, layer, table_P[None], q_11HD, at_11, index_1K, scale=factor)
    if not _is_native(store):
        k_KGD, v_KGD = store.rows(layer, table_P, index_K.long())
        places = torch.arange(len(index_K), device=index_K.device)[None]
        return attend(q_HD[None], k_KGD, v_KGD, places, scale=factor)
    nothing = np.zeros((1, store.layout.index_dim), np.int8), np.zeros(1, np.float32)
    found = native.attend(
        arrays(store, layer),
        _plain(table_P, torch.int32).numpy(),
        length,
        native.Query(*nothing, _plain(q_HD, torch.float32).numpy()),
        index_K=index_K.numpy(),
        scale=factor,
        threads=torch.get_num_threads(),
    )
    out_HD, lse_H = torch.from_numpy(found.out_HD), torch.from_numpy(found.lse_H)
    return Attended(out_HD[None].to(q_HD.dtype), lse_H[None])


def arrays(store: Store, layer: int) -> native.Layer:
    """Return a layer of a store on the CPU as the C++ kernel takes it, without copying."""
    return native.Layer(
        store.kv[layer].view(torch.uint16).numpy(),
        store.index[layer].numpy(),
        store.pooled[layer].numpy(),
    )


def _native(
    store: Store,
    layer: int,
    table_P: Tensor,
    length: int,
    sought: IndexQuery,
    q_HD: Tensor | None,
    k: int,
    candidates: int,
    scale: float,
) -> Step:
    """Take a step in C++, or only choose. Lean: what it touches is cold, and counts."""
    if q_HD is None:
        heads, width = store.layout.key_heads, store.layout.head_dim
    else:
        heads, width = q_HD.shape
    index_heads = sought.w_TJ.shape[1]
    steps = cast("native.Steps | None", store.prepared.get((layer, heads, index_heads)))
    if steps is None:
        steps = native.Steps(arrays(store, layer), heads=heads, index_heads=index_heads)
        store.prepared[layer, heads, index_heads] = steps
    index_q, index_w = (_plain(x, torch.float32) for x in sought)
    q = torch.empty(0, device="cpu") if q_HD is None else q_HD
    q = _plain(q, q.dtype if q.dtype in _KINDS else torch.float32)
    table = _plain(table_P, torch.int32)
    if index_q.shape[-1] != store.layout.index_dim or width != store.layout.head_dim or k < 1:
        raise ValueError(f"a query of {width}, {index_q.shape[-1]} wide, or a budget of {k}")
    room = min(k, length)
    chosen = torch.empty(1, room, dtype=torch.int32, device="cpu")
    score = torch.empty(1, room, device="cpu")
    seen = 1 if q.numel() else 0
    out = torch.empty(seen, heads, width, dtype=q.dtype, device="cpu")
    lse = torch.empty(seen, heads, device="cpu")
    count = steps(
        table.data_ptr(),
        len(table),
        length,
        (index_q.data_ptr(), index_w.data_ptr()),
        (q.data_ptr() if seen else 0, _KINDS[q.dtype]),
        (chosen.data_ptr(), score.data_ptr(), out.data_ptr(), lse.data_ptr()),
        k=k,
        candidates=candidates,
        scale=scale,
        threads=torch.get_num_threads(),
    )
    if count < room:  # the candidates were fewer than the budget
        chosen, score = chosen[:, :count], score[:, :count]
    return Step(Selection(chosen, score), Attended(out, lse))


def _plain(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x if x.dtype == dtype and x.is_contiguous() else x.to(dtype).contiguous()


def is_on_gpu(store: Store) -> bool:
    """Tell whether the store lies where the Triton kernels run, in a shape that they take."""
    layout = store.layout
    widths = layout.head_dim, layout.index_dim
    fits = all(width >= 32 and not width & (width - 1) for width in widths)
    return fits and store.kv.device.type == "cuda" and _is_triton_there()


def _is_native(store: Store) -> bool:
    return store.kv.device.type == "cpu" and store.layout.head_dim % 32 == 0 and _is_native_there()


@cache
def _is_triton_there() -> bool:
    try:
        from .kernels import gpu  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        warnings.warn(f"decoding in plain torch: {error}", stacklevel=3)
        return False
    return True


@cache
def _is_native_there() -> bool:
    try:
        native.load()
    except NoCompiler as error:
        warnings.warn(f"decoding in plain torch: {error} ({error.hint})", stacklevel=3)
        return False
    return True
