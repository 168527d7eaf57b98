"""Puts the figures of a retrofit together: what it keeps, what it costs, and what it would at best.

Every figure is measured in this run, on the texts given, for the dense model and beside it for
a sliding window and an oracle of the same budget. Returns plain data; `page` draws it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from glasslipper.dsa import looks, quality, speed, teacher, warmup
from glasslipper.dsa.adapter import Adapter
from glasslipper.dsa.cache import Layout
from glasslipper.dsa.host import Host, Look, Seen
from glasslipper.dsa.looks import Indexed, Selecting
from glasslipper.dsa.memo import Memo

Progress = Callable[[str, int, int], None]
Report = dict[str, Any]  # data for JSON and for the page

GOOD_DENSE = 0.9
"""Needles are compared where the dense model finds at least this share of them."""


def evaluate(
    host: Host,
    adapter: Adapter,
    texts: Mapping[str, Sequence[Tensor]],
    *,
    budgets: Sequence[int] = (256, 512),
    needle_lengths: Sequence[int] = (1024, 2048),
    haystacks: int = 10,
    block: int = 0,
    tokenizer: Any = None,
    memo: Memo | None = None,
    on_progress: Progress = lambda what, done, total: None,
) -> Report:
    """Return the report on a retrofit, judged on sequences of named texts.

    With `block`, the plan is judged a second time, as a prefill by such blocks of queries. What
    `memo` knows is not measured again.
    """
    known = memo or Memo()
    host.tune(adapter.tuning)
    report: Report = {
        "plan": [
            {"layer": n, "kind": p.kind, "k": p.k, "source": p.source, "why": p.why}
            for n, p in enumerate(adapter.plan)
        ],
        "budgets": list(budgets),
        "made_with": dict(adapter.made_with),
        "extra_params_share": adapter.parameters / sum(p.numel() for p in host.model.parameters()),
        "extra_kv_share": Layout(
            key_heads=adapter.model.groups,
            head_dim=adapter.model.width,
            index_dim=adapter.index.width,
        ).extra_share,
        "texts": {name: len(some) for name, some in texts.items()},
    }
    report["recall"] = recall(host, adapter, texts, known, on_progress=on_progress)
    report["perplexity"] = {
        name: perplexity(
            host,
            adapter,
            some,
            budgets,
            block=block,
            name=name,
            memo=known,
            on_progress=on_progress,
        )
        for name, some in texts.items()
    }
    report["needles"] = needle_grid(
        host,
        adapter,
        next(iter(texts.values())),
        tokenizer=tokenizer,
        lengths=needle_lengths,
        count=haystacks,
        budgets=budgets,
        memo=known,
        on_progress=on_progress,
    )
    report["speed"] = speed.measure(
        adapter,
        k=budgets[0],
        device=host.device,
        on_progress=lambda done, total: on_progress("speed", done, total),
    )
    return report


def uniform(adapter: Adapter, k: int) -> Selecting:
    """Return the look by which every layer that is not dense attends to k tokens."""
    layers = {n: layer for n, layer in enumerate(adapter.plan) if layer.kind != "dense"}
    sources = {n: layer.source for n, layer in layers.items() if layer.kind == "shared"}
    return Selecting(
        Indexed(adapter.indexers),
        dict.fromkeys(layers, k),
        sources,
        is_tuned=bool(adapter.tuning),
    )


def recall(
    host: Host,
    adapter: Adapter,
    texts: Mapping[str, Sequence[Tensor]],
    memo: Memo,
    *,
    on_progress: Progress = lambda what, done, total: None,
) -> Report:
    """Return, by text, layer and budget, the mass kept by oracle, indexer and window."""
    found: Report = {}
    for name, some in texts.items():
        each: list[dict[str, list[list[float]]]] = []
        for number, tokens_S in enumerate(some):
            each.append(memo(f"kept {name} {number}", lambda s=tokens_S: _kept(host, adapter, s)))
            on_progress(f"mass kept, {name}", number + 1, len(some))
        found[name] = {
            "budgets": list(warmup.budgets_for(len(some[0]))),
            "layers": {layer: _mean([one[layer] for one in each]) for layer in each[0]},
        }
    return found


def _mean(tables: list[list[list[float]]]) -> list[list[float]]:
    return torch.tensor(tables, device="cpu").mean(0).tolist()


def _kept(host: Host, adapter: Adapter, tokens_S: Tensor) -> dict[str, list[list[float]]]:
    """Return by layer and budget what oracle, indexer and window keep of one sequence."""
    look = _Watching(adapter)
    with torch.inference_mode(), host.looking(look):
        host.hidden(tokens_S, use_cache=False)
    return look.found


class _Watching:
    """A dense look that measures what indexers would keep of it, for every eighth later query."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.is_tuned = bool(adapter.tuning)
        self.found: dict[str, list[list[float]]] = {}

    def __call__(self, seen: Seen) -> Tensor:
        indexer = self._adapter.indexers.get(seen.layer)
        if indexer is not None:
            length = len(seen.raw_k_TF)
            at_T = torch.arange(length // 2, length, 8, device=seen.raw_k_TF.device)
            rows = teacher.Rows(at_T, seen.raw_q_TE[at_T], seen.raw_k_TF, looks.weights(seen, at_T))
            self.found[str(seen.layer)] = [
                [r.oracle, r.indexer, r.window] for r in warmup.recalls(indexer, [rows])
            ]
        return looks.dense(seen)


def recall_of_oracle(recall_of_text: Report, k: int) -> float:
    """Return the layers' mean of what the indexer keeps over what the oracle keeps."""
    at = recall_of_text["budgets"].index(k)
    shares = [rows[at][1] / rows[at][0] for rows in recall_of_text["layers"].values()]
    return sum(shares) / max(1, len(shares))


def perplexity(
    host: Host,
    adapter: Adapter,
    sequences: Sequence[Tensor],
    budgets: Sequence[int],
    *,
    block: int,
    name: str,
    memo: Memo,
    on_progress: Progress,
) -> Report:
    """Return perplexities and their ratios to the dense one, by look and by position."""
    bucket = max(1, len(sequences[0]) // 8)
    ways: dict[str, Look] = {"dense": looks.dense, "plan": looks.planned(adapter)}
    if block:
        ways[f"plan, blocks of {block}"] = looks.planned(adapter, block=block)
    for k in budgets:
        everywhere = dict.fromkeys(range(adapter.model.layers), k)
        ways[f"sparse {k}"] = uniform(adapter, k)
        ways[f"oracle {k}"] = Selecting(looks.oracle, everywhere)
        ways[f"window {k}"] = Selecting(looks.window, everywhere)
    found = quality.likelihoods(
        host,
        sequences,
        ways,
        bucket=bucket,
        name=name,
        memo=memo,
        on_progress=lambda done, total: on_progress(f"perplexity, {name}", done, total),
    )
    dense = found["dense"]
    half = len(sequences[0]) // 2
    starts = sorted(dense.nll)
    return {
        "dense_nll": dense.mean(half),
        "later_half": {way: quality.ratio(each, dense, half) for way, each in found.items()},
        "all": {way: quality.ratio(each, dense) for way, each in found.items()},
        "by_position": {
            way: [
                [at, each.nll[at] / each.tokens[at] - dense.nll[at] / dense.tokens[at]]
                for at in starts
            ]
            for way, each in found.items()
        },
        "greedy_agreement": {way: each.same / each.compared for way, each in found.items()},
    }


def needle_grid(
    host: Host,
    adapter: Adapter,
    hay: Sequence[Tensor],
    *,
    tokenizer: Any,  # transformers types its tokenizers loosely
    lengths: Sequence[int],
    count: int,
    budgets: Sequence[int],
    memo: Memo,
    on_progress: Progress,
) -> Report:
    """Return by length and depth the share of needles found, densely and sparsely."""
    ways: dict[str, Look] = {"dense": looks.dense, "plan": looks.planned(adapter)}
    ways |= {f"sparse {budget}": uniform(adapter, budget) for budget in budgets}
    grid: Report = {way: {} for way in ways}
    for length in lengths:
        stacks = quality.haystacks(tokenizer, hay, length=length, count=count, seed=length)
        for way, look in ways.items():
            told: dict[str, list[bool]] = {}
            for number, stack in enumerate(stacks):
                found = memo(
                    f"needles {length} {number} {way}",
                    lambda stack=stack, look=look: quality.needles(host, stack, look),
                )
                for depth, is_right in found.items():
                    told.setdefault(depth, []).append(is_right)
                on_progress(f"needles in {length} tokens, {way}", number + 1, count)
            grid[way][length] = {depth: sum(all_) / count for depth, all_ in told.items()}
    return {"count": count, "found": grid, "good_cells": _good(grid)}


def _good(grid: Report) -> Report:
    """Return the mean over the cells in which the dense model is good, by look."""
    cells = [
        (length, depth)
        for length, by_depth in grid["dense"].items()
        for depth, share in by_depth.items()
        if share >= GOOD_DENSE
    ]
    return {"cells": len(cells)} | {
        way: sum(by[length][depth] for length, depth in cells) / len(cells) if cells else None
        for way, by in grid.items()
    }
