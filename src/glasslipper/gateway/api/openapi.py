"""The OpenAPI document of the API, generated from the types that read and write it.

What an operation answers is closed: a member that is not described is a fault. What it accepts is
open: unknown members pass through. The list of operations is the only thing written by hand.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

import msgspec

from glasslipper import __version__
from glasslipper.gateway.added import AddedModel
from glasslipper.gateway.api import (
    accounts,
    admin,
    analytics,
    byok,
    feedback,
    offered,
    pricelist,
    reroutes,
    shapes,
)
from glasslipper.gateway.dialects import embeddings, errors
from glasslipper.gateway.dialects.chat import answer as chat_answer
from glasslipper.gateway.dialects.chat import wire as chat_wire
from glasslipper.gateway.dialects.completions import answer as completions_answer
from glasslipper.gateway.dialects.completions import request as completions_request
from glasslipper.gateway.dialects.messages import answer as messages_answer
from glasslipper.gateway.dialects.messages import errors as messages_errors
from glasslipper.gateway.dialects.messages import wire as messages_wire
from glasslipper.gateway.dialects.responses import wire as responses_wire
from glasslipper.gateway.dialects.responses.answer import ErrorBody as ResponsesErrorBody
from glasslipper.gateway.dialects.responses.echo import Echo
from glasslipper.gateway.dialects.responses.object import Outline
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http

Json = dict[str, Any]

ERRORS = ("400", "401", "402", "403", "404", "405", "408", "413", "429", "500", "502", "503", "504")


class Operation(NamedTuple):
    """One operation: where, what it takes, what it answers, and how it may be asked."""

    method: str
    path: str
    words: str
    takes: Any = None
    answers: Any = None
    status: str = "200"
    query: tuple[str, ...] = ()
    streams: bool = False
    is_open: bool = False
    errors: Any = errors.ErrorBody


_P = "/api/v1"
_RESPONSE = "a response object: its outline, and the echo of its request"

OPERATIONS = (
    Operation("post", f"{_P}/chat/completions", "Answer a conversation",
              chat_wire.ChatRequest, chat_answer.Completion, streams=True),
    Operation("post", f"{_P}/responses", "Answer, statefully",
              responses_wire.ResponsesRequest, _RESPONSE, streams=True,
              errors=ResponsesErrorBody),
    Operation("get", f"{_P}/responses/{{id}}", "Show a kept response", answers=_RESPONSE,
              errors=ResponsesErrorBody),
    Operation("delete", f"{_P}/responses/{{id}}", "Keep a response no more",
              answers=shapes.ResponseDeleted, errors=ResponsesErrorBody),
    Operation("post", f"{_P}/messages", "Answer in Anthropic's words",
              messages_wire.MessagesRequest, messages_answer.MessageObject, streams=True,
              errors=messages_errors.ErrorBody),
    Operation("post", f"{_P}/messages/count_tokens", "Count a prompt's tokens",
              messages_wire.CountRequest, messages_answer.Count, errors=messages_errors.ErrorBody),
    Operation("post", f"{_P}/completions", "Continue a prompt",
              completions_request.CompletionsBody, completions_answer.Completion, streams=True),
    Operation("post", f"{_P}/embeddings", "Embed texts",
              embeddings.EmbeddingsBody, embeddings.EmbeddingsAnswer),
    Operation("get", f"{_P}/models", "List what is offered", answers=offered.ModelsAnswer,
              is_open=True),
    Operation("get", f"{_P}/providers", "List who serves", answers=offered.ProvidersAnswer,
              is_open=True),
    Operation("get", f"{_P}/generation", "Show a record", answers=shapes.GenerationAnswer,
              query=("id",)),
    Operation("post", f"{_P}/generation/feedback", "Judge an answer",
              feedback.Judgement, shapes.NamedAnswer, status="201"),
    Operation("post", f"{_P}/generation/comparison", "Compare an answer with another model's",
              feedback.Comparison, shapes.NamedAnswer, status="201"),
    Operation("get", f"{_P}/activity", "Show what was used, by day and endpoint",
              answers=analytics.ActivityAnswer),
    Operation("get", f"{_P}/analytics/meta", "List the words of analytics",
              answers=analytics.AnalyticsMetaAnswer),
    Operation("post", f"{_P}/analytics/query", "Ask what was used, by anything",
              analytics.AnalyticsQuery, analytics.AnalyticsAnswer),
    Operation("get", f"{_P}/key", "Show the key that asks", answers=shapes.OwnKeyAnswer),
    Operation("get", f"{_P}/credits", "Show what is left", answers=shapes.CreditsAnswer),
    Operation("post", f"{_P}/key/sessions", "Make a short-lived key",
              admin.SessionWish, shapes.KeyMade, status="201"),
    Operation("get", f"{_P}/keys", "List keys", answers=shapes.KeysAnswer),
    Operation("post", f"{_P}/keys", "Make a key", admin.KeyWish, shapes.KeyMade, status="201"),
    Operation("get", f"{_P}/keys/{{id}}", "Show a key", answers=shapes.KeyAnswer),
    Operation("patch", f"{_P}/keys/{{id}}", "Change a key", admin.KeyChange, shapes.KeyAnswer),
    Operation("delete", f"{_P}/keys/{{id}}", "Switch a key off for good", answers=shapes.Deleted),
    Operation("get", f"{_P}/byok", "List the provider keys that accounts brought along",
              answers=byok.ProviderKeysAnswer),
    Operation("post", f"{_P}/byok", "Bring a provider key along",
              byok.ProviderKeyWish, byok.ProviderKeyAnswer, status="201"),
    Operation("get", f"{_P}/byok/{{id}}", "Show a provider key, never its secret",
              answers=byok.ProviderKeyAnswer),
    Operation("patch", f"{_P}/byok/{{id}}", "Change a provider key",
              byok.ProviderKeyChange, byok.ProviderKeyAnswer),
    Operation("delete", f"{_P}/byok/{{id}}", "Take a provider key away", answers=shapes.Deleted),
    Operation("get", f"{_P}/admin/accounts", "List the accounts above the keys",
              answers=accounts.AccountsAnswer),
    Operation("post", f"{_P}/admin/accounts", "Make a workspace or a project",
              accounts.AccountWish, accounts.AccountAnswer, status="201"),
    Operation("get", f"{_P}/admin/accounts/{{id}}", "Show an account",
              answers=accounts.AccountAnswer),
    Operation("patch", f"{_P}/admin/accounts/{{id}}", "Change an account or its budget",
              accounts.AccountChange, accounts.AccountAnswer),
    Operation("get", f"{_P}/admin/spend", "Show what was spent", answers=shapes.SpentAnswer),
    Operation("get", f"{_P}/admin/prices", "Show prices, their sources and ages",
              answers=pricelist.PricesAnswer),
    Operation("get", f"{_P}/admin/prices/{{id}}", "Show a price row that a generation names",
              answers=pricelist.KeptPriceAnswer),
    Operation("get", f"{_P}/admin/routes", "List the workloads that another model answers",
              answers=reroutes.ReroutesAnswer),
    Operation("post", f"{_P}/admin/routes", "Let another model answer workloads",
              reroutes.RerouteWish, reroutes.ReroutesAnswer, status="201"),
    Operation("delete", f"{_P}/admin/routes/{{id}}", "Let the models asked for answer again",
              answers=shapes.Deleted),
    Operation("post", f"{_P}/admin/models", "Offer a file or a server's model",
              AddedModel, shapes.NamedAnswer, status="201"),
    Operation("post", f"{_P}/admin/models/pull", "Offer a model that was fetched",
              admin.PullWish, shapes.NamedAnswer),
    Operation("post", f"{_P}/admin/models/refresh", "Look for model servers now",
              answers=admin.RefreshedAnswer),
    Operation("delete", f"{_P}/admin/models/{{id}}", "Offer an added model no more",
              answers=shapes.Deleted),
    Operation("get", "/readyz", "Tell whether requests are taken", answers=shapes.Readiness,
              is_open=True),
    Operation("get", "/healthz", "Tell whether the process lives", answers=shapes.Health,
              is_open=True),
)  # fmt: skip

_NAME: Json = {"type": "string", "minLength": 1}


@functools.cache
def document() -> Json:
    """Return the OpenAPI 3.1 document."""
    kinds = [kind for one in OPERATIONS for kind in _kinds(one)]
    refs, components = _described(kinds)
    ref_of = {id(kind): ref for kind, ref in zip(kinds, refs, strict=True)}
    for name in _names_in([kind for one in OPERATIONS for kind in _answers(one)]):
        if "properties" in components[name]:
            components[name]["additionalProperties"] = False
    components["Response"] = _merged(components)
    ref_of[id(_RESPONSE)] = {"$ref": "#/components/schemas/Response"}
    paths: dict[str, Json] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method] = _operation(one, ref_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Glasslipper", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(kinds: list[Any]) -> tuple[list[Json], dict[str, Json]]:
    refs, components = msgspec.json.schema_components(
        kinds, schema_hook=_anything, ref_template="#/components/schemas/{name}"
    )
    return list(refs), components


def _anything(_: type) -> Json:
    """Return the schema of what may be any JSON."""
    return {"description": "any JSON"}


def _kinds(one: Operation) -> list[Any]:
    return [one.takes, *_answers(one)] if one.takes is not None else _answers(one)


def _answers(one: Operation) -> list[Any]:
    if one.answers is _RESPONSE:
        return [Outline, Echo, one.errors]
    return [one.answers, one.errors]


def _names_in(kinds: list[Any]) -> set[str]:
    """Return the names of types, and of all types inside them."""
    everything = [kind for one in OPERATIONS for kind in _kinds(one)]
    refs, components = _described(everything)
    ref_of = {id(kind): ref for kind, ref in zip(everything, refs, strict=True)}
    found: set[str] = set()
    waiting = [ref_of[id(kind)] for kind in kinds]
    while waiting:
        for name in _refs_in(waiting.pop()):
            if name not in found:
                found.add(name)
                waiting.append(components[name])
    return found


def _refs_in(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        members: Json = schema  # pyright: ignore[reportUnknownVariableType]
        own = [members["$ref"].rpartition("/")[2]] if "$ref" in members else []
        return own + [name for value in members.values() for name in _refs_in(value)]
    if isinstance(schema, list):
        values: list[Any] = schema  # pyright: ignore[reportUnknownVariableType]
        return [name for value in values for name in _refs_in(value)]
    return []


def _merged(components: Json) -> Json:
    """Return the schema of a response object, which is its outline and the request's echo."""
    outline, echo = components["Outline"], components["Echo"]
    return {
        "type": "object",
        "title": "Response",
        "properties": {**outline["properties"], **echo["properties"]},
        "required": sorted({*outline.get("required", ()), *echo.get("required", ())}),
        "additionalProperties": False,
    }


