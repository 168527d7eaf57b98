"""The paged cache: keys, values and index keys, in bytes that every kernel agrees on.

One page holds 64 tokens of one layer, in three arrays that share page numbers; numbers are
little-endian:

    kv      [64 tokens][key, value][G][D] bfloat16               a token's row is contiguous
    index   [4 runs][I/4][16 tokens][4 dimensions] int8 codes, then [64] float32 scales
    pooled  [I/4][4 runs][4 dimensions] int8 codes, then [4] float32 scales, [4] float32 spreads

Codes are interleaved by fours so that one integer dot instruction (VNNI, sdot, dp4a) serves
sixteen tokens, and a run of sixteen, the candidate of the hierarchical selection, is contiguous.
A run's pooled key stands once its sixteen tokens are written. With I = 64 the index takes
72.5 bytes a token beside the 4096 of an 8B model's layer (8 key heads of 128).

Knows nothing of who owns a page (`pages`), nor of what is selected.
Letters: S tokens, G key heads, D their width, I index dimensions, P pages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import codes
from .codes import Keys, Runs
from .pages import PAGE

RUN = 16
"""Tokens under one pooled key."""

RUNS = PAGE // RUN
_HUGE_BYTES = 2 << 20


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The shape of one layer's cache, and what it costs."""

    key_heads: int
    head_dim: int
    index_dim: int

    def __post_init__(self) -> None:
        """Refuse shapes that the byte layout cannot hold."""
        if min(self.key_heads, self.head_dim) < 1 or self.index_dim < 4 or self.index_dim % 4:
            raise ValueError(f"a cache cannot have the shape of {self}")

    @property
    def index_page_bytes(self) -> int:
        """Bytes of index keys in a page."""
        return PAGE * (self.index_dim + 4)

    @property
    def pooled_page_bytes(self) -> int:
        """Bytes of pooled index keys in a page."""
        return RUNS * (self.index_dim + 8)

    @property
    def kv_token_bytes(self) -> int:
        """Bytes of keys and values for a token."""
        return 2 * self.key_heads * self.head_dim * 2

    @property
    def extra_share(self) -> float:
        """What the index adds to the bytes of keys and values."""
        index = (self.index_page_bytes + self.pooled_page_bytes) / PAGE
        return index / self.kv_token_bytes


class Store:
    """The pages of every layer."""

    def __init__(
        self, layout: Layout, *, layers: int, pages: int, device: torch.device | str = "cpu"
    ) -> None:
        """Allocate the pages, zeroed."""
        shape = (layers, pages, PAGE, 2, layout.key_heads, layout.head_dim)
        index, pooled = layout.index_page_bytes, layout.pooled_page_bytes
        self.layout = layout
        self.kv = _zeros(math.prod(shape) * 2, device).view(torch.bfloat16).view(shape)
        self.index = _zeros(layers * pages * index, device).view(layers, pages, index)
        self.pooled = _zeros(layers * pages * pooled, device).view(layers, pages, pooled)
        self.prepared: dict[tuple[int, int, int], object] = {}
        """What kernels prepare once for a layer."""

    def write(
        self, layer: int, table_P: Tensor, start: int, k_SGD: Tensor, v_SGD: Tensor, keys: Keys
    ) -> None:
        """Write tokens from position `start` on, and the pooled keys of runs that become full.

        Args:
            layer: Which layer.
            table_P: The sequence's pages, int32 or int64.
            start: The position of the first token.
            k_SGD: Keys, after RoPE.
            v_SGD: Values.
            keys: Index keys.
        """
        count = k_SGD.shape[0]
        at = torch.arange(start, start + count, device=table_P.device)
        page, place = table_P[at // PAGE].long(), at % PAGE
        kv = self.kv[layer]
        kv[page, place, 0] = k_SGD.to(kv.dtype)
        kv[page, place, 1] = v_SGD.to(kv.dtype)
        parts = keys.codes_SI.reshape(count, self.layout.index_dim // 4, 4)
        self._codes(layer)[page, place // RUN, :, place % RUN] = parts
        self._scales(layer)[page, place] = keys.scale_S
        first, last = start // RUN, (start + count) // RUN
        if last > first:
            self._pool(layer, table_P, first, last)

    def keys(self, layer: int, table_P: Tensor, length: int) -> Keys:
        """Read the index keys of a sequence's first `length` tokens."""
        used = table_P[: -(-length // PAGE)].long()
        parts = self._codes(layer)[used].transpose(2, 3)
        found = parts.reshape(-1, self.layout.index_dim)[:length]
        return Keys(found, self._scales(layer)[used].reshape(-1)[:length])

    def runs(self, layer: int, table_P: Tensor, length: int) -> Runs:
        """Read the full runs in a sequence's first `length` tokens."""
        used, full = table_P[: -(-length // PAGE)].long(), length // RUN
        codes_PCRF, numbers_P2R = self._pooled(layer)
        found = codes_PCRF[used].transpose(1, 2).reshape(-1, self.layout.index_dim)[:full]
        scale_R, spread_R = numbers_P2R[used].transpose(0, 1).flatten(1)[:, :full]
        return Runs(found, scale_R, spread_R)

    def rows(self, layer: int, table_P: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Read keys and values at positions; each has the shape of `at`, then (G, D)."""
        found = self.kv[layer][table_P[at // PAGE].long(), at % PAGE]
        return found[..., 0, :, :], found[..., 1, :, :]

    def _pool(self, layer: int, table_P: Tensor, first: int, last: int) -> None:
        at = torch.arange(first, last, device=table_P.device)
        page, run = table_P[at // RUNS].long(), at % RUNS
        found = self._codes(layer)[page, run].transpose(1, 2)
        scales = self._scales(layer).view(-1, RUNS, RUN)[page, run]
        runs = Keys(found.reshape(-1, self.layout.index_dim), scales.reshape(-1))
        pooled = codes.pool(runs, RUN)
        codes_PCRF, numbers_P2R = self._pooled(layer)
        codes_PCRF[page, :, run] = pooled.codes_RI.reshape(len(at), -1, 4)
        numbers_P2R[page, 0, run], numbers_P2R[page, 1, run] = pooled.scale_R, pooled.spread_R

    def _codes(self, layer: int) -> Tensor:
        head = self.index[layer, :, : PAGE * self.layout.index_dim].view(torch.int8)
        return head.view(-1, RUNS, self.layout.index_dim // 4, RUN, 4)

    def _scales(self, layer: int) -> Tensor:
        return self.index[layer, :, PAGE * self.layout.index_dim :].view(torch.float32)

    def _pooled(self, layer: int) -> tuple[Tensor, Tensor]:
        width = RUNS * self.layout.index_dim
        head = self.pooled[layer, :, :width].view(torch.int8)
        numbers = self.pooled[layer, :, width:].view(torch.float32)
        return head.view(-1, self.layout.index_dim // 4, RUNS, 4), numbers.view(-1, 2, RUNS)


def _zeros(size_bytes: int, device: torch.device | str) -> Tensor:
    if torch.device(device).type != "cpu":
        return torch.zeros(size_bytes, dtype=torch.uint8, device=device)
    # NumPy asks Linux for huge pages, which torch does not: rows picked at random then miss the
    # TLB less. What begins at such a page also begins at a cache line.
    room = np.zeros(size_bytes + _HUGE_BYTES, np.uint8)
    start = -room.ctypes.data % _HUGE_BYTES
    return torch.from_numpy(room[start : start + size_bytes])
