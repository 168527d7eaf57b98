"""Train and judge a policy on three real local models, with answers from the cache.

    python benchmarks/puppeteer_live.py [--quick] [--tasks 72] [--again 6]

The cache is filled by `benchmarks/puppeteer_fill.py`, which takes long and may be stopped at any
time; here only tasks count that every puppet has answered. What a call took is the CPU time that
was measured when it ran. A sample of calls is run again, live, and held against the cache.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from glasslipper.puppeteer import exam, versions
from glasslipper.puppeteer.graph import measure
from glasslipper.puppeteer.linear import Card, Linear
from glasslipper.puppeteer.reinforce import Episode, Recipe, Round, Table, learn, play
from glasslipper.puppeteer.turns import leading
from glasslipper.store import places
from puppeteer_fill import fill
from puppeteer_picture import draw_rounds
from puppeteer_table import MODELS, PATTERNS, Judge, Stand, data_folder, table

PRICES = (0.0, 0.03, 0.1, 0.2, 0.35, 0.6)
"""What a unit of cost, the mean of the dearest puppet, weighs against a right answer."""
SHOWN = 0.1
LEAST_TASKS = 9
SEED = 42
Choose = Callable[[Table, int], list[int]]


def outcome(table_: Table, row: int, acted: list[int]) -> Episode:
    """What comes of asking these puppets, in this order, and taking the leading answer."""
    episode = Episode(row=row, acted=acted, right=0.0, cost=0.0, tokens=0.0, steps=[])
    turns = [table_.turns[row][one] for one in acted]
    episode.cost = float(table_.cost[row, acted].sum())
    episode.tokens = float(table_.tokens[row, acted].sum())
    lead = leading(turns)
    if lead is not None:
        who = next(one for one in acted if table_.turns[row][one] is lead)
        episode.right = float(table_.right[row, who])
    return episode


def agree_else_ask(order: list[int]) -> Choose:
    """Ask in this order until two agree."""

    def choose(table_: Table, row: int) -> list[int]:
        acted: list[int] = []
        for one in order:
            acted.append(one)
            meanings = [table_.turns[row][a].meaning for a in acted if table_.turns[row][a].answer]
            if len(meanings) != len(set(meanings)):
                break
        return acted

    return choose


def vote(members: list[int]) -> Choose:
    return lambda _table, _row: members


def shown(episodes: list[Episode], draw: np.random.Generator) -> dict[str, object]:
    right = np.array([one.right for one in episodes])
    low, high = interval(right, draw)
    return {
        "accuracy": round(float(right.mean()), 4),
        "accuracy_ci": [low, high],
        "cpu_s_per_task": round(float(np.mean([one.cost for one in episodes])), 3),
        "tokens_per_task": round(float(np.mean([one.tokens for one in episodes])), 1),
        "calls_per_task": round(float(np.mean([len(one.acted) for one in episodes])), 2),
    }


def interval(values: NDArray[np.float64], draw: np.random.Generator) -> tuple[float, float]:
    means = values[draw.integers(0, len(values), (4000, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


def fixed(train: Table, test: Table) -> dict[str, list[Episode]]:
    """Policies that need no training, but may know the training part's means."""
    names = [puppet.name for puppet in train.puppets]
    rows = range(len(test.texts))
    mean_right, mean_cost = train.right.mean(0), train.cost.mean(0)
    by_right = ranked(train)
    by_cost = [int(one) for one in np.argsort(mean_cost)]
    chance = random.Random(SEED)
    best = by_right[0]
    group = [one for one in by_right if mean_cost[one] < mean_cost[best]][:3]
    found = {f"single:{names[i]}": [outcome(test, row, [i]) for row in rows] for i in by_cost}
    found["best_single"] = [outcome(test, row, [best]) for row in rows]
    found["random"] = [outcome(test, row, [chance.choice(by_cost)]) for row in rows]
    found["vote_of_three_best"] = [outcome(test, row, by_right[:3]) for row in rows]
    if group:
        found["vote_of_cheaper"] = [outcome(test, row, group) for row in rows]
    rule = agree_else_ask([one for one in by_cost if mean_right[one] > 0.2])
    found["agree_else_ask"] = [outcome(test, row, rule(test, row)) for row in rows]
    found["oracle"] = [
        outcome(
            test,
            row,
            [min(by_cost, key=lambda one: (-test.right[row, one], test.cost[row, one]))],
        )
        for row in rows
    ]
    return found


