"""How many tokens a prompt has: exactly where the endpoint can count, else about."""

from __future__ import annotations

from glasslipper.gateway.endpoints import input_ceiling
from glasslipper.gateway.house import House
from glasslipper.kernel.messages import Request

BYTES_PER_TOKEN = 4


async def count_tokens(house: House, request: Request) -> int:
    """Return the tokens of a prompt at the first endpoint that counts, or an estimate.

    Raises:
        ModelUnknown: Its model is not offered.
    """
    conducting = house.conducting
    is_conducted = conducting is not None and conducting.conducts(request.model)
    for endpoint in () if is_conducted else house.offer.find(request.model):
        if endpoint.count is not None:
            return await endpoint.count(request)
    return -(-input_ceiling(request) // BYTES_PER_TOKEN)
