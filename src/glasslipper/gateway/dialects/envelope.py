"""What a dialect writes around an answer: who gave it, and what it cost.

Every dialect renders these in its own shape; none adds to them.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from glasslipper.kernel.money import Price, split_nanousd
from glasslipper.kernel.usage import Usage

_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})


class Head(Struct, frozen=True, kw_only=True):
    """Which generation this is, the model and provider that serve it, and when it began.

    `created_s` is the Unix time in seconds.
    """

    id: str
    model: str
    created_s: int
    provider: str


class Bill(Struct, frozen=True, kw_only=True):
    """What an exchange used and cost.

    `cost_nanousd` is what the client's budget pays; `upstream_nanousd` what the provider charges
    where that is known; `price` is that of the endpoint, where it has one. `is_byok` says that
    the provider's key belongs to the client. `details` are what the upstream measured of its
    own work.
    """

    usage: Usage
    cost_nanousd: int
    upstream_nanousd: int | None = None
    is_byok: bool = False
    price: Price | None = None
    details: Mapping[str, float] | None = None

    @property
    def parts_nanousd(self) -> tuple[int, int] | None:
        """What the provider charges for the prompt, and for the rest; `None` if nobody knows.

        A cost that the provider states itself is split as its price list would split it.
        """
        total = self.upstream_nanousd
        if total == 0 and (self.price is not None or self.usage.reported_nanousd is not None):
            return 0, 0
        if total is None or self.price is None:
            return None
        prompt, rest = split_nanousd(self.usage, self.price)
        if prompt + rest == total:
            return prompt, rest
        if not prompt + rest:
            return None
        prompt = total * prompt // (prompt + rest)
        return prompt, total - prompt


def known_tier(tier: str | None) -> str | None:
    """Return a service tier if clients know the word, for some refuse an answer with another."""
    return tier if tier in _TIERS else None