def ranked(train: Table) -> list[int]:
    """Puppets by how often they were right in training; of equals the cheaper is first."""
    right, cost = train.right.mean(0), train.cost.mean(0)
    return sorted(range(len(right)), key=lambda one: (-round(float(right[one]), 9), cost[one]))


def greedy(policy: Linear, table_: Table) -> list[Episode]:
    return [play(policy, table_, row, None) for row in range(len(table_.texts))]


def cross(train: Table, recipe: Recipe) -> tuple[float, float]:
    """Accuracy and cost on held-out fifths of the training part: what a dial is chosen by."""
    order = np.random.default_rng(SEED).permutation(len(train.texts))
    held: list[Episode] = []
    for fold in range(5):
        out = [int(row) for row in order[fold::5]]
        seen = [int(row) for row in order if int(row) not in out]
        held += greedy(learn(train.rows(seen), recipe, seed=SEED), train.rows(out))
    return float(np.mean([e.right for e in held])), float(np.mean([e.cost for e in held]))


async def again(stand: Stand, splits: list[tuple[exam.Split, int]], count: int) -> dict[str, int]:
    """Run a sample of calls again, live, and count what is as the cache says."""
    chance = random.Random(SEED)
    tasks = [task for split, most in splits for task in exam.draw(data_folder(), split, most)]
    equal = asked = 0
    for place in range(count):
        model, pattern = MODELS[place % len(MODELS)], chance.choice(PATTERNS)
        known = [task for task in tasks if stand.known(model, pattern, task) is not None]
        task = chance.choice(known)
        old = stand.known(model, pattern, task)
        new = await stand.ask(model, pattern, task, keep=False)
        asked += 1
        equal += old is not None and old.text == new.text
    return {"live_calls": asked, "live_equal": equal}


async def tables(stand: Stand, tasks: int) -> tuple[Table, Table]:
    judge = Judge()
    train = await table(stand, judge, exam.draw(data_folder(), "train", tasks))
    test = await table(stand, judge, exam.draw(data_folder(), "test", tasks))
    return train, test


def train_dials(
    train: Table, rounds: int, prices: tuple[float, ...]
) -> tuple[dict[float, Linear], dict[float, tuple[float, float]], list[Round]]:
    policies: dict[float, Linear] = {}
    held: dict[float, tuple[float, float]] = {}
    told: list[Round] = []
    for price in prices:
        recipe = Recipe(price=price, rounds=rounds)
        tell = told.append if price == SHOWN else None
        policies[price] = learn(train, recipe, seed=SEED, tell=tell)
        held[price] = cross(train, recipe)
        sys.stderr.write(f"dial {price}: held out {held[price][0]:.3f} at {held[price][1]:.2f} s\n")
    return policies, held, told


def pick(
    held: dict[float, tuple[float, float]], best_right: float, best_cost: float
) -> dict[str, float]:
    """The dials for the two claims, chosen on held-out training tasks alone."""
    affordable = [price for price, (_, cost) in held.items() if cost <= best_cost]
    as_good = [price for price, (right, _) in held.items() if right >= best_right]
    return {
        "ours_at_best_single_cost": max(
            affordable or [max(held)], key=lambda price: (held[price][0], price)
        ),
        "ours_at_best_single_accuracy": min(
            as_good or [min(held)], key=lambda price: held[price][1]
        ),
    }


def compared(
    ours: list[Episode], theirs: list[Episode], price: float, draw: np.random.Generator
) -> dict[str, object]:
    """The difference in right answers, task by task, and the share of the cost that is saved."""
    difference = np.array([a.right - b.right for a, b in zip(ours, theirs, strict=True)])
    saved = 1 - sum(one.cost for one in ours) / sum(one.cost for one in theirs)
    return {
        "dial": price,
        "gain": round(float(difference.mean()), 4),
        "gain_ci": list(interval(difference, draw)),
        "cost_saved": round(saved, 4),
    }


