"""The C++ kernel of a decoding step on the CPU: score, choose and attend in one call.

Built on demand with the system's compiler for this processor, and kept for later. Works on the
bytes that `cache` defines, given as NumPy arrays, or by their addresses where a step is to cost
little (`Steps`); needs no torch. Index scores and chosen sets equal those of `codes` and `select`
to the last bit, for any number of threads. It knows one sequence and one layer.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glasslipper.dsa.errors import NoCompiler, NotANumber
from glasslipper.dsa.pages import PAGE

from .build import library

RUN = 16
RUNS = PAGE // RUN
_WIDEST = 1024
_LOOK = "check the weights and the input of this layer"


class Layer(NamedTuple):
    """One layer's pages, laid out as `cache` says."""

    kv: NDArray[np.uint16]
    """(pages, 64, 2, G, D), the bits of bfloat16."""
    index_bytes: NDArray[np.uint8]
    """(pages, bytes)."""
    pooled_bytes: NDArray[np.uint8]
    """(pages, bytes)."""


class Query(NamedTuple):
    """One query: what it looks for by index, and with the main attention."""

    codes_JI: NDArray[np.int8]
    weight_J: NDArray[np.float32]
    q_HD: NDArray[np.float32]


class Decoded(NamedTuple):
    """What a step chose, in ascending order, and what it saw there."""

    index_K: NDArray[np.int32]
    score_K: NDArray[np.float32]
    out_HD: NDArray[np.float32]
    lse_H: NDArray[np.float32]


_NAN_SCORE, _NAN_QUERY, _NO_SUCH_PAGE = -1, -2, -3  # as decode.cpp has them


class _Request(ctypes.Structure):
    """`struct Request` of decode.h, field by field."""

    _fields_ = [
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("codes", "weight", "q", "kv", "index", "pooled", "table"),
                *("chosen", "score", "out", "lse"),
            )
        ),
        *(
            (name, ctypes.c_int32)
            for name in ("length", "k", "candidates", "J", "I", "H", "G", "D", "threads", "is_half")
        ),
        ("scale", ctypes.c_float),
    ]


