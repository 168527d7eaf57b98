"""Triton: the k best of each row of scores, in ascending order of index.

A program holds a whole span of one row in registers. It finds the k-th best score by halving the
range of scores again and again, counts how many equals still have room, and writes what stays
where running counts say, so that nothing is ever sorted and of equals the first ones are kept.
Longer rows are dealt out to several programs, and the best of what those picked is picked again.
Which scores there are it does not know.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportGeneralTypeIssues=false, reportIndexIssue=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

MOST = 1 << 15
"""Columns that one program can hold."""


@triton.jit
def ranked(score):
    """Return uint32 that sort as float32 scores do; zeros of either sign are equal."""
    bits = (score + 0.0).to(tl.int32, bitcast=True)
    signed = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return signed.to(tl.uint32, bitcast=True) ^ 0x80000000


@triton.jit
def scored(rank):
    """Return the scores that have these ranks."""
    signed = (rank ^ 0x80000000).to(tl.int32, bitcast=True)
    return (signed ^ ((signed >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def pick_kernel(
    score_RC,  # float32, -inf: cannot be picked
    index_RC,  # int32, or unused: then column c is key c
    picked_score,  # out, float32: k for each row and split, -inf where there is none
    picked_index,  # out, int32: -1 where there is none
    C,
    share,  # columns of a split, at most WIDTH
    k,
    rows,  # rows that lie together where the picked ones go,
    apart,  # and rows from the first of those to the next ones
    WIDTH: tl.constexpr,
    TILE: tl.constexpr,  # columns that are written out at a time, fewer than 32,768
    KEPT: tl.constexpr,  # k, padded to a power of two
    HAS_INDEX: tl.constexpr,
):
    """Pick from one split of one row."""
    r = tl.program_id(0).to(tl.int64)
    split, splits = tl.program_id(1), tl.num_programs(1)
    begin = split * share
    end = tl.minimum(begin + share, C)
    score_C = score_RC + r * C
    all_ = begin + tl.arange(0, WIDTH)
    rank = ranked(tl.load(score_C + all_, mask=all_ < end, other=float("-inf")))

    # `low` is reached by `reached` ranks, k or more of them; `high` by fewer than k.
    low = tl.full((), 0x00800000, tl.uint32)  # the first rank above that of -inf
    high = tl.max(rank, 0) + 1
    reached = tl.sum((rank >= low).to(tl.int32), 0)
    while (reached > k) & (high - low > 1):
        middle = low + ((high - low) >> 1)
        there = tl.sum((rank >= middle).to(tl.int32), 0)
        is_enough = there >= k
        low = tl.where(is_enough, middle, low)
        high = tl.where(is_enough, high, middle)
        reached = tl.where(is_enough, there, reached)

    ties = tl.minimum(reached, k) - tl.sum((rank > low).to(tl.int32), 0)
    to = (((r // rows) * apart + r % rows) * splits + split) * k
    picked_score, picked_index = picked_score + to, picked_index + to
    above_before = tl.full((), 0, tl.int32)
    equal_before = tl.full((), 0, tl.int32)
    for from_ in range(begin, end, TILE):
        column = from_ + tl.arange(0, TILE)
        part = ranked(tl.load(score_C + column, mask=column < end, other=float("-inf")))
        found = (part > low).to(tl.int32) + ((part == low).to(tl.int32) << 16)
        counts = tl.cumsum(found, 0)
        above = above_before + (counts & 0xFFFF)
        equal = equal_before + (counts >> 16)
        is_kept = (part > low) | ((part == low) & (equal <= ties))
        at = above + tl.minimum(equal, ties) - 1
        if HAS_INDEX:
            index = tl.load(index_RC + r * C + column, mask=is_kept, other=-1)
        else:
            index = column
        tl.store(picked_score + at, scored(part), mask=is_kept)
        tl.store(picked_index + at, index, mask=is_kept)
        more = tl.sum(found, 0)
        above_before += more & 0xFFFF
        equal_before += more >> 16
    left = tl.arange(0, KEPT)
    is_left = (left < k) & (left >= reached)
    tl.store(picked_score + left, float("-inf"), mask=is_left)
    tl.store(picked_index + left, -1, mask=is_left)
