"""Checks the Triton kernels on a GPU against float64 and the plain path, then times them.

    python benchmarks/dsa_gpu.py                   on a machine with an NVIDIA GPU, sm_80 or newer
    python benchmarks/dsa_gpu.py --quick           shorter lengths
    python benchmarks/dsa_gpu.py --interpret       no GPU: everything once, tiny, in Triton's
                                                   interpreter; its times mean nothing

It needs torch and triton and nothing else, and ends within `--seconds` (540): what there was no
time for, or what failed, is named under `left_out` and takes nothing else with it. Short lengths
come first. What is found is said as it is found, and once more in one JSON line at the end, with
date, driver and versions; with `--out FILE` the line is also kept there, after every step.
`checks_passed` says whether the timings are worth anything. It measures:

    checks        scores and sets that differ from the plain path (goal 0), errors of attention,
                  by decoding and by blocks, and of the loss beside float64
    replays       how many of 1000 replays in other batches chose other keys, or gave another bit;
                  goal 0
    score_top_k   index score and exact top-k at StreamIndex's shapes (64 heads x 128, one key for
                  four tokens, k = 512, causal), ms and peak bytes; goals 97 ms and 1.0 GB at 128k,
                  390 ms and 1.7 GB at 256k (published on an H200: 485 and 1935 ms)
    decode        one step of 16 sequences, 32/8 x 128, k = 2048, index 4 x 64, choosing included,
                  beside the best of torch's SDPA (two ways) and two products; goals 5 x at 32k,
                  10 x at 128k
    prefill       a whole prompt, one set for each 16 queries, beside SDPA (two ways); goals: even
                  at 16k, 2 x at 64k
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

if "--interpret" in sys.argv:
    os.environ["TRITON_INTERPRET"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # a GPU machine may have a clone only

import torch
import triton
from torch import Tensor

import dsa_gpu_checks as checks
from dsa_gpu_checks import DEVICE, asked, drawn, filled
from glasslipper.dsa import attend, select
from glasslipper.dsa.kernels import gpu
from outcome import conclude, mention

HEADS, GROUPS, WIDTH, BATCH, BUDGET, BLOCK = 32, 8, 128, 16, 2048, 16
INDEX_HEADS, INDEX_DIM = 4, 64
V32_HEADS, V32_DIM, V32_BUDGET = 64, 128, 512
PART = 16384
"""Queries of a prompt that are chosen for at a time."""

Figures = dict[str, object]


def milliseconds(work: Callable[[], object], *, repeats: int, is_captured: bool = False) -> float:
    """Return the median time of some work on the GPU, as one graph where it is captured."""
    work()
    if DEVICE == "cpu":
        return 0.0
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


def beside(
    sparse_ms: float, dense: Mapping[str, Callable[[], object]], *, repeats: int, is_captured: bool
) -> dict[str, object]:
    """Return the times of dense ways, where they run, and how much longer the best one takes."""
    times: dict[str, object] = {}
    found: list[float] = []
    for name, work in dense.items():
        try:
            found.append(milliseconds(work, repeats=repeats, is_captured=is_captured))
            times[name] = found[-1]
        except RuntimeError as error:  # out of memory too: another way may need less
            times[name] = f"{type(error).__name__}: {error}"[:200]
            torch.cuda.empty_cache()
    best = min(found) / sparse_ms if found and sparse_ms else None
    return {"sparse_ms": sparse_ms, **times, "x": best}


def score_top_k(length: int) -> dict[str, object]:
    """Time StreamIndex's shape: as many queries as tokens, a quarter as many keys."""
    store, tables = filled(length // 4, 1, index_dim=V32_DIM, groups=1, width=32)
    queries = asked(length, V32_HEADS, V32_DIM)
    at = (torch.arange(1, length + 1, device=DEVICE) // 4 - 1).to(torch.int32)[None]

    def work() -> select.Selection:
        coded = (queries.codes_TJI[None], queries.weight_TJ[None])
        return gpu.top_k(store, 0, tables, *coded, at, V32_BUDGET)

    if DEVICE == "cpu":
        return {"ms": milliseconds(work, repeats=1)}
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    took_ms = milliseconds(work, repeats=3)
    return {"ms": took_ms, "peak_bytes": torch.cuda.max_memory_allocated() - held}


def decode(length: int) -> dict[str, object]:
    """Time a step of BATCH sequences, sparse and dense."""
    store, tables = filled(length, BATCH, index_dim=INDEX_DIM, groups=GROUPS, width=WIDTH)
    q = drawn(BATCH, 1, HEADS, WIDTH, dtype=torch.bfloat16)
    queries = asked(BATCH, INDEX_HEADS, INDEX_DIM)
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
    return beside(sparse_ms, dense, repeats=10, is_captured=True)


def prefill(length: int) -> dict[str, object]:
    """Time a whole prompt: choosing for blocks and attending, beside SDPA."""
    store, tables = filled(length, 1, index_dim=INDEX_DIM, groups=GROUPS, width=WIDTH)
    q = drawn(length, HEADS, WIDTH, dtype=torch.bfloat16)
    queries = asked(length, INDEX_HEADS, INDEX_DIM)
    coded = (queries.codes_TJI[None], queries.weight_TJ[None])
    at = torch.arange(length, device=DEVICE, dtype=torch.int32)[None]

    def sparse() -> None:
        for i in range(0, length, PART):
            some, here = [x[:, i : i + PART] for x in coded], at[:, i : i + PART]
            units, last = here.shape[1] // BLOCK, min(i + PART, length)
            chosen = gpu.top_k(store, 0, tables, *some, here, BUDGET, block=BLOCK)
            gpu.attend(
                store,
                0,
                tables.expand(units, -1),
                q[i:last].view(units, BLOCK, HEADS, WIDTH),
                here.view(units, BLOCK),
                chosen.index_TK[0],
            )

    sparse_ms = milliseconds(sparse, repeats=3)
    k, v = (drawn(1, GROUPS, length, WIDTH, dtype=torch.bfloat16) for _ in range(2))
    sdpa, q_1HTD = torch.nn.functional.scaled_dot_product_attention, q.transpose(0, 1)[None]

    def repeated() -> Tensor:
        wide = (x.repeat_interleave(HEADS // GROUPS, 1) for x in (k, v))
        return sdpa(q_1HTD, *wide, is_causal=True)

    dense = {
        "sdpa_ms": lambda: sdpa(q_1HTD, k, v, is_causal=True, enable_gqa=True),
        "sdpa_repeated_ms": repeated,
    }
    return beside(sparse_ms, dense, repeats=3, is_captured=False)


def machine() -> Figures:
    """Tell when this runs, and on what."""
    known: Figures = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": triton.__version__,
    }
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
            "gpu_bytes": torch.cuda.get_device_properties(0).total_memory,
            "cuda": torch.version.cuda,
            "driver": asked_driver.stdout.strip(),
        }
    return known


class Plan:
    """Does what there is time for, goes on after what fails, and keeps what is found."""

    def __init__(self, seconds: float, out: Path | None) -> None:
        self._began_s, self._seconds, self._out = time.monotonic(), seconds, out
        self._left_out: dict[str, str] = {}
        self.figures: Figures = {**machine(), "left_out": self._left_out}

    def do(self, name: str, work: Callable[[], object], *, under: str | None = None) -> object:
        """Write down what the work finds, or why it found nothing; return it."""
        spent_s = time.monotonic() - self._began_s
        if spent_s > self._seconds:
            self._left_out[name] = "no time"
            return None
        mention(f"{spent_s:4.0f} s  {name}")
        try:
            found = work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest may still be measured
            self._left_out[name] = f"{type(error).__name__}: {error}"[:300]
            mention(f"{'':8}failed: {self._left_out[name]}")
            return None
        finally:
            if DEVICE == "cuda":
                torch.cuda.empty_cache()
        mention(f"{'':8}{found}")
        into = self.figures if under is None else self.figures.setdefault(under, {})
        assert isinstance(into, dict)
        into[name if under is None else name.removeprefix(f"{under} ")] = found
        if self._out is not None:
            self._out.write_text(json.dumps(self.figures) + "\n", encoding="utf-8")
        return found


def shrink() -> None:
    """Make every shape so small that the interpreter gets through it."""
    global HEADS, GROUPS, WIDTH, BATCH, BUDGET, V32_HEADS, V32_DIM, V32_BUDGET, PART
    HEADS, GROUPS, WIDTH, BATCH, BUDGET = 4, 2, 32, 2, 48
    V32_HEADS, V32_DIM, V32_BUDGET, PART = 3, 32, 20, 64


def main() -> None:
    """Check, then time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter lengths")
    parser.add_argument("--interpret", action="store_true", help="everything, tiny, without a GPU")
    parser.add_argument("--seconds", type=float, default=540, help="begin nothing after these")
    parser.add_argument("--out", type=Path, help="file to keep the JSON line in")
    options = parser.parse_args()
    if DEVICE == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no GPU here; --interpret runs everything once without one")
    shapes, count = checks.SHAPES, 1000
    lengths: tuple[int, ...] = (32768, 65536, 131072, 262144)
    if options.quick:
        lengths = (16384, 32768)
    if options.interpret:
        shrink()
        shapes, count, lengths = checks.TINY, 2, (128,)
    plan = Plan(options.seconds, options.out)
    plan.figures["interpreted"] = bool(options.interpret)
    mention(str(plan.figures))
    torch.manual_seed(0)
    right = [
        checks.is_right(
            plan.do(f"checks {name}", lambda shape=shape: checks.check(shape), under="checks")
        )
        for name, shape in shapes.items()
    ]
    first = next(iter(shapes.values()))
    right.append(checks.is_right(plan.do("replays", lambda: checks.replays(first, count))))
    plan.figures["checks_passed"] = all(right)
    shorter = lengths[:-1] or lengths
    steps: dict[str, tuple[Callable[[int], dict[str, object]], tuple[int, ...]]] = {
        "score_top_k": (score_top_k, lengths),
        "decode": (decode, shorter),
        "prefill": (prefill, shorter if options.interpret else (16384, *shorter)),
    }
    order = sorted({(size, name) for name, (_, sizes) in steps.items() for size in sizes})
    for size, name in order:
        plan.do(f"{name} {size}", lambda name=name, size=size: steps[name][0](size), under=name)
    conclude(plan.figures)


if __name__ == "__main__":
    main()
