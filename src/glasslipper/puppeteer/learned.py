"""A policy learned from one's own traffic: whom to ask first. The untrained rule goes on.

A bandit (`bandit`) expects of each model how good it will be for a request that looks so, and
weighs that against what the model is expected to cost. It keeps a small chance for every model, so
that it goes on learning; a model that it has never seen is tried as such. Saved as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.puppeteer import sight
from glasslipper.puppeteer.bandit import Bandit, Knowledge, Numbers
from glasslipper.puppeteer.guide import LADDER, MOST_RUNGS, Ladder, rungs_of
from glasslipper.puppeteer.turns import PLAIN, Decision, Puppet, View, drawn
from glasslipper.store.files import replacing

VERSION = 1


class Scale(Struct, frozen=True, kw_only=True):
    """How numbers that were seen become a context: which ones, less their mean, by their spread."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def fit(cls, seen: Sequence[Mapping[str, float]]) -> Scale:
        """Learn it from what was seen; what is always the same is left out."""
        every = sorted({name for one in seen for name in one})
        told = np.array([[one.get(name, 0.0) for name in every] for one in seen])
        mean, spread = told.mean(0), told.std(0)
        kept = [place for place in range(len(every)) if spread[place] > 1e-6]
        return cls(
            names=tuple(every[place] for place in kept),
            mean=tuple(float(mean[place]) for place in kept),
            spread=tuple(float(spread[place]) for place in kept),
        )

    def contexts(self, seen: Sequence[Mapping[str, float]]) -> Numbers:
        """Return one row of numbers for each."""
        told = np.array([[one.get(name, 0.0) for name in self.names] for one in seen])
        told = told.reshape(len(seen), len(self.names))
        return np.clip((told - np.array(self.mean)) / np.array(self.spread), -4, 4) / 2


class LearnedCard(Struct, frozen=True, kw_only=True):
    """What it learned from, what it is expected to give, and how that was found.

    `price` is how much reward a dollar must buy at dial 5.
    """

    policy: str
    made_at: str
    logged: int
    price: float
    gain: float
    gain_low: float
    judged: int
    trained: bool = True


class _File(Struct, kw_only=True, tag="learned", tag_field="kind"):
    v: int
    card: LearnedCard
    goes_on: Literal["ladder.1"]
    models: tuple[str, ...]
    scale: Scale
    bandit: Knowledge


class Learned:
    """A `guide.Guide`."""

    goes_on = LADDER
    puppets: Sequence[Puppet] = ()

    def __init__(
        self, bandit: Bandit, models: Sequence[str], scale: Scale, *, card: LearnedCard
    ) -> None:
        """Take what was learned of each of the models."""
        self.models = tuple(models)
        self.scale = scale
        self._bandit = bandit
        self._card = card
        self._rule = Ladder()
        self._widened: dict[int, Bandit] = {0: bandit}

    @property
    def version(self) -> str:
        """Its name."""
        return self._card.policy

    def card(self) -> Mapping[str, object]:
        """Return its card."""
        return {**msgspec.structs.asdict(self._card), "models": list(self.models)}

    def fits(self, view: View) -> bool:
        """It takes whatever comes, once it knows one of the models."""
        return any(bid.puppet.model in self.models for bid in view.bids)

    def decide(self, view: View) -> Decision:
        """Open as learned; go on by the rule."""
        if view.turns:
            return self._rule.decide(view)
        known = [bid for bid in view.bids if bid.puppet.pattern == PLAIN]
        known = [bid for bid in known if bid.puppet.model in self.models]
        fresh = [bid for bid in rungs_of(view, MOST_RUNGS) if bid not in known]
        costs = {bid.puppet.name: bid.expected_nanousd for bid in (*known, *fresh)}
        chances = self.chances(sight.first(view), costs)
        name = drawn(chances, view.luck)
        return Decision(
            puppet=Puppet.of(name),
            why=f"learned from {self._card.logged} judged answers",
            probability=chances[name],
            chances=chances,
            is_last=view.calls_left == 1,
        )

    def chances(self, seen: Mapping[str, float], costs: Mapping[str, int]) -> dict[str, float]:
        """Return how likely each of the models in `costs` (nano-USD) is to be asked first."""
        fresh = [name for name in costs if name not in self.models]
        names = [*self.models, *fresh]
        if len(fresh) not in self._widened:
            self._widened[len(fresh)] = self._bandit.widened(len(fresh))
        bandit = self._widened[len(fresh)]
        usd = np.array([costs.get(name, 0) / 1e9 for name in names])
        less = dearness(self._card.price, seen) * usd
        may = np.array([name in costs for name in names])
        told = bandit.chances(self.scale.contexts([seen]), less=less[None], may=may[None])[0]
        return {name: float(told[names.index(name)]) for name in costs}

    def save(self, path: Path) -> None:
        """Write it down, as a whole or not at all."""
        told = _File(
            v=VERSION,
            card=self._card,
            goes_on="ladder.1",
            models=self.models,
            scale=self.scale,
            bandit=self._bandit.told(),
        )
        with replacing(path) as file:
            file.write(msgspec.json.encode(told))

    @classmethod
    def load(cls, path: Path) -> Learned:
        """Read one that was saved.

        Raises:
            InvalidRequest: It is damaged, or of another version.
        """
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
            if file.v != VERSION:
                raise InvalidRequest(f"{path} was made by another version.", hint="Learn anew.")
            bandit = Bandit.of(file.bandit)
            if len(file.models) != bandit.models:
                raise ValueError("models and what is known of them differ in number")
        except (msgspec.DecodeError, ValueError) as error:
            raise InvalidRequest(f"{path} is not a learned policy: {error}.") from None
        return cls(bandit, file.models, file.scale, card=file.card)


def dearness(price: float, seen: Mapping[str, float]) -> float:
    """Return what a dollar weighs for a request: nothing at dial 10, twice the price at dial 0."""
    return price * seen.get("thrift", 1.0)
