"""Attention of grouped queries (MHA, GQA, MQA) over selected keys, in torch.

The plain path: it gathers rows and multiplies. The kernels beside it are held against it, and it
runs where they do not. The logarithm of the softmax's denominator is returned too: with it,
partial results are merged and the mass that a selection misses is estimated.

Knows nothing of how keys were chosen. Letters: T queries, S keys, K budget, B query blocks, H
heads of queries, G of keys (H = G·R), D dimensions of a key, V of a value.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_GATHERED_BYTES = 64 << 20


class Attended(NamedTuple):
    """What attention returns; a query without any key has zeros and -inf."""

    out_THV: Tensor  # dtype of the query
    lse_TH: Tensor  # float32


def attend(
    q_THD: Tensor, k_SGD: Tensor, v_SGV: Tensor, index_TK: Tensor, *, scale: float | None = None
) -> Attended:
    """Attend to the keys in `index_TK`; negative entries are empty places.

    Raises:
        ValueError: When query heads are no multiple of key heads.
    """
    row_bytes = index_TK.shape[-1] * k_SGD.shape[1] * (k_SGD.shape[2] + v_SGV.shape[2]) * 4
    rows = max(1, _GATHERED_BYTES // max(row_bytes, 1))
    parts: list[Attended] = []
    for i in range(0, q_THD.shape[0], rows):
        index = index_TK[i : i + rows].long()
        safe = index.clamp(min=0)
        q_TGRD = _grouped(q_THD[i : i + rows], k_SGD)
        logits_TGRK = _contract("tgrd,tkgd->tgrk", q_TGRD, k_SGD[safe], scale)
        logits_TGRK = logits_TGRK.masked_fill((index < 0)[:, None, None], float("-inf"))
        weight, lse = _softmax(logits_TGRK)
        out = torch.einsum("tgrk,tkgv->tgrv", weight, v_SGV[safe].to(weight.dtype))
        parts.append(Attended(out.flatten(1, 2).to(q_THD.dtype), lse.flatten(1, 2)))
    return _stack(parts, q_THD, v_SGV)


def attend_blocks(
    q_THD: Tensor,
    k_SGD: Tensor,
    v_SGV: Tensor,
    index_BK: Tensor,
    at_T: Tensor,
    *,
    block: int,
    scale: float | None = None,
) -> Attended:
    """Attend with one selection for each `block` queries; a query masks what lies after it."""
    parts: list[Attended] = []
    for b in range(index_BK.shape[0]):
        index = index_BK[b][index_BK[b] >= 0].long()
        span = slice(b * block, (b + 1) * block)
        q_TGRD = _grouped(q_THD[span], k_SGD)
        logits_TGRK = _contract("tgrd,kgd->tgrk", q_TGRD, k_SGD[index], scale)
        hidden_TK = index > at_T[span, None]
        logits_TGRK = logits_TGRK.masked_fill(hidden_TK[:, None, None], float("-inf"))
        weight, lse = _softmax(logits_TGRK)
        out = torch.einsum("tgrk,kgv->tgrv", weight, v_SGV[index].to(weight.dtype))
        parts.append(Attended(out.flatten(1, 2).to(q_THD.dtype), lse.flatten(1, 2)))
    return _stack(parts, q_THD, v_SGV)


def attend_dense(
    q_THD: Tensor,
    k_SGD: Tensor,
    v_SGV: Tensor,
    at_T: Tensor,
    *,
    scale: float | None = None,
    rows: int = 128,
) -> Attended:
    """Attend to every key up to each query's position, `rows` queries at a time."""
    index = torch.arange(k_SGD.shape[0], device=k_SGD.device)
    parts: list[Attended] = []
    for i in range(0, q_THD.shape[0], rows):
        q_TGRD = _grouped(q_THD[i : i + rows], k_SGD)
        logits_TGRS = _contract("tgrd,sgd->tgrs", q_TGRD, k_SGD, scale)
        hidden_TS = index > at_T[i : i + rows, None]
        logits_TGRS = logits_TGRS.masked_fill(hidden_TS[:, None, None], float("-inf"))
        weight, lse = _softmax(logits_TGRS)
        out = torch.einsum("tgrs,sgv->tgrv", weight, v_SGV.to(weight.dtype))
        parts.append(Attended(out.flatten(1, 2).to(q_THD.dtype), lse.flatten(1, 2)))
    return _stack(parts, q_THD, v_SGV)


def merge(parts: list[Attended]) -> Attended:
    """Merge what the same queries got from disjoint sets of keys."""
    lse_PTH = torch.stack([part.lse_TH for part in parts])
    lse_TH = lse_PTH.logsumexp(0)
    share_PTH = torch.exp(lse_PTH - torch.where(lse_TH == float("-inf"), 0.0, lse_TH))
    out_PTHV = torch.stack([part.out_THV for part in parts])
    out_THV = (out_PTHV.to(share_PTH.dtype) * share_PTH[..., None]).sum(0)
    return Attended(out_THV.to(out_PTHV.dtype), lse_TH)


def _grouped(q_THD: Tensor, k_SGD: Tensor) -> Tensor:
    (rows, heads, width), key_heads = q_THD.shape, k_SGD.shape[1]
    if heads % key_heads:
        raise ValueError(f"{heads} query heads are no multiple of {key_heads} key heads")
    return q_THD.reshape(rows, key_heads, heads // key_heads, width)


def _contract(letters: str, q: Tensor, k: Tensor, scale: float | None) -> Tensor:
    dtype = torch.promote_types(q.dtype, torch.float32)
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    return torch.einsum(letters, q.to(dtype), k.to(dtype)) * factor


def _softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    lse = logits.logsumexp(-1)
    return torch.exp(logits - torch.where(lse == float("-inf"), 0.0, lse)[..., None]), lse


def _stack(parts: list[Attended], q_THD: Tensor, v_SGV: Tensor) -> Attended:
    if not parts:
        shape = (0, q_THD.shape[1], v_SGV.shape[2])
        return Attended(q_THD.new_empty(shape), q_THD.new_empty(shape[:2], dtype=torch.float32))
    return Attended(
        torch.cat([part.out_THV for part in parts]), torch.cat([part.lse_TH for part in parts])
    )