def encode(
    q_JI: NDArray[np.float32], weight_J: NDArray[np.float32]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Rotate and encode one index query: the codes and folded weights of `codes`, bit for bit.

    Raises:
        NoCompiler: The kernel cannot be built here.
        NotANumber: A value is NaN or infinite.
        ValueError: Shapes do not fit each other, or the width is no power of two.
    """
    heads, width = q_JI.shape
    if weight_J.shape != (heads,) or width & (width - 1) or not 0 < width <= _WIDEST:
        raise ValueError(f"an index query cannot have the shape {q_JI.shape}, {weight_J.shape}")
    q_JI, weight_J = (
        np.ascontiguousarray(q_JI, np.float32),
        np.ascontiguousarray(weight_J, np.float32),
    )
    codes_JI, folded_J = np.empty((heads, width), np.int8), np.empty(heads, np.float32)
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (q_JI, weight_J, codes_JI, folded_J)]
    if load().dsa_encode(*pointers[:2], heads, width, *pointers[2:]) < 0:
        raise NotANumber("an index query holds NaN or infinity", hint=_LOOK)
    return codes_JI, folded_J


def decode(
    layer: Layer,
    table_P: NDArray[np.int32],
    length: int,
    query: Query,
    *,
    k: int,
    scale: float,
    candidates: int = 0,
    threads: int | None = None,
    built: ctypes.CDLL | None = None,
) -> Decoded:
    """Choose k of the sequence's first `length` tokens by index score, and attend to them.

    Args:
        layer: The layer's pages.
        table_P: The sequence's pages.
        length: How many tokens the query sees.
        query: The query.
        k: The budget.
        scale: Factor of the attention's logits.
        candidates: 0 scores every token; otherwise the runs of 16 that are best by their pooled
            key, with this many times k tokens in all, and the run that the query stands in.
        threads: By default as many as this process may use.
        built: The kernel, where it is not that of `load()`.

    Raises:
        NoCompiler: The kernel cannot be built here.
        NotANumber: A score is NaN.
        ValueError: Arrays do not fit each other.
    """
    if k < 1 or candidates < 0:
        raise ValueError(f"budget {k} and candidates {candidates} cannot be")
    request, kept = _request(layer, table_P, length, query, scale, threads)
    out = _room(min(k, length), query)
    _receive(request, out)
    request.k, request.candidates = k, candidates
    count = (built or load()).dsa_decode(ctypes.byref(request))
    del kept
    if count < 0:
        _refuse(count)
    return Decoded(out.index_K[:count], out.score_K[:count], out.out_HD, out.lse_H)


def attend(
    layer: Layer,
    table_P: NDArray[np.int32],
    length: int,
    query: Query,
    *,
    index_K: NDArray[np.int32],
    scale: float,
    threads: int | None = None,
) -> Decoded:
    """Attend to tokens that were chosen before, for instance by another layer."""
    if index_K.size and not 0 <= index_K.min() <= index_K.max() < length:
        raise ValueError("a chosen token lies outside the sequence")
    request, kept = _request(layer, table_P, length, query, scale, threads)
    chosen = np.ascontiguousarray(index_K, dtype=np.int32)
    out = _room(0, query)._replace(index_K=chosen)
    _receive(request, out)
    load().dsa_attend(ctypes.byref(request), chosen.size)
    del kept
    return out


def dense(
    layer: Layer,
    table_P: NDArray[np.int32],
    length: int,
    query: Query,
    *,
    scale: float,
    threads: int | None = None,
) -> Decoded:
    """Attend to every token, with the same inner loops: a baseline, and a fallback."""
    request, kept = _request(layer, table_P, length, query, scale, threads)
    out = _room(0, query)
    _receive(request, out)
    load().dsa_dense(ctypes.byref(request))
    del kept
    return out


class Steps:
    """Decoding steps of one layer, by addresses: what stays the same is prepared.

    In a model's step every cache is cold, and Python costs as much as the work itself does.
    """

    def __init__(self, layer: Layer, *, heads: int, index_heads: int) -> None:
        """Prepare steps over the layer's pages, which must live as long as this.

        Raises:
            NoCompiler: The kernel cannot be built here.
            ValueError: Arrays do not fit each other.
        """
        pages, _, _, groups, width = layer.kv.shape
        index_dim = layer.index_bytes.shape[1] // PAGE - 4
        nothing = Query(
            np.zeros((index_heads, index_dim), np.int8),
            np.zeros(index_heads, np.float32),
            np.zeros((heads, width), np.float32),
        )
        _check(layer, np.zeros(1, np.int32), 1, nothing)
        same = _Request(J=index_heads, I=index_dim, H=heads, G=groups, D=width)
        same.kv, same.index, same.pooled = (x.ctypes.data for x in layer)
        self._layer, self._same, self._pages = layer, same, pages
        self._at, self._step = ctypes.addressof(same), load().dsa_step

    def __call__(
        self,
        table: int,
        known: int,
        length: int,
        index: tuple[int, int],
        q: tuple[int, bool],
        out: tuple[int, int, int, int],
        *,
        k: int,
        candidates: int,
        scale: float,
        threads: int,
    ) -> int:
        """Take a step and return how many tokens it chose.

        Args:
            table: Where the sequence's pages are listed, int32.
            known: How many pages are listed.
            length: How many tokens the query sees.
            index: Where the index query (J, I) and its weights (J) are, float32, not encoded.
            q: Where the query (H, D) is, and whether it is bfloat16 instead of float32.
            out: Where to write chosen tokens and scores (k each), output (as q) and lse (H).
            k: The budget.
            candidates: As in `decode`.
            scale: Factor of the attention's logits.
            threads: With how many threads.

        Raises:
            NotANumber: The query or a score is NaN.
            ValueError: The table names too few pages, or one that there is not.
        """
        count = self._step(
            self._at, self._pages, table, known, length, *index, *q, *out,
            k, candidates, threads, scale,
        )  # fmt: skip
        if count < 0:
            _refuse(count)
        return count


def _refuse(why: int) -> None:
    if why == _NO_SUCH_PAGE:
        raise ValueError("the sequence has too few pages, or one that the cache does not have")
    of = "score" if why == _NAN_SCORE else "query"
    raise NotANumber(f"an index {of} is NaN", hint=_LOOK)


def _room(k: int, query: Query) -> Decoded:
    return Decoded(
        np.empty(k, np.int32),
        np.empty(k, np.float32),
        np.empty(query.q_HD.shape, np.float32),
        np.empty(query.q_HD.shape[0], np.float32),
    )


def _receive(request: _Request, out: Decoded) -> None:
    for name, array in zip(("chosen", "score", "out", "lse"), out, strict=True):
        setattr(request, name, array.ctypes.data)


def _request(
    layer: Layer,
    table_P: NDArray[np.int32],
    length: int,
    query: Query,
    scale: float,
    threads: int | None,
) -> tuple[_Request, list[object]]:
    """Return the request and the arrays that must live as long as it does."""
    _check(layer, table_P, length, query)
    arrays = {
        "codes": np.ascontiguousarray(query.codes_JI, np.int8),
        "weight": np.ascontiguousarray(query.weight_J, np.float32),
        "q": np.ascontiguousarray(query.q_HD, np.float32),
        "table": np.ascontiguousarray(table_P, np.int32),
        **dict(zip(("kv", "index", "pooled"), layer, strict=True)),
    }
    request = _Request(length=length, scale=scale, threads=threads or _threads())
    request.J, request.I = query.codes_JI.shape
    request.H, request.D = query.q_HD.shape
    request.G = layer.kv.shape[3]
    for name, array in arrays.items():
        setattr(request, name, array.ctypes.data)
    return request, list(arrays.values())


def _check(layer: Layer, table_P: NDArray[np.int32], length: int, query: Query) -> None:
    pages, page, two, groups, width = layer.kv.shape
    heads, index_dim = query.q_HD.shape[0], query.codes_JI.shape[1]
    fits = (
        (page, two) == (PAGE, 2)
        and layer.index_bytes.shape == (pages, PAGE * (index_dim + 4))
        and layer.pooled_bytes.shape == (pages, RUNS * (index_dim + 8))
        and query.weight_J.shape == query.codes_JI.shape[:1]
        and query.q_HD.shape[1] == width
        and heads % groups == width % 32 == index_dim % 4 == 0
        and layer.kv.itemsize == 2
        and all(array.flags.c_contiguous for array in layer)
    )
    if not fits:
        shapes = [array.shape for array in (*layer, *query)]
        raise ValueError(f"these shapes do not fit each other, or are not contiguous: {shapes}")
    used = -(-length // PAGE)
    if length < 1 or used > len(table_P):
        raise ValueError(f"{len(table_P)} pages do not hold {length} tokens")
    if not 0 <= table_P[:used].min() <= table_P[:used].max() < pages:
        raise ValueError("the sequence names a page that the cache does not have")


@cache
def load(built: Path | None = None) -> ctypes.CDLL:
    """Load the kernel, by default the one for this processor, built where it is not there yet.

    Raises:
        NoCompiler: It cannot be built here.
    """
    path = built or library()
    try:
        found = ctypes.CDLL(str(path))
    except OSError as error:
        raise NoCompiler(
            f"the C++ kernel cannot be loaded: {error}",
            hint=f"remove {path}, or set XDG_CACHE_HOME to a folder whose programs may run",
        ) from error
    found.dsa_decode.restype = found.dsa_encode.restype = ctypes.c_int
    address, number = ctypes.c_void_p, ctypes.c_int
    found.dsa_step.argtypes = (
        *(address, number, address, number, number),  # layer, its pages, table, known, length
        *(address, address, address, number),  # index query and weights, q and its kind
        *(address, address, address, address),  # chosen, score, out, lse
        *(number, number, number, ctypes.c_float),  # k, candidates, threads, scale
    )
    found.dsa_step.restype = number
    return found


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
