"""Learning from one's own traffic: a log of choices becomes a candidate, and maybe the policy.

A log line tells the task, the model chosen, the chance that it had, and the reward. The earlier
part teaches a bandit, the later part judges it: it is promoted only if the lower bound of its gain
over whoever wrote the log is above nothing, and else watched in the shadow. An alarm for each
model tells whose rewards have fallen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.puppeteer import versions
from glasslipper.puppeteer.bandit import Bandit, Numbers, Way
from glasslipper.puppeteer.drift import Alarm
from glasslipper.puppeteer.looks import Vectors, task_looks
from glasslipper.puppeteer.offpolicy import Estimate, Logs, gain_over_log, reward_model
from glasslipper.puppeteer.outcomes import Task

LEAST = 200
"""How many logged choices it takes to learn anything."""

_TEACHING = 0.6
_COMPONENTS = 32


class Choice(msgspec.Struct, kw_only=True):
    """One line of a log. `reward` lies between 0 and 1; `usd` is what the call cost."""

    model: str
    propensity: float
    reward: float
    text: str = ""
    kind: str = ""
    usd: float = 0.0


@dataclass(frozen=True)
class Lesson:
    """What a night of learning came to."""

    logged: int
    models: tuple[str, ...]
    gain: Estimate
    promoted: bool
    alarms: tuple[str, ...]
    version: str


def read(path: Path) -> list[Choice]:
    """Read a log of JSON lines, oldest first.

    Raises:
        InvalidRequest: A line is not a choice, or there are too few.
    """
    decoder = msgspec.json.Decoder(Choice)
    found: list[Choice] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InvalidRequest(f"{path} could not be read: {error}.") from error
    for number, line in enumerate(lines, start=1):
        try:
            choice = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise InvalidRequest(
                f"{path}, line {number}: {error}.",
                hint="A line holds model, propensity, reward, and maybe text, kind and usd.",
            ) from error
        if not (0 < choice.propensity <= 1 and 0 <= choice.reward <= 1):
            raise InvalidRequest(
                f"{path}, line {number}: a propensity is above 0 and at most 1, a reward from 0 "
                "to 1.",
                hint="Log the probability with which the model was chosen.",
            )
        found.append(choice)
    if len(found) < LEAST:
        raise InvalidRequest(
            f"{path} holds {len(found)} choices; it takes {LEAST} to learn from.",
            hint="Collect more feedback first.",
        )
    return found


def learn(
    choices: list[Choice],
    vectors: Vectors,
    folder: Path,
    *,
    price: float = 0.0,
    way: Way = "thompson",
) -> Lesson:
    """Learn from a log, and promote or watch what was learned.

    `price` is how much reward a dollar must buy.
    """
    models = tuple(sorted({choice.model for choice in choices}))
    contexts = _contexts(choices, vectors)
    chosen = np.array([models.index(choice.model) for choice in choices], dtype=np.int64)
    reward = np.array([choice.reward - price * choice.usd for choice in choices])
    chance = np.array([choice.propensity for choice in choices])
    taught = int(_TEACHING * len(choices))
    bandit = Bandit(len(models), len(contexts.T), way=way)
    bandit.learn(contexts[:taught], chosen[:taught], reward[:taught])
    late = Logs(contexts[taught:], chosen[taught:], chance[taught:], reward[taught:], len(models))
    candidate = bandit.chances(late.contexts)
    gained = gain_over_log(late, candidate, reward_model(late))
    expected = bandit.expected(late.contexts)
    alarm = Alarm()
    alarms: set[str] = set()
    for row, choice in enumerate(choices[taught:]):
        place = models.index(choice.model)
        if alarm.hear(choice.model, float(late.reward[row]), float(expected[row, place])):
            alarms.add(choice.model)
    name = _save(bandit, models, folder)
    is_better = gained.low > 0
    (versions.promote if is_better else versions.watch)(folder, name)
    return Lesson(len(choices), models, gained, is_better, tuple(sorted(alarms)), name)


def _contexts(choices: list[Choice], vectors: Vectors) -> Numbers:
    """Return what is known of each task before it is answered."""
    tasks = [Task(id="", kind=choice.kind, text=choice.text) for choice in choices]
    looks = np.array([task_looks(task) for task in tasks], dtype=np.float64)
    spread = looks.std(0)
    scaled = (looks - looks.mean(0)) / np.where(spread > 1e-6, spread, 1)
    told = vectors([choice.text or "-" for choice in choices]).astype(np.float64)
    kinds = sorted({choice.kind for choice in choices})
    one_hot = np.array([[float(choice.kind == kind) for kind in kinds] for choice in choices])
    return np.concatenate([scaled / 4, told[:, :_COMPONENTS] * 4, one_hot], axis=1)


def _save(bandit: Bandit, models: tuple[str, ...], folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + sum(1 for _ in folder.glob("learned-*.npz"))
    name = f"learned-{number}.npz"
    bandit.save(folder / name, models)
    return name
