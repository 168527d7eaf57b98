"""How well held-out folds foretell what a dial gives and costs on new tasks; on the training part.

    python benchmarks/puppeteer_dials.py [--quarter 0] [--folds 8] [--each 1] [--quick]

Trains on three quarters of the training part of split 42 (ZeroEval without o1-mini; `--only` takes
another) and plays the quarter left out at many prices. For each price it prints points above the
best single model and the share of its cost: as held-out networks found them on the tasks that were
learned from, what all networks together spend there, and what came of it on the tasks left out.
One training takes one to two minutes. The test part is never read.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from glasslipper.cli import puppeteering
from glasslipper.puppeteer.encode import compact, look
from glasslipper.puppeteer.folder import read
from glasslipper.puppeteer.outcomes import Outcomes, split
from glasslipper.puppeteer.policy import QUICK, Plan, Policy
from glasslipper.puppeteer.replay import Played
from outcome import conclude, mention, table

O1 = "o1-mini-2024-09-12"
SETS = {
    "mmlu_pro_outcomes": ("mmlu_pro_outcomes", ()),
    "zeroeval_outcomes": ("zeroeval_outcomes", ()),
    "zeroeval_outcomes_without_o1": ("zeroeval_outcomes", (O1,)),
}
SEED = 42
QUARTERS = 4
PRICES = np.geomspace(1.5, 0.0005, 13)


def main() -> None:
    options = _options()
    data = Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data"))
    folder, without = SETS[options.only]
    outcomes = read(data / folder, without=frozenset(without))
    outcomes = outcomes.rows(split(outcomes.kinds, seed=SEED))
    looks = look(outcomes.tasks, outcomes.candidates, puppeteering.vectors())
    quarters = np.random.default_rng(7).integers(0, QUARTERS, len(outcomes))
    is_train = quarters != options.quarter
    train, fresh = outcomes.rows(is_train), outcomes.rows(~is_train)
    plan = QUICK if options.quick else Plan.for_tasks(len(train))
    plan = replace(plan, folds=options.folds or plan.folds, each=options.each or plan.each)
    began_s = time.process_time()
    with puppeteering.told(quiet=not sys.stderr.isatty()) as tell:
        policy = Policy.train(train, looks.rows(is_train), seed=SEED, plan=plan, tell=tell)
    took_s = time.process_time() - began_s
    folds = np.random.default_rng(SEED).integers(0, plan.folds, len(train))
    tasks = compact(policy.scale.encode(train, looks.rows(is_train)), policy.pool)
    mind = policy.ensemble.held_out(tasks, folds)
    prices = [float(price) for price in PRICES]
    played = policy.play(fresh, looks.rows(~is_train), prices)
    rows: list[dict[str, float]] = []
    for price, new in zip(prices, played, strict=True):
        apart, together = (policy.episodes(mind, price, who) for who in (folds, None))
        rows.append(
            {
                "price": round(price, 5),
                "held_out_points": _points(train, apart, train.best)[0],
                "held_out_cost": _share(train, apart, train.best),
                "together_cost": _share(train, together, train.best),
                "points": _points(fresh, new, train.best)[0],
                "points_error": _points(fresh, new, train.best)[1],
                "cost": _share(fresh, new, train.best),
            }
        )
    mention(f"{len(train)} tasks learned from, {len(fresh)} new ones, {took_s:.0f} s of CPU")
    table(tuple(rows[0]), [tuple(row.values()) for row in rows])
    conclude(
        {
            "train_tasks": len(train),
            "fresh_tasks": len(fresh),
            "folds": plan.folds,
            "each": plan.each,
            "train_cpu_s": round(took_s, 1),
            "prices": rows,
        }
    )


def _points(outcomes: Outcomes, played: Played, best: int) -> tuple[float, float]:
    """Return points above the best single model, and their standard error."""
    gain: NDArray[np.float64] = 100 * (played.right(outcomes) - outcomes.right[:, best])
    return round(float(gain.mean()), 2), round(float(gain.std() / len(gain) ** 0.5), 2)


def _share(outcomes: Outcomes, played: Played, best: int) -> float:
    return round(float(played.usd(outcomes).mean() / outcomes.usd[:, best].mean()), 3)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(SETS), default="zeroeval_outcomes_without_o1")
    parser.add_argument("--quarter", type=int, choices=range(QUARTERS), default=0)
    parser.add_argument("--folds", type=int)
    parser.add_argument("--each", type=int)
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
