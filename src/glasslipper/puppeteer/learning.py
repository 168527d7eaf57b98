"""Learning from one's own traffic: what was judged becomes a candidate, and maybe the policy.

The earlier part of the judged openings teaches a bandit, the later part judges it, as far as its
choices were open to chance. The candidate is promoted only if the lower bound of its gain over the
policy that runs is above nothing, and else watched in its shadow. Every night's look at a new
candidate spends a part of one risk, `RISK`, of ever promoting what is no better than what runs
(alpha spending: Lan & DeMets 1983). An alarm tells which model's rewards have fallen. What is
maximised is the reward less the price of what the episode cost.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.puppeteer import repertoire, versions
from glasslipper.puppeteer.bandit import Bandit, Numbers, Way
from glasslipper.puppeteer.drift import Alarm
from glasslipper.puppeteer.guide import LADDER
from glasslipper.puppeteer.learned import Learned, LearnedCard, Scale, dearness
from glasslipper.puppeteer.offpolicy import (
    Estimate,
    Logs,
    doubly_robust,
    gain,
    ips,
    reward_model,
    snips,
)
from glasslipper.puppeteer.outcomes import Floats
from glasslipper.puppeteer.traffic import Judged

LEAST = 200
"""How many judged answers it takes to learn anything."""

LEAST_OPEN = 100
"""How many choices, open to chance, it takes to judge a candidate."""

DEAREST_CALL = 0.1
"""How much reward a call of the dearest model must bring, over a free one, unless told."""

RISK = 0.05
"""How likely, at most, one that is no better is promoted over what runs, however many nights."""

_TEACHING = 0.6
_MOST = 200_000
_RIDGES = (10.0, 100.0, 1000.0)
_LEAST_CHANCE = 1e-3
_KEPT = 10

Chances = Mapping[str, float]


@dataclass(frozen=True)
class Lesson:
    """What a night of learning came to.

    `estimates` are what the candidate would have earned, by estimator; `gain` is over what runs,
    bounded at this night's `risk`; `over_rule` is what that has over the untrained rule. Both are
    `None` where they cannot be told.
    """

    judged: int
    open: int
    models: tuple[str, ...]
    price: float
    estimates: Mapping[str, Estimate]
    gain: Estimate | None
    risk: float
    over_rule: Estimate | None
    shadow_agreed: float | None
    promoted: bool
    alarms: tuple[str, ...]
    version: str
    why: str


def learn(
    judged: Sequence[Judged], folder: Path, *, price: float | None = None, way: Way = "thompson"
) -> Lesson:
    """Learn from openings, oldest first, and promote or watch what was learned.

    `price` is how much reward a dollar must buy at dial 5.

    Raises:
        InvalidRequest: Too little has been judged.
    """
    rows = [one for one in judged if one.opening.goes_on == LADDER][-_MOST:]
    if len(rows) < LEAST:
        raise InvalidRequest(
            f"The ledger has {len(rows)} judged answers of `glasslipper/auto` to learn from; it "
            f"takes {LEAST}.",
            hint="Post rewards to /api/v1/generation/feedback, by replay id or session id.",
        )
    with versions.alone(folder, "learn"):  # of two at once the second holds itself to the first
        return _learn(rows, folder, _price(rows) if price is None else price, way)


def _learn(rows: Sequence[Judged], folder: Path, price: float, way: Way) -> Lesson:
    now = versions.read(folder)
    over, risk = now.running, risk_of(now.tried + 1)
    models = tuple(sorted({name for one in rows for name in one.opening.chances}))
    scale = Scale.fit([one.opening.seen for one in rows])
    data = _Data(rows, models, scale, price)
    taught = int(_TEACHING * len(rows))
    bandit = data.teach(slice(0, taught), way, data.ridge(taught, way))
    name = _next(folder)
    card = LearnedCard(
        policy=name.removesuffix(".json"),
        made_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        logged=len(rows),
        price=price,
        gain=0.0,
        gain_low=0.0,
        judged=0,
    )
    candidate = Learned(bandit, models, scale, card=card)
    late = [row for row in range(taught, len(rows)) if _is_open(rows[row])]
    verdict = _judge(data, late, candidate, _running(folder), risk)
    card = LearnedCard(
        policy=card.policy,
        made_at=card.made_at,
        logged=card.logged,
        price=price,
        gain=verdict.gain.value if verdict.gain else 0.0,
        gain_low=verdict.gain.low if verdict.gain else 0.0,
        judged=len(late),
    )
    Learned(bandit, models, scale, card=card).save(folder / name)
    is_better = verdict.gain is not None and verdict.gain.low > 0
    if is_better:
        is_better = versions.promote(folder, name, over=over).running == name
    else:
        versions.watch(folder, name, tried=verdict.gain is not None)
    _tidy(folder)
    return Lesson(
        judged=len(rows),
        open=len(late),
        models=models,
        price=price,
        estimates=verdict.estimates,
        gain=verdict.gain,
        risk=risk,
        over_rule=verdict.over_rule,
        shadow_agreed=_agreed(rows),
        promoted=is_better,
        alarms=data.alarms(bandit, taught),
        version=name,
        why=verdict.why,
    )


def risk_of(look: int) -> float:
    """Return what the first, second, ... look may spend: over all of them, `RISK`."""
    return RISK / (look * (look + 1))


class _Data:
    """The openings as arrays: contexts (N x D), who was chosen, the reward less its price."""

    def __init__(
        self, rows: Sequence[Judged], models: tuple[str, ...], scale: Scale, price: float
    ) -> None:
        self.rows = rows
        self.models = models
        self.contexts = scale.contexts([one.opening.seen for one in rows])
        self.chosen = np.array([models.index(one.opening.chosen) for one in rows], dtype=np.int64)
        weighs = np.array([dearness(price, one.opening.seen) for one in rows])
        usd = np.array([one.usd for one in rows])
        bids = np.array([one.opening.costs.get(one.opening.chosen, 0) / 1e9 for one in rows])
        self.net = np.array([one.reward for one in rows]) - weighs * usd
        self.unpriced = self.net + weighs * bids
        """What a bandit learns: it takes off what a call is expected to cost by itself."""

        self.known = weighs * bids

    def teach(self, part: slice, way: Way, ridge: float) -> Bandit:
        bandit = Bandit(len(self.models), self.contexts.shape[1], way=way, ridge=ridge)
        bandit.learn(self.contexts[part], self.chosen[part], self.unpriced[part])
        return bandit

    def ridge(self, taught: int, way: Way) -> float:
        """Return how much models' own slopes are held back, by what foretells the last third."""
        middle = 2 * taught // 3
        late = slice(middle, taught)

        def miss(ridge: float) -> float:
            told = self.teach(slice(0, middle), way, ridge).expected(self.contexts[late])
            at_choice = told[np.arange(taught - middle), self.chosen[late]]
            return float(((at_choice - self.unpriced[late]) ** 2).mean())

        return min(_RIDGES, key=miss)

    def logs(self, places: Sequence[int]) -> Logs:
        some = list(places)
        chance = [self.rows[row].opening.chances[self.rows[row].opening.chosen] for row in some]
        return Logs(
            self.contexts[some],
            self.chosen[some],
            np.array(chance),
            self.net[some],
            len(self.models),
        )

    def table(self, chances: Sequence[Chances]) -> Numbers:
        """Return chances by name as an array (N x M)."""
        return np.array([[one.get(name, 0.0) for name in self.models] for one in chances])

    def alarms(self, bandit: Bandit, since: int) -> tuple[str, ...]:
        """Return the models whose rewards fell below what was expected of them."""
        expected = bandit.expected(self.contexts[since:])
        alarm, found = Alarm(), set[str]()
        for place, row in enumerate(range(since, len(self.rows))):
            model = int(self.chosen[row])
            hoped = float(expected[place, model] - self.known[row])
            if alarm.hear(self.models[model], float(self.net[row]), hoped):
                found.add(self.models[model])
        return tuple(sorted(found))


