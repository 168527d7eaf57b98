"""How a connection to an origin comes about: its name, an address, a proxy, TLS.

Addresses of both families are tried with a head start for the first, so that a dead IPv6 route
costs a quarter of a second. The environment's `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` are
honoured, `SSL_CERT_FILE` and `SSL_CERT_DIR` too. Knows nothing of requests.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from typing import NamedTuple, cast
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import truststore

from glasslipper.gateway.transport.connection import Connection
from glasslipper.gateway.transport.heads import Origin
from glasslipper.kernel.errors import SetupMissing, UpstreamTimeout, UpstreamUnreachable

HEAD_START_S = 0.25
"""How long one address may try alone before the next one starts."""

_TUNNEL_HEAD_MAX_BYTES = 16 * 1024

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]


class Proxy(NamedTuple):
    """A plain HTTP proxy and what it wants to hear, if anything, before it serves."""

    host: str
    port: int
    authorization: bytes | None

    @classmethod
    def of(cls, origin: Origin) -> Proxy | None:
        """Return the proxy that the environment asks for on the way to `origin`.

        Raises:
            SetupMissing: It is not a plain `http://` proxy.
        """
        url = getproxies_environment().get(origin.scheme)
        if not url or proxy_bypass(f"{origin.host}:{origin.port}"):
            return None
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname:
            raise SetupMissing(
                f"a {parts.scheme} proxy cannot be used for {origin.scheme} requests",
                hint=f"Point {origin.scheme.upper()}_PROXY at an http:// proxy, or unset it.",
            )
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = b"Basic " + base64.b64encode(pair.encode())
        return cls(parts.hostname, parts.port or 80, authorization)


def trusting_context() -> ssl.SSLContext:
    """Return a TLS context that trusts what the environment names, else what the system does."""
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        context = ssl.create_default_context()
    else:
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def dial(
    connection: Connection,
    origin: Origin,
    *,
    proxy: Proxy | None,
    context: ssl.SSLContext | None,
    limit_s: float | None,
) -> None:
    """Connect `connection` to `origin`, through `proxy`, with TLS if there is a `context`.

    Raises:
        UpstreamTimeout: It took longer than `limit_s` seconds.
        UpstreamUnreachable: Nobody answers there, or nobody whose certificate holds.
    """
    place = origin if proxy is None else proxy
    clock = asyncio.timeout(limit_s)
    try:
        async with clock:
            link = await _link(place.host, place.port)
            await _join(connection, link, origin, proxy=proxy, context=context)
    except ssl.SSLCertVerificationError as error:
        raise UpstreamUnreachable(
            f"the certificate of {origin.authority} does not hold: {error.verify_message}",
            hint="If the authority that issued it is yours, name its file in SSL_CERT_FILE.",
        ) from error
    except OSError as error:
        if clock.expired():
            raise UpstreamTimeout(
                f"no connection to {origin.authority} within {limit_s:g} seconds (connect_s)"
            ) from error
        raise UpstreamUnreachable(f"cannot connect to {origin.authority}: {error}") from error


async def _join(
    connection: Connection,
    link: socket.socket,
    origin: Origin,
    *,
    proxy: Proxy | None,
    context: ssl.SSLContext | None,
) -> None:
    loop = asyncio.get_running_loop()
    try:
        if proxy is None or context is None:
            name = None if context is None else origin.host
            await loop.create_connection(
                lambda: connection, sock=link, ssl=context, server_hostname=name
            )
            return
        plain, tunnel = await loop.create_connection(_Tunnel, sock=link)
    except BaseException:
        link.close()
        raise
    try:
        await tunnel.open(origin, proxy)
        secure = await loop.start_tls(plain, connection, context, server_hostname=origin.host)
    except BaseException:
        plain.abort()
        raise
    connection.connection_made(cast("asyncio.Transport", secure))


class _Tunnel(asyncio.Protocol):
    """Asks a proxy to connect through, and reads its answer to the byte."""

    def __init__(self) -> None:
        self._heard = b""
        self._answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    async def open(self, origin: Origin, proxy: Proxy) -> None:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        where = f"{host}:{origin.port}".encode("ascii")
        lines = [b"CONNECT %b HTTP/1.1" % where, b"host: %b" % where]
        if proxy.authorization is not None:
            lines.append(b"proxy-authorization: %b" % proxy.authorization)
        if self._transport is not None:
            self._transport.write(b"\r\n".join([*lines, b"", b""]))
        await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if self._answer.done():
            return
        words = self._heard.split(b"\r\n", 1)[0].split(b" ", 2)
        whole = self._heard.endswith(b"\r\n\r\n")
        if whole and len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1][:1] == b"2":
            self._answer.set_result(None)
        elif b"\r\n\r\n" in self._heard or len(self._heard) > _TUNNEL_HEAD_MAX_BYTES:
            line = b" ".join(words[:3])[:100].decode("ascii", "replace")
            self._answer.set_exception(OSError(f"the proxy refuses: {line}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(OSError("the proxy closed the connection"))


async def _link(host: str, port: int) -> socket.socket:
    """Return a connected socket: the first address to answer wins, the others are closed."""
    waiting = await _addresses(host, port)
    tries: set[asyncio.Task[socket.socket]] = set()
    failure: BaseException = OSError("no address")
    try:
        while waiting or tries:
            if waiting:
                tries.add(asyncio.create_task(_connected(waiting.pop())))
            pause_s = HEAD_START_S if waiting else None
            done, _ = await asyncio.wait(
                tries, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED
            )
            for one in done:
                tries.remove(one)
                error = one.exception()
                if error is None:
                    return one.result()
                failure = error
    finally:
        for loser in tries:
            loser.cancel()
            loser.add_done_callback(_close_loser)
    raise failure


async def _addresses(host: str, port: int) -> list[Address]:
    """Return where the name leads, the best last, the families taking turns."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = cast("list[Address]", [(entry[0], entry[4]) for entry in found])
    first = [one for one in addresses if one[0] == addresses[0][0]]
    other = [one for one in addresses if one[0] != addresses[0][0]]
    turns = [one for pair in zip(first, other, strict=False) for one in pair]
    shorter = min(len(first), len(other))
    return (turns + first[shorter:] + other[shorter:])[::-1]


async def _connected(address: Address) -> socket.socket:
    family, where = address
    link = socket.socket(family, socket.SOCK_STREAM)
    try:
        link.setblocking(False)
        await asyncio.get_running_loop().sock_connect(link, where)
    except BaseException:
        link.close()
        raise
    return link


def _close_loser(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