def _operation(one: Operation, ref_of: dict[int, Json]) -> Json:
    answer: Json = {"application/json": {"schema": ref_of[id(one.answers)]}}
    if one.streams:
        answer["text/event-stream"] = {"schema": {"type": "string"}}
    error = {
        "description": "An error",
        "content": {"application/json": {"schema": ref_of[id(one.errors)]}},
    }
    made: Json = {
        "summary": one.words,
        "operationId": re.sub(r"\W+", "_", one.method + one.path).strip("_"),
        "responses": {
            one.status: {"description": one.words, "content": answer},
            **dict.fromkeys(ERRORS, error),
        },
    }
    if not one.is_open:
        made["security"] = [{"key": []}]
    if one.takes is not None:
        content = {"application/json": {"schema": ref_of[id(one.takes)]}}
        made["requestBody"] = {"required": True, "content": content}
    named = [("query", name) for name in one.query]
    named += [("path", "id")] if "{id}" in one.path else []
    if named:
        made["parameters"] = [
            {
                "name": name,
                "in": place,
                "required": True,
                "schema": {"type": "string", "minLength": 1},
            }
            for place, name in named
        ]
    return made


async def show(house: House, http: Http) -> None:
    """Answer `GET /openapi.json`."""
    del house
    await http.reply(200, msgspec.json.encode(document()))