@dataclass(frozen=True)
class _Verdict:
    gain: Estimate | None
    over_rule: Estimate | None
    estimates: Mapping[str, Estimate]
    why: str


def _judge(
    data: _Data, late: Sequence[int], candidate: Learned, running: repertoire.Guide, risk: float
) -> _Verdict:
    if len(late) < LEAST_OPEN:
        words = (
            f"only {len(late)} of the later choices were open to chance, and it takes {LEAST_OPEN} "
            "to judge: set `auto_explore`"
        )
        return _Verdict(None, None, {}, words)
    openings = [data.rows[row].opening for row in late]
    logs = data.logs(late)
    expected = reward_model(logs)
    would = data.table([candidate.chances(one.seen, one.costs) for one in openings])
    estimates = {
        "ips": ips(logs, would),
        "snips": snips(logs, would),
        "dr": doubly_robust(logs, would, expected),
    }
    rule = data.table([{one.rule: 1.0} for one in openings])
    if running.goes_on != LADDER:
        words = f"what runs, {running.version}, decides every step by itself: it cannot be compared"
        return _Verdict(None, None, estimates, words)
    if not isinstance(running, Learned):
        found = gain(logs, would, rule, expected, risk=risk)
        return _Verdict(found, None, estimates, _words(found, running.version))
    runs = data.table([running.chances(one.seen, one.costs) for one in openings])
    found = gain(logs, would, runs, expected, risk=risk)
    over_rule = gain(logs, runs, rule, expected)
    return _Verdict(found, over_rule, estimates, _words(found, running.version))


