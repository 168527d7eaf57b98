"""Measures one decoding step of sparse attention on this CPU beside dense attention.

    make bench-dsa
    make bench-dsa ARGS="--quick"

The shape is one layer of an 8B model: 32 heads of queries, 8 of keys, 128 wide, bfloat16; an
index of 4 heads, 64 wide; a budget of 2048 keys. A sparse step is timed whole: encoding the
index query, scoring, choosing, attending (not the indexer's projections, as little as the dense
side's). Before every timed call 400 MB of other memory are read, as the rest of a model would:
each call finds its keys in memory, not in a cache left warm. Contenders take turns, on all
cores; times are the least of many calls. `*_x_cpu` compares CPU time, which says more than the
clock does while others use the machine.

Dense attention is timed as two matrix products and as torch's SDPA; `dense_ms` is the better
one. Our own dense kernel in C++ is timed too and told apart (`native_dense_ms`, `*_x_native`).

The text is made up: segments of about 100 tokens about one of 256 topics, and queries that look
for a few topics and for words of their own. `mass_flat` and `mass_hier` are the shares of the
dense attention (all heads' mean) that the chosen keys hold; `flat_recall` and `hier_recall` are
those over that of the best 2048 keys. `hier_recall_unstructured` is the same where keys are
independent noise, the worst case for choosing by runs.

The keys of the last line: `shape`, `k`, `lengths` {L: {`dense_ms`, `flat_ms`, `hier_ms`,
`flat_recall`, `hier_recall`, …}}, `flat_x`, `hier_x` {L: ratio}, `dense_baseline` {L: which},
`hier_growth` (time of a query at the longest length over that at 32k), `extra_kv_share`,
`extra_params_share`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from glasslipper.dsa import codes, decode, select
from glasslipper.dsa.cache import RUN, Layout, Store
from glasslipper.dsa.codes import Queries, Runs
from glasslipper.dsa.indexer import IndexQuery
from glasslipper.dsa.kernels import native
from glasslipper.dsa.pages import PAGE
from outcome import Progress, conclude, mention, table

HEADS, GROUPS, WIDTH, INDEX_HEADS, INDEX_WIDTH, BUDGET, CANDIDATES = 32, 8, 128, 4, 64, 2048, 8
LAYERS, HIDDEN, PARAMETERS = 32, 4096, 8.03e9
SHAPE = f"{HEADS}/{GROUPS} x {WIDTH}, index {INDEX_HEADS} x {INDEX_WIDTH}"
LENGTHS, QUICK_LENGTHS = (16384, 32768, 65536, 131072, 262144), (16384, 32768, 65536)
TOPICS, SEGMENT, SHARPNESS = 256, 96, 16.0
CHUNK = 16384


class Ask(NamedTuple):
    """What one step asks for, as a model's layer and its indexer give it."""

    q_HD: Tensor  # bfloat16
    sought: IndexQuery


