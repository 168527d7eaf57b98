"""Indexers: cheap modules that score every earlier token for every query.

Two kinds with one face. `DropIn` reads the layer's own queries and keys, so that it fits into a
model that knows nothing of it; `Stock` reads hidden states as DeepSeek-V3.2's does and loads its
weights. Both give queries, keys and head weights; the score is I[t, s] = Σ_j w[t, j] ·
ReLU(q[t, j] · k[s]), computed elsewhere. Letters as in `reference`, and M hidden width, R width
of the query latent, E = H·D, F = G·D.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from glasslipper.dsa.errors import AdapterUnfit, NotANumber

_EPS = 1e-6
_SCALES, _SCALED_TOGETHER = "_scale_inv", 128


class IndexQuery(NamedTuple):
    """What the queries bring: vectors (T, J, I) and the weights of the heads (T, J)."""

    q_TJI: Tensor
    w_TJ: Tensor


@dataclass(frozen=True, slots=True)
class IndexShape:
    """The size of an indexer; `rope_dims` of `width` components carry position."""

    heads: int
    width: int
    rope_dims: int
    rope_base: float


def rope(x: Tensor, at: Tensor, *, dims: int, base: float) -> Tensor:
    """Rotate the first `dims` of the last axis by position, half-split, as `reference.rope`."""
    half = dims // 2
    most = 1 << int(at.max()).bit_length() if at.numel() else 1
    table_cos, table_sin = _turns(most, half, base, x.device)
    a, b = x[..., :half], x[..., half:dims]
    cos, sin = table_cos[at].to(x.dtype), table_sin[at].to(x.dtype)
    return torch.cat([a * cos - b * sin, b * cos + a * sin, x[..., dims:]], dim=-1)


@functools.lru_cache(maxsize=8)
def _turns(most: int, half: int, base: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the angles of the positions below `most`.  (most, half) each."""
    with torch.inference_mode(mode=False):
        steps = torch.arange(half, device=device, dtype=torch.float32) / half
        angle = torch.arange(most, device=device)[:, None].float() * base**-steps
        return angle.cos(), angle.sin()


def scores(query: IndexQuery, k_SI: Tensor) -> Tensor:
    """Return the index scores.  (T, S).

    The shapes stay small in training; serving uses `select`, which never builds them whole.
    """
    dots_TJS = (query.q_TJI.flatten(0, 1) @ k_SI.T).view(*query.w_TJ.shape, -1)
    return torch.einsum("tj,tjs->ts", query.w_TJ, dots_TJS.relu())


class DropIn(nn.Module):
    """The indexer of a retrofit; see the module's docstring."""

    def __init__(self, shape: IndexShape, *, heads: int, groups: int, width: int) -> None:
        """Make one of `shape` for a layer with `heads` queries of `width` in `groups` groups.

        It begins on the CPU, so that chance gives the same one for any device.
        """
        super().__init__()
        self.shape = shape
        self.model_width = width
        self.q_proj = nn.Linear(heads * width, shape.heads * shape.width, bias=False, device="cpu")
        self.k_proj = nn.Linear(groups * width, shape.width, bias=False, device="cpu")
        self.k_norm = nn.LayerNorm(shape.width, eps=_EPS, device="cpu")
        self.w_proj = nn.Linear(heads * width, shape.heads, device="cpu")
        nn.init.ones_(self.w_proj.bias)

    def queries(self, raw_q_TE: Tensor, at_T: Tensor) -> IndexQuery:
        """Return what the queries at the positions `at_T` bring."""
        return self.normed_queries(self.normed(raw_q_TE), at_T)

    def normed_queries(self, x: Tensor, at_T: Tensor) -> IndexQuery:
        """Return what queries that are `normed` already bring."""
        q = self.q_proj(x).unflatten(-1, (self.shape.heads, self.shape.width))
        scale = (self.shape.heads * self.shape.width) ** -0.5
        return IndexQuery(self._turned(q, at_T[..., None]), self.w_proj(x) * scale)

    def keys(self, raw_k_SF: Tensor, at_S: Tensor) -> Tensor:
        """Return the keys of the tokens at the positions `at_S`.  (S, I)."""
        return self.normed_keys(self.normed(raw_k_SF), at_S)

    def normed_keys(self, x: Tensor, at_S: Tensor) -> Tensor:
        """Return the keys of what is `normed` already."""
        return self._turned(self.k_norm(self.k_proj(x)), at_S)

    def normed(self, x: Tensor) -> Tensor:
        """Return it with each head scaled to a mean square of one: layers differ a lot."""
        heads = x.to(self.q_proj.weight.dtype).unflatten(-1, (-1, self.model_width))
        return functional.rms_norm(heads, (self.model_width,), eps=_EPS).flatten(-2)

    def _turned(self, x: Tensor, at: Tensor) -> Tensor:
        return rope(x, at, dims=self.shape.rope_dims, base=self.shape.rope_base)


