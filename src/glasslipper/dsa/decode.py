"""One decoding step of one layer over the paged cache, by the best path that there is.

C++ on a CPU with a compiler, Triton on a GPU, plain torch otherwise. All choose the same keys.
Knows one query of one sequence; letters as in `cache`, `select` and `attend`.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from .attend import Attended, attend
from .cache import RUN, Store
from .codes import Queries, encode_queries
from .errors import NoCompiler
from .kernels import native
from .select import Selection, hierarchical_top_k, top_k


class Step(NamedTuple):
    """What a step chose and saw, with an axis T of one."""

    selection: Selection
    attended: Attended


def step(
    store: Store,
    layer: int,
    table_P: Tensor,
    length: int,
    queries: Queries,
    q_HD: Tensor,
    *,
    k: int,
    candidates: int = 0,
    scale: float | None = None,
) -> Step:
    """Choose k of the sequence's first `length` tokens, all written, and attend to them.

    Args:
        store: The cache.
        layer: Which layer.
        table_P: The sequence's pages, int32.
        length: How many tokens the query sees, its own among them.
        queries: One encoded index query.
        q_HD: The query of the main attention, after RoPE.
        k: The budget.
        candidates: 0 scores every token; otherwise see `select.hierarchical_top_k`.
        scale: Factor of the logits; by default 1/√D.
    """
    factor = q_HD.shape[-1] ** -0.5 if scale is None else scale
    if q_HD.device.type == "cpu" and q_HD.shape[-1] % 32 == 0 and _is_native_there():
        return _native(store, layer, table_P, length, queries, q_HD, k, candidates, factor)
    at_T = torch.tensor([length - 1], device=table_P.device)
    keys = store.keys(layer, table_P, length)
    if candidates:
        pooled = store.pooled_keys(layer, table_P, length)
        chosen = hierarchical_top_k(
            queries, keys, pooled, k, at_T, pool_tokens=RUN, candidates=candidates
        )
    else:
        chosen = top_k(queries, keys, k, at_T)
    found = chosen.index_TK[0][chosen.index_TK[0] >= 0].long()
    k_KGD, v_KGD = store.rows(layer, table_P, found)
    places = torch.arange(len(found), device=found.device)[None]
    return Step(chosen, attend(q_HD[None], k_KGD, v_KGD, places, scale=factor))


def encode_query(q_TJI: Tensor, weight_TJ: Tensor) -> Queries:
    """Return `codes.encode_queries` of one query (T = 1), by the best path that there is."""
    if q_TJI.device.type != "cpu" or not _is_native_there():
        return encode_queries(q_TJI, weight_TJ)
    q_JI, weight_J = (x[0].detach().float().numpy() for x in (q_TJI, weight_TJ))
    codes_JI, folded_J = native.encode(q_JI, weight_J)
    return Queries(torch.from_numpy(codes_JI)[None], torch.from_numpy(folded_J)[None])


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
    queries: Queries,
    q_HD: Tensor,
    k: int,
    candidates: int,
    scale: float,
) -> Step:
    query = native.Query(
        queries.codes_TJI[0].numpy(), queries.weight_TJ[0].numpy(), q_HD.float().numpy()
    )
    found = native.decode(
        arrays(store, layer),
        table_P.to(torch.int32).numpy(),
        length,
        query,
        k=k,
        scale=scale,
        candidates=candidates,
        threads=torch.get_num_threads(),
    )
    return Step(
        Selection(torch.from_numpy(found.index_K)[None], torch.from_numpy(found.score_K)[None]),
        Attended(
            torch.from_numpy(found.out_HD).to(q_HD.dtype)[None], torch.from_numpy(found.lse_H)[None]
        ),
    )


@cache
def _is_native_there() -> bool:
    try:
        native.load()
    except NoCompiler as error:
        warnings.warn(f"decoding in plain torch: {error} ({error.hint})", stacklevel=3)
        return False
    return True
