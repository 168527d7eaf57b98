"""The bench: train on one set of outcomes, play another once, and say how every policy did.

Nothing is chosen by the test part: fits, dials and the best single model come from the training
part, and training tasks that are also in the test part are dropped first.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.puppeteer import artefact
from glasslipper.puppeteer.baselines import Peers, oracle, single
from glasslipper.puppeteer.belief import Tell
from glasslipper.puppeteer.encode import Encoded, Looks
from glasslipper.puppeteer.metrics import (
    Judged,
    Score,
    Table,
    hull_area,
    interval,
    saving_on,
    share,
)
from glasslipper.puppeteer.net import Parameters
from glasslipper.puppeteer.outcomes import Bools, Outcomes
from glasslipper.puppeteer.paper import Paper
from glasslipper.puppeteer.policy import DIALS, Plan, Policy
from glasslipper.puppeteer.replay import Played
from glasslipper.puppeteer.stages import Stages

SEEDS = (42, 999, 2024, 2025, 3407)
"""The seeds of the five splits."""

_TIMED = 300
_SINGLE = "single:"
_UNREAD = "unread"


@dataclass(frozen=True)
class Run:
    """What one split gave, before averaging."""

    judged: Judged
    best: str
    train_s: float
    decide_p99_ms: float
    decide_wall_p99_ms: float
    artefact_bytes: int
    train_tasks: int
    dropped: int
    pool: tuple[str, ...]


def apart(train: Outcomes, test: Outcomes) -> Bools:
    """Return which training tasks are not also test tasks, by their words.

    Raises:
        InvalidRequest: The two have different pools, or nothing is left to train on.
    """
    missing = [model for model in train.models if model not in test.models]
    if missing:
        raise InvalidRequest(
            f"The test folder has no answers of {missing[0]}, which the training folder prices.",
            hint="Give both folders the same models in prices.csv, or leave some out: --without.",
        )
    known = {_words(test, row) for row in range(len(test))}
    kept = np.array([_words(train, row) not in known for row in range(len(train))], np.bool_)
    if kept.sum() < 100:
        raise InvalidRequest(
            f"Only {int(kept.sum())} training tasks are not in the test folder too.",
            hint="Train on at least 100 tasks that are not in the test folder.",
        )
    return kept


def _words(outcomes: Outcomes, row: int) -> tuple[str, tuple[str, ...]]:
    task = outcomes.tasks[row]
    return " ".join(task.text.split()), task.options


def run(
    train: Outcomes,
    train_looks: Looks,
    test: Outcomes,
    test_looks: Looks,
    *,
    seed: int,
    tell: Tell,
    unread: bool = False,
    plan: Plan | None = None,
    stages: Stages | None = None,
) -> Run:
    """Train on one part and play the other once; with `stages`, go on where that was stopped.

    `unread` adds the ablation of ours that does not read options and answers, only who agrees.
    """
    stages = stages or Stages()
    kept = apart(train, test)
    dropped = int((~kept).sum())
    train, train_looks = train.rows(kept), train_looks.rows(kept)
    test = test.pool(train.models)
    began_s = time.monotonic()
    policy = Policy.train(train, train_looks, seed=seed, plan=plan, tell=tell, stages=stages)
    train_s = time.monotonic() - began_s + stages.spared_s
    peers = Peers.fit(train, train_looks.vectors, seed=seed)
    tasks = policy.scale.encode(train, train_looks)
    paper = _paper(train, tasks, peers, seed=seed, tell=tell, stages=stages)
    played = peers.play(test, test_looks.vectors)
    test_tasks = policy.scale.encode(test, test_looks)
    played["paper"] = paper.play(test, test_tasks, seed=seed)
    played |= _ours(policy, test, test_looks, "ours")
    if unread:
        eyeless = Plan.for_tasks(len(train), reads_slots=False)
        blind = Policy.train(
            train, train_looks, seed=seed, plan=eyeless, tell=tell, stages=stages.within(_UNREAD)
        )
        prices = [blind.named[name] for name in ("saving", "even", "best")]
        for name, one in zip(
            ("saving", "even", "best"), blind.play(test, test_looks, prices), strict=True
        ):
            played[f"{_UNREAD}_{name}"] = one
    buffer = io.BytesIO()
    artefact.save(policy, buffer)
    cpu_ms, wall_ms = decide_p99_ms(policy, test, test_looks)
    return Run(
        judged=_judge(test, played),
        best=train.models[peers.best],
        train_s=train_s,
        decide_p99_ms=cpu_ms,
        decide_wall_p99_ms=wall_ms,
        artefact_bytes=buffer.tell(),
        train_tasks=len(train),
        dropped=dropped,
        pool=tuple(policy.models[place] for place in policy.pool),
    )


def _paper(
    train: Outcomes, tasks: Encoded, peers: Peers, *, seed: int, tell: Tell, stages: Stages
) -> Paper:
    def learned() -> Parameters:
        made = Paper.train(train, tasks, seed=seed, weights=peers.weights, tell=tell)
        return made.parameters

    return Paper(dict(stages.once("paper", learned)), peers.weights)


def _ours(policy: Policy, test: Outcomes, looks: Looks, name: str) -> dict[str, Played]:
    """Play ours at its named dials and at every step of the dial."""
    prices = {f"{name}_{dial}": price for dial, price in policy.named.items()}
    prices |= {f"{name}_dial_{step:g}": dial.price for step, dial in enumerate(policy.dials)}
    return dict(zip(prices, policy.play(test, looks, list(prices.values())), strict=True))


def _judge(test: Outcomes, played: Mapping[str, Played]) -> Judged:
    """Read who was right: the one place where the test part's answers are looked at."""
    scores = {
        "random": Score(test.right.astype(np.float64).mean(1), test.usd.mean(1)),
        **{name: Score(one.right(test), one.usd(test)) for name, one in played.items()},
    }
    for place, model in enumerate(test.models):
        chosen = np.full(len(test), place)
        one = single(test, chosen)
        scores[f"{_SINGLE}{model}"] = Score(one.right(test), one.usd(test))
    best = oracle(test)
    scores["oracle"] = Score(best.right(test), best.usd(test))
    none = test.right.sum(1) == 0
    scores["all_wrong"] = Score(none.astype(np.float64), np.zeros(len(test)))
    return Judged(ids=tuple(task.id for task in test.tasks), scores=scores)


