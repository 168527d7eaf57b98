"""Keeps connections to upstreams and sends requests over them.

The transport keeps idle connections for each origin and uses the one that rested least. It
never sends anything twice: whether a failed call may be repeated is for its caller to know. One
timer for all connections enforces their limits, so that a read costs no timer of its own. It
follows no redirects, keeps no cookies and undoes no content coding.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from glasslipper.gateway.transport.connection import Connection, Timeouts
from glasslipper.gateway.transport.dial import Proxy, dial, trusting_context
from glasslipper.gateway.transport.heads import Origin, request_head
from glasslipper.gateway.transport.reply import Reply
from glasslipper.kernel.errors import UpstreamUnreachable

SWEEP_S = 0.1
"""How often limits are checked."""


class Transport:
    """Sends requests to upstreams; belongs to the event loop that first sends with it."""

    def __init__(
        self,
        *,
        max_idle_per_origin: int = 256,
        idle_s: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Keep at most `max_idle_per_origin` connections, each for `idle_s` without use.

        Without an `ssl_context`, certificates are judged as the environment or the system says.
        """
        self._max_idle = max_idle_per_origin
        self._idle_s = idle_s
        self._context = ssl_context
        self._lanes: dict[Origin, Lane] = {}
        self._connections: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._swept_s = 0.0
        self._is_closed = False
        self._emptied: asyncio.Future[None] | None = None

    async def send(
        self,
        origin: Origin,
        method: bytes,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        timeouts: Timeouts,
    ) -> Reply:
        """Send a request and return the reply when its header section has arrived.

        `Host`, `Content-Length` and what else frames the message are written here; `headers`
        must not hold them.

        Raises:
            InvalidRequest: The request cannot be sent as it stands.
            UpstreamUnreachable: No connection, or it closed before any answer.
            UpstreamTimeout: A limit passed; the message names it.
            StreamBroken: What came back is not HTTP, or was cut in the header section.
        """
        lane = self.lane(origin)
        request = lane.encode(method, target, headers, body)
        loop = asyncio.get_running_loop()
        now_s = started_s = loop.time()
        connection = lane.take()
        if connection is None:
            connection = await self._connect(lane, timeouts)
            now_s = loop.time()
        reply = connection.ask(request, timeouts=timeouts, started_s=started_s, now_s=now_s)
        await reply.begun()
        return reply

    def lane(self, origin: Origin) -> Lane:
        """Return what is known about an origin, and the connections that rest there."""
        lane = self._lanes.get(origin)
        if lane is None:
            lane = self._lanes[origin] = Lane(self, origin)
        return lane

    async def connect(self, origin: Origin, *, timeouts: Timeouts) -> None:
        """Have one more connection to `origin` at rest.

        Raises:
            UpstreamUnreachable: There is no way to connect.
            UpstreamTimeout: It took too long.
        """
        lane = self.lane(origin)
        lane.returned(await self._connect(lane, timeouts))

    @property
    def connections(self) -> int:
        """How many connections are open, those at rest included."""
        return len(self._connections)

    async def close(self) -> None:
        """Close every connection and wait until they are; replies under way end with an error."""
        self._is_closed = True
        for connection in tuple(self._connections):
            connection.fail(UpstreamUnreachable("the transport was closed"))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._connections:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied

    async def _connect(self, lane: Lane, timeouts: Timeouts) -> Connection:
        if self._is_closed:
            raise UpstreamUnreachable("the transport is closed")
        context = None
        if lane.origin.scheme == "https":
            context = self._context = self._context or trusting_context()
        limits = [each for each in (timeouts.connect_s, timeouts.total_s) if each is not None]
        connection = Connection(lane)
        await dial(
            connection,
            lane.origin,
            proxy=lane.proxy,
            context=context,
            limit_s=min(limits, default=None),
        )
        if not connection.is_open:  # and was lost before it could be counted
            raise UpstreamUnreachable(f"{lane.origin.authority} closed the connection at once")
        self._connections.add(connection)
        if self._is_closed:
            connection.drop()
            raise UpstreamUnreachable("the transport was closed")
        if self._timer is None:
            self._arm()
        return connection

    def forget(self, connection: Connection) -> None:
        """Know that a connection is closed."""
        self._connections.discard(connection)
        if self._emptied is not None and not self._connections and not self._emptied.done():
            self._emptied.set_result(None)

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._swept_s = loop.time()
        self._timer = loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Check every limit, unless this process itself was asleep: then hear what came first."""
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        if now_s - self._swept_s < 5 * SWEEP_S:
            for connection in tuple(self._connections):
                connection.check(now_s, idle_s=self._idle_s)
        if self._connections:
            self._arm()

    @property
    def max_idle_per_origin(self) -> int:
        """How many connections to one origin may rest at the same time."""
        return self._max_idle


class Lane:
    """What is known about one origin: the way there, and the connections at rest."""

    def __init__(self, transport: Transport, origin: Origin) -> None:
        self.origin = origin
        self.proxy = Proxy.of(origin)
        self._transport = transport
        self._idle: list[Connection] = []
        self._prefix = b""
        self._extra: list[tuple[bytes, bytes]] = []
        if self.proxy is not None and origin.scheme == "http":
            self._prefix = f"http://{origin.authority}".encode("ascii")
            if self.proxy.authorization is not None:
                self._extra = [(b"proxy-authorization", self.proxy.authorization)]

    def encode(
        self, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> bytes:
        """Return the bytes of a request.

        Raises:
            InvalidRequest: The request cannot be sent as it stands.
        """
        if self._extra:
            headers = [*headers, *self._extra]
        head = request_head(
            self.origin, method, target, headers, prefix=self._prefix, size_bytes=len(body)
        )
        return head + body

    def take(self) -> Connection | None:
        """Take a connection that rests, if there is one."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.is_open:
                return connection
        return None

    def returned(self, connection: Connection) -> None:
        """Let a connection rest."""
        if len(self._idle) < self._transport.max_idle_per_origin:
            self._idle.append(connection)
        else:
            connection.drop()

    def lost(self, connection: Connection) -> None:
        """Forget a connection: it is closed."""
        if connection in self._idle:
            self._idle.remove(connection)
        self._transport.forget(connection)
