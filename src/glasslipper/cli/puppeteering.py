"""What the commands of `puppeteer` share: vectors, folders, progress, a log, pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from glasslipper.cli.output import console, mention
from glasslipper.kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import TaskID

    from glasslipper.puppeteer.belief import Tell
    from glasslipper.puppeteer.bench import Run
    from glasslipper.puppeteer.encode import Looks
    from glasslipper.puppeteer.outcomes import Floats, Outcomes
    from glasslipper.puppeteer.stages import Stages
    from glasslipper.puppeteer.tensorboard import Events


def vectors() -> Callable[[Sequence[str]], Floats]:
    """Return what turns texts into vectors: those of `local`, fetched if they are not here."""
    from glasslipper.local import EMBEDDINGS, fetch
    from glasslipper.local.embed import StaticVectors

    weights, tokenizer = fetch(EMBEDDINGS)
    model = StaticVectors(weights=weights, tokenizer=tokenizer)

    def embed(texts: Sequence[str]) -> Floats:
        return model.embed([text if text.strip() else "-" for text in texts]).vectors

    return embed


def read(folder: Path, without: Sequence[str]) -> tuple[Outcomes, Looks]:
    """Read an outcome folder and look at its tasks; say what of it cannot be used.

    Raises:
        InvalidRequest: The folder does not hold what it should.
    """
    from glasslipper.puppeteer.encode import look
    from glasslipper.puppeteer.folder import read as read_folder

    outcomes = read_folder(folder, without=frozenset(without))
    if outcomes.gaps.questions:
        whole = outcomes.gaps.questions + len(outcomes)
        model, count = next(iter(outcomes.gaps.models.items()))
        mention(
            f"{folder}: {outcomes.gaps.questions} of {whole} questions are left out, since not "
            f"every model has answered them ({model} lacks {count})."
        )
    return outcomes, look(outcomes.tasks, outcomes.candidates, vectors())


def check_without(without: Sequence[str], *folders: Path) -> None:
    """Make sure that whoever is to be left out is there.

    Raises:
        UsageError: A model is not priced in any of the folders.
    """
    from glasslipper.puppeteer.folder import priced

    if not without:
        return
    known = {model for folder in folders for model in priced(folder)}
    for model in without:
        if model not in known:
            raise click.UsageError(
                f"--without {model}: there is no such model. There are {', '.join(sorted(known))}."
            )


def unfinished(outcomes: Outcomes, looks: Looks, *, seed: int, plan: object) -> Stages:
    """Return what is finished of the training that these would make, kept until it is done."""
    from glasslipper import __version__
    from glasslipper.puppeteer.card import digest
    from glasslipper.puppeteer.stages import Stages
    from glasslipper.store import places

    told = (__version__, digest(outcomes), outcomes.usd.sum(), looks.vectors.sum(), seed, plan)
    return Stages.of(places.policies() / "unfinished", outcomes.models, *told)


@contextmanager
def resumable(stages: Stages) -> Generator[None]:
    """Say that a training goes on where it was stopped, and forget its stages once it is done."""
    if stages.begun:
        mention("Going on where this training was stopped.")
    try:
        yield
    except (KeyboardInterrupt, click.Abort):
        if stages.begun:
            mention("Stopped. The same command goes on where this one was.")
        raise
    stages.clear()


@contextmanager
def told(
    *, quiet: bool, log: Path | None = None, tensorboard: Path | None = None
) -> Generator[Tell]:
    """Show how far a long work is, and write it down: as JSON lines, or for TensorBoard.

    Raises:
        InvalidRequest: A file to write to cannot be.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with ExitStack() as stack:
        hears = _hearers(stack, log, tensorboard)
        bar = stack.enter_context(
            Progress(*columns, TimeElapsedColumn(), console=console(errors=True), disable=quiet)
        )
        bars: dict[str, TaskID] = {}

        def tell(what: str, done: int, todo: int, **figures: float) -> None:
            if what not in bars:
                bars[what] = bar.add_task(what, total=todo)
            bar.update(bars[what], completed=done, total=todo)
            for hear in hears:
                hear(what, done, todo, **figures)

        yield tell


def _hearers(stack: ExitStack, log: Path | None, tensorboard: Path | None) -> list[Tell]:
    hears: list[Tell] = []
    try:
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(log.open("a", encoding="utf-8"))
            hears.append(partial(_log, file, time.monotonic()))
        if tensorboard is not None:
            from glasslipper.puppeteer.tensorboard import Events

            events = Events(tensorboard)
            stack.callback(events.close)
            hears.append(partial(_show, events))
    except OSError as error:
        raise InvalidRequest(f"The progress cannot be written down: {error}.") from error
    return hears


def _show(events: Events, what: str, done: int, todo: int, **figures: float) -> None:
    del todo
    for name, value in figures.items():
        if name != "step":  # it begins again with every network: all is drawn along `done`
            events.add(f"{what}/{name}", done, value)


def _log(file: TextIO, began_s: float, what: str, done: int, todo: int, **figures: float) -> None:
    line = {"at_s": round(time.monotonic() - began_s, 3), "what": what, "done": done, "of": todo}
    file.write(json.dumps({**line, **figures}) + "\n")
    file.flush()


def folder_for(path: Path) -> Path:
    """Make a folder to write into.

    Raises:
        InvalidRequest: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be made: {error}.") from error
    return path


def draw_front(title: str, runs: Sequence[Run]) -> str:
    """Return the picture of the cost-accuracy front of some runs."""
    from glasslipper.puppeteer.metrics import Table
    from glasslipper.puppeteer.pictures import front

    table = Table([one.judged for one in runs], draws=1)
    places = {
        name: (1000 * float(table.usd[name][0]), 100 * float(table.accuracy[name][0]))
        for name in table.names
        if name != "all_wrong"
    }
    ours = [place for name, place in places.items() if name.startswith("ours_dial")]
    shown = ("random", "best_single", "vote_equal_spend", "knn", "kmeans", "category_best")
    dots = {name: [places[name]] for name in (*shown, "agree_else_ask", "paper", "oracle")}
    singles = [place for name, place in places.items() if name.startswith("single:")]
    return front(title, {"ours, by dial": ours}, {**dots, "": singles})


_CURVES = {
    "posterior loss": "loss (nats), by epoch of each network",
    "values error": "error of predicted gains, by depth from the last call to the first",
    "paper right": "right answers, by task",
}


def draw_learning(log: Path) -> dict[str, str]:
    """Return the pictures of the learning curves in a log of training, by name.

    Curves that begin again, as each network's does, are drawn one beside the other.
    """
    from glasslipper.puppeteer.pictures import learning

    curves: dict[str, list[list[tuple[float, float]]]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        for name in set(told) - {"at_s", "what", "done", "of", "step"}:
            key, step = f"{told['what']} {name}", float(told.get("step", told["done"]))
            known = curves.setdefault(key, [[]])
            if known[-1] and step <= known[-1][-1][0]:
                known.append([])
            known[-1].append((step, float(told[name])))
    return {
        key.replace(" ", "-"): learning(
            key,
            {f"{place + 1}": points for place, points in enumerate(found)},
            x_title="step",
            y_title=_CURVES.get(key, key),
        )
        for key, found in curves.items()
    }


def draw_into(folder: Path, log: Path) -> None:
    """Write the learning curves of a log into a folder, as `learning-….svg`."""
    folder_for(folder)
    for name, drawn in draw_learning(log).items():
        (folder / f"learning-{name}.svg").write_text(drawn, encoding="utf-8")
