"""Triton: keep the k best of a row of scores, chunk after chunk, in ascending order of index.

A row has room for more than k candidates. What does not beat the k-th best so far is dropped at
once; when the room is full it is thinned out to k. Candidates come and stay in ascending order
of index, so that of equals the first ones are kept by counting, and nothing is ever sorted.
Which scores there are it does not know.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def ordered(score):
    """Return uint32 that sort as float32 scores do; zeros of either sign are equal."""
    bits = (score + 0.0).to(tl.int32, bitcast=True)
    signed = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return signed.to(tl.uint32, bitcast=True) ^ 0x80000000


@triton.jit
def thin_out(held_score, held_index, count, k, ROOM: tl.constexpr):
    """Keep the k best of a row's `count` candidates; return the worst score that stays."""
    place = tl.arange(0, ROOM)
    is_there = place < count
    score = tl.load(held_score + place, mask=is_there, other=float("-inf"))
    index = tl.load(held_index + place, mask=is_there, other=-1)
    rank = ordered(score)
    bound = tl.full((), 0, tl.uint32)
    bit = tl.full((), 0x80000000, tl.uint32)
    for _ in range(32):
        tried = bound | bit
        reached = tl.sum((is_there & (rank >= tried)).to(tl.int32))
        bound = tl.where(reached >= k, tried, bound)
        bit = bit >> 1
    above = is_there & (rank > bound)
    equal = is_there & (rank == bound)
    ties = k - tl.sum(above.to(tl.int32))
    kept = above | (equal & (tl.cumsum(equal.to(tl.int32)) <= ties))
    to = tl.cumsum(kept.to(tl.int32)) - 1
    tl.debug_barrier()
    tl.store(held_score + to, score, mask=kept)
    tl.store(held_index + to, index, mask=kept)
    tl.debug_barrier()
    return tl.min(tl.where(kept, score, float("inf")))


@triton.jit
def keep_kernel(
    score_RC,  # float32
    index_RC,  # int32, or unused: then column c of a row is key start + c
    held_score_R,  # float32, ROOM a row and split
    held_index_R,  # int32, ROOM a row and split
    count_R,  # int32
    least_R,  # float32: only what is above this still counts
    start,
    C,
    share,  # columns of a split
    k,
    is_last,  # whether to thin out to k at the end
    ROOM: tl.constexpr,  # at least k + TILE
    TILE: tl.constexpr,
    HAS_INDEX: tl.constexpr,
):
    """Take one split of one row's next C scores."""
    r = tl.program_id(0).to(tl.int64)
    split = tl.program_id(1)
    held = r * tl.num_programs(1) + split
    held_score, held_index = held_score_R + held * ROOM, held_index_R + held * ROOM
    count, least = tl.load(count_R + held), tl.load(least_R + held)
    end = tl.minimum(split * share + share, C)
    for from_ in range(split * share, end, TILE):
        column = from_ + tl.arange(0, TILE)
        is_column = column < end
        score = tl.load(score_RC + r * C + column, mask=is_column, other=float("-inf"))
        if HAS_INDEX:
            index = tl.load(index_RC + r * C + column, mask=is_column, other=-1)
        else:
            index = start + column
        passed = score > least
        found = tl.sum(passed.to(tl.int32))
        if count + found > ROOM:
            least = thin_out(held_score, held_index, count, k, ROOM)
            count = k
            passed = score > least
            found = tl.sum(passed.to(tl.int32))
        to = count + tl.cumsum(passed.to(tl.int32)) - 1
        tl.store(held_score + to, score, mask=passed)
        tl.store(held_index + to, index, mask=passed)
        tl.debug_barrier()
        count += found
    if (is_last != 0) & (count > k):
        least = thin_out(held_score, held_index, count, k, ROOM)
        count = k
    tl.store(count_R + held, count)
    tl.store(least_R + held, least)
