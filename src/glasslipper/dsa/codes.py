"""Index vectors as small integers, so that a score is the same number wherever it is computed.

A vector is rotated by the orthonormal Hadamard transform, which spreads outliers and leaves dot
products as they are, and stored as one int8 a dimension with one float32 scale. Dot products of
such codes are exact in int32 and in float32 (127² · 128 < 2²⁴), in whatever order they are
summed; what follows is rounded in one stated order. NumPy, torch, the C++ kernel and the Triton
kernels therefore agree to the last bit, for any tiling, and so do the sets they select:

    score = (((w₀·d₀ + w₁·d₁) + w₂·d₂) + …) · scale,   dⱼ = max(0, qⱼ·k)      float32, no FMA

A run of keys is scored by its mean and by its spread, the root mean square of the distances to
the mean: d'ⱼ = max(0, (qⱼ·mean) · scale + ½‖qⱼ‖ · spread) instead, and nothing is multiplied at
the end. So a run is not overlooked for one key in it that lies off the mean.

Knows nothing of where vectors come from, nor of which keys a query may see.
Letters: T queries, S keys, R runs, J index heads, I index dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .errors import NotANumber

MOST = 127
WIDEST = 1024  # 127² · 1024 < 2²⁴: dot products stay exact in float32
_LOOK = "check the weights and the input of this layer"


class Keys(NamedTuple):
    """Index keys: one for each token, shared by the index heads."""

    codes_SI: Tensor  # int8
    scale_S: Tensor  # float32


class Runs(NamedTuple):
    """Runs of neighbouring keys, each by its mean."""

    codes_RI: Tensor  # int8
    scale_R: Tensor  # float32
    spread_R: Tensor  # float32, of the length that decoded keys have


class Queries(NamedTuple):
    """Index queries; the scale of a head's codes is folded into its weight."""

    codes_TJI: Tensor  # int8
    weight_TJ: Tensor  # float32


def hadamard(x: Tensor) -> Tensor:
    """Rotate the last axis by the orthonormal Hadamard matrix (Sylvester's order); no gradient.

    Raises:
        ValueError: When the axis is no power of two.
    """
    width = x.shape[-1]
    if width < 1 or width & (width - 1):
        raise ValueError(f"the Hadamard transform needs a power of two dimensions, not {width}")
    rows = x.detach().reshape(-1, width)
    one, other = torch.empty_like(rows), torch.empty_like(rows)
    half = 1
    while half < width:
        low, high = rows.view(-1, width // (2 * half), 2, half).unbind(2)
        total, difference = one.view(-1, width // (2 * half), 2, half).unbind(2)
        torch.add(low, high, out=total)
        torch.sub(low, high, out=difference)
        rows, one, other = one, other, one
        half *= 2
    return (rows * width**-0.5).reshape(x.shape)


def encode(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 codes of the last axis and their float32 scale, without rotating.

    Raises:
        NotANumber: When a value is NaN or infinite.
        ValueError: When the axis is too wide to stay exact.
    """
    if x.shape[-1] > WIDEST:
        raise ValueError(f"index vectors have at most {WIDEST} dimensions, not {x.shape[-1]}")
    x = x.float()
    most = x.abs().amax(-1)
    if not bool(torch.isfinite(most).all()):
        raise NotANumber("an index vector holds NaN or infinity", hint=_LOOK)
    scale = most / MOST
    codes = torch.round(x / torch.where(scale > 0, scale, 1.0)[..., None])
    return codes.clamp(-MOST, MOST).to(torch.int8), scale


def encode_keys(k_SI: Tensor) -> Keys:
    """Rotate and encode index keys."""
    return Keys(*encode(hadamard(k_SI.float())))


def encode_queries(q_TJI: Tensor, weight_TJ: Tensor) -> Queries:
    """Rotate and encode index queries, and fold their scales into the heads' weights.

    Raises:
        NotANumber: When a value is NaN or infinite.
    """
    codes_TJI, scale_TJ = encode(hadamard(q_TJI.float()))
    folded_TJ = weight_TJ.float() * scale_TJ
    if not bool(torch.isfinite(folded_TJ).all()):
        raise NotANumber("the weight of an index head is NaN or infinite", hint=_LOOK)
    return Queries(codes_TJI, folded_TJ)


def decode(keys: Keys) -> Tensor:
    """Return the (rotated) float32 keys that the codes stand for."""
    return keys.codes_SI.float() * keys.scale_S[..., None]


def pool(keys: Keys, tokens: int) -> Runs:
    """Return the full runs of `tokens` keys."""
    full = keys.codes_SI.shape[0] // tokens
    if not full:
        return Runs(keys.codes_SI[:0], keys.scale_S[:0], keys.scale_S[:0])
    runs = decode(Keys(keys.codes_SI[: full * tokens], keys.scale_S[: full * tokens]))
    # One addition after the other: the order, and so the last bit, is part of the format.
    runs = runs.reshape(full, tokens, -1)
    total, square = runs[:, 0], runs[:, 0] ** 2
    for i in range(1, tokens):
        total, square = total + runs[:, i], square + runs[:, i] ** 2
    mean = total / tokens
    distance = (square / tokens - mean**2).clamp(min=0).double().sum(-1)
    return Runs(*encode(mean), distance.sqrt().float())


def score(queries: Queries, keys: Keys) -> Tensor:
    """Return the index scores (T, S) in float32, by the order of operations stated above."""
    count, heads, width = queries.codes_TJI.shape
    dots = queries.codes_TJI.reshape(-1, width).float() @ keys.codes_SI.float().T
    return _weigh(queries, dots.reshape(count, heads, -1)) * keys.scale_S


def score_runs(queries: Queries, runs: Runs) -> Tensor:
    """Return the scores (T, R) of runs, by the order of operations stated above."""
    dots_TJR = queries.codes_TJI.float() @ runs.codes_RI.float().T
    length_TJ = queries.codes_TJI.double().square().sum(-1).sqrt().float()
    reach = (0.5 * length_TJ)[..., None] * runs.spread_R
    return _weigh(queries, dots_TJR * runs.scale_R + reach)


def score_gathered(queries: Queries, codes_TCI: Tensor, scale_TC: Tensor) -> Tensor:
    """Return the scores (T, C) of keys that were gathered for each query by itself."""
    dots_TJC = queries.codes_TJI.float() @ codes_TCI.float().transpose(1, 2)
    return _weigh(queries, dots_TJC) * scale_TC


def _weigh(queries: Queries, dots_TJS: Tensor) -> Tensor:
    total_TS = torch.zeros_like(dots_TJS[:, 0])
    for head in range(dots_TJS.shape[1]):
        total_TS = total_TS + queries.weight_TJ[:, head, None] * dots_TJS[:, head].relu()
    return total_TS
