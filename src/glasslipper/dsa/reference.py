"""DeepSeek Sparse Attention in plain float64: the specification that everything else must equal.

Knows the mathematics, one sequence at a time, and nothing of speed, batches, caches or torch.
A small *indexer* scores every earlier token for every query; the main attention then looks only
at the k best. Source: the DeepSeek-V3.2-Exp report (section 2 and its inference code).

Letters of the axes, as suffixes of names:
  T queries, S keys, J heads of the indexer (they share one key), I its width,
  H heads of the main attention, G groups of them that share keys (1: MQA), D its width,
  K selected tokens.
The query in row t stands at position `at_T[t]` and sees the keys 0 … at_T[t].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NOTHING = -1
"""Stands in a selection where there was no token left to select."""

E4M3_MOST = 448.0


def layer_norm(x: Floats, weight_I: Floats, bias_I: Floats, *, eps: float = 1e-6) -> Floats:
    """Normalise the last axis to mean 0 and variance 1; the indexer's key goes through it."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * weight_I + bias_I


def rope(x: Floats, at: Ints, *, dims: int, base: float) -> Floats:
    """Rotate the first `dims` of the last axis by position, half-split.

    Component i turns with component i + dims/2 (not with its neighbour) by the angle
    at · base^(-2i/dims). `at` has the shape of `x` without its last axis, or broadcasts to it.
    """
    half = dims // 2
    angle = at[..., None] * base ** (-np.arange(half) / half)
    a, b = x[..., :half], x[..., half:dims]
    turned = [a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)]
    return np.concatenate([*turned, x[..., dims:]], axis=-1)


