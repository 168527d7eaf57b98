"""A small synchronous client of a running server: JSON calls and streams of events.

Knows the wire and how errors look on it, and nothing of what the paths mean.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import cast
from urllib.parse import quote, urlsplit

from glasslipper.cli.refusal import refusal, refusal_told
from glasslipper.kernel.errors import SetupMissing, StreamBroken

PREFIX = "/api/v1"
CONNECT_S = 10.0
CALL_S = 60.0
STREAM_S = 1_800.0
"""How long a server may be silent: a model may have to be loaded and a long prompt read."""

_READ_BYTES = 65_536


class Server:
    """A server at an address; one connection at a time."""

    def __init__(self, url: str, key: str | None) -> None:
        """Talk to the server at `url`, with or without its `/api/v1`, and show it `key`.

        Raises:
            SetupMissing: That is no web address, or no key.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise _no_address(url) from None
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            raise _no_address(url)
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._host, self._port, self._secure = host, port, parts.scheme == "https"
        path = parts.path.rstrip("/")
        self._root = path.removesuffix(PREFIX).removesuffix("/v1")
        self._headers = {"User-Agent": "glasslipper", "Content-Type": "application/json"}
        if key:
            if not (key.isascii() and key.isprintable()):
                raise SetupMissing("That is not a key.", hint="A key begins with sk-gl-.")
            self._headers["Authorization"] = f"Bearer {key}"

    def name_app(self, app: str) -> None:
        """Say with every request from now on which app it comes from."""
        self._headers["X-Title"] = app

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        """Return the JSON that the server answers below `/api/v1`.

        Raises:
            Refusal: It answers with an error.
            SetupMissing: Nothing answers there.
        """
        with self._send(method, path, body, patience_s=CALL_S) as response:
            content = self._read(response)
            if response.status >= 400:
                raise refusal(response.status, content)
            try:
                return cast("object", json.loads(content))
            except ValueError as error:
                raise refusal(response.status, content) from error

    def stream(self, path: str, body: Mapping[str, object]) -> Generator[dict[str, object]]:
        """Post a request and yield what its stream of events brings; closing it hangs up.

        Raises:
            Refusal: The server answers with an error, at once or in the middle.
            SetupMissing: Nothing answers there.
            StreamBroken: The stream ended before the answer did.
        """
        with self._send("POST", path, body, patience_s=STREAM_S) as response:
            if response.status >= 400:
                raise refusal(response.status, self._read(response))
            yield from self._events(response)

    def _events(self, response: http.client.HTTPResponse) -> Iterator[dict[str, object]]:
        from glasslipper.gateway.sse import Splitter

        splitter = Splitter()
        while data := self._read(response, once=True):
            for frame in splitter.feed(data):
                if frame.data == b"[DONE]":
                    return
                event = _event(frame.data)
                if "error" in event:
                    raise refusal_told(event["error"])
                yield event
        raise StreamBroken("The stream ended before the answer did.")

    @contextmanager
    def _send(
        self, method: str, path: str, body: Mapping[str, object] | None, *, patience_s: float
    ) -> Generator[http.client.HTTPResponse]:
        connection = self._connection()
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.connect()
            connection.sock.settimeout(patience_s)
            connection.request(method, self._root + PREFIX + path, content, self._headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise SetupMissing(
                f"Nothing answers at {self.url}: {_reason(error)}.",
                hint="Start a server with `glasslipper up`, or correct the address.",
            ) from error
        try:
            with response:
                yield response
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._secure:
            import truststore

            trust = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=CONNECT_S, context=trust
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_S)

    def _read(self, response: http.client.HTTPResponse, *, once: bool = False) -> bytes:
        try:
            return response.read1(_READ_BYTES) if once else response.read()
        except (OSError, http.client.HTTPException) as error:
            raise StreamBroken(f"{self.url} broke off: {_reason(error)}.") from error


def in_path(name: str) -> str:
    """Return a name as the end of a path; slashes stay."""
    return quote(name, safe="/@:")


def _no_address(url: str) -> SetupMissing:
    return SetupMissing(
        f"{url!r} is not the address of a server.", hint="Write it like http://127.0.0.1:7331."
    )


def _event(data: bytes) -> dict[str, object]:
    try:
        event: object = json.loads(data)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise StreamBroken("The stream holds something that is no event.")
    return cast("dict[str, object]", event)


def _reason(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or str(error) or type(error).__name__
