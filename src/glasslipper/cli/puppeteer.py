"""`glasslipper puppeteer`: train, judge and look at the orchestrator."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glasslipper.cli import options, puppeteer_learn
from glasslipper.cli.output import mention, print_json, print_table, say

if TYPE_CHECKING:
    from glasslipper.puppeteer.bench import Run
    from glasslipper.puppeteer.policy import Policy

# The arrays are small: threads inside them would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)

_without = click.option(
    "--without", multiple=True, metavar="MODEL", help="Leave a model out of the pool."
)
_log = click.option("--log", type=_FILE, help="Write progress as JSON lines.")
_tensorboard = click.option(
    "--tensorboard", type=_FOLDER, help="Write progress as events that TensorBoard shows."
)
_quick = click.option("--quick", is_flag=True, help="Train in seconds, not as well: to try.")
_FILES = """
    An outcome folder holds prices.csv (model, usd_per_mtok_in, usd_per_mtok_out: the pool),
    questions.jsonl (id, question, answer, and category or task), and either pred_letter.csv and
    output_chars.csv (one column a model; questions with options) or outcomes.csv (task, id,
    model, correct, output_chars, extracted_answer). All may be gzipped. What is finished of a
    training is kept until all is: after Ctrl-C, the same command goes on where it was.
"""


@options.example(
    "glasslipper puppeteer train outcomes/ --to policy.npz",
    "glasslipper puppeteer bench --train outcomes/ --test others/ --json",
)
@click.group()
def puppeteer() -> None:
    """Learn which model takes the next step of a task, and when to stop."""


for _command in (
    puppeteer_learn.learn,
    puppeteer_learn.back,
    puppeteer_learn.promote,
    puppeteer_learn.watch,
    puppeteer_learn.policies,
):
    puppeteer.add_command(_command)


@options.example("glasslipper puppeteer train outcomes/ --to policy.npz")
@puppeteer.command(help=f"Learn a policy from the outcomes in FOLDER.\n{_FILES}")
@click.argument("folder", type=_FOLDER)
@click.option("--to", "target", type=_FILE, default=Path("policy.npz"), show_default=True)
@click.option("--seed", type=int, default=42, show_default=True)
@_log
@_tensorboard
@click.option("--pictures", type=_FOLDER, help="Draw the learning curves in --log here (SVG).")
@_quick
@_without
@options.as_json
def train(
    *,
    folder: Path,
    target: Path,
    seed: int,
    log: Path | None,
    tensorboard: Path | None,
    pictures: Path | None,
    quick: bool,
    without: tuple[str, ...],
    as_json: bool,
) -> None:
    """Learn a policy from the outcomes in FOLDER."""
    if pictures is not None and log is None:
        raise click.UsageError("--pictures draws what --log holds: give both.")
    from glasslipper.cli import puppeteering
    from glasslipper.puppeteer import artefact
    from glasslipper.puppeteer.card import card
    from glasslipper.puppeteer.policy import QUICK, Plan, Policy

    puppeteering.check_without(without, folder)
    outcomes, looks = puppeteering.read(folder, without)
    plan = QUICK if quick else Plan.for_tasks(len(outcomes))
    stages = puppeteering.unfinished(outcomes, looks, seed=seed, plan=plan)
    with (
        puppeteering.resumable(stages),
        puppeteering.told(quiet=as_json, log=log, tensorboard=tensorboard) as tell,
    ):
        policy = Policy.train(outcomes, looks, seed=seed, plan=plan, tell=tell, stages=stages)
    if pictures is not None and log is not None:
        puppeteering.draw_into(pictures, log)
    told = card(policy, outcomes, seed=seed)
    artefact.save(policy, target, card=told)
    if as_json:
        print_json({"path": str(target), "card": told})
        return
    _show_card(policy, told)
    say(f"\n[bold]{target}[/bold] is the policy.")


@options.example("glasslipper puppeteer bench --train outcomes/ --test others/ --json")
@puppeteer.command(
    help=f"Train on one folder, score another: ours and all it has to beat.\n{_FILES}"
)
@click.option("--train", "train_folder", type=_FOLDER, required=True, help="Learn from this.")
@click.option("--test", "test_folder", type=_FOLDER, required=True, help="Judge by this, once.")
@click.option("--seed", type=int, default=42, show_default=True)
@click.option("--unread", is_flag=True, help="Also train ours without reading the options.")
@click.option("--picture", type=_FILE, help="Draw the cost-accuracy front (SVG).")
@_log
@_tensorboard
@_quick
@_without
@options.as_json
def bench(
    *,
    train_folder: Path,
    test_folder: Path,
    seed: int,
    unread: bool,
    picture: Path | None,
    log: Path | None,
    tensorboard: Path | None,
    quick: bool,
    without: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train on one folder, score another."""
    from glasslipper.cli import puppeteering
    from glasslipper.puppeteer.bench import apart, report, run
    from glasslipper.puppeteer.policy import QUICK, Plan

    puppeteering.check_without(without, train_folder, test_folder)
    train_part, train_looks = puppeteering.read(train_folder, without)
    test_part, test_looks = puppeteering.read(test_folder, without)
    kept = apart(train_part, test_part)
    plan = QUICK if quick else Plan.for_tasks(int(kept.sum()))
    stages = puppeteering.unfinished(
        train_part.rows(kept), train_looks.rows(kept), seed=seed, plan=plan
    )
    with (
        puppeteering.resumable(stages),
        puppeteering.told(quiet=as_json, log=log, tensorboard=tensorboard) as tell,
    ):
        done = run(
            train_part,
            train_looks,
            test_part,
            test_looks,
            seed=seed,
            tell=tell,
            unread=unread,
            plan=plan,
            stages=stages,
        )
    if done.dropped:
        mention(f"{done.dropped} training tasks are in the test folder too and were left out.")
    if picture is not None:
        picture.write_text(puppeteering.draw_front(str(test_folder), [done]), encoding="utf-8")
    figures = report([done])
    if as_json:
        print_json(figures)
        return
    show(figures, done)


