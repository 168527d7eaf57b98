"""Standing rules that another model answers a workload, applied before endpoints are chosen.

A workload is a key, an app and the fingerprint of a system prompt, as studies count them. The
model that was asked for stays behind the other one: it serves where that one cannot, so a rule
never costs an answer. Where no rule concerns a key, `keys` is all that a request looks at.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, structs

from glasslipper.gateway.able import reads
from glasslipper.gateway.endpoints import Offer
from glasslipper.gateway.likeness import likeness
from glasslipper.gateway.routing import split_variant
from glasslipper.kernel.errors import ModelUnknown
from glasslipper.kernel.messages import Request
from glasslipper.kernel.record import Candidate
from glasslipper.ledger.reroutes import Reroute

HEADER = b"x-reroute"
OFF = "off"
"""What a client says in that header to be served by the model that it asks for."""

_WHY = "rerouted by "


class Rerouted(Struct, frozen=True, kw_only=True):
    """That a rule sent a request elsewhere: which model was asked for, and which answers."""

    asked: str
    to: str
    rule: str

    def told(self, candidate: Candidate, model: str) -> Candidate:
        """Return a candidate, an endpoint of `model`, with the reason that the rule gives."""
        why = f"the model asked for, {self.asked}, in case that one cannot"
        if model == self.to:
            why = f"{_WHY}{self.rule} from {self.asked}"
        return structs.replace(candidate, why=f"{why}; {candidate.why}")


def rule_told(why: str) -> str | None:
    """Return the rule that a candidate's reason names, if any.

    >>> rule_told("rerouted by route-01 from a/b; only")
    'route-01'
    """
    if not why.startswith(_WHY):
        return None
    return why.removeprefix(_WHY).split(" ", 1)[0]


class Rerouting:
    """The rules of one process."""

    def __init__(self) -> None:
        self.keys: frozenset[str] = frozenset()
        """The ids of the keys that any rule is about."""
        self._rules: dict[tuple[str, str, str, str], Reroute] = {}

    def load(self, rules: Iterable[Reroute]) -> None:
        """Know these rules, and no others."""
        self._rules = {
            (rule.key_id, rule.app, rule.system_print, rule.asked): rule for rule in rules
        }
        self.keys = frozenset(key_id for key_id, *_ in self._rules)

    def apply(
        self, request: Request, offer: Offer, *, key_id: str, app: str | None, salt: bytes
    ) -> tuple[Request, Rerouted | None]:
        """Return the request as the rules want it, and what they did to it."""
        if key_id not in self.keys:
            return request, None
        system_print = likeness(request, salt).system_print
        asked = split_variant(request.model)[0]
        place = (key_id, app or "", system_print or "")
        rule = self._rules.get((*place, asked)) or self._rules.get((*place, ""))
        if rule is None or rule.to == asked or not _is_able(offer, rule.to, request):
            return request, None
        changed = structs.replace(request, model=rule.to, models=(request.model, *request.models))
        return changed, Rerouted(asked=request.model, to=rule.to, rule=rule.id)


def _is_able(offer: Offer, model: str, request: Request) -> bool:
    """Tell whether anybody who offers a model takes what the request brings."""
    try:
        endpoints = offer.find(model)
    except ModelUnknown:
        return False
    return any(reads(endpoint, request) for endpoint in endpoints)
