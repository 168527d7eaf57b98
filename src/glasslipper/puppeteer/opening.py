"""What the record keeps of an episode's first choice: enough to judge another policy by it later.

Beside whom the policy chose and with which chances stand whom the untrained rule would have asked,
and whom a policy that is only watched would have.
"""

from __future__ import annotations

import logging

from glasslipper.kernel.ports import Opening
from glasslipper.puppeteer import sight
from glasslipper.puppeteer.guide import Guide, Ladder
from glasslipper.puppeteer.turns import Decision, View

_log = logging.getLogger(__name__)


def opening_of(
    view: View, decision: Decision, *, rule: Ladder, shadow: Guide | None, goes_on: str
) -> Opening:
    """Return what is kept of a first choice."""
    assert decision.puppet is not None  # noqa: S101 - the caller looked
    chosen = decision.puppet.name
    first = rule.choice(view)
    chances = dict(decision.chances) or {chosen: 1.0}
    costs = {bid.puppet.name: bid.expected_nanousd for bid in view.bids}
    return Opening(
        seen=sight.first(view),
        chances=chances,
        costs={name: costs[name] for name in chances},
        chosen=chosen,
        rule=first.name if first else "",
        shadow=_watched(shadow, view),
        shadow_version=shadow.version if shadow else "",
        goes_on=goes_on,
    )


def _watched(shadow: Guide | None, view: View) -> str:
    """Return whom a watched policy would ask first; whatever it does, nobody is harmed."""
    if shadow is None:
        return ""
    try:
        puppet = shadow.decide(view).puppet if shadow.fits(view) else None
    except Exception:  # noqa: BLE001 - a policy on trial must not cost anybody an answer
        _log.warning("the watched policy %s failed", shadow.version, exc_info=True)
        return ""
    return puppet.name if puppet else ""
