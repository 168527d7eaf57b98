"""Finds the handler of a path, and turns whatever goes wrong into an error that helps.

Every path stands below `/api/v1` (OpenRouter's place) and `/v1` (OpenAI's).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from glasslipper.gateway.api import (
    account,
    accounts,
    admin,
    analytics,
    byok,
    chat,
    completions,
    embeddings,
    feedback,
    gemini,
    health,
    messages,
    metrics,
    models,
    openapi,
    pricelist,
    reroutes,
    responses,
)
from glasslipper.gateway.dialects import gemini as gemini_dialect
from glasslipper.gateway.dialects import messages as messages_dialect
from glasslipper.gateway.dialects import responses as responses_dialect
from glasslipper.gateway.dialects.errors import encode_error, error_headers, error_status
from glasslipper.gateway.guard import GUARD
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Application, Http, Message, Receive, Send, Serve
from glasslipper.kernel.errors import (
    Draining,
    GlasslipperError,
    NotFound,
    PayloadTooLarge,
    WrongMethod,
)

Handler = Callable[[House, Http], Awaitable[None]]

_log = logging.getLogger(__name__)

ROUTES: dict[tuple[str, str], Handler] = {
    ("POST", "/chat/completions"): chat.completions,
    ("POST", "/completions"): completions.completions,
    ("POST", "/responses"): responses.create,
    ("POST", "/messages"): messages.messages,
    ("POST", "/messages/count_tokens"): messages.count,
    ("POST", "/embeddings"): embeddings.embeddings,
    ("GET", "/models"): models.listing,
    ("GET", "/providers"): models.providers,
    ("GET", "/generation"): account.generation,
    ("POST", "/generation/feedback"): feedback.give,
    ("POST", "/generation/comparison"): feedback.compare,
    ("GET", "/activity"): analytics.activity,
    ("GET", "/analytics/meta"): analytics.meta,
    ("POST", "/analytics/query"): analytics.ask,
    ("GET", "/key"): account.key,
    ("GET", "/credits"): account.credits,
    ("POST", "/key/sessions"): admin.create_session_key,
    ("GET", "/keys"): admin.list_keys,
    ("POST", "/keys"): admin.create_key,
    ("GET", "/byok"): byok.list_keys,
    ("POST", "/byok"): byok.create,
    ("POST", "/byok/rotate"): byok.rotate,
    ("GET", "/admin/accounts"): accounts.listing,
    ("POST", "/admin/accounts"): accounts.create,
    ("GET", "/admin/prices"): pricelist.listing,
    ("GET", "/admin/routes"): reroutes.listing,
    ("POST", "/admin/routes"): reroutes.create,
    ("GET", "/admin/spend"): admin.spend,
    ("POST", "/admin/models"): admin.add_model,
    ("POST", "/admin/models/pull"): admin.pull_model,
    ("POST", "/admin/models/refresh"): admin.refresh_models,
}
"""Handlers by method and path below the prefix."""

ITEMS: dict[tuple[str, str], Callable[[House, Http, str], Awaitable[None]]] = {
    ("GET", "/models/"): models.one,
    ("POST", "/models/"): gemini.call,
    ("GET", "/responses/"): responses.show,
    ("DELETE", "/responses/"): responses.delete,
    ("GET", "/keys/"): admin.show_key,
    ("PATCH", "/keys/"): admin.change_key,
    ("DELETE", "/keys/"): admin.delete_key,
    ("GET", "/admin/accounts/"): accounts.show,
    ("PATCH", "/admin/accounts/"): accounts.change,
    ("DELETE", "/admin/models/"): admin.remove_model,
    ("DELETE", "/admin/routes/"): reroutes.delete,
    ("GET", "/byok/"): byok.show,
    ("PATCH", "/byok/"): byok.change,
    ("DELETE", "/byok/"): byok.delete,
    ("GET", "/admin/prices/"): pricelist.one,
}
"""Handlers of paths that end with the name of one thing."""

UNBUILT = tuple(f"{prefix}/responses/compact" for prefix in ("/api/v1", "/v1"))
"""Addresses of others' APIs that look like the name of a thing here, and are nothing."""

