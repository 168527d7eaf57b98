"""The proof of the retrofit: fits sparse attention to a real model and measures what it costs.

Takes SmolLM2-135M as `local/smol` has it, learns from documentation, judges on sources that it
has not learned from, and asks the fitted model a question through the gateway. Ends with one
JSON line. `--long` spends more on learning; `--quick` shows within a minute that all of it runs.
`--work DIR` keeps what is done so far, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import torch

import dsa_texts
from glasslipper.dsa import adapter as adapters
from glasslipper.dsa import evaluate, fit, page, texts
from glasslipper.dsa.fit import EFFORTS, Effort
from glasslipper.dsa.host import Host
from glasslipper.dsa.memo import Memo
from glasslipper.dsa.models import be_quiet, open_model
from glasslipper.local import fetch

K = 256
QUICK = Effort(sequences=4, rows=32, steps=20, calibration=1)


def main() -> None:
    options = _options()
    be_quiet()
    began_s = time.monotonic()
    length = 512 if options.quick else 2048
    budgets = (64, 128) if options.quick else (K, 512)
    k = budgets[0]
    (path,) = fetch("local/smol")
    opened = open_model(path, threads=options.threads)
    host = Host(opened.model)
    learned, judged = dsa_texts.learned(), dsa_texts.judged(options.split)
    name = "quick" if options.quick else "long" if options.long else "normal"
    effort = QUICK if options.quick else EFFORTS[name]
    with tempfile.TemporaryDirectory(prefix="glasslipper-dsa-") as made:
        folder = options.work or Path(made)
        spent = Spent(folder / f"spent-{name}.json")
        fitted = fit.fit(
            opened,
            host,
            [text for some in learned.values() for text in some],
            folder / f"work-{name}",
            effort=effort,
            k=k,
            length=length,
            on_progress=spent.tell,
        )
        minutes, cpu_minutes, runs = spent.minutes, spent.cpu_minutes, spent.runs
        adapters.save(fitted.adapter, folder)
        cut = {
            name: texts.sequences(
                opened.tokenizer, some, length=length, most=1 if options.quick else options.texts
            )
            for name, some in judged.items()
        }
        report = evaluate.evaluate(
            host,
            fitted.adapter,
            cut,
            budgets=budgets,
            needle_lengths=(length,) if options.quick else (length // 2, length),
            haystacks=1 if options.quick else options.haystacks,
            tokenizer=opened.tokenizer,
            # Another adapter or other texts must not find these figures.
            memo=Memo(folder / f"judged-{name}-{options.split}-{options.texts}"),
            on_progress=tell,
        )
        shown = folder / f"report-{name}.html"
        shown.write_text(page.render(report), encoding="utf-8")
        tell(f"page: {shown}", 1, 1)
        answered = ask_through_gateway(path, folder)
    good = report["needles"]["good_cells"]
    if not good["cells"] and not options.quick:
        sys.exit("No cell of the needle grid has 90 % or more with dense attention.")
    print(
        json.dumps(
            line(report, good, fitted, learned, cut, k, budgets)
            | {
                "minutes": round(minutes, 2),
                "cpu_minutes": round(cpu_minutes, 2),
                "runs": runs,
                "total_minutes": round((time.monotonic() - began_s) / 60, 2),
                "threads": torch.get_num_threads(),
                "load_average": round(os.getloadavg()[0], 1),
                "effort": name,
                "split": options.split,
                "gateway_answered": answered,
            }
        )
    )


def line(
    report: dict[str, Any],
    good: dict[str, Any],
    fitted: fit.Fitted,
    learned: dict[str, list[str]],
    cut: dict[str, list[torch.Tensor]],
    k: int,
    budgets: tuple[int, ...],
) -> dict[str, Any]:
    """Return the figures that the proof names."""
    ratios = {name: found["later_half"] for name, found in report["perplexity"].items()}

    def mean(way: str) -> float:
        return round(sum(each[way] for each in ratios.values()) / len(ratios), 4)

    kept = {name: evaluate.recall_of_oracle(each, k) for name, each in report["recall"].items()}
    plan = [layer["k"] for layer in report["plan"] if layer["kind"] != "dense"]
    return {
        "k": k,
        "recall_of_oracle": round(sum(kept.values()) / len(kept), 4),
        "recall_by_text": {name: round(share, 4) for name, share in kept.items()},
        "ppl_ratio": {b: mean(f"sparse {b}") for b in budgets},
        "plan_ppl_ratio": mean("plan"),
        "plan_mean_k": round(sum(plan) / max(1, len(plan)), 1),
        "window_ppl_ratio": {b: mean(f"window {b}") for b in budgets},
        "oracle_ppl_ratio": {b: mean(f"oracle {b}") for b in budgets},
        "ppl_by_text": ratios,
        "needles": {
            "dense": good["dense"],
            "sparse": good[f"sparse {k}"],
            "sparse_by_k": {b: good[f"sparse {b}"] for b in budgets},
            "plan": good["plan"],
            "good_cells": good["cells"],
            "grid": report["needles"]["found"],
        },
        "dense_layers": len(report["plan"]) - len(plan),
        "extra_params_share": round(report["extra_params_share"], 5),
        "extra_kv_share": round(report["extra_kv_share"], 5),
        "train_texts": {name: sum(map(len, some)) for name, some in learned.items()},
        "train_tokens": fitted.adapter.made_with["sequences"] * fitted.adapter.made_with["length"],
        "test_texts": {name: sum(map(len, some)) for name, some in cut.items()},
    }


def ask_through_gateway(model: Path, adapter: Path) -> bool:
    """Start `glasslipper dsa serve`, ask it a question as any client would, and stop it."""
    command = [str(Path(sys.executable).with_name("glasslipper")), "dsa", "serve", "--json"]
    command += ["--model", str(model), "--adapter", str(adapter), "--port", "0", "--threads", "1"]
    with tempfile.TemporaryDirectory(prefix="glasslipper-home-") as home:
        environ = {**os.environ, "GLASSLIPPER_HOME": home}
        server = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            ready = json.loads(server.stdout.readline())
            body = {
                "model": f"local/{model.stem.lower()}-sparse",
                "messages": [{"role": "user", "content": "Name a colour."}],
                "max_tokens": 8,
            }
            request = urllib.request.Request(
                ready["url"] + "/chat/completions",
                json.dumps(body).encode(),
                {"authorization": f"Bearer {ready['key']}", "content-type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=300) as answer:
                return bool(json.load(answer)["choices"][0]["message"]["content"].strip())
        finally:
            server.terminate()
            server.communicate(timeout=60)


class Spent:
    """What fitting has taken so far, over all runs that worked on it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self._before_s, self._before_cpu_s = known.get("s", 0.0), known.get("cpu_s", 0.0)
        self.runs = known.get("runs", 0) + 1

    @property
    def minutes(self) -> float:
        """Minutes by the clock."""
        return (self._before_s + time.monotonic() - _BEGAN_S) / 60

    @property
    def cpu_minutes(self) -> float:
        """Minutes of processor time."""
        return (self._before_cpu_s + time.process_time()) / 60

    def tell(self, what: str, done: int, total: int) -> None:
        """Write down what was spent, and say how far it is."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        spent = {"s": self.minutes * 60, "cpu_s": self.cpu_minutes * 60, "runs": self.runs}
        self._file.write_text(json.dumps(spent), encoding="utf-8")
        tell(what, done, total)


_BEGAN_S = time.monotonic()
_told: dict[str, float] = {}


def tell(what: str, done: int, total: int) -> None:
    """Say on standard error how far it is, at most every 15 s."""
    now_s = time.monotonic()
    if done == total or now_s - _told.get(what, 0.0) > 15:
        _told[what] = now_s
        print(f"{now_s - _BEGAN_S:6.0f} s  {what}: {done}/{total}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--split", choices=("test", "valid"), default="test")
    parser.add_argument("--texts", type=int, default=3, help="sequences of each test text")
    parser.add_argument("--haystacks", type=int, default=6)
    return parser.parse_args()


if __name__ == "__main__":
    main()