def show(figures: dict[str, object], done: Run) -> None:
    """Print a bench's figures for people."""
    from glasslipper.puppeteer.bench import lines

    rows = [
        (line.name, f"{line.right:.2f}", f"{line.low:.2f}-{line.high:.2f}", f"{line.usd:.3f}")
        for line in lines([done])
    ]
    print_table(("policy", "right %#", "interval#", "$ per 1k#"), rows)
    say(f"\nBest single model: {done.best}. At no more than its cost:")
    say(f"  {figures['gain_points_at_best_single_cost']:+} points, {figures['gain_points_ci']}")
    say(f"CostSave {figures['cost_save']}, at {figures['cost_save_gap_points']:+} points")
    say(f"PerfGain {figures['perf_gain']}, AIQ {figures['aiq']}, ceiling {figures['ceiling']}")
    say(f"Training {figures['train_s']} s, decision p99 {figures['decide_p99_ms']} ms")


@options.example("glasslipper puppeteer replay policy.npz outcomes/ --dial 5")
@puppeteer.command()
@click.argument("policy_file", metavar="POLICY", type=_FILE)
@click.argument("folder", type=_FOLDER)
@click.option("--dial", type=click.FloatRange(0, 10), default=5, show_default=True)
@options.as_json
def replay(*, policy_file: Path, folder: Path, dial: float, as_json: bool) -> None:
    """Play the tasks in FOLDER again by POLICY, and say what it would have got and cost."""
    from glasslipper.cli import puppeteering
    from glasslipper.puppeteer import artefact

    policy, _ = artefact.load(policy_file)
    outcomes, looks = puppeteering.read(folder, ())
    outcomes = outcomes.pool(_known(policy, outcomes.models))
    (played,) = policy.play(outcomes, looks, [policy.price(dial)])
    right, usd = played.right(outcomes), played.usd(outcomes)
    asked = {
        model: round(float(played.called[:, place].mean()), 4)
        for place, model in enumerate(policy.models)
        if played.called[:, place].any()
    }
    told = {
        "tasks": len(outcomes),
        "dial": dial,
        "accuracy": round(float(right.mean()), 5),
        "usd_per_1k": round(1000 * float(usd.mean()), 5),
        "calls_per_task": round(float(played.called.sum(1).mean()), 3),
        "asked": asked,
    }
    if as_json:
        print_json(told)
        return
    say(f"{told['tasks']} tasks: {100 * right.mean():.2f} % right, ${told['usd_per_1k']} per 1,000")
    print_table(
        ("model", "asked %#"),
        [(model, f"{100 * share:.1f}") for model, share in asked.items()],
    )


def _known(policy: Policy, models: tuple[str, ...]) -> tuple[str, ...]:
    missing = [model for model in policy.models if model not in models]
    if missing:
        raise click.UsageError(f"The folder has no answers of {missing[0]}, which the policy asks.")
    return policy.models


@options.example("glasslipper puppeteer explain policy.npz outcomes/ 72")
@puppeteer.command()
@click.argument("policy_file", metavar="POLICY", type=_FILE)
@click.argument("folder", type=_FOLDER)
@click.argument("task_id", metavar="TASK")
@click.option("--dial", type=click.FloatRange(0, 10), default=5, show_default=True)
@options.as_json
def explain(*, policy_file: Path, folder: Path, task_id: str, dial: float, as_json: bool) -> None:
    """Say step by step whom POLICY asks for one TASK of FOLDER, and why it stops."""
    import numpy as np

    from glasslipper.cli import puppeteering
    from glasslipper.puppeteer import artefact
    from glasslipper.puppeteer.encode import look
    from glasslipper.puppeteer.explain import steps
    from glasslipper.puppeteer.folder import read

    policy, _ = artefact.load(policy_file)
    outcomes = read(folder)
    outcomes = outcomes.pool(_known(policy, outcomes.models))
    ids = [task.id for task in outcomes.tasks]
    if task_id not in ids:
        raise click.UsageError(f"{folder} has no task {task_id!r}; its first is {ids[0]!r}.")
    one = outcomes.rows(np.array([ids.index(task_id)]))
    looks = look(one.tasks, one.candidates, puppeteering.vectors())
    told = steps(policy, one, looks, policy.price(dial))
    if as_json:
        print_json({"task": task_id, "dial": dial, "steps": told})
        return
    for step in told:
        say(str(step["words"]))


@options.example("glasslipper puppeteer card policy.npz")
@puppeteer.command()
@click.argument("policy_file", metavar="POLICY", type=_FILE)
@options.as_json
def card(*, policy_file: Path, as_json: bool) -> None:
    """Show what POLICY was trained on and what it gives at each dial."""
    from glasslipper.puppeteer import artefact

    policy, told = artefact.load(policy_file)
    if as_json:
        print_json(told)
        return
    _show_card(policy, told)


def _show_card(policy: Policy, told: dict[str, object]) -> None:
    say(f"Trained {told['trained']} on {told['tasks']} tasks, seed {told['seed']}.")
    asked = [policy.models[place] for place in policy.pool]
    say(f"It asks: {', '.join(asked)}.")
    rows = [
        (
            f"{step}",
            f"{dial.price:.4f}",
            f"{100 * dial.accuracy:.2f}",
            f"{1000 * dial.usd:.3f}",
        )
        for step, dial in enumerate(policy.dials)
    ]
    print_table(("dial#", "price#", "held-out right %#", "$ per 1k#"), rows)