class Stock(nn.Module):
    """DeepSeek-V3.2's own indexer, from hidden states and the latent of the queries."""

    def __init__(self, shape: IndexShape, *, hidden: int, latent: int) -> None:
        """Make one of `shape` for hidden states of width `hidden` and latents of `latent`."""
        super().__init__()
        self.shape = shape
        self.wq_b = nn.Linear(latent, shape.heads * shape.width, bias=False)
        self.wk = nn.Linear(hidden, shape.width, bias=False)
        self.k_norm = nn.LayerNorm(shape.width, eps=_EPS)
        self.weights_proj = nn.Linear(hidden, shape.heads, bias=False)

    def queries(self, hidden_TM: Tensor, latent_TR: Tensor, at_T: Tensor) -> IndexQuery:
        """Return what the queries at the positions `at_T` bring."""
        q = self.wq_b(latent_TR).unflatten(-1, (self.shape.heads, self.shape.width))
        scale = (self.shape.heads * self.shape.width) ** -0.5
        return IndexQuery(self._turned(q, at_T[..., None]), self.weights_proj(hidden_TM) * scale)

    def keys(self, hidden_SM: Tensor, at_S: Tensor) -> Tensor:
        """Return the keys of the tokens at the positions `at_S`.  (S, I)."""
        return self._turned(self.k_norm(self.wk(hidden_SM)), at_S)

    def load(self, weights: Mapping[str, Tensor], *, layer: int) -> None:
        """Take the weights of one layer of a checkpoint in DeepSeek-V3.2's naming.

        Where it holds e4m3 numbers, as the published one does, the scales beside them apply.

        Raises:
            AdapterUnfit: A tensor is missing or has another shape.
            NotANumber: A weight is NaN or infinite.
        """
        prefix = f"model.layers.{layer}.self_attn.indexer."
        ours = {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
        scales = {n: ours.pop(n + _SCALES) for n in list(ours) if n + _SCALES in ours}
        try:
            ours |= {name: _scaled(ours[name], scale) for name, scale in scales.items()}
            self.load_state_dict(ours)
        except RuntimeError as error:
            raise AdapterUnfit(
                f"The indexer of layer {layer} does not fit: {error}",
                hint="Check its heads, widths and layer against the checkpoint's config.json.",
            ) from error
        for name, weight in self.named_parameters():
            if not bool(weight.isfinite().all()):
                raise NotANumber(f"{prefix}{name} holds numbers that are none.")

    def _turned(self, x: Tensor, at: Tensor) -> Tensor:
        return rope(x, at, dims=self.shape.rope_dims, base=self.shape.rope_base)


def _scaled(values: Tensor, scales: Tensor) -> Tensor:
    """Return what e4m3 values stand for, with one scale for each block of 128 by 128 of them."""
    rows, columns = values.shape
    wide = scales.float().repeat_interleave(_SCALED_TOGETHER, 0)
    wide = wide.repeat_interleave(_SCALED_TOGETHER, 1)
    if min(wide.shape[0] - rows, wide.shape[1] - columns) < 0:
        raise RuntimeError(f"scales {tuple(scales.shape)} are too few for {tuple(values.shape)}")
    return values.float() * wide[:rows, :columns]
