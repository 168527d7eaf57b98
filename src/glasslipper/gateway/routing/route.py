"""The outcome of planning: endpoints in the order in which they are tried, and the odds."""

from __future__ import annotations

from msgspec import Struct

from glasslipper.gateway.endpoints import Endpoint
from glasslipper.kernel.record import Candidate


class Route(Struct, frozen=True, kw_only=True):
    """Endpoints in the order in which they are tried, and how likely each was to be first.

    The propensities of `candidates` sum to one. Whoever was ruled out is among them, with
    propensity 0 and the reason.
    """

    order: tuple[Endpoint, ...]
    candidates: tuple[Candidate, ...]