def hadamard(x: Floats) -> Floats:
    """Return the orthonormal Walsh-Hadamard transform of the last axis, a power of two long.

    It leaves dot products as they are and spreads outliers before `quantise`.
    """
    width, out = x.shape[-1], x
    step = 1
    while step < width:
        pairs = out.reshape(*x.shape[:-1], width // (2 * step), 2, step)
        a, b = pairs[..., 0, :], pairs[..., 1, :]
        out = np.stack([a + b, a - b], axis=-2).reshape(x.shape)
        step *= 2
    return out / np.sqrt(width)


def to_e4m3(x: Floats) -> Floats:
    """Round to the nearest value of float8 e4m3, ties to even, at most ±448."""
    bounded = np.clip(x, -E4M3_MOST, E4M3_MOST)
    exponent = np.maximum(np.frexp(bounded)[1] - 1, -6)
    unit = np.ldexp(1.0, exponent - 3)
    return np.round(bounded / unit) * unit


def quantise(x: Floats) -> tuple[Floats, Floats]:
    """Return e4m3 values and a scale for each row, a power of two: x ≈ values · scale."""
    most = np.maximum(np.abs(x).max(-1), 1e-4)
    scale = 2.0 ** np.ceil(np.log2(most / E4M3_MOST))
    return to_e4m3(x / scale[..., None]), scale


def index_scores(q_TJI: Floats, k_SI: Floats, w_TJ: Floats) -> Floats:
    """Return the index score I[t, s] = Σ_j w[t, j] · ReLU(q[t, j] · k[s]).  (T, S)."""
    return np.einsum("tj,tjs->ts", w_TJ, np.maximum(q_TJI @ k_SI.T, 0.0))


def index_scores_e4m3(q_TJI: Floats, k_SI: Floats, w_TJ: Floats) -> Floats:
    """Return the index score as it is with quantised queries and keys.  (T, S)."""
    q_values, q_scale_TJ = quantise(hadamard(q_TJI))
    k_values, k_scale_S = quantise(hadamard(k_SI))
    return index_scores(q_values, k_values, w_TJ * q_scale_TJ) * k_scale_S


def index_score_gradients(
    q_TJI: Floats, k_SI: Floats, w_TJ: Floats, d_scores_TS: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return what a loss with this gradient for the scores gives for q, k and w."""
    dots_TJS = q_TJI @ k_SI.T
    d_dots_TJS = d_scores_TS[:, None, :] * w_TJ[:, :, None] * (dots_TJS > 0)
    d_w_TJ = np.einsum("ts,tjs->tj", d_scores_TS, np.maximum(dots_TJS, 0.0))
    return d_dots_TJS @ k_SI, np.einsum("tjs,tji->si", d_dots_TJS, q_TJI), d_w_TJ


def visible(at_T: Ints, keys: int) -> NDArray[np.bool_]:
    """Tell which keys each query may see.  (T, S)."""
    return np.arange(keys)[None, :] <= at_T[:, None]


def select(scores_TS: Floats, at_T: Ints, k: int) -> Ints:
    """Return the visible tokens with the k highest scores, ascending, then `NOTHING`.  (T, K).

    Of equal scores the earlier token wins. A score that is not a number is an error.

    Raises:
        ValueError: A visible score is not a number.
    """
    seen_TS = visible(at_T, scores_TS.shape[1])
    if np.isnan(scores_TS[seen_TS]).any():
        raise ValueError("an index score is not a number")
    chosen_TK = np.full((len(at_T), k), NOTHING, dtype=np.int64)
    for t, at in enumerate(at_T):
        best = np.argsort(-scores_TS[t, : at + 1], kind="stable")[:k]
        chosen_TK[t, : len(best)] = np.sort(best)
    return chosen_TK


def chosen(selected_TK: Ints, keys: int) -> NDArray[np.bool_]:
    """Return a selection as a mask.  (T, S)."""
    return (selected_TK[:, :, None] == np.arange(keys)).any(1)


def attention(q_THD: Floats, k_SGD: Floats, may_TS: NDArray[np.bool_], *, scale: float) -> Floats:
    """Return the attention weights where `may_TS` allows a look.  (H, T, S)."""
    k_SHD = np.repeat(k_SGD, q_THD.shape[1] // k_SGD.shape[1], axis=1)
    return softmax(np.einsum("thd,shd->hts", q_THD, k_SHD) * scale, may_TS)


def attend(
    q_THD: Floats, k_SGD: Floats, v_SGD: Floats, selected_TK: Ints, *, scale: float
) -> Floats:
    """Return the main attention over the selected tokens alone.  (T, H, D)."""
    weights_HTS = attention(q_THD, k_SGD, chosen(selected_TK, len(k_SGD)), scale=scale)
    v_SHD = np.repeat(v_SGD, q_THD.shape[1] // v_SGD.shape[1], axis=1)
    return np.einsum("hts,shd->thd", weights_HTS, v_SHD)


def teacher(q_THD: Floats, k_SGD: Floats, at_T: Ints, *, scale: float) -> Floats:
    """Return what the indexer learns: the dense attention, its heads' mean.  (T, S)."""
    return attention(q_THD, k_SGD, visible(at_T, len(k_SGD)), scale=scale).mean(0)


def softmax(x: Floats, may: NDArray[np.bool_]) -> Floats:
    """Return the softmax of the last axis over what may be; 0 elsewhere."""
    bounded = np.where(may, x, -np.inf)
    grown = np.exp(bounded - bounded.max(-1, keepdims=True))
    return grown / grown.sum(-1, keepdims=True)


def index_loss(
    scores_TS: Floats, teacher_TS: Floats, may_TS: NDArray[np.bool_]
) -> tuple[float, Floats]:
    """Return KL(teacher ‖ softmax(scores)), the queries' mean, and its gradient for the scores.

    The dense warm-up passes all that is `visible`, the sparse stage what is `chosen`; the
    teacher is normalised anew over it.
    """
    kept_TS = np.where(may_TS, teacher_TS, 0.0)
    p_TS = kept_TS / kept_TS.sum(-1, keepdims=True)
    guess_TS = softmax(scores_TS, may_TS)
    looked = p_TS > 0
    kl = (p_TS[looked] * np.log(p_TS[looked] / guess_TS[looked])).sum()
    return float(kl / len(p_TS)), (guess_TS - p_TS) / len(p_TS)


def mass(teacher_TS: Floats, selected_TK: Ints) -> Floats:
    """Return the share of the dense attention that a selection keeps.  (T,)."""
    return np.where(chosen(selected_TK, teacher_TS.shape[1]), teacher_TS, 0.0).sum(-1)