BARE: dict[tuple[str, str], Handler] = {
    ("GET", "/healthz"): health.alive,
    ("GET", "/readyz"): health.ready,
    ("GET", "/metrics"): metrics.scrape,
    ("GET", "/openapi.json"): openapi.show,
}
"""Handlers of paths without a prefix."""

PREFIXES = ("/api/v1", "/v1")
GEMINI_PREFIXES = ("/v1beta", "/api/v1beta")


class App:
    """The ASGI application of one house."""

    def __init__(self, house: House) -> None:
        """Serve the house."""
        self._house = house
        self._handlers: dict[tuple[str, str], Handler] = {
            (method, prefix + path): handler
            for (method, path), handler in ROUTES.items()
            for prefix in PREFIXES
        } | BARE

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._run(scope, receive, send, self._find_and_serve)

    def serving(self, serve: Serve) -> Application:
        """Return the application that lets `serve` answer, and explains what goes wrong."""

        async def application(scope: Message, receive: Receive, send: Send) -> None:
            await self._run(scope, receive, send, serve)

        return application

    async def _run(self, scope: Message, receive: Receive, send: Send, serve: Serve) -> None:
        guard = scope[GUARD]
        http = Http(scope, receive, send, guard)
        task = asyncio.current_task()
        guard.on_gone = task.cancel if task is not None else None
        try:
            await self._answer(http, serve)
        except asyncio.CancelledError:
            if not guard.gone and not self._house.draining:
                raise
        finally:
            guard.on_gone = None

    async def _find_and_serve(self, http: Http) -> None:
        handler = self._handlers.get((http.method, http.path))
        if handler is None:
            await self._answer_item(http)
        elif self._house.draining and http.method == "POST":
            raise Draining("The server is shutting down.")
        else:
            await handler(self._house, http)

    async def _answer(self, http: Http, serve: Serve) -> None:
        try:
            await serve(http)
        except GlasslipperError as error:
            self._house.desk.tally.refuse(error.slug)
            await self._explain(http, error)
        except Exception:  # noqa: BLE001 - the edge: whatever it is, the client hears of it
            _log.exception("answering %s %s failed", http.method, http.path)
            await self._explain(http, GlasslipperError("Something went wrong here."))

    async def _answer_item(self, http: Http) -> None:
        path = next(
            (
                http.path.removeprefix(one)
                for one in (*PREFIXES, *GEMINI_PREFIXES)
                if http.path.startswith(one + "/")
            ),
            "",
        )
        exact = {method for method, known in self._handlers if known == http.path}
        if not exact:
            for (method, start), handler in ITEMS.items():
                if method == http.method and path.startswith(start) and len(path) > len(start):
                    await handler(self._house, http, path.removeprefix(start))
                    return
        methods = exact or {method for method, start in ITEMS if path.startswith(start)}
        if methods and http.path not in UNBUILT:
            allowed = tuple(sorted(methods))
            raise WrongMethod(
                f"{http.path} takes {', '.join(allowed)}, not {http.method}.", allowed=allowed
            )
        raise NotFound(f"There is nothing at {http.path}.")

    async def _explain(self, http: Http, error: GlasslipperError) -> None:
        if http.started or http.guard.gone:
            return
        headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in error_headers(error).items()
        ]
        if isinstance(error, WrongMethod):
            headers.append((b"allow", ", ".join(error.allowed).encode()))
        if isinstance(error, PayloadTooLarge):
            headers.append((b"connection", b"close"))
        await http.reply(error_status(error), _said(http.path, error), headers)


def _said(path: str, error: GlasslipperError) -> bytes:
    """Return an error in the words of the dialect that is spoken at a path."""
    place = path.removeprefix("/api")
    if place.startswith("/v1/messages"):
        return messages_dialect.encode_error(error)
    if place.startswith("/v1beta/") or (place.startswith("/v1/models/") and ":" in place):
        return gemini_dialect.encode_error(error)
    if place.startswith("/v1/responses"):
        return responses_dialect.encode_error(error)
    return encode_error(error)
