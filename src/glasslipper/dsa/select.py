"""Which keys a query attends to: the k best by index score, exactly, in one pass over the keys.

The rule: the higher score wins, and of equal scores (ReLU makes many zeros) the lower index; a
query at position p sees keys 0 … p. Score and index are packed into one integer, so that no two
candidates are equal and no library is left to break a tie. Keys are read in chunks; beside one
chunk only the k best so far are held, and the outcome is the same for any chunk.

Knows nothing of attention, nor of pages. Letters: T queries, S keys, K budget, B query blocks,
C candidates, J index heads, I index dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from . import codes
from .codes import Keys, Queries, Runs

_LOW = 0xFFFF_FFFF
_EMPTY = -(1 << 63)  # below every packed candidate
_AFTER_ALL = 1 << 62  # where empty places sort to


class Selection(NamedTuple):
    """The keys chosen for each query, in ascending order; -1 and -inf fill up what is left."""

    index_TK: Tensor  # int32
    score_TK: Tensor  # float32

    @property
    def count_T(self) -> Tensor:
        """How many keys each query has."""
        return (self.index_TK >= 0).sum(-1)


def pack(score: Tensor, index: Tensor) -> Tensor:
    """Return int64 candidates that sort as the rule says; a score of -inf is no candidate."""
    bits = (score + 0.0).view(torch.int32)  # -0.0 + 0.0 = 0.0: zeros tie whatever their sign
    ordered = (bits ^ ((bits >> 31) & 0x7FFF_FFFF)).long()
    return torch.where(score == float("-inf"), _EMPTY, (ordered << 32) | (_LOW - index.long()))


def unpack(packed_TK: Tensor) -> Selection:
    """Return packed candidates as a selection, in ascending order of index."""
    is_empty = packed_TK == _EMPTY
    index, order = torch.sort(torch.where(is_empty, _AFTER_ALL, _LOW - (packed_TK & _LOW)))
    is_empty = index == _AFTER_ALL
    return Selection(
        torch.where(is_empty, -1, index).to(torch.int32),
        torch.where(is_empty, float("-inf"), _score(packed_TK).gather(-1, order)),
    )


def keep(packed: Tensor, k: int) -> Tensor:
    """Keep the k best of packed candidates, in no order."""
    return packed if packed.shape[-1] <= k else torch.topk(packed, k, sorted=False).values


def stream(
    score_chunk: Callable[[int, int], Tensor], at_T: Tensor, k: int, *, chunk: int = 4096
) -> Selection:
    """Select from scores that come in chunks.

    Args:
        score_chunk: Returns the float32 scores (T, end - start) of the keys from start to end.
        at_T: The last key that each query may see.
        k: The budget; the selection is never wider than this.
        chunk: How many keys are scored at a time.

    Raises:
        ValueError: When k or chunk is not positive.
    """
    if k < 1 or chunk < 1:
        raise ValueError(f"budget and chunk must be positive, not {k} and {chunk}")
    visible = int(at_T.max()) + 1 if at_T.numel() else 0
    best = torch.full((at_T.shape[0], 0), _EMPTY, device=at_T.device)
    for start in range(0, visible, chunk):
        end = min(start + chunk, visible)
        index = torch.arange(start, end, device=at_T.device)
        scores = score_chunk(start, end).masked_fill(index > at_T[:, None], float("-inf"))
        best = keep(torch.cat((best, pack(scores, index)), dim=-1), k)
    return unpack(best)


def top_k(
    queries: Queries, keys: Keys, k: int, at_T: Tensor, *, chunk: int = 4096, rows: int = 256
) -> Selection:
    """Select k keys for each query, `rows` queries and `chunk` keys at a time."""
    width = min(k, keys.codes_SI.shape[0])
    parts = [
        stream(
            lambda start, end, some=some: codes.score(some, _span(keys, start, end)),
            at_T[first : first + rows],
            k,
            chunk=chunk,
        )
        for first, some in _rows(queries, rows)
    ]
    return _stack([_widen(part, width) for part in parts], width, at_T.device)


def block_top_k(
    queries: Queries, keys: Keys, k: int, at_T: Tensor, *, block: int = 32, chunk: int = 4096
) -> Selection:
    """Select k keys for each block of neighbouring queries, for prefill.

    A key's score for a block is the best that it has with any query of the block that sees it;
    each query still masks what lies after it. Returns a selection with one row for each block.

    Raises:
        ValueError: When k is not above the block: then a query could be left without any key.
    """
    if k <= block:
        raise ValueError(f"a budget of {k} is not above the block of {block} queries")
    width = min(k, keys.codes_SI.shape[0])
    parts: list[Selection] = []
    for first, some in _rows(queries, block):
        seen_T = at_T[first : first + block]

        def score_chunk(
            start: int, end: int, some: Queries = some, seen_T: Tensor = seen_T
        ) -> Tensor:
            scores = codes.score(some, _span(keys, start, end))
            index = torch.arange(start, end, device=scores.device)
            hidden = index > seen_T[:, None]
            return scores.masked_fill(hidden, float("-inf")).amax(0, keepdim=True)

        parts.append(_widen(stream(score_chunk, seen_T.max()[None], k, chunk=chunk), width))
    return _stack(parts, width, at_T.device)


def hierarchical_top_k(
    queries: Queries,
    keys: Keys,
    pooled: Runs,
    k: int,
    at_T: Tensor,
    *,
    pool_tokens: int = 16,
    candidates: int = 4,
    rows: int = 16,
) -> Selection:
    """Select in two steps: the best runs of keys (`codes.score_runs`), then the best keys in them.

    Args:
        queries: Index queries.
        keys: Index keys.
        pooled: `codes.pool(keys, pool_tokens)`.
        k: The budget.
        at_T: The last key that each query may see.
        pool_tokens: Keys in a run.
        candidates: Runs that hold this many times k keys are scored key by key; so is the
            run that a query stands in. When they cover all, the outcome is that of `top_k`.
        rows: Queries at a time.
    """
    runs = max(1, candidates * k // pool_tokens)
    width = min(k, keys.codes_SI.shape[0])
    parts: list[Selection] = []
    for first, some in _rows(queries, rows):
        seen_T = at_T[first : first + rows]
        chosen = stream(
            lambda start, end, some=some: codes.score_runs(
                some, Runs(*(x[start:end] for x in pooled))
            ),
            (seen_T + 1) // pool_tokens - 1,
            runs,
        ).index_TK.long()
        own = ((seen_T + 1) // pool_tokens)[:, None]
        run_TR = torch.cat((torch.where(chosen < 0, own + 1, chosen), own), dim=-1)
        within = torch.arange(pool_tokens, device=run_TR.device)
        index_TC = (run_TR[:, :, None] * pool_tokens + within).flatten(1)
        hidden = index_TC > seen_T[:, None]
        safe_TC = index_TC.clamp(max=keys.codes_SI.shape[0] - 1)
        scores = codes.score_gathered(some, keys.codes_SI[safe_TC], keys.scale_S[safe_TC])
        packed = pack(scores.masked_fill(hidden, float("-inf")), index_TC)
        parts.append(_widen(unpack(keep(packed, k)), width))
    return _stack(parts, width, at_T.device)


class Adapted(NamedTuple):
    """A selection cut to what the indexer believes is enough."""

    selection: Selection
    missing_T: Tensor  # float64: at most this share of the predicted mass is left out


def adapt(selection: Selection, mass: float, at_T: Tensor, *, least: int = 16) -> Adapted:
    """Give each query only as many of its keys as hold `mass` of the predicted attention.

    The prediction is softmax(score), what the indexer was trained for. Keys outside the
    selection score no more than its last, which bounds their part without reading them again.

    Args:
        selection: From one of the functions above, at the largest budget.
        mass: The share to hold, in (0, 1].
        at_T: The last key that each query may see.
        least: Never fewer keys than this (where there are as many).
    """
    if not 0 < mass <= 1:
        raise ValueError(f"a share lies in (0, 1], not at {mass}")
    packed, _ = torch.sort(pack(selection.score_TK, selection.index_TK), descending=True)
    ranked = torch.where(packed == _EMPTY, float("-inf"), _score(packed)).double()
    weight = torch.exp(ranked - ranked[:, :1])
    held = weight.cumsum(-1)
    count = selection.count_T
    last = weight.gather(-1, (count - 1).clamp(min=0)[:, None])[:, 0]
    total = held[:, -1] + (at_T + 1 - count) * last
    enough = (held < mass * total[:, None]).sum(-1) + 1
    kept = torch.minimum(enough.clamp(min=least), count)
    rank = torch.arange(packed.shape[-1], device=packed.device)
    missing = 1 - held.gather(-1, (kept - 1).clamp(min=0)[:, None])[:, 0] / total
    cut = unpack(torch.where(rank < kept[:, None], packed, _EMPTY))
    return Adapted(cut, missing.clamp(min=0))


def _score(packed: Tensor) -> Tensor:
    ordered = (packed >> 32).to(torch.int32)
    return (ordered ^ ((ordered >> 31) & 0x7FFF_FFFF)).view(torch.float32)


def _span(keys: Keys, start: int, end: int) -> Keys:
    return Keys(keys.codes_SI[start:end], keys.scale_S[start:end])


def _rows(queries: Queries, rows: int) -> list[tuple[int, Queries]]:
    count = queries.codes_TJI.shape[0]
    return [
        (i, Queries(queries.codes_TJI[i : i + rows], queries.weight_TJ[i : i + rows]))
        for i in range(0, count, rows)
    ]


def _widen(part: Selection, width: int) -> Selection:
    short = width - part.index_TK.shape[-1]
    if short <= 0:
        return part
    pad = torch.nn.functional.pad
    return Selection(
        pad(part.index_TK, (0, short), value=-1),
        pad(part.score_TK, (0, short), value=float("-inf")),
    )


def _stack(parts: list[Selection], width: int, device: torch.device) -> Selection:
    if not parts:
        return Selection(
            torch.empty((0, width), dtype=torch.int32, device=device),
            torch.empty((0, width), device=device),
        )
    return Selection(
        torch.cat([part.index_TK for part in parts]), torch.cat([part.score_TK for part in parts])
    )
