"""What a dialect writes around an answer: who gave it, and what it cost.

Every dialect renders these in its own shape; none adds to them.
"""

from __future__ import annotations

from msgspec import Struct

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
    where that is known. `is_byok` says that the provider's key belongs to the client.
    """

    usage: Usage
    cost_nanousd: int
    upstream_nanousd: int | None = None
    is_byok: bool = False


def known_tier(tier: str | None) -> str | None:
    """Return a service tier if clients know the word, for some refuse an answer with another."""
    return tier if tier in _TIERS else None
