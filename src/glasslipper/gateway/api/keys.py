"""Where each dialect's clients put their key: always the same keys, in different headers."""

from __future__ import annotations

from glasslipper.gateway.auth import Caller
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http


def admit(house: House, http: Http) -> Caller:
    """Return who asks, by a bearer token, `x-api-key`, `x-goog-api-key` or `?key=`.

    Raises:
        NotAuthenticated: There is no key, or no good one.
    """
    authorization = http.header(b"authorization")
    if authorization is None:
        key = http.header(b"x-api-key") or http.header(b"x-goog-api-key")
        if key is None and b"key=" in http.scope["query_string"]:
            key = http.query.get("key")
        authorization = f"Bearer {key}" if key else None
    return house.gatekeeper.admit(authorization)
