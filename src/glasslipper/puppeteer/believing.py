"""Serves a policy that was trained on outcome folders: it believes, and asks on while that pays.

The live request becomes the one task that the policy knows how to read: its question, the options
that it lists, and what the models asked so far have answered. It takes requests whose answers can
be held side by side, which are choices among lettered options and numbers; others go by the rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct

from glasslipper.puppeteer.encode import Encoded, Looks, look
from glasslipper.puppeteer.looks import Vectors
from glasslipper.puppeteer.outcomes import Floats, Outcomes, Task
from glasslipper.puppeteer.policy import Policy
from glasslipper.puppeteer.turns import PLAIN, Decision, Puppet, Turn, View

LEAST_OPTIONS = 3
_OPTION = re.compile(r"^[ \t]*\(?([A-P])[.):][ \t]+(.+?)[ \t]*$", re.MULTILINE)
_SAID = (
    re.compile(r"answer(?:\s+is|:)?[\s*:]*\(?([A-P])\b", re.IGNORECASE),
    re.compile(r"\\boxed\{\(?([A-P])\)?\}"),
    re.compile(r"^\W*([A-P])\W*$"),
    re.compile(r"^\W*([A-P])[.):]\s", re.MULTILINE),
)
_REMEMBERED = 256


class Question(Struct, frozen=True):
    """A question, and its options if it lists any."""

    text: str
    options: tuple[str, ...] = ()


def question_in(task: str) -> Question:
    """Return the question in a prompt; options are lines `A. …`, `(B) …` in their order."""
    found: list[re.Match[str]] = []
    for match in _OPTION.finditer(task):
        letter = ord(match[1]) - ord("A")
        if letter == 0:
            found = []
        if letter == len(found):
            found.append(match)
    if len(found) < LEAST_OPTIONS:
        return Question(task.strip())
    return Question(task[: found[0].start()].strip(), tuple(one[2] for one in found))


def letter_in(said: str, options: int) -> int:
    """Return which option an answer chooses, counted from 0, or -1."""
    for way in _SAID:
        letters = [ord(one.upper()) - ord("A") for one in way.findall(said)]
        within = [one for one in letters if one < options]
        if within:
            return within[-1]
    return -1


class Believing:
    """A `guide.Guide`."""

    goes_on = ""
    puppets: Sequence[Puppet] = ()

    def __init__(
        self, policy: Policy, told: Mapping[str, object], *, version: str, vectors: Vectors
    ) -> None:
        """Serve a policy with its card; `vectors` are those that it was trained with."""
        self.version = version
        self._policy = policy
        self._told = told
        self._asks = tuple(policy.models[place] for place in policy.pool)

        def vector(text: str) -> Floats:
            return vectors([text])[0]

        def choice(task: Task) -> Looks:
            return look((task,), (task.options,), self._vectors)

        self._vector = lru_cache(maxsize=_REMEMBERED)(vector)
        self._choice = lru_cache(maxsize=_REMEMBERED)(choice)

    def _vectors(self, texts: Sequence[str]) -> Floats:
        return np.stack([self._vector(text) for text in texts])

    def card(self) -> Mapping[str, object]:
        """Return its card."""
        return {"policy": self.version, **self._told}

    def fits(self, view: View) -> bool:
        """Whether answers can be compared, and all whom it asks are there."""
        there = {bid.puppet.model for bid in view.bids if bid.puppet.pattern == PLAIN}
        alone = [one for one in view.request.messages if one.role not in ("system", "developer")]
        if len(alone) != 1 or view.request.tools or not there.issuperset(self._asks):
            return False
        return view.form == "number" or bool(question_in(view.task).options)

    def decide(self, view: View) -> Decision:
        """Ask on while that is worth its price; else stop with the likeliest answer."""
        policy = self._policy
        task, said = self._read(view)
        episode = policy.episode(task)
        for turn in view.turns:
            if turn.puppet.model in policy.models:
                episode.hear(policy.models.index(turn.puppet.model))
        there = {bid.puppet.model for bid in view.bids if bid.puppet.pattern == PLAIN}
        away = np.array([model not in there for model in policy.models])
        model = None if view.calls_left < 1 else episode.decide(policy.price(view.dial), away=away)
        sure = episode.sure
        if model is not None:
            return Decision(
                puppet=Puppet(model=policy.models[model]),
                why=f"sure to {sure:.0%}, and one more call is worth its price",
                confidence=sure,
            )
        leader = episode.seen.leader - 1
        agrees = [
            turn for turn, place in zip(view.turns, said, strict=True) if place == leader >= 0
        ]
        return Decision(
            puppet=None,
            why=f"sure to {sure:.0%}, and no call is worth its price",
            confidence=sure,
            lead=max(agrees, key=self._skill).puppet if agrees else None,
        )

    def _skill(self, turn: Turn) -> float:
        model = turn.puppet.model
        known = self._policy.models
        return float(self._policy.skill[known.index(model)]) if model in known else 0.0

    def _read(self, view: View) -> tuple[Encoded, list[int]]:
        """Return the task as networks read it, and which candidate each turn named."""
        asked = question_in(view.task)
        if asked.options:
            candidates = asked.options
            said = [letter_in(turn.said, len(candidates)) for turn in view.turns]
        else:
            meanings = list(dict.fromkeys(turn.meaning for turn in view.turns if turn.meaning))
            first = {turn.meaning: turn.answer for turn in reversed(view.turns)}
            candidates = tuple(first[one] for one in meanings)
            said = [meanings.index(t.meaning) if t.meaning else -1 for t in view.turns]
        policy = self._policy
        models = len(policy.models)
        task = Task(
            id="", kind="", text=asked.text, options=asked.options, prompt_chars=len(view.task)
        )
        named = np.full((1, models), -1, np.int64)
        chars = np.zeros((1, models), np.int64)
        for turn, place in zip(view.turns, said, strict=True):
            if turn.puppet.model in policy.models:
                column = policy.models.index(turn.puppet.model)
                named[0, column], chars[0, column] = place, len(turn.said)
        table = Outcomes(
            models=policy.models,
            tasks=(task,),
            candidates=(tuple(candidates),),
            said=named,
            right=np.zeros((1, models), np.bool_),
            chars=chars,
            usd=np.zeros((1, models)),
            truth=np.full(1, -1, np.int64),
        )
        return policy.scale.encode(table, self._look(task, candidates)), said

    def _look(self, task: Task, candidates: Sequence[str]) -> Looks:
        if task.options:
            return self._choice(task)  # no answer changes how its options look
        return look((task,), (candidates,), self._vectors)