class Text:
    """A made-up text in a paged cache, and once more as a dense cache would hold it."""

    def __init__(self, length: int, *, is_structured: bool, seed: int = 0) -> None:
        self.length, self.rng = length, torch.Generator().manual_seed(seed)
        layout = Layout(key_heads=GROUPS, head_dim=WIDTH, index_dim=INDEX_WIDTH)
        pages = length // PAGE
        self.store = Store(layout, layers=1, pages=pages)
        self.table = torch.randperm(pages, generator=self.rng).to(torch.int32)
        self.topics = self._unit(TOPICS, INDEX_WIDTH)
        self.into = torch.stack(
            [torch.linalg.qr(self._normal(WIDTH, INDEX_WIDTH))[0] for _ in range(GROUPS)]
        )
        # Both as the store has it: memory in huge pages, beginning at a cache line.
        other = Store(layout, layers=1, pages=pages)
        self.k_GSD, self.v_GSD = other.kv.view(2, GROUPS, length, WIDTH)
        self.noise = 0.02 * self._normal(CHUNK, GROUPS, WIDTH)
        self.values = self._normal(CHUNK, GROUPS, WIDTH)
        topic = self._topics_of(length) if is_structured else None
        for start in range(0, length, CHUNK):
            self._write(start, None if topic is None else topic[start : start + CHUNK])

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.rng)

    def _unit(self, *shape: int) -> Tensor:
        return torch.nn.functional.normalize(self._normal(*shape), dim=-1)

    def _topics_of(self, length: int) -> Tensor:
        rng = np.random.default_rng(1)
        sizes = rng.geometric(1 / SEGMENT, size=4 * length // SEGMENT)
        return torch.tensor(np.repeat(rng.integers(0, TOPICS, len(sizes)), sizes)[:length])

    def _write(self, start: int, topic_S: Tensor | None) -> None:
        count = min(CHUNK, self.length - start)
        own_SI = self._unit(count, INDEX_WIDTH)
        word_SI = own_SI if topic_S is None else 0.75 * self.topics[topic_S] + 0.66 * own_SI
        k_SGD = torch.einsum("si,gdi->sgd", word_SI, self.into) + self.noise[:count]
        v_SGD = self.values[:count]
        keys = codes.encode_keys(word_SI + 0.02 * self._normal(count, INDEX_WIDTH))
        self.store.write(0, self.table, start, k_SGD, v_SGD, keys)
        self.k_GSD[:, start : start + count] = k_SGD.transpose(0, 1).bfloat16()
        self.v_GSD[:, start : start + count] = v_SGD.transpose(0, 1).bfloat16()

    def ask(self) -> Ask:
        """Draw a query: a mixture of topics and something of its own; heads differ a little."""
        some = self.topics[torch.randint(0, TOPICS, (3,), generator=self.rng)]
        wish = (torch.rand(3, 1, generator=self.rng) * some).sum(0) + 0.5 * self._unit(INDEX_WIDTH)
        heads = wish + 0.05 * self._normal(HEADS, INDEX_WIDTH)
        q = torch.einsum("gri,gdi->grd", heads.view(GROUPS, -1, INDEX_WIDTH), self.into)
        index = wish + 0.05 * self._normal(INDEX_HEADS, INDEX_WIDTH)
        weight = torch.full((INDEX_HEADS,), SHARPNESS / INDEX_HEADS)
        wanted = q.reshape(HEADS, WIDTH) * SHARPNESS * WIDTH**0.5
        return Ask(wanted.bfloat16(), IndexQuery(index[None], weight[None]))

    def two_products(self, ask: Ask) -> Tensor:
        """Attend densely by two matrix products."""
        q = (ask.q_HD * WIDTH**-0.5).view(GROUPS, -1, WIDTH)
        return torch.softmax(q @ self.k_GSD.transpose(1, 2), -1) @ self.v_GSD

    def sdpa(self, ask: Ask) -> Tensor:
        """Attend densely as torch offers it."""
        return torch.nn.functional.scaled_dot_product_attention(
            ask.q_HD[None, :, None], self.k_GSD[None], self.v_GSD[None], enable_gqa=True
        )

    def native_dense(self, ask: Ask) -> object:
        """Attend densely in C++, over the pages."""
        query = native.Query(
            np.zeros((INDEX_HEADS, INDEX_WIDTH), np.int8),
            np.zeros(INDEX_HEADS, np.float32),
            ask.q_HD.float().numpy(),
        )
        layer, pages = decode.arrays(self.store, 0), self.table.numpy()
        return native.dense(
            layer,
            pages,
            self.length,
            query,
            scale=WIDTH**-0.5,
            threads=torch.get_num_threads(),
        )

    def sparse(self, ask: Ask, candidates: int) -> decode.Step:
        """Take a whole sparse step."""
        return decode.step(
            self.store,
            0,
            self.table,
            self.length,
            ask.sought,
            ask.q_HD,
            k=BUDGET,
            candidates=candidates,
        )


class Spent(NamedTuple):
    """The least time of many calls: what others on the machine added is in none of them."""

    wall_ms: float
    cpu_ms: float


def least(
    contenders: dict[str, Callable[[Ask], object]], text: Text, repeats: int
) -> dict[str, Spent]:
    """Time contenders in turns, each call on a query of its own."""
    other = np.ones(100_000_000, np.float32)
    spent: dict[str, list[Spent]] = {name: [] for name in contenders}
    for repeat in range(repeats):
        for name, contender in contenders.items():
            if name == "sdpa" and repeat >= (3 if text.length <= 65536 else 1):
                continue  # so slow that a few times tell
            ask = text.ask()
            other.max()
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
            contender(ask)
            cpu_s, wall_s = time.process_time() - began_cpu_s, time.perf_counter() - began_s
            spent[name].append(Spent(wall_s * 1e3, cpu_s * 1e3))
    return {
        name: Spent(min(x.wall_ms for x in times), min(x.cpu_ms for x in times))
        for name, times in spent.items()
    }


def masses(text: Text, queries: int) -> dict[str, float]:
    """Return the shares of the dense attention that chosen keys hold."""
    asks = [text.ask() for _ in range(queries)]
    q = torch.stack([ask.q_HD.float() * WIDTH**-0.5 for ask in asks])
    q_GND = q.view(queries, GROUPS, -1, WIDTH).transpose(0, 1).flatten(1, 2)
    logits = torch.cat(
        [q_GND @ part.float().transpose(1, 2) for part in text.k_GSD.split(CHUNK, 1)], -1
    )
    mean_QS = torch.softmax(logits, -1).unflatten(1, (queries, -1)).mean((0, 2))
    held = {"oracle": float(mean_QS.topk(BUDGET).values.sum(-1).mean())}
    for name, candidates in (("flat", 0), ("hier", CANDIDATES)):
        shares = [
            float(mean_S[text.sparse(ask, candidates).selection.index_TK[0].long()].sum())
            for ask, mean_S in zip(asks, mean_QS, strict=True)
        ]
        held[name] = statistics.mean(shares)
    return held


def check(text: Text) -> None:
    """Refuse to time what is wrong: the sets must be the plain path's, and the outcome too."""
    ask = text.ask()
    queries = codes.encode_queries(*ask.sought)
    keys, at = text.store.keys(0, text.table, text.length), torch.tensor([text.length - 1])
    runs = text.store.runs(0, text.table, text.length)
    for candidates, theirs in (
        (0, select.top_k(queries, keys, BUDGET, at)),
        (CANDIDATES, _by_runs(queries, keys, runs, at)),
    ):
        ours = text.sparse(ask, candidates)
        if not torch.equal(ours.selection.index_TK, theirs.index_TK):
            raise RuntimeError("the kernel chose other keys than the plain path")
    dense = torch.as_tensor(text.native_dense(ask).out_HD)
    if (dense - text.two_products(ask).float().view(HEADS, WIDTH)).abs().max() > 0.05:
        raise RuntimeError("the dense kernel and the two products disagree")


def _by_runs(queries: Queries, keys: codes.Keys, runs: Runs, at: Tensor):
    return select.hierarchical_top_k(
        queries, keys, runs, BUDGET, at, pool_tokens=RUN, candidates=CANDIDATES
    )


def measure(length: int, *, repeats: int, queries: int) -> dict[str, float | str]:
    """Measure one length."""
    text = Text(length, is_structured=True)
    check(text)
    times = least(
        {
            "two_products": text.two_products,
            "sdpa": text.sdpa,
            "native_dense": text.native_dense,
            "flat": lambda ask: text.sparse(ask, 0),
            "hier": lambda ask: text.sparse(ask, CANDIDATES),
        },
        text,
        repeats,
    )
    mass = masses(text, queries)
    noise = masses(Text(length, is_structured=False), max(queries // 2, 1))
    baseline = min(("two_products", "sdpa"), key=lambda name: times[name].wall_ms)
    return {
        "dense_ms": times[baseline].wall_ms,
        "baseline": baseline,
        **{f"{name}_ms": spent.wall_ms for name, spent in times.items()},
        **{f"{name}_cpu_ms": spent.cpu_ms for name, spent in times.items()},
        "flat_recall": mass["flat"] / mass["oracle"],
        "hier_recall": mass["hier"] / mass["oracle"],
        "mass_oracle": mass["oracle"],
        "mass_flat": mass["flat"],
        "mass_hier": mass["hier"],
        "flat_recall_unstructured": noise["flat"] / noise["oracle"],
        "hier_recall_unstructured": noise["hier"] / noise["oracle"],
    }


def extra_parameters() -> float:
    """Return what indexers that read hidden states add to an 8B model's parameters."""
    one = HIDDEN * (INDEX_HEADS * INDEX_WIDTH + INDEX_WIDTH + INDEX_HEADS) + 2 * INDEX_WIDTH
    return LAYERS * one / PARAMETERS


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer lengths and repeats")
    parser.add_argument("--threads", type=int, help="by default as many as there are cores")
    options = parser.parse_args()
    is_quick: bool = options.quick
    torch.set_num_threads(options.threads or len(os.sched_getaffinity(0)))
    lengths = QUICK_LENGTHS if is_quick else LENGTHS
    found: dict[int, dict[str, float | str]] = {}
    progress = Progress("lengths", len(lengths))
    load_before = os.getloadavg()[0]
    for length in lengths:
        found[length] = measure(length, repeats=6 if is_quick else 20, queries=2 if is_quick else 8)
        progress.step(f"{length} tokens")

    def ratios(of: str, to: str) -> dict[str, float]:
        return {str(n): round(float(x[of]) / float(x[to]), 2) for n, x in found.items()}

    table(
        ("tokens", "dense ms", "native ms", "flat ms", "hier ms", "flat x", "hier x", "recall"),
        [
            (
                n,
                *(
                    f"{float(x[name]):.2f}"
                    for name in ("dense_ms", "native_dense_ms", "flat_ms", "hier_ms")
                ),
                ratios("dense_ms", "flat_ms")[str(n)],
                ratios("dense_ms", "hier_ms")[str(n)],
                f"{float(x['flat_recall']):.3f} / {float(x['hier_recall']):.3f}",
            )
            for n, x in found.items()
        ],
    )
    mention(f"load before: {load_before:.1f}, after: {os.getloadavg()[0]:.1f}")
    rounded = {
        str(n): {key: round(v, 4) if isinstance(v, float) else v for key, v in x.items()}
        for n, x in found.items()
    }
    conclude(
        {
            "shape": SHAPE,
            "k": BUDGET,
            "threads": torch.get_num_threads(),
            "load": [round(load_before, 1), round(os.getloadavg()[0], 1)],
            "lengths": rounded,
            "flat_x": ratios("dense_ms", "flat_ms"),
            "hier_x": ratios("dense_ms", "hier_ms"),
            "flat_x_cpu": ratios("two_products_cpu_ms", "flat_cpu_ms"),
            "hier_x_cpu": ratios("two_products_cpu_ms", "hier_cpu_ms"),
            "flat_x_native": ratios("native_dense_ms", "flat_ms"),
            "hier_x_native": ratios("native_dense_ms", "hier_ms"),
            "dense_baseline": {str(n): x["baseline"] for n, x in found.items()},
            "hier_growth": round(
                float(found[max(found)]["hier_ms"]) / float(found[32768]["hier_ms"]), 2
            ),
            "hier_growth_cpu": round(
                float(found[max(found)]["hier_cpu_ms"]) / float(found[32768]["hier_cpu_ms"]), 2
            ),
            "hier_over_flat_recall": round(
                min(float(x["hier_recall"]) / float(x["flat_recall"]) for x in found.values()), 4
            ),
            "extra_kv_share": round(
                Layout(key_heads=GROUPS, head_dim=WIDTH, index_dim=INDEX_WIDTH).extra_share, 4
            ),
            "extra_params_share": round(extra_parameters(), 4),
        }
    )


if __name__ == "__main__":
    main()
