"""A server at an address: streamable HTTP, one POST a message, answered as JSON or as a stream.

Requests run in threads with the standard library's client; certificates are judged as the system
judges them. A session that the server has forgotten is begun anew, once.
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
import time
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from msgspec import Raw, Struct, field

from glasslipper.kernel.errors import (
    InvalidRequest,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from glasslipper.tools import rpc
from glasslipper.tools.link import greet

MOST_BODY_BYTES = 16 << 20
_CHUNK = 65_536


class WebServer(Struct, frozen=True, kw_only=True):
    """An address, and the headers that go with each request (such as Authorization)."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    timeout_s: float = 60.0

    def link(self) -> WebLink:
        """Return a new connection.

        Raises:
            InvalidRequest: The address is none.
        """
        return WebLink(self)


class WebLink:
    """A session with a server, or one that will be."""

    def __init__(self, server: WebServer) -> None:
        parts = urlsplit(server.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidRequest(f"{server.url!r} is not an address.", param="$.url")
        self._server = server
        self._is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._session: str | None = None
        self._version: str | None = None
        self._number = 0
        self._opening = asyncio.Lock()

    async def ask(self, method: str, params: Mapping[str, object] | None = None) -> Raw:
        """Send a request and wait for its result."""
        async with self._opening:
            if self._version is None:
                self._version = await greet(self._ask, self.tell)
        try:
            return await self._ask(method, params)
        except UpstreamRefused as error:
            if error.upstream_status != 404 or self._session is None:
                raise
        async with self._opening:
            self._session = self._version = None
            self._version = await greet(self._ask, self.tell)
        return await self._ask(method, params)

    async def tell(self, method: str) -> None:
        """Send a notification."""
        await asyncio.to_thread(self._post, rpc.request(None, method, None), None)

    async def close(self) -> None:
        """End the session."""
        if self._session is not None:
            await asyncio.to_thread(self._delete)
            self._session = self._version = None

    async def _ask(self, method: str, params: Mapping[str, object] | None) -> Raw:
        self._number += 1
        body = rpc.request(self._number, method, params)
        reply = await asyncio.to_thread(self._post, body, self._number)
        if reply is None:
            raise UpstreamFailed("The tool server's stream ended without an answer.")
        return rpc.result_of(reply)

    def _post(self, body: bytes, number: int | None) -> rpc.Incoming | None:
        connection = self._connection()
        ends_s = time.monotonic() + self._server.timeout_s
        try:
            connection.request("POST", self._path, body, self._headers())
            response = connection.getresponse()
            if response.status >= 300:
                raise UpstreamRefused(
                    f"The tool server answered {response.status}: "
                    f"{response.read(300).decode('utf-8', 'replace')}",
                    upstream_status=response.status,
                )
            self._session = response.getheader("mcp-session-id") or self._session
            if number is None:
                return None
            kind = response.getheader("content-type", "")
            is_stream = kind.startswith("text/event-stream")
            return _reply(response, number, streamed=is_stream, ends_s=ends_s)
        except TimeoutError:
            raise UpstreamTimeout(
                f"The tool server did not answer within {self._server.timeout_s:g} s."
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise UpstreamUnreachable(f"The tool server cannot be reached: {error}.") from None
        finally:
            connection.close()

    def _delete(self) -> None:
        connection = self._connection()
        try:
            connection.request("DELETE", self._path, headers=self._headers())
            connection.getresponse().read(1024)
        except (OSError, http.client.HTTPException):
            pass  # it is over either way
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        wait_s = self._server.timeout_s
        if not self._is_tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=wait_s)
        import truststore  # only who goes over TLS pays for it

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return http.client.HTTPSConnection(self._host, self._port, timeout=wait_s, context=context)

    def _headers(self) -> dict[str, str]:
        headers = {
            **self._server.headers,
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        if self._session is not None:
            headers["Mcp-Session-Id"] = self._session
        if self._version is not None:
            headers["MCP-Protocol-Version"] = self._version
        return headers


def _reply(
    response: http.client.HTTPResponse, number: int, *, streamed: bool, ends_s: float
) -> rpc.Incoming | None:
    messages = _events(response, ends_s) if streamed else iter([_whole(response, ends_s)])
    for body in messages:
        message = rpc.decode(body)
        if message.method is None and message.id == number:
            return message
    return None


def _whole(response: http.client.HTTPResponse, ends_s: float) -> bytes:
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        _check(len(body), ends_s)
    return bytes(body)


def _check(size_bytes: int, ends_s: float) -> None:
    """Give up on a server that says too much, or says it too slowly."""
    if size_bytes > MOST_BODY_BYTES:
        raise UpstreamFailed("The tool server's answer is too long.")
    if time.monotonic() > ends_s:
        raise TimeoutError


def _events(response: http.client.HTTPResponse, ends_s: float) -> Iterator[bytes]:
    """Yield the data of each server-sent event."""
    data: list[bytes] = []
    seen = 0
    while line := response.readline(MOST_BODY_BYTES):
        seen += len(line)
        _check(seen, ends_s)
        text = line.rstrip(b"\r\n")
        if text.startswith(b"data:"):
            data.append(text[5:].removeprefix(b" "))
        elif not text and data:
            joined = b"\n".join(data)
            data = []
            if joined.strip():
                yield joined
    if data:
        yield b"\n".join(data)
