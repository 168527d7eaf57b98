"""Where each session's prompt lies in a cache, so that the next turn goes there too.

Bounded and forgetful: the sessions used least lately go first, and any that was idle for ten
minutes. Knows neither prices nor health.
"""

from __future__ import annotations

from collections import OrderedDict

from glasslipper.kernel.messages import Request

IDLE_MS = 600_000
MOST_SESSIONS = 10_000
_HEAD = 1_024

Session = tuple[object, ...]


class Affinity:
    """The endpoint that holds each session's cache."""

    def __init__(self, *, most_sessions: int = MOST_SESSIONS) -> None:
        self._places: OrderedDict[Session, tuple[str, float]] = OrderedDict()
        self._most_sessions = most_sessions

    def __len__(self) -> int:
        return len(self._places)

    def remember(self, session: Session, endpoint: str, now_ms: float) -> None:
        """Note that `endpoint` has the session's prompt in its cache."""
        self._places[session] = (endpoint, now_ms)
        self._places.move_to_end(session)
        if len(self._places) > self._most_sessions:
            self._places.popitem(last=False)

    def forget(self, session: Session, endpoint: str) -> None:
        """Note that the session does not go well there any more."""
        place = self._places.get(session)
        if place is not None and place[0] == endpoint:
            del self._places[session]

    def find(self, session: Session, now_ms: float) -> str | None:
        """Return the endpoint that has the session's prompt in its cache, if any."""
        place = self._places.get(session)
        if place is None:
            return None
        if now_ms - place[1] > IDLE_MS:
            del self._places[session]
            return None
        return place[0]


def session_of(request: Request, owner: str) -> Session:
    """Return what tells a session of `owner` from others.

    That is its id, or the client's own cache key, or else how the conversation begins: only the
    heads of long messages are looked at, for caches hold prefixes.
    """
    if request.session_id is not None:
        return (owner, request.model, "session", request.session_id)
    cache_key = request.extra.get("prompt_cache_key")
    if cache_key is not None:
        return (owner, request.model, "cache", hash(bytes(cache_key)))
    opening = list[object]()
    wanted = {"system", "user"}
    for message in request.messages:
        role = "system" if message.role == "developer" else message.role
        if role in wanted:
            wanted.discard(role)
            text = message.text
            opening += (role, len(text), hash(text[:_HEAD]))
            if role == "user":
                break
    return (owner, request.model, *opening)