def decide_p99_ms(policy: Policy, test: Outcomes, looks: Looks) -> tuple[float, float]:
    """Return the 99th percentiles of one decision's CPU and wall time, milliseconds.

    The first of an episode includes all that is prepared for its task.
    """
    tasks = policy.scale.encode(test, looks)
    price = policy.named["even"]
    policy.episode(tasks.rows(np.array([0]))).decide(price)
    took: list[tuple[float, float]] = []
    for row in range(min(_TIMED, len(test))):
        task = tasks.rows(np.array([row]))
        began_s = time.thread_time(), time.perf_counter()
        episode = policy.episode(task)
        while True:
            model = episode.decide(price)
            ended_s = time.thread_time(), time.perf_counter()
            took.append((1000 * (ended_s[0] - began_s[0]), 1000 * (ended_s[1] - began_s[1])))
            if model is None:
                break
            began_s = time.thread_time(), time.perf_counter()
            episode.hear(model)
    cpu_ms, wall_ms = np.quantile(np.array(took), 0.99, axis=0)
    return float(cpu_ms), float(wall_ms)


@dataclass(frozen=True)
class Line:
    """One policy for people: percent right, its interval, USD for a thousand tasks."""

    name: str
    right: float
    low: float
    high: float
    usd: float


def lines(runs: Sequence[Run]) -> list[Line]:
    """Return a line for every policy."""
    table = Table([one.judged for one in runs])
    return [
        Line(
            name,
            100 * float(table.accuracy[name][0]),
            *(100 * value for value in interval(table.accuracy[name])),
            usd=1000 * float(table.usd[name][0]),
        )
        for name in table.names
        if name != "all_wrong"
    ]


