"""Bake-off on the training part: does tuning by reward beat the belief and its value of a call?

    python benchmarks/puppeteer_bakeoff.py [--quick] [--only mmlu_pro_outcomes] [--tasks 3000]

All contenders see the same state and play the same tasks, a sample of the training part of split
42; each is trained on three of four folds, at one price, and judged on the one left out. `values`
is the belief with its value of a call; `gradient_tuned` and `evolved_tuned` start from it and
change it by policy gradient with a group baseline, or by sep-CMA-ES; `gradient_alone` learns by
policy gradient from nothing. The first of these won: `puppeteer/tuning.py` is it, at all prices at
once. The test part is never read.
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
from glasslipper.puppeteer import artefact
from glasslipper.puppeteer.encode import compact, look
from glasslipper.puppeteer.folder import read
from glasslipper.puppeteer.net import AdamW, Parameters, backward, dense, forward
from glasslipper.puppeteer.outcomes import Outcomes, split
from glasslipper.puppeteer.policy import QUICK, Plan, Policy, speaker, worths
from glasslipper.puppeteer.tuning import Played, Rules, TuningPlan
from outcome import conclude, mention, table

O1 = "o1-mini-2024-09-12"
SETS = {
    "mmlu_pro_outcomes": ("mmlu_pro_outcomes", ()),
    "zeroeval_outcomes_without_o1": ("zeroeval_outcomes", (O1,)),
}
SEED = 42
WARMTH = 0.02
"""How far worths must lie apart, in P(right), for the policy to be sure of a choice."""

HIDDEN = 48
GROUP, BATCH, UPDATES, RATE, ENTROPY = 8, 128, 400, 2e-3, 2e-3
ALONE_UPDATES, ALONE_RATE = 1500, 4e-3
GENERATIONS, PARENTS, CHILDREN, STEP = 120, 8, 16, 0.05
Numbers = NDArray[np.float64]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Game:
    """All that may happen on N tasks, worked out: P puppets make 2^P sets of called ones.

    `looks` (N x 2^P x F) is the state in each; costs are in units of the best single model's.
    """

    def __init__(self, policy: Policy, outcomes: Outcomes, folds: Ints, vectors: object) -> None:
        looks = look(outcomes.tasks, outcomes.candidates, vectors)  # type: ignore[arg-type]
        tasks = compact(policy.scale.encode(outcomes, looks), policy.pool)
        mind = policy.ensemble.held_out(tasks, folds)
        rows = np.arange(len(outcomes))
        self.pool = list(policy.pool)
        self.size = len(self.pool)
        self.folds = folds
        right = np.zeros((len(rows), 1 << self.size))
        self._policy = policy
        self._full: list[Floats] = []
        kept: Ints | None = None
        for mask in range(1 << self.size):
            called = self._called(mask, len(rows))
            belief = mind.believe(rows, called)
            who = speaker(tasks, called, belief.leader, policy.skill)
            right[:, mask] = outcomes.right[rows, np.maximum(who, 0)] & (who >= 0)
            self._full.append(belief.looks)
            if kept is None:
                kept = self._kept(belief.looks.shape[1], tasks.said.shape[1])
        assert kept is not None
        told = np.stack([one[:, kept] for one in self._full], axis=1)
        flat = told.reshape(-1, told.shape[2])
        self.looks = ((told - flat.mean(0)) / (flat.std(0) + 0.1)).astype(np.float32)
        ones = np.ones((*self.looks.shape[:2], 1), np.float32)
        self.looks = np.concatenate([np.clip(self.looks, -4, 4), ones], axis=2)
        self.usd = tasks.usd
        cost = outcomes.usd[:, self.pool] / policy.scale.unit_usd
        self.rules = Rules(right, cost)

    def _called(self, mask: int, count: int) -> NDArray[np.bool_]:
        called = np.zeros((count, len(self._policy.models)), np.bool_)
        called[:, [self.pool[bit] for bit in range(self.size) if mask >> bit & 1]] = True
        return called

    def _kept(self, wide: int, models: int) -> Ints:
        """The columns of the looks that can differ: the sums, the pool's, and the task's."""
        sums = wide - 4 * models - (wide - 9 - 4 * models)
        per_model = [sums + part * models + one for part in range(4) for one in self.pool]
        return np.array([*range(sums), *per_model, *range(sums + 4 * models, wide)])

    def worth(self, price: float) -> Floats:
        """What asking each is worth beyond stopping, by the untuned policy (N x 2^P x P)."""
        count = len(self.rules.right)
        out = np.full((count, 1 << self.size, self.size), -np.inf, np.float32)
        depth = len(self._policy.values[0].levels)
        for mask in range(1 << self.size):
            if mask.bit_count() >= min(depth, self.size):
                continue
            worth = worths(
                self._policy.values,
                mask.bit_count(),
                self._full[mask],
                prices=np.full(count, price, np.float32),
                usd=self.usd,
                barred=self._called(mask, count),
                folds=self.folds,
            )
            out[:, mask] = worth[:, self.pool]
        return out


def reward(played: Played, price: float) -> Numbers:
    """Return the reward of each episode."""
    return played.right - price * played.cost


def base(game: Game, price: float) -> Floats:
    """The untuned policy as scores: a stop is worth nothing more."""
    worth = game.worth(price) / WARMTH
    return np.concatenate([worth, np.zeros((*worth.shape[:2], 1), np.float32)], axis=2)


def shifted(game: Game, start: Floats, head: Parameters) -> Floats:
    flat = game.looks.reshape(-1, game.looks.shape[2])
    return start + forward(head, flat)[-1].reshape(start.shape)


def gradient(
    game: Game, start: Floats, price: float, rows: Ints, *, updates: int, rate: float, seed: int
) -> Parameters:
    """Policy gradient; an episode's advantage is its reward less its group's mean."""
    draw = np.random.default_rng((SEED, seed))
    head = dense((game.looks.shape[2], HIDDEN, game.size + 1), draw)
    head["W1"] *= 0
    adam = AdamW(head, decay=0.01)
    for update in range(updates):
        some = np.repeat(draw.choice(rows, min(BATCH, len(rows)), replace=False), GROUP)
        local = np.unique(some)
        place = np.searchsorted(local, some)
        part = game.looks[local]
        told = forward(head, part.reshape(-1, part.shape[2]))[-1]
        scores = start[local] + told.reshape(len(local), *start.shape[1:])
        played = game.rules.rows(local).play(scores, place, draw)
        earned = reward(played, price)
        advantage = earned - earned.reshape(-1, GROUP).mean(1).repeat(GROUP)
        states, slopes = [], []
        for alive, now, action, odds in played.steps:
            slope = odds.copy()
            slope[np.arange(len(action)), action] -= 1
            slope *= advantage[alive][:, None].astype(np.float32)
            logs = np.log(np.maximum(odds, 1e-9))
            slope += ENTROPY * odds * (logs - (odds * logs).sum(1, keepdims=True))
            states.append(game.looks[some[alive], now])
            slopes.append(slope / np.float32(len(some)))
        inputs = np.concatenate(states)
        gradients, _ = backward(head, forward(head, inputs), np.concatenate(slopes))
        adam.step(gradients, rate * (1 - update / updates))
    return head


def evolved(game: Game, start: Floats, price: float, rows: Ints, *, seed: int) -> Parameters:
    """sep-CMA-ES (Ros and Hansen 2008) on a linear head; all draws play the same tasks."""
    draw = np.random.default_rng((SEED, 100 + seed))
    wide, high = game.looks.shape[2], game.size + 1
    count = wide * high
    weights = np.log(PARENTS + 0.5) - np.log(np.arange(1, PARENTS + 1))
    weights /= weights.sum()
    mass = 1 / (weights**2).sum()
    c_step = (mass + 2) / (count + mass + 5)
    damp = 1 + c_step + 2 * max(0.0, np.sqrt((mass - 1) / (count + 1)) - 1)
    c_path = (4 + mass / count) / (count + 4 + 2 * mass / count)
    c_one = 2 / ((count + 1.3) ** 2 + mass) * (count + 2) / 3
    c_rank = min(1 - c_one, 2 * (mass - 2 + 1 / mass) / ((count + 2) ** 2 + mass) * (count + 2) / 3)
    chi = np.sqrt(count) * (1 - 1 / (4 * count) + 1 / (21 * count**2))
    mean, spread, step = np.zeros(count), np.ones(count), STEP
    path, push = np.zeros(count), np.zeros(count)
    part_looks, part_start = game.looks[rows], start[rows]
    place, rules = np.arange(len(rows)), game.rules.rows(rows)
    flat = part_looks.reshape(-1, wide)

    def worth(point: Numbers) -> float:
        shift = flat @ point.reshape(wide, high).astype(np.float32)
        scores = part_start + shift.reshape(part_start.shape)
        played = rules.play(scores, place, None)
        return float(reward(played, price).mean()) - 1e-3 * float((point**2).mean())

    for generation in range(GENERATIONS):
        steps = draw.normal(size=(CHILDREN, count)) * np.sqrt(spread)
        order = np.argsort([-worth(mean + step * one) for one in steps])[:PARENTS]
        moved = weights @ steps[order]
        mean = mean + step * moved
        path = (1 - c_step) * path + np.sqrt(c_step * (2 - c_step) * mass) * moved / np.sqrt(spread)
        long = np.linalg.norm(path) / np.sqrt(1 - (1 - c_step) ** (2 * generation + 2))
        goes = long / chi < 1.4 + 2 / (count + 1)
        push = (1 - c_path) * push + goes * np.sqrt(c_path * (2 - c_path) * mass) * moved
        spread = (
            (1 - c_one - c_rank) * spread
            + c_one * push**2
            + c_rank * (weights[:, None] * steps[order] ** 2).sum(0)
        )
        step *= np.exp(c_step / damp * (np.linalg.norm(path) / chi - 1))
    head: Parameters = {
        "W0": mean.reshape(wide, high).astype(np.float32),
        "b0": np.zeros(high, np.float32),
    }
    return head


def contest(game: Game, price: float, quick: bool) -> dict[str, Played]:
    """Train each contender without a fold, and play that fold."""
    start = base(game, price)
    nothing = np.where(np.isfinite(start), 0, -np.inf).astype(np.float32)
    updates, alone = (20, 40) if quick else (UPDATES, ALONE_UPDATES)
    names = ("values", "gradient_tuned", "evolved_tuned", "gradient_alone")
    ended = {
        name: (np.zeros(len(game.rules.right)), np.zeros(len(game.rules.right))) for name in names
    }
    for fold in range(int(game.folds.max()) + 1):
        away = np.flatnonzero(game.folds == fold)
        rows = np.flatnonzero(game.folds != fold)
        tuned = gradient(game, start, price, rows, updates=updates, rate=RATE, seed=fold)
        bred = evolved(game, start, price, rows, seed=fold)
        lone = gradient(game, nothing, price, rows, updates=alone, rate=ALONE_RATE, seed=fold)
        scores = {
            "values": start,
            "gradient_tuned": shifted(game, start, tuned),
            "evolved_tuned": shifted(game, start, bred),
            "gradient_alone": shifted(game, nothing, lone),
        }
        for name, one in scores.items():
            played = game.rules.play(one, away, None)
            ended[name][0][away], ended[name][1][away] = played.right, played.cost
        mention(f"  price {price:.3f}, fold {fold}")
    return {name: Played(right, cost, []) for name, (right, cost) in ended.items()}


def figures(
    played: dict[str, Played], price: float, front: list[Played]
) -> dict[str, dict[str, object]]:
    """What each gave at a price, and its right answers above the untuned policy's front.

    The front are the untuned policy's own dials: at a contender's cost it is what one would get
    by turning the dial instead.
    """
    draw = np.random.default_rng(SEED)
    count = len(played["values"].right)
    weights = np.ones((1001, count)) / count
    for row in range(1, 1001):
        weights[row] = np.bincount(draw.integers(count, size=count), minlength=count) / count
    costs = np.stack([weights @ one.cost for one in front], axis=1)
    rights = np.stack([weights @ one.right for one in front], axis=1)
    found: dict[str, dict[str, object]] = {}
    for name, one in played.items():
        cost, right = weights @ one.cost, weights @ one.right
        above = 100 * np.array(
            [
                right[row] - np.interp(cost[row], costs[row], np.maximum.accumulate(rights[row]))
                for row in range(len(weights))
            ]
        )
        low, high = np.quantile(above[1:], [0.025, 0.975])
        found[name] = {
            "right": round(100 * float(right[0]), 3),
            "cost": round(float(cost[0]), 4),
            "net": round(100 * float(right[0] - price * cost[0]), 3),
            "above_front_points": round(float(above[0]), 3),
            "above_front_ci": [round(float(low), 3), round(float(high), 3)],
        }
    return found


def front_of(game: Game, policy: Policy) -> list[Played]:
    """The untuned policy at each of its dials, the cheapest first."""
    rows = np.arange(len(game.rules.right))
    prices = [dial.price for dial in policy.dials]
    played = [game.rules.play(base(game, price), rows, None) for price in prices]
    return sorted(played, key=lambda one: float(one.cost.mean()))


def dataset(name: str, options: argparse.Namespace) -> dict[str, object]:
    folder, without = SETS[name]
    data = Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data"))
    outcomes = read(data / folder, without=frozenset(without))
    train = outcomes.rows(split(outcomes.kinds, seed=SEED))
    count = min(600 if options.quick else options.tasks, len(train))
    train = train.rows(np.sort(np.random.default_rng(1).permutation(len(train))[:count]))
    vectors = puppeteering.vectors()
    plan = QUICK if options.quick else Plan.for_tasks(len(train))
    plan = replace(plan, tuning=TuningPlan(updates=0))
    path = options.work / f"bakeoff-{name}-{count}{'-quick' if options.quick else ''}.npz"
    if not path.exists():
        looks = look(train.tasks, train.candidates, vectors)
        with puppeteering.told(quiet=not sys.stderr.isatty()) as tell:
            artefact.save(Policy.train(train, looks, seed=SEED, plan=plan, tell=tell), path)
    policy, _ = artefact.load(path)
    folds = np.random.default_rng(SEED).integers(0, plan.folds, len(train))
    began_s = time.monotonic()
    game = Game(policy, train, folds, vectors)
    mention(f"{name}: {count} tasks, {game.size} puppets, {time.monotonic() - began_s:.0f} s")
    found: dict[str, object] = {}
    prices = [policy.named[dial] for dial in (("even",) if options.quick else ("saving", "even"))]
    front = front_of(game, policy)
    for price in prices:
        one = figures(contest(game, price, options.quick), price, front)
        found[f"{price:.4f}"] = one
        rows = [(key, *map(str, value.values())) for key, value in one.items()]
        table(("contender", "right %", "cost", "net", "above the front", "interval"), rows)
    return {"tasks": count, "puppets": [policy.models[m] for m in policy.pool], "prices": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".bench/puppeteer"))
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SETS))
    parser.add_argument("--tasks", type=int, default=3000)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    conclude({"datasets": {name: dataset(name, options) for name in options.only}})


if __name__ == "__main__":
    main()
