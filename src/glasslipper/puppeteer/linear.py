"""A policy small enough to read: one row of weights for each puppet and one for stopping.

It scores every action by a handful of numbers about the task and the turns so far, and draws or
takes the best. It is what `puppeteer live` trains, and what serves `glasslipper/auto` where it
was trained on models that are offered. Saved as JSON with its card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.puppeteer.sight import of_words
from glasslipper.puppeteer.turns import PLAIN, Decision, Puppet, Turn, View, leading, weight
from glasslipper.store.files import replacing

FEATURES = (
    "bias",
    "is number",
    "is json",
    "is code",
    "is words",
    "length",
    "numbers",
    "largest number",
    "operators",
    "turns",
    "has answer",
    "agreement",
    "others differ",
    "check passed",
    "check failed",
    "unsure",
    "cut off",
    "weight",
)
VERSION = 1
Vector = NDArray[np.float64]


def features(task: str, form: str, turns: Sequence[Turn]) -> Vector:
    """Return what the policy sees, each number about between 0 and 1."""
    lead = leading(turns)
    answers = [turn for turn in turns if turn.answer]
    agreeing = [turn for turn in answers if lead is not None and turn.meaning == lead.meaning]
    logprobs = [turn.logprob for turn in agreeing if turn.logprob is not None]
    return np.array(
        [
            1.0,
            form == "number",
            form == "json",
            form == "code",
            form == "words",
            *of_words(task),
            len(turns) / 4,
            lead is not None,
            max(len(agreeing) - 1, 0) / 2,
            len({turn.meaning for turn in answers} - ({lead.meaning} if lead else set())) / 2,
            lead is not None and any(turn.checked is True for turn in agreeing),
            lead is not None and lead.checked is False,
            min(-max(logprobs), 2.0) if logprobs else 0.0,
            lead is not None and lead.finish == "length",
            weight(lead) / 1.5 if lead else 0.0,
        ],
        dtype=np.float64,
    )


class Card(Struct, frozen=True, kw_only=True):
    """Where a policy comes from."""

    policy: str
    made_at: str = ""
    data: Mapping[str, object] = {}
    figures: Mapping[str, object] = {}
    trained: bool = True


class _File(Struct, kw_only=True):
    v: int
    card: Card
    puppets: list[str]
    features: list[str]
    weights: list[list[float]]
    most_turns: int


class Linear:
    """A `guide.Guide`: weights (A x F), the last row for stopping."""

    def __init__(
        self, puppets: Sequence[Puppet], weights: Vector, *, card: Card, most_turns: int = 4
    ) -> None:
        """Take puppets and their weights; at most `most_turns` act in an episode."""
        self.puppets = tuple(puppets)
        self.weights = weights
        self.most_turns = most_turns
        self._card = card

    goes_on = ""

    @property
    def version(self) -> str:
        """Its name and version."""
        return self._card.policy

    def card(self) -> Mapping[str, object]:
        """Return its card."""
        return {**structs.asdict(self._card), "puppets": [one.name for one in self.puppets]}

    def fits(self, view: View) -> bool:
        """Whether all its puppets may act on a task of one turn, in a form that it knows."""
        if any(turn.puppet not in self.puppets for turn in view.turns):
            return False
        ready = {bid.puppet for bid in view.bids} | {turn.puppet for turn in view.turns}
        return view.form != "other" and not view.request.tools and ready >= set(self.puppets)

    def decide(self, view: View) -> Decision:
        """Return the likeliest action."""
        bids = {bid.puppet for bid in view.bids}
        may = np.array([puppet in bids for puppet in self.puppets])
        odds = self.odds(features(view.task, view.form, view.turns), view.turns, may)
        best = int(odds.argmax())
        if best == len(self.puppets) or odds[best] == 0:
            return Decision(
                puppet=None, why="stopping is worth more than asking on", confidence=float(odds[-1])
            )
        chosen = self.puppets[best]
        return Decision(
            puppet=chosen,
            why=f"the best next step ({odds[best]:.0%})",
            is_last=chosen.pattern == PLAIN and view.calls_left == 1,
        )

    def odds(self, seen: Vector, turns: Sequence[Turn], may: NDArray[np.bool_]) -> Vector:
        """Return the probability of each action (A)."""
        return softmax(self.weights @ seen, self.mask(turns, may))

    def mask(self, turns: Sequence[Turn], may: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which actions there are (A): nobody acts twice, and none stops unheard."""
        acted = {turn.puppet for turn in turns}
        left = may & np.array([puppet not in acted for puppet in self.puppets])
        if len(turns) >= self.most_turns:
            left[:] = False
        return np.append(left, leading(turns) is not None or not left.any())

    def save(self, path: Path) -> None:
        """Write it down, as a whole or not at all."""
        told = _File(
            v=VERSION,
            card=self._card,
            puppets=[one.name for one in self.puppets],
            features=list(FEATURES),
            weights=self.weights.tolist(),
            most_turns=self.most_turns,
        )
        with replacing(path) as file:
            file.write(msgspec.json.encode(told))

    @classmethod
    def load(cls, path: Path) -> Linear:
        """Read one that was saved.

        Raises:
            InvalidRequest: It is damaged, or made for other features.
        """
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
            weights = np.array(file.weights, dtype=np.float64)
        except (msgspec.DecodeError, ValueError) as error:
            raise InvalidRequest(f"{path} is not a policy: {error}.") from None
        if file.v != VERSION or tuple(file.features) != FEATURES:
            raise InvalidRequest(f"{path} was made by another version.", hint="Train it anew.")
        if weights.shape != (len(file.puppets) + 1, len(FEATURES)):
            raise InvalidRequest(f"{path} is not a policy: its weights do not fit its puppets.")
        return cls(
            [Puppet.of(name) for name in file.puppets],
            weights,
            card=file.card,
            most_turns=file.most_turns,
        )


def softmax(scores: Vector, mask: NDArray[np.bool_]) -> Vector:
    """Return probabilities of what the mask leaves."""
    shown = np.where(mask, scores, -np.inf)
    raised = np.where(mask, np.exp(shown - shown.max()), 0.0)
    return raised / raised.sum()
