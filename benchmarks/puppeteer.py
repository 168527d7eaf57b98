"""Five seeded splits of each outcome folder: ours beside all it has to beat, as one JSON line.

`--only mmlu_pro_outcomes --seeds 42,999` runs a part; what is done lies in `--work` and is not
done again, so an interrupted run goes on where it was. `--unread` adds the ablation that does not
read the options. `--partial` adds the proof of learning from partial logs. `--quick` takes a
sample of the tasks, one split and a plan of seconds: the same keys, worse figures. `--tensorboard
DIR` writes what TensorBoard shows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from glasslipper.cli import puppeteering
from glasslipper.puppeteer import bench, partial
from glasslipper.puppeteer.encode import Looks, Scale, look
from glasslipper.puppeteer.folder import read
from glasslipper.puppeteer.outcomes import Outcomes, split
from glasslipper.puppeteer.policy import QUICK
from outcome import conclude, mention, table

O1 = "o1-mini-2024-09-12"
SETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mmlu_pro_outcomes": ("mmlu_pro_outcomes", ()),
    "zeroeval_outcomes": ("zeroeval_outcomes", ()),
    "zeroeval_outcomes_without_o1": ("zeroeval_outcomes", (O1,)),
}
"""Name: folder, models left out."""

DATA = Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data"))


QUICK_TASKS = 700
QUICK_QUERIES = 1500


def main() -> None:
    options = _options()
    if options.quick:
        options.work, options.seeds = options.work / "quick", options.seeds[:1]
    options.work.mkdir(parents=True, exist_ok=True)
    figures: dict[str, object] = {}
    for name in options.only:
        figures[name] = _dataset(name, options)
    result: dict[str, object] = {"datasets": figures}
    if options.partial:
        result["partial_logs"] = _partial(options)
    conclude(result)


def _dataset(name: str, options: argparse.Namespace) -> dict[str, object]:
    folder, without = SETS[name]
    todo = [seed for seed in options.seeds if not _path(options.work, name, seed).exists()]
    if todo:
        outcomes, looks = _read(folder, without, quick=options.quick)
        for seed in todo:
            _split(name, seed, outcomes, looks, options)
    runs = [bench.load_run(_path(options.work, name, seed)) for seed in options.seeds]
    picture = options.work / f"{name}.svg"
    picture.write_text(puppeteering.draw_front(name, runs), encoding="utf-8")
    if (log := options.work / "log.jsonl").exists():
        puppeteering.draw_into(options.work, log)
    report = bench.report(runs)
    _show(name, report)
    return report


def _split(
    name: str, seed: int, outcomes: Outcomes, looks: Looks, options: argparse.Namespace
) -> None:
    mention(f"{name}, split {seed}")
    is_train = split(outcomes.kinds, seed=seed)
    quiet, log = not sys.stderr.isatty(), options.work / "log.jsonl"
    board = options.tensorboard and options.tensorboard / f"{name}-{seed}"
    with puppeteering.told(quiet=quiet, log=log, tensorboard=board) as tell:
        done = bench.run(
            outcomes.rows(is_train),
            looks.rows(is_train),
            outcomes.rows(~is_train),
            looks.rows(~is_train),
            seed=seed,
            tell=tell,
            unread=options.unread and name.startswith("mmlu"),
            plan=QUICK if options.quick else None,
        )
    bench.save_run(done, _path(options.work, name, seed))


def _partial(options: argparse.Namespace) -> dict[str, object]:
    """Learn from one chosen action a task on the first split of MMLU-Pro."""
    outcomes, looks = _read("mmlu_pro_outcomes", (), quick=options.quick)
    queries, logs = (QUICK_QUERIES, 2) if options.quick else (partial.QUERIES, partial.LOGS)
    is_train = split(outcomes.kinds, seed=options.seeds[0])
    train, test = outcomes.rows(is_train), outcomes.rows(~is_train)
    scale = Scale.fit(train, looks.rows(is_train), unit_usd=train.unit_usd)
    one, other = (
        partial.World(
            scale.context(part.tasks, seen).astype(np.float64),
            part.right.astype(np.float64),
        )
        for part, seen in ((train, looks.rows(is_train)), (test, looks.rows(~is_train)))
    )
    with puppeteering.told(quiet=not sys.stderr.isatty()) as tell:
        ways = {
            way: partial.learned(
                one, other, way=way, seed=options.seeds[0], tell=tell, queries=queries
            )
            for way in ("thompson", "linucb")
        }
        judged = partial.coverage(one, seed=options.seeds[0], tell=tell, queries=queries, logs=logs)
    return {
        "queries": queries,
        **{
            way: {
                "gap_points": round(100 * (told["full"] - told["partial"]), 3),
                **{key: round(value, 5) for key, value in told.items()},
            }
            for way, told in ways.items()
        },
        "off_policy": judged,
    }


def _read(folder: str, without: tuple[str, ...], *, quick: bool) -> tuple[Outcomes, Looks]:
    outcomes = read(DATA / folder, without=frozenset(without))
    if quick:
        some = np.random.default_rng(0).permutation(len(outcomes))[:QUICK_TASKS]
        outcomes = outcomes.rows(np.sort(some))
    return outcomes, look(outcomes.tasks, outcomes.candidates, puppeteering.vectors())


def _show(name: str, report: dict[str, object]) -> None:
    policies: dict[str, dict[str, float]] = report["policies"]  # type: ignore[assignment]
    rows = [
        (key, f"{100 * one['accuracy']:.2f}", one["accuracy_ci"], f"{one['usd_per_1k']:.4f}")
        for key, one in policies.items()
    ]
    mention(f"\n{name}")
    table(("policy", "right %", "interval", "$ per 1k"), rows)
    mention(json.dumps({key: value for key, value in report.items() if key != "policies"}))


def _path(work: Path, name: str, seed: int) -> Path:
    return work / f"{name}-{seed}.npz"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".bench/puppeteer"))
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SETS))
    parser.add_argument(
        "--seeds", type=lambda t: [int(seed) for seed in t.split(",")], default=list(bench.SEEDS)
    )
    parser.add_argument("--tensorboard", type=Path)
    parser.add_argument("--unread", action="store_true")
    parser.add_argument("--partial", action="store_true")
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
