"""Who decides the next step: the protocol of a served policy, and the rule that needs no training.

The rule, `ladder`, asks the cheapest model first and climbs while the answer looks doubtful: cut
off, refused, empty, not in its form, unsure of its words, or short and not agreed with. It is what
serves until something better has been learned here, and the baseline that that has to beat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from glasslipper.puppeteer.forms import SHORT_CHARACTERS
from glasslipper.puppeteer.turns import Bid, Decision, Puppet, Turn, View

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


class Ladder:
    """The rule."""

    version = "ladder.1"
    puppets: Sequence[Puppet] = ()

    def card(self) -> Mapping[str, object]:
        """Say what it is."""
        return {
            "policy": self.version,
            "trained": False,
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
        rungs = _rungs(view)
        left = [bid for bid in rungs if all(bid.puppet != turn.puppet for turn in view.turns)]
        lead = view.leading
        if not view.turns:
            if not rungs:
                return Decision(puppet=None, why="no model may be called")
            first = _first(rungs, view.dial)
            return Decision(
                puppet=first.puppet,
                why="the first rung for this dial",
                is_last=len(rungs) == 1 or view.calls_left == 1,
            )
        doubt = _doubt(lead, view, top=rungs[-1].puppet if rungs else None)
        if lead is not None and not doubt:
            return Decision(puppet=None, why="the answer looks sound", confidence=0.8)
        if not left or view.calls_left < 1:
            return Decision(puppet=None, why=f"nobody is left to ask ({doubt})", confidence=0.4)
        above = _above(left, view.turns[-1], rungs)
        is_last = view.calls_left == 1 or above.puppet == rungs[-1].puppet
        return Decision(puppet=above.puppet, why=doubt, is_last=is_last)


def _rungs(view: View) -> list[Bid]:
    """Return the plain puppets, few enough to climb: cheapest, dearest and some between."""
    plain = [bid for bid in view.bids if bid.puppet.pattern == "plain"]
    most = 2 if view.dial < 4 else 3 if view.dial < 8 else 4
    if len(plain) <= most:
        return plain
    places = [round(step * (len(plain) - 1) / (most - 1)) for step in range(most)]
    return [plain[place] for place in dict.fromkeys(places)]


def _first(rungs: list[Bid], dial: float) -> Bid:
    if dial >= 9.5:
        return rungs[-1]
    return rungs[min(int(len(rungs) * dial / 12), len(rungs) - 1)]


def _above(left: list[Bid], last: Turn, rungs: list[Bid]) -> Bid:
    order = [bid.puppet for bid in rungs]
    place = order.index(last.puppet) if last.puppet in order else -1
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
