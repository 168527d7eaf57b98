"""Who decides the next step: the protocol of a served policy, and the rule that needs no training.

The rule, `ladder`, asks the cheapest model first and climbs while the answer looks doubtful: cut
off, refused, empty, not in its form, unsure of its words, or short and not agreed with. It is what
serves until something better has been learned here, and the baseline that that has to beat. It
may open by chance now and then: only a choice that might have been another one teaches anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from glasslipper.puppeteer.forms import SHORT_CHARACTERS
from glasslipper.puppeteer.turns import PLAIN, Bid, Decision, Puppet, Turn, View, drawn

SURE = -0.12
"""A mean log-probability above which a small model's tokens are mostly right
(facts measured on local models: -0.08 for right answers of the 0.5B model, -0.66 for wrong)."""


class Guide(Protocol):
    """A policy that is served."""

    @property
    def version(self) -> str:
        """Its name and version, such as `ladder.1`."""
        ...

    @property
    def goes_on(self) -> str:
        """The rule that decides all steps but the first; empty where it does so itself."""
        ...

    @property
    def puppets(self) -> Sequence[Puppet]:
        """The puppets with a pattern that it may call; plain ones need not be named."""
        ...

    def card(self) -> Mapping[str, object]:
        """Return what there is to know about it: data, figures, date."""
        ...

    def fits(self, view: View) -> bool:
        """Whether it knows how to handle what is seen."""
        ...

    def decide(self, view: View) -> Decision:
        """Return the next step."""
        ...


LADDER = "ladder.1"
"""The rule's name and version."""


class Ladder:
    """The rule; with a chance of `explore` it opens with any of its rungs."""

    version = LADDER
    goes_on = LADDER
    puppets: Sequence[Puppet] = ()

    def __init__(self, *, explore: float = 0.0) -> None:
        """Open by chance in a share `explore` of the episodes."""
        self._explore = explore

    def card(self) -> Mapping[str, object]:
        """Say what it is."""
        return {
            "policy": self.version,
            "trained": False,
            "explores": self._explore,
            "about": (
                "Asks the cheapest model first and climbs while the answer looks doubtful: cut "
                "off, refused, empty, out of form, unsure, or short and not agreed with."
            ),
        }

    def fits(self, view: View) -> bool:
        """It takes whatever comes."""
        return True

    def decide(self, view: View) -> Decision:
        """Climb, or stop."""
        if not view.turns:
            return self._open(view)
        rungs = _rungs(view)
        left = [bid for bid in rungs if all(bid.puppet != turn.puppet for turn in view.turns)]
        lead = view.leading
        doubt = _doubt(lead, view, top=rungs[-1].puppet if rungs else None)
        if lead is not None and not doubt:
            return Decision(puppet=None, why="the answer looks sound", confidence=0.8)
        if not left or view.calls_left < 1:
            return Decision(puppet=None, why=f"nobody is left to ask ({doubt})", confidence=0.4)
        above = _above(left, view)
        is_last = view.calls_left == 1 or above.puppet == rungs[-1].puppet
        return Decision(puppet=above.puppet, why=doubt, is_last=is_last)

    def choice(self, view: View) -> Puppet | None:
        """Return whom it opens with where it does not explore."""
        rungs = _rungs(view)
        return _first(rungs, view.dial).puppet if rungs else None

    def _open(self, view: View) -> Decision:
        first = self.choice(view)
        if first is None:
            return Decision(puppet=None, why="no model may be called")
        chances = {first.name: 1.0}
        if self._explore and view.warm is None:
            others = [bid.puppet.name for bid in rungs_of(view, MOST_RUNGS)]
            names = list(dict.fromkeys([first.name, *others]))
            each = self._explore / len(names)
            chances = {name: each + (name == first.name) * (1 - self._explore) for name in names}
        chosen = Puppet.of(drawn(chances, view.luck))
        is_rule = chosen == first
        return Decision(
            puppet=chosen,
            why="the first rung for this dial" if is_rule else "to find out what it is good for",
            probability=chances[chosen.name],
            chances=chances,
            is_last=view.calls_left == 1 or (is_rule and len(_rungs(view)) == 1),
        )


MOST_RUNGS = 4


def rungs_of(view: View, most: int) -> list[Bid]:
    """Return the plain puppets, few enough to climb: cheapest, dearest and some between."""
    plain = [bid for bid in view.bids if bid.puppet.pattern == PLAIN]
    if len(plain) <= most:
        return plain
    places = [round(step * (len(plain) - 1) / (most - 1)) for step in range(most)]
    return [plain[place] for place in dict.fromkeys(places)]


def _rungs(view: View) -> list[Bid]:
    return rungs_of(view, 2 if view.dial < 4 else 3 if view.dial < 8 else MOST_RUNGS)


def _first(rungs: list[Bid], dial: float) -> Bid:
    if dial >= 9.5:
        return rungs[-1]
    return rungs[min(int(len(rungs) * dial / 12), len(rungs) - 1)]


def _above(left: list[Bid], view: View) -> Bid:
    """Return the next rung above whoever spoke last, who need not have been a rung."""
    order = [bid.puppet for bid in view.bids]
    last = view.turns[-1].puppet
    place = order.index(last) if last in order else -1
    return next((bid for bid in left if order.index(bid.puppet) > place), left[0])


def _doubt(lead: Turn | None, view: View, *, top: Puppet | None) -> str:
    """Return why the leading answer is doubtful; nothing if it is not."""
    if lead is None:
        return "there is no answer yet"
    if lead.finish not in ("stop", "tool_calls", "length"):
        return f"the answer ended with {lead.finish}"
    if lead.checked is False:
        return "the answer is not in its form"
    if view.dial < 0.5 or lead.puppet == top:
        return ""
    agreeing = sum(turn.meaning == lead.meaning for turn in view.turns if turn.answer)
    if agreeing > 1:
        return ""
    if lead.logprob is not None:
        sure = SURE * (10 - view.dial) / 5
        return "" if lead.logprob >= sure else "the model was unsure of its words"
    if len(lead.answer) <= SHORT_CHARACTERS and view.dial >= 5:
        return "nobody has agreed with this short answer yet"
    return ""
