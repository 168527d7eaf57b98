"""Who takes the short way: decides whether everything for a request is at hand, and begins it.

What a connection's header says is looked at once; all connections of a client share its lanes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from glasslipper.gateway.answering import caption_of_fields
from glasslipper.gateway.auth import Caller
from glasslipper.gateway.desk import Caption
from glasslipper.gateway.dialects.chat.agent import AgentRequest, decode_agent, request_of
from glasslipper.gateway.dialects.chat.plain import PlainRequest, decode_plain
from glasslipper.gateway.exchange import Exchange
from glasslipper.gateway.express.errand import Errand
from glasslipper.gateway.express.lane import Lane, find_lane
from glasslipper.gateway.express.stream import StreamErrand
from glasslipper.gateway.guard import GuardedConnection
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Application, Serve
from glasslipper.gateway.providers.openai import OpenAICompatible
from glasslipper.gateway.providers.openai.plain import write_plain
from glasslipper.gateway.routing import choices
from glasslipper.kernel.errors import GlasslipperError, StoreFailed
from glasslipper.ledger.write.purse import NO_HOLD, BudgetHold

UNUSUAL = frozenset(
    {b"idempotency-key", b"x-session-id", b"x-openrouter-metadata", b"transfer-encoding"}
)
"""Headers that ask for more than words."""

MOST_ASKERS = 1_000
"""Clients whose lanes are kept; all connections of a client share them."""

MOST_LANES = 64
"""Of one client."""


class Asker:
    """What the header of a request says about whoever sends it."""

    __slots__ = ("authorization", "caption", "lanes")

    def __init__(self, authorization: str, caption: Caption) -> None:
        self.authorization = authorization
        self.caption = caption
        self.lanes: dict[str, Lane] = {}


class Express:
    """The shortcut of one house; see `guard.Shortcut`."""

    paths = frozenset({b"/api/v1/chat/completions", b"/v1/chat/completions"})

    def __init__(self, house: House, usual: Callable[[Serve], Application]) -> None:
        """Serve `house`; `usual` makes an application of what serves one request."""
        self.house = house
        self.desk = house.desk
        self.recorder = house.ledger.recorder
        self.usual = usual
        self.loop = asyncio.get_running_loop()
        self.now_s = self.loop.time
        self.now_ms = house.clock.now_ms
        self.ticks_ms = house.clock.ticks_ms
        self._askers: dict[tuple[bytes, Caption], Asker] = {}

    def greet(self, fields: Mapping[bytes, bytes]) -> Asker | None:
        """Return who asks, by the header fields; `None` if they ask for more than words."""
        authorization = fields.get(b"authorization")
        if authorization is None or not UNUSUAL.isdisjoint(fields):
            return None
        who = (authorization, caption_of_fields(fields, "chat"))
        asker = self._askers.get(who)
        if asker is None:
            if len(self._askers) >= MOST_ASKERS:
                self._askers.clear()
            asker = self._askers[who] = Asker(authorization.decode("latin-1"), who[1])
        return asker

    def begin(self, connection: GuardedConnection, asker: Asker, body: bytes) -> Errand | None:
        """Begin to serve a request if it is plain and everything for it is at hand."""
        house = self.house
        ask = decode_plain(body) or decode_agent(body)
        if ask is None or house.draining:
            return None
        ticks_ms = self.ticks_ms()
        try:
            ruled = house.suppliers.rerouting.keys
            if ruled and house.gatekeeper.admit(asker.authorization).key.id in ruled:
                return None
            lane = asker.lanes.get(ask.model)
            if lane is None or lane.until_ms <= ticks_ms or not house.gatekeeper.knows(lane.caller):
                caller = house.gatekeeper.admit(asker.authorization)
                lane = find_lane(house, caller, ask.model, asker.caption, known=lane)
                if lane is None:
                    return self._begin_exchange(connection, asker, caller, ask, body)
                if len(asker.lanes) >= MOST_LANES:
                    asker.lanes.clear()
                asker.lanes[ask.model] = lane
            elif not house.offer.is_current(ask.model, lane.offered):
                del asker.lanes[ask.model]
                return self.begin(connection, asker, body)
        except GlasslipperError:
            return None  # the usual way meets the same error, and explains it
        return self._begin_on(lane, connection, ask, body, ticks_ms)

    def _begin_on(
        self,
        lane: Lane,
        connection: GuardedConnection,
        ask: PlainRequest | AgentRequest,
        body: bytes,
        ticks_ms: float,
    ) -> Errand | None:
        desk = self.desk
        if not desk.router.is_calm():
            return None
        limit = ask.max_completion_tokens if ask.max_tokens is None else ask.max_tokens
        units, most = lane.ceiling_nanousd(ask, limit)
        asked = write_plain(
            ask, provider=lane.upstream.provider, upstream_model=lane.endpoint.upstream_model
        )
        if asked is None:
            return None
        hold: BudgetHold | None = NO_HOLD
        if lane.budgets:
            hold = desk.ledger.purse.hold_now(lane.caller.account, most)
            if hold is None:
                return None
        kind = StreamErrand if ask.stream else Errand
        errand = kind(self, connection, body)
        errand.ride(lane, hold, ticks_ms)
        try:
            errand.intend(lane, ask, units)
        except StoreFailed:
            desk.ledger.purse.release(hold)
            return None
        desk.router.earn()
        return self._send_off(errand, asked)

    def _send_off(self, errand: Errand, asked: bytes) -> Errand:
        """Ask the provider, as soon as the intent is as durable as promised."""
        self.desk.running.add(errand)
        if self.recorder.is_instant:
            errand.ask(asked)
        else:
            self.recorder.once_durable(partial(errand.ask_unless, asked))
        return errand

    def _begin_exchange(
        self,
        connection: GuardedConnection,
        asker: Asker,
        caller: Caller,
        ask: PlainRequest | AgentRequest,
        body: bytes,
    ) -> Errand | None:
        request = request_of(ask)
        offered = choices(self.house.offer, request)
        if not all(isinstance(one.upstream, OpenAICompatible) for one in offered):
            return None
        exchange = Exchange(self.desk, caller, request, offered=offered, caption=asker.caption)
        upstream = exchange.first.upstream
        if not isinstance(upstream, OpenAICompatible):
            return None
        asked = write_plain(
            ask, provider=upstream.provider, upstream_model=exchange.first.upstream_model
        )
        if asked is None or not exchange.hold_now():
            return None
        try:
            exchange.open_now()
        except StoreFailed as error:
            exchange.abandon(error)
            return None
        kind = StreamErrand if request.stream else Errand
        errand = kind(self, connection, body)
        errand.walk(exchange, caller, upstream)
        return self._send_off(errand, asked)
