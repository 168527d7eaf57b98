"""How many tokens a prompt has: exactly where the endpoint can count, else about."""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.gateway.endpoints import Endpoint, input_ceiling
from glasslipper.kernel.messages import Request

BYTES_PER_TOKEN = 4


async def count_tokens(endpoints: Sequence[Endpoint], request: Request) -> int:
    """Return the tokens of a prompt at the first endpoint that counts, or an estimate."""
    for endpoint in endpoints:
        if endpoint.count is not None:
            return await endpoint.count(request)
    return -(-input_ceiling(request) // BYTES_PER_TOKEN)
