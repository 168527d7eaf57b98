"""Checks the Triton kernels on a GPU against float64 and the plain path, then times them.

    python benchmarks/dsa_gpu.py                   on a machine with an NVIDIA GPU, sm_80 or newer
    python benchmarks/dsa_gpu.py --quick           shorter lengths
    python benchmarks/dsa_gpu.py --interpret       no GPU: the checks alone, in Triton's interpreter

It needs torch and triton and nothing else, and ends within `--seconds` (540): what there was no
time for, or what failed, is named under `left_out` and takes nothing else with it. Short lengths
come first. What is found is said as it is found, and once more in one JSON line at the end, with
driver and versions; `checks_passed` says whether the timings are worth anything. It measures:

    score_top_k   index score and exact top-k at StreamIndex's shapes (64 heads x 128, one key for
                  four tokens, k = 512, causal), ms and peak bytes; goals 97 ms and 1.0 GB at 128k,
                  390 ms and 1.7 GB at 256k (published on an H200: 485 and 1935 ms)
    decode        one step of 16 sequences, 32/8 x 128, k = 2048, index 4 x 64, choosing included,
                  beside the best of torch's SDPA (two ways) and two products; goals 5 x at 32k,
                  10 x at 128k
    prefill       a whole prompt, one set for each 16 queries, beside SDPA; goals: even at 16k,
                  2 x at 64k
    replays       how many of 50 replays chose other keys; goal 0
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable

if "--interpret" in sys.argv:
    os.environ["TRITON_INTERPRET"] = "1"

import torch
import triton
from torch import Tensor

from glasslipper.dsa import attend, codes, select
from glasslipper.dsa.cache import Layout, Store
from glasslipper.dsa.codes import Queries
from glasslipper.dsa.kernels import gpu
from glasslipper.dsa.pages import PAGE
from outcome import conclude, mention

HEADS, GROUPS, WIDTH, BATCH, BUDGET, BLOCK = 32, 8, 128, 16, 2048, 16
DEVICE = "cpu" if gpu.is_interpreted() else "cuda"


def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, device=DEVICE).to(dtype)


def filled(length: int, batch: int, *, index_dim: int, groups: int, width: int) -> tuple:
    """Return a store with `batch` random sequences, and their tables."""
    pages = -(-length // PAGE)
    layout = Layout(key_heads=groups, head_dim=width, index_dim=index_dim)
    store = Store(layout, layers=1, pages=pages * batch, device=DEVICE)
    order = torch.randperm(pages * batch, device=DEVICE).to(torch.int32)
    tables = order.view(batch, pages)
    for b in range(batch):
        for start in range(0, length, 1 << 16):
            count = min(1 << 16, length - start)
            k, v = drawn(count, groups, width), drawn(count, groups, width)
            store.write(0, tables[b], start, k, v, codes.encode_keys(drawn(count, index_dim)))
    return store, tables


def asked(count: int, heads: int, width: int) -> Queries:
    """Return encoded random index queries (T, J, I), made a part at a time: they are large."""
    parts = [
        codes.encode_queries(drawn(some, heads, width), drawn(some, heads))
        for some in (min(8192, count - i) for i in range(0, count, 8192))
    ]
    return Queries(*(torch.cat(x) for x in zip(*parts, strict=True)))


def milliseconds(work: Callable[[], object], *, repeats: int, is_captured: bool = False) -> float:
    """Return the median time of some work on the GPU, as one graph where it is captured."""
    work()
    torch.cuda.synchronize()
    if is_captured:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                work()
        except RuntimeError as error:
            mention(f"not captured as a graph, so launches count too: {error}")
            torch.cuda.synchronize()
        else:
            work = graph.replay
    times: list[float] = []
    for _ in range(repeats):
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        work()
        ended.record()
        torch.cuda.synchronize()
        times.append(began.elapsed_time(ended))
    return sorted(times)[len(times) // 2]


def check(length: int, queries: int, k: int) -> dict[str, object]:
    """Hold scores, sets, attention and loss against the plain path and float64."""
    store, tables = filled(length, 2, index_dim=64, groups=2, width=64)
    each = [asked(queries, 4, 64) for _ in range(2)]
    stacked = [torch.stack(x) for x in zip(*each, strict=True)]
    at = torch.randint(length // 2, length, (2, queries), device=DEVICE, dtype=torch.int32)
    ours = gpu.top_k(store, 0, tables, *stacked, at, k, chunk=max(64, length // 3))
    scores = gpu.score(store, 0, tables, *stacked, at, 0, length)
    different_scores = different_sets = 0
    for b in range(2):
        keys = store.keys(0, tables[b], length)
        hidden = torch.arange(length, device=DEVICE) > at[b][:, None]
        theirs = codes.score(each[b], keys).masked_fill(hidden, float("-inf"))
        different_scores += int((scores[b] != theirs).sum())
        chosen = select.top_k(each[b], keys, k, at[b])
        different_sets += int((ours.index_TK[b] != chosen.index_TK).any(-1).sum())
    q = drawn(2, 1, 8, 64, dtype=torch.bfloat16)
    last = torch.full((2, 1), length - 1, device=DEVICE)
    seen = gpu.attend(store, 0, tables, q.float(), last, ours.index_TK[:, 0].contiguous())
    errors: list[float] = []
    for b in range(2):
        index = ours.index_TK[b, :1]
        k_SGD, v_SGD = store.rows(0, tables[b], torch.arange(length, device=DEVICE))
        exact = attend.attend(q[b].double(), k_SGD.double(), v_SGD.double(), index)
        errors.append(float((seen.out_THV[b].double() - exact.out_THV[0]).abs().max()))
    score, teacher = drawn(4, length), torch.rand(4, length, device=DEVICE) ** 8
    loss, gradient = gpu.divergence(score, teacher)
    p = (teacher / teacher.sum(-1, keepdim=True)).double()
    guess = torch.log_softmax(score.double(), -1)
    exact_loss = (p * (p.clamp(min=1e-300).log() - guess)).sum(-1)
    return {
        "different_scores": different_scores,
        "different_sets": different_sets,
        "attention_error": max(errors),
        "loss_error": float((loss - exact_loss).abs().max()),
        "gradient_error": float((gradient - (guess.exp() - p)).abs().max()),
    }


def score_top_k(length: int) -> dict[str, float]:
    """Time StreamIndex's shape: as many queries as tokens, a quarter as many keys."""
    store, tables = filled(length // 4, 1, index_dim=128, groups=1, width=32)
    queries = asked(length, 64, 128)
    at = (torch.arange(1, length + 1, device=DEVICE) // 4 - 1).to(torch.int32)[None]

    def work() -> select.Selection:
        coded = (queries.codes_TJI[None], queries.weight_TJ[None])
        return gpu.top_k(store, 0, tables, *coded, at, 512)

    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    took_ms = milliseconds(work, repeats=3)
    return {"ms": took_ms, "peak_bytes": torch.cuda.max_memory_allocated() - held}


def replays(length: int, count: int) -> int:
    """Count replays that choose other keys, under changing batches."""
    store, tables = filled(length, 4, index_dim=64, groups=1, width=32)
    each = [asked(1, 4, 64) for _ in range(4)]
    stacked = [torch.stack(x) for x in zip(*each, strict=True)]
    at = torch.full((4, 1), length - 1, device=DEVICE, dtype=torch.int32)
    first = gpu.top_k(store, 0, tables, *stacked, at, 512).index_TK
    different = 0
    for i in range(count):
        mix = torch.randperm(4, device=DEVICE)[: 1 + i % 4]
        some = [x[mix].contiguous() for x in stacked]
        again = gpu.top_k(store, 0, tables[mix].contiguous(), *some, at[mix], 512)
        different += int(not torch.equal(again.index_TK, first[mix]))
    return different


def decode(length: int) -> dict[str, float]:
    """Time a step of BATCH sequences, sparse and dense."""
    store, tables = filled(length, BATCH, index_dim=64, groups=GROUPS, width=WIDTH)
    q = drawn(BATCH, 1, HEADS, WIDTH, dtype=torch.bfloat16)
    queries = asked(BATCH, 4, 64)
    coded = (queries.codes_TJI[:, None], queries.weight_TJ[:, None])
    at = torch.full((BATCH, 1), length - 1, device=DEVICE, dtype=torch.int32)

    def sparse() -> attend.Attended:
        chosen = gpu.top_k(store, 0, tables, *coded, at, BUDGET, visible=length)
        return gpu.attend(store, 0, tables, q, at, chosen.index_TK[:, 0])

    sparse_ms = milliseconds(sparse, repeats=30, is_captured=True)
    k = drawn(BATCH, GROUPS, length, WIDTH, dtype=torch.bfloat16)
    v = drawn(BATCH, GROUPS, length, WIDTH, dtype=torch.bfloat16)
    grouped = q.view(BATCH, GROUPS, HEADS // GROUPS, WIDTH)
    sdpa = torch.nn.functional.scaled_dot_product_attention
    dense = {
        "sdpa_ms": lambda: sdpa(q.view(BATCH, HEADS, 1, WIDTH), k, v, enable_gqa=True),
        "sdpa_grouped_ms": lambda: sdpa(grouped, k, v),
        "two_products_ms": lambda: torch.softmax(grouped @ k.transpose(2, 3) * 0.09, -1) @ v,
    }
    times = {name: milliseconds(w, repeats=10, is_captured=True) for name, w in dense.items()}
    return {"sparse_ms": sparse_ms, **times, "x": min(times.values()) / sparse_ms}


def prefill(length: int) -> dict[str, float]:
    """Time a whole prompt: choosing for blocks and attending, beside SDPA."""
    store, tables = filled(length, 1, index_dim=64, groups=GROUPS, width=WIDTH)
    q = drawn(length, HEADS, WIDTH, dtype=torch.bfloat16)
    queries = asked(length, 4, 64)
    coded = (queries.codes_TJI[None], queries.weight_TJ[None])
    at = torch.arange(length, device=DEVICE, dtype=torch.int32)[None]
    part = 16384

    def sparse() -> None:
        for i in range(0, length, part):
            some, here = [x[:, i : i + part] for x in coded], at[:, i : i + part]
            units = here.shape[1] // BLOCK
            chosen = gpu.top_k(store, 0, tables, *some, here, BUDGET, block=BLOCK)
            gpu.attend(
                store,
                0,
                tables.expand(units, -1),
                q[i : i + part].view(units, BLOCK, HEADS, WIDTH),
                here.view(units, BLOCK),
                chosen.index_TK[0],
            )

    sparse_ms = milliseconds(sparse, repeats=3)
    k, v = (drawn(1, GROUPS, length, WIDTH, dtype=torch.bfloat16) for _ in range(2))
    dense_ms = milliseconds(
        lambda: torch.nn.functional.scaled_dot_product_attention(
            q.transpose(0, 1)[None], k, v, is_causal=True, enable_gqa=True
        ),
        repeats=3,
    )
    return {"sparse_ms": sparse_ms, "sdpa_ms": dense_ms, "x": dense_ms / sparse_ms}


def machine() -> dict[str, object]:
    """Tell what this runs on."""
    known: dict[str, object] = {"torch": torch.__version__, "triton": triton.__version__}
    if DEVICE == "cuda":
        asked_driver = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
        )
        known |= {
            "gpu": torch.cuda.get_device_name(),
            "capability": torch.cuda.get_device_capability(),
            "cuda": torch.version.cuda,
            "driver": asked_driver.stdout.strip(),
        }
    return known


class Plan:
    """Does what there is time for, and goes on after what fails."""

    def __init__(self, seconds: float) -> None:
        self._began_s, self._seconds = time.monotonic(), seconds
        self.left_out: dict[str, str] = {}

    def do(self, name: str, work: Callable[[], object]) -> object | None:
        """Return what the work finds, or nothing where it fails or there is no time for it."""
        spent_s = time.monotonic() - self._began_s
        if spent_s > self._seconds:
            self.left_out[name] = "no time"
            return None
        mention(f"{spent_s:4.0f} s  {name}")
        try:
            found = work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest may still be measured
            self.left_out[name] = f"{type(error).__name__}: {error}"[:300]
            mention(f"{'':8}failed: {self.left_out[name]}")
            return None
        finally:
            if DEVICE == "cuda":
                torch.cuda.empty_cache()
        mention(f"{'':8}{found}")
        return found


def is_right(checks: dict[str, object] | None) -> bool:
    """Tell whether scores and sets are equal, and the rest is as near as its numbers allow."""
    if checks is None:
        return False
    exact = not checks["different_scores"] and not checks["different_sets"]
    errors = (checks[f"{name}_error"] for name in ("attention", "loss", "gradient"))
    return exact and all(isinstance(error, float) and error < 1e-2 for error in errors)


def main() -> None:
    """Check, then time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter lengths")
    parser.add_argument("--interpret", action="store_true", help="the checks, without a GPU")
    parser.add_argument("--seconds", type=float, default=540, help="begin nothing after these")
    options = parser.parse_args()
    plan = Plan(options.seconds)
    torch.manual_seed(0)
    if options.interpret:
        checks = plan.do("checks", lambda: check(200, 2, 40))
        conclude(
            {
                **machine(),
                "interpreted": True,
                "checks": checks,
                "checks_passed": is_right(checks),
                "left_out": plan.left_out,
            }
        )
        return
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here; --interpret runs the checks without one")
    figures: dict[str, object] = machine()
    mention(str(figures))
    figures["checks"] = checks = plan.do("checks", lambda: check(6000, 70, 512))
    figures["checks_passed"] = is_right(checks)
    figures["replays_different"] = plan.do("replays", lambda: replays(20_000, 50))
    lengths = (16384, 32768) if options.quick else (32768, 65536, 131072, 262144)
    steps: dict[str, tuple[Callable[[int], dict[str, float]], tuple[int, ...]]] = {
        "score_top_k": (score_top_k, lengths),
        "decode": (decode, lengths[:-1]),
        "prefill": (prefill, (16384, *lengths[:-1])),
    }
    order = sorted((size, name) for name, (_, sizes) in steps.items() for size in sizes)
    found: dict[str, dict[str, object]] = {name: {} for name in steps}
    for size, name in order:
        one = plan.do(f"{name} {size}", lambda name=name, size=size: steps[name][0](size))
        if one is not None:
            found[name][str(size)] = one
    conclude({**figures, **found, "left_out": plan.left_out})


if __name__ == "__main__":
    main()
