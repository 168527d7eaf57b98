"""Triton: the k best of each row of scores, in ascending order of index.

A program holds a whole span of one row in registers. It guesses the k-th best score and counts
how many are as good, again and again, until k are; finds in the same way how far into the row
its equals are kept; and writes what stays where a running count says. Nothing is ever sorted, and
what is kept depends on no guess.
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
def guess(low, high, reached, passed, k, tries):
    """Guess the rank of the k-th best score; it lies between `low` and `high`.

    First as if their number fell exponentially in between, but a little nearer to the middle;
    zero, which many scores may be, by itself; and when that leads nowhere, halfway.
    """
    zero = tl.full((), 0x80000000, tl.uint32)
    most, least = tl.log2(reached.to(tl.float32)), tl.log2(tl.maximum(passed.to(tl.float32), 0.5))
    part = (most - tl.log2(tl.zeros((), tl.float32) + k)) / (most - least)
    worst, best = scored(low), scored(high)
    middle = ranked(worst + (0.05 + 0.9 * part) * (best - worst))
    middle = tl.where(tries < 20, middle, low + ((high - low) >> 1))
    middle = tl.where((low == zero) & (tries < 2), zero + 1, middle)
    middle = tl.where((low < zero) & (zero < high), zero, middle)
    return tl.minimum(tl.maximum(middle, low + 1), high - 1)


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
    each = begin + tl.arange(0, WIDTH)
    score = tl.load(score_C + each, mask=each < end, other=float("-inf")) + 0.0

    # At least k scores, `reached`, are as good as rank `low`, and fewer, `passed`, as `high`.
    is_there = score > float("-inf")
    reached = tl.sum(is_there.to(tl.int32), 0)
    passed = tl.full((), 0, tl.int32)
    low = ranked(tl.min(tl.where(is_there, score, float("inf")), 0))
    high = ranked(tl.max(score, 0)) + 1
    tries = tl.full((), 0, tl.int32)
    while (reached > k) & (high - low > 1):
        middle = guess(low, high, reached, passed, k, tries)
        # The sign of a difference counts what is lower in two instructions a score.
        signs = (score - scored(middle)).to(tl.uint32, bitcast=True) >> 31
        there = WIDTH - tl.sum(signs.to(tl.int32), 0)
        is_enough = there >= k
        low = tl.where(is_enough, middle, low)
        reached = tl.where(is_enough, there, reached)
        high = tl.where(is_enough, high, middle)
        passed = tl.where(is_enough, passed, there)
        tries += 1

    # Of those that equal the bound, the ones before column `until` are kept.
    bound = scored(low)
    room = k - tl.sum((score > bound).to(tl.int32), 0)
    until = tl.where(reached > k, begin, end)
    after = end
    while after - until > 1:
        middle = until + ((after - until) >> 1)
        equal = (score == bound) & (each < middle)
        is_room = tl.sum(equal.to(tl.int32), 0) <= room
        until = tl.where(is_room, middle, until)
        after = tl.where(is_room, after, middle)

    to = (((r // rows) * apart + r % rows) * splits + split) * k
    picked_score, picked_index = picked_score + to, picked_index + to
    before = tl.full((), -1, tl.int32)
    for from_ in range(begin, end, TILE):
        column = from_ + tl.arange(0, TILE)
        part = tl.load(score_C + column, mask=column < end, other=float("-inf")) + 0.0
        is_kept = (part > bound) | ((part == bound) & (column < until))
        count = is_kept.to(tl.int32)
        at = before + tl.cumsum(count, 0)
        if HAS_INDEX:
            index = tl.load(index_RC + r * C + column, mask=column < end, other=-1)
        else:
            index = column
        tl.store(picked_score + at, part, mask=is_kept)
        tl.store(picked_index + at, index, mask=is_kept)
        before += tl.sum(count, 0)
    left = tl.arange(0, KEPT)
    is_left = (left < k) & (left >= reached)
    tl.store(picked_score + left, float("-inf"), mask=is_left)
    tl.store(picked_index + left, -1, mask=is_left)
