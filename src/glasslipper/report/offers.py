"""What a model costs at a provider, as far as a study needs it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class Offer(Struct, frozen=True, kw_only=True):
    """Prices in nano-USD per million tokens; `source` says whose list it is."""

    model: str
    provider: str
    input: int
    output: int
    cache_read: int
    source: str

    def cost_nanousd(self, went_in: float, cached: float, came_out: float) -> float:
        """Return what so many tokens would cost; `cached` are beside `went_in`."""
        total = went_in * self.input + cached * self.cache_read + came_out * self.output
        return total / 1_000_000


def cheapest(offers: Sequence[Offer]) -> dict[str, Offer]:
    """Return the lowest offer of each model."""
    best: dict[str, Offer] = {}
    for offer in sorted(offers, key=lambda one: (one.model, one.input + one.output, one.provider)):
        best.setdefault(offer.model, offer)
    return best