def _words(found: Estimate, over: str) -> str:
    sure = "surely better than" if found.low > 0 else "not surely better than"
    return f"{sure} {over}"


def _running(folder: Path) -> repertoire.Guide:
    policies = repertoire.Repertoire(folder, vectors=lambda: _unread)
    policies.refresh()
    return policies.running


def _unread(texts: Sequence[str]) -> Floats:
    """Stand for vectors: a policy that reads texts is only asked here how it goes on."""
    return np.zeros((len(texts), 1), np.float32)


def _is_open(one: Judged) -> bool:
    chances = one.opening.chances
    has_rule = one.opening.rule in chances
    return has_rule and len(chances) > 1 and min(chances.values()) >= _LEAST_CHANCE


def _price(rows: Sequence[Judged]) -> float:
    """Return the price at which a call of the dearest model must bring `DEAREST_CALL`."""
    dearest = float(np.mean([max(one.opening.costs.values(), default=0) for one in rows])) / 1e9
    return DEAREST_CALL / dearest if dearest > 0 else 0.0


def _agreed(rows: Sequence[Judged]) -> float | None:
    """Return how often the policy that was watched would have done what was done."""
    watched = [one.opening for one in rows if one.opening.shadow]
    if not watched:
        return None
    return sum(one.shadow == one.chosen for one in watched) / len(watched)


_NUMBERED = re.compile(r"learned-(\d+)\.json")


def _numbers(folder: Path) -> dict[int, Path]:
    every = ((_NUMBERED.fullmatch(path.name), path) for path in folder.glob("learned-*.json"))
    return {int(found[1]): path for found, path in every if found}


def _next(folder: Path) -> str:
    now = versions.read(folder)
    past = [_NUMBERED.fullmatch(name) for name in (*now.history, now.running, now.shadow)]
    numbers = [*_numbers(folder), *(int(found[1]) for found in past if found)]
    return f"learned-{1 + max(numbers, default=0)}.json"


def _tidy(folder: Path) -> None:
    """Remove old candidates that never ran."""
    now = versions.read(folder)
    kept = {now.running, now.shadow, *now.history}
    for _, path in sorted(_numbers(folder).items())[:-_KEPT]:
        if path.name not in kept:
            path.unlink(missing_ok=True)
