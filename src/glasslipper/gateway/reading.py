"""Reads a request's body within the limits of the settings."""

from __future__ import annotations

from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http


async def read_body(house: House, http: Http) -> bytes:
    """Return the whole body.

    Raises:
        PayloadTooLarge: It is larger than the settings allow.
        InvalidRequest: The client left in the middle of it.
    """
    return await http.body(limit_bytes=house.settings.max_body_bytes)
