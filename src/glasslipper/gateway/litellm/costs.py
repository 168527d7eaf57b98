"""LiteLLM's prices in ours: USD for one token there, USD for a million units here, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.money import PER

MEMBERS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "input_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_reasoning_token": "reasoning",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_image_token": "output_image",
}
"""The members that state a price, with our classes of usage."""


def prices(*places: Mapping[str, object]) -> dict[str, str]:
    """Return the prices that are stated, by class of usage; the first place that states one counts.

    Raises:
        InvalidRequest: One is no amount.
    """
    found: dict[str, str] = {}
    for place in places:
        for member, name in MEMBERS.items():
            if place.get(member) is not None:
                found.setdefault(name, _rate(member, place[member]))
    return found


def _rate(member: str, value: object) -> str:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(member)
        each = Decimal(str(value))
        if not 0 <= each <= 1000:
            raise ValueError(member)
    except (ArithmeticError, ValueError) as error:
        raise InvalidRequest(f"{member} is not an amount of dollars.") from error
    return f"{(each * PER).normalize():f}"
