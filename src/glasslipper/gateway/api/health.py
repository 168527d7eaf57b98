"""Whether the process lives, and whether it takes requests."""

from __future__ import annotations

import msgspec

from glasslipper import __version__
from glasslipper.gateway.api.shapes import Health, Readiness
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http


async def alive(house: House, http: Http) -> None:
    """Answer `GET /healthz`: the process lives."""
    body = Health(status="alive", version=__version__, running=len(house.desk.running))
    await http.reply(200, msgspec.json.encode(body))


async def ready(house: House, http: Http) -> None:
    """Answer `GET /readyz`: 200 while requests are taken, 503 while the server drains."""
    status = 503 if house.draining else 200
    word = "draining" if house.draining else "ready"
    await http.reply(status, msgspec.json.encode(Readiness(word)))