def against_each(
    train: Table,
    held: dict[float, tuple[float, float]],
    episodes: dict[str, list[Episode]],
    draw: np.random.Generator,
) -> dict[str, object]:
    """Each puppet beside the dial that, in training, did best for no more than it costs."""
    found: dict[str, object] = {}
    for place, puppet in enumerate(train.puppets):
        limit = float(train.cost[:, place].mean())
        price = pick(held, 1.0, limit)["ours_at_best_single_cost"]
        if held[price][1] <= limit:
            ours, theirs = episodes[f"ours_{price:g}"], episodes[f"single:{puppet.name}"]
            found[puppet.name] = compared(ours, theirs, price, draw)
        else:
            found[puppet.name] = "no dial is as cheap"
    return found


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tasks", type=int, default=120, help="of each split, at most")
    parser.add_argument("--again", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=120)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("build"))
    parser.add_argument("--install", action="store_true", help="let `glasslipper up` serve it")
    args = parser.parse_args()
    rounds, sample = (15, 2) if args.quick else (args.rounds, args.again)
    began = time.monotonic()
    stand = Stand(args.cache)
    try:
        train, test = await tables(stand, args.tasks)
        if min(len(train.texts), len(test.texts)) < LEAST_TASKS:
            sys.stderr.write("The cache is nearly empty: filling it with the first tasks.\n")
            await fill(stand, LEAST_TASKS, float("inf"))
            train, test = await tables(stand, args.tasks)
        checked = await again(stand, [("train", args.tasks), ("test", args.tasks)], sample)
    finally:
        await stand.close()
    policies, held, told = train_dials(train, rounds, PRICES[::2] if args.quick else PRICES)
    best = ranked(train)[0]
    chosen = pick(held, float(train.right[:, best].mean()), float(train.cost[:, best].mean()))
    episodes = fixed(train, test)
    for price, policy in policies.items():
        episodes[f"ours_{price:g}"] = greedy(policy, test)
    for name, price in chosen.items():
        episodes[name] = episodes[f"ours_{price:g}"]
    paper = learn(train, Recipe.paper(0.1, rounds), seed=SEED)
    draw = np.random.default_rng(SEED)
    episodes["paper"] = [play(paper, test, row, draw) for row in range(len(test.texts))]
    gains = {
        name: compared(episodes[name], episodes["best_single"], price, draw)
        for name, price in chosen.items()
    }
    against = against_each(train, held, episodes, draw)
    args.out.mkdir(parents=True, exist_ok=True)
    picture = args.out / "puppeteer-live.svg"
    picture.write_text(draw_rounds(told), encoding="utf-8")
    policies_out = {name: shown(found, draw) for name, found in episodes.items()}
    served = policies[chosen["ours_at_best_single_cost"]]
    policy_path = args.out / "puppeteer-live.json"
    card = Card(
        policy=f"live@{time.strftime('%Y-%m-%d')}",
        made_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        data={"train_tasks": len(train.texts), "test_tasks": len(test.texts)},
        figures={"test": policies_out["ours_at_best_single_cost"]},
    )
    served = Linear(served.puppets, served.weights, card=card, most_turns=served.most_turns)
    served.save(policy_path)
    if args.install:
        served.save(places.policies() / "live.json")
        versions.promote(places.policies(), "live.json")
    first, last = told[0], told[-1]
    report = {
        "train_tasks": len(train.texts),
        "test_tasks": len(test.texts),
        "policies": policies_out,
        "gains": gains,
        "against_each_at_its_cost": against,
        "emergence": {
            when: {
                "tokens_per_task": round(one.tokens, 1),
                "calls": round(one.calls, 2),
                "puppets": structs.asdict(measure(one.paths)),
                "models": structs.asdict(measure(models_of(one.paths))),
            }
            for when, one in (("first_round", first), ("last_round", last))
        },
        "calls": int(len(train.texts) + len(test.texts)) * len(train.puppets),
        "cached_calls": int(len(train.texts) + len(test.texts)) * len(train.puppets),
        **checked,
        "filling_cpu_s": round(float(train.cost.sum() + test.cost.sum()), 1),
        "picture": str(picture),
        "policy": str(policy_path),
        "wall_s": round(time.monotonic() - began, 1),
    }
    for name, one in policies_out.items():
        sys.stderr.write(
            f"{name:38} {one['accuracy']:.3f} {one['accuracy_ci']} "
            f"{one['cpu_s_per_task']:6.2f} s {one['tokens_per_task']:6.0f} tokens\n"
        )
    sys.stdout.write(json.dumps(report) + "\n")


def models_of(paths: list[list[str]]) -> list[list[str]]:
    return [[name.partition("#")[0] for name in path] for path in paths]


if __name__ == "__main__":
    asyncio.run(main())
