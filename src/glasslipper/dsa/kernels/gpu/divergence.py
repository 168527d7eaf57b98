"""Triton: the indexer's loss KL(teacher ‖ softmax(scores)), a row at a time, with its gradient.

A row holds one query's scores of all keys; whoever calls passes a chunk of queries at a time,
so that memory is chunk · L and never L · L. Source: the DeepSeek-V3.2-Exp report, section 2.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def divergence_kernel(
    score_TS,  # float32; -inf: not seen, or not selected
    teacher_TS,  # float32, ≥ 0; normalised here over what the score allows
    loss_T,  # out, float32
    gradient_TS,  # out, float32: softmax(score) - teacher
    S,
    TILE: tl.constexpr,
):
    """Compare one row."""
    t = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, TILE)
    most = tl.full((), float("-inf"), tl.float32)
    total = tl.full((), 0.0, tl.float32)
    mass = tl.full((), 0.0, tl.float32)
    for from_ in range(0, S, TILE):
        at = from_ + lane
        score = tl.load(score_TS + t * S + at, mask=at < S, other=float("-inf"))
        teacher = tl.load(teacher_TS + t * S + at, mask=at < S, other=0.0)
        is_seen = score > float("-inf")
        higher = tl.maximum(most, tl.max(score, 0))
        pivot = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(most - pivot) + tl.sum(tl.exp(score - pivot), 0)
        mass += tl.sum(tl.where(is_seen, teacher, 0.0), 0)
        most = higher
    lse = most + tl.log(total)
    loss = tl.full((), 0.0, tl.float32)
    for from_ in range(0, S, TILE):
        at = from_ + lane
        score = tl.load(score_TS + t * S + at, mask=at < S, other=float("-inf"))
        teacher = tl.load(teacher_TS + t * S + at, mask=at < S, other=0.0)
        is_seen = score > float("-inf")
        p = tl.where(is_seen, teacher, 0.0) / mass
        log_guess = tl.where(is_seen, score - lse, 0.0)
        gap = tl.log(tl.where(p > 0.0, p, 1.0)) - log_guess
        loss += tl.sum(tl.where(p > 0.0, p * gap, 0.0), 0)
        guess = tl.where(is_seen, tl.exp(log_guess), 0.0)
        tl.store(gradient_TS + t * S + at, guess - p, mask=at < S)
    tl.store(loss_T + t, loss)