def report(runs: Sequence[Run]) -> dict[str, object]:
    """Return the figures of one data set over its splits."""
    table = Table([one.judged for one in runs])
    accuracy, usd = table.accuracy, table.usd
    best_right, best_usd = accuracy["best_single"], usd["best_single"]
    names = [name for name in table.names if name != "all_wrong"]
    policies = {
        name: {
            "accuracy": _round(accuracy[name][0]),
            "accuracy_ci": [_round(value) for value in interval(accuracy[name])],
            "usd_per_1k": _round(1000 * usd[name][0]),
        }
        for name in names
    }
    curve = [f"ours_dial_{step:g}" for step in range(DIALS)]
    singles = [name for name in names if name.startswith(_SINGLE)]
    gain = 100 * (accuracy["ours_even"] - best_right)
    saving_gap = 100 * (accuracy["ours_saving"] - best_right)
    save = 1 - share(usd["ours_saving"], best_usd)
    perf = share(accuracy["ours_best"], best_right) - 1
    low = _cheapest_useful(table, singles)
    high = float(best_usd[0])
    points = [(float(usd[name][0]), float(accuracy[name][0])) for name in curve]
    alone = [(float(usd[name][0]), float(accuracy[name][0])) for name in singles]
    area = np.array(
        [
            hull_area([(usd[n][draw], accuracy[n][draw]) for n in (*curve, *singles)], low, high)
            for draw in range(min(len(best_usd), 201))
        ]
    )
    return {
        "splits": len(runs),
        "policies": policies,
        "best_single": sorted({one.best for one in runs}),
        "gain_points_at_best_single_cost": _round(gain[0], 3),
        "gain_points_ci": [_round(value, 3) for value in interval(gain)],
        "gain_cost_share": _round(share(usd["ours_even"], best_usd)[0]),
        "cost_save": _round(save[0]),
        "cost_save_ci": [_round(value) for value in interval(save)],
        "cost_save_gap_points": _round(saving_gap[0], 3),
        "cost_save_gap_ci": [_round(value, 3) for value in interval(saving_gap)],
        "cost_save_on_curve": _round(saving_on(points, float(best_right[0]), high)),
        "perf_gain": _round(perf[0]),
        "perf_gain_ci": [_round(value) for value in interval(perf)],
        "over_paper_points": _round(100 * (accuracy["ours_even"] - accuracy["paper"])[0], 3),
        "over_paper_cost_share": _round(share(usd["ours_even"], usd["paper"])[0]),
        "aiq": _round(area[0]),
        "aiq_ci": [_round(value) for value in interval(area)],
        "aiq_singles": _round(hull_area(alone, low, high)),
        "aiq_from_to_usd_per_1k": [_round(1000 * low), _round(1000 * high)],
        "all_wrong": _round(accuracy["all_wrong"][0]),
        "ceiling": _round(1 - accuracy["all_wrong"][0]),
        "train_s": _round(max(one.train_s for one in runs), 1),
        "decide_p99_ms": _round(max(one.decide_p99_ms for one in runs), 3),
        "decide_wall_p99_ms": _round(max(one.decide_wall_p99_ms for one in runs), 3),
        "artefact_bytes": max(one.artefact_bytes for one in runs),
        "train_tasks": runs[0].train_tasks,
        "dropped_from_training": max(one.dropped for one in runs),
        "pools": [list(one.pool) for one in runs],
    }


def _cheapest_useful(table: Table, singles: Sequence[str]) -> float:
    """Return the cost of the cheapest model at least half as accurate as the best."""
    top = max(table.accuracy[name][0] for name in singles)
    return min(float(table.usd[name][0]) for name in singles if table.accuracy[name][0] >= top / 2)


def save_run(one: Run, path: Path) -> None:
    """Write a split's run to a file that `load_run` reads."""
    arrays: dict[str, NDArray[np.float64]] = {}
    for name, score in one.judged.scores.items():
        arrays[f"right|{name}"] = score.right
        arrays[f"usd|{name}"] = score.usd
    about = {**one.__dict__, "judged": None, "ids": one.judged.ids}
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
    temporary.replace(path)


def load_run(path: Path) -> Run:
    """Read a split's run.

    Raises:
        InvalidRequest: Another version made it.
    """
    with np.load(path, allow_pickle=False) as file:
        about: dict[str, object] = json.loads(str(file["about"]))
        names = [name.partition("|")[2] for name in file.files if name.startswith("right|")]
        scores = {name: Score(file[f"right|{name}"], file[f"usd|{name}"]) for name in names}
    ids = tuple(str(name) for name in about.pop("ids"))  # type: ignore[attr-defined]
    about |= {"judged": Judged(ids, scores), "pool": tuple(about["pool"])}  # type: ignore[arg-type]
    if set(about) != {item.name for item in fields(Run)}:
        raise InvalidRequest(f"{path} is of another version.", hint="Delete it and run again.")
    return Run(**about)  # type: ignore[arg-type]


def _round(value: float, digits: int = 5) -> float | None:
    """Return a figure for JSON, which has no word for what is not a number."""
    return round(float(value), digits) if np.isfinite(value) else None
