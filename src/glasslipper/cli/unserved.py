"""A home that no server serves: its store is opened here and asked through the same admin API.

The application that a server puts behind a socket answers in this process instead, so that
every command gives the same output either way. Whoever may open the store may manage it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self, cast
from urllib.parse import unquote

from glasslipper.cli.assembly import open_house
from glasslipper.cli.client import PREFIX
from glasslipper.cli.refusal import refusal
from glasslipper.gateway import settings as settings_file
from glasslipper.gateway.app import App
from glasslipper.gateway.auth import Caller, Gatekeeper
from glasslipper.gateway.guard import GUARD
from glasslipper.gateway.http import Message
from glasslipper.ledger.read import KeyRecord
from glasslipper.ledger.write import Ledger

_OWNER = Caller(
    KeyRecord(
        id="owner",
        hash=b"",
        hint="of the owner",
        name="owner",
        management=True,
        disabled=False,
        created_ms=0,
        expires_ms=None,
        labels={},
        path=(),
        limit_nanousd=None,
        period="never",
        budgets=(),
    )
)


class Unserved:
    """The admin API of a home, without a server."""

    def __init__(self, home: Path) -> None:
        """Open the home's store, creating it if need be.

        Raises:
            StoreFailed: Its files cannot be opened or written.
        """
        settings = settings_file.load(home)
        with ExitStack() as opening:
            self._loop = opening.enter_context(asyncio.Runner())
            ledger = opening.enter_context(Ledger(home, durability=settings.durability))
            house = self._loop.run(open_house(settings, ledger))
            opening.callback(lambda: self._loop.run(house.close()))
            house.gatekeeper = _Owner(house.accounts, house.clock, house.changes)
            self._app = App(house)
            self._open = opening.pop_all()

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        """Return the JSON that is answered below `/api/v1`.

        Raises:
            Refusal: The answer is an error.
        """
        exchange = _Exchange(method, path, b"" if body is None else json.dumps(body).encode())
        self._loop.run(self._answer(exchange))
        if exchange.status >= 400:
            raise refusal(exchange.status, bytes(exchange.answer))
        return cast("object", json.loads(exchange.answer))

    async def _answer(self, exchange: _Exchange) -> None:
        await self._app(exchange.scope, exchange.receive, exchange.send)

    def close(self) -> None:
        """Close the store."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Owner(Gatekeeper):
    """Accepts whoever sits at this machine."""

    def admit(self, authorization: str | None) -> Caller:
        del authorization
        return _OWNER


class _Exchange:
    """One request and its answer, held in memory; a client that never leaves."""

    def __init__(self, method: str, path: str, content: bytes) -> None:
        self.gone = False
        self.on_gone: Callable[[], object] | None = None
        self.status = 0
        self.answer = bytearray()
        self._content = content
        bare, _, query = path.partition("?")
        self.scope: Message = {
            "type": "http",
            "method": method,
            "path": PREFIX + unquote(bare),
            "query_string": query.encode(),
            "headers": [],
            GUARD: self,
        }

    async def receive(self) -> Message:
        return {"type": "http.request", "body": self._content, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.answer += message.get("body", b"")
