"""Facts 6.1: which failure of a provider goes where, in every provider's own words for it.

Two endpoints stand for one model, and the first fails. What the second may do better is hidden
from the client; what the request itself caused is told at once, and nobody else is asked.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from itertools import count, cycle
from typing import Any

import as_client
import as_provider
import pytest
from msgspec import Struct

from glasslipper.testing.parrot import Lesson, Parrot
from glasslipper.testing.served import Served

Json = dict[str, Any]

KINDS = {
    400: ("invalid_request_error", "INVALID_ARGUMENT"),
    401: ("authentication_error", "UNAUTHENTICATED"),
    402: ("billing_error", "FAILED_PRECONDITION"),
    403: ("permission_error", "PERMISSION_DENIED"),
    404: ("not_found_error", "NOT_FOUND"),
    408: ("timeout_error", "DEADLINE_EXCEEDED"),
    413: ("request_too_large", "INVALID_ARGUMENT"),
    422: ("invalid_request_error", "INVALID_ARGUMENT"),
    429: ("rate_limit_error", "RESOURCE_EXHAUSTED"),
    500: ("api_error", "INTERNAL"),
    502: ("api_error", "INTERNAL"),
    503: ("overloaded_error", "UNAVAILABLE"),
    504: ("timeout_error", "DEADLINE_EXCEEDED"),
    529: ("overloaded_error", "UNAVAILABLE"),
}
TOO_LONG = {
    "chat": {"error": {"message": "too long", "code": "context_length_exceeded", "type": "x"}},
    "messages": {"type": "error", "error": {"type": "x", "message": "prompt is too long: 9 > 8"}},
    "gemini": {
        "error": {"code": 400, "message": "The input token count (9) exceeds the maximum number"}
    },
}

HIDDEN = (401, 402, 404, 408, 429, 500, 502, 503, 504, 529)
TOLD = {400: 400, 413: 400, 422: 400, 403: 502}
"""What a client is told of a status that nobody else would answer better."""

_numbers = count()
_clients = cycle(as_client.CLIENTS)


def failing(dialect: str, status: int, body: Json | None = None) -> Lesson:
    """Return how a provider fails with a status."""
    anthropics, googles = KINDS[status]
    said: dict[str, Json] = {
        "chat": {"error": {"message": "no", "type": anthropics, "code": None}},
        "messages": {"type": "error", "error": {"type": anthropics, "message": "no"}},
        "gemini": {"error": {"code": status, "message": "no", "status": googles}},
    }
    refusal = {"status": status, "body": body or said[dialect]}
    return as_provider.lesson(dialect, {"refusal": refusal})


class Pair(Struct):
    """Two endpoints of a new model, or one endpoint each of two: the first fails."""

    models: list[str]
    upstream: list[str]


def pair(
    gateway: Served,
    parrot: Parrot,
    dialect: str,
    failure: Lesson,
    *,
    two_models: bool = False,
    contexts: Sequence[int] = (8_000, 8_000),
) -> Pair:
    pay_for_a_retry(gateway, parrot)
    number = next(_numbers)
    made = Pair([], [])
    for at, (speaks, lesson) in enumerate(
        [(dialect, failure), ("chat", as_provider.lesson("chat", as_provider.PLAIN["chat"]))]
    ):
        upstream = f"claude-{number}-{at}" if speaks == "messages" else f"up-{number}-{at}"
        parrot.teach(upstream, lesson)
        model = f"fall/{number}-{at if two_models else 0}"
        # A place of its own keeps a refused key of one case out of the others.
        here = as_provider.place(f"{parrot.url}/{number}-{at}", speaks, upstream)
        more = {"provider": f"p{at}", "context_tokens": contexts[at]}
        gateway.add_model(model, **{**here, **more})
        made.upstream.append(upstream)
        made.models += [] if model in made.models else [model]
    return made


def pay_for_a_retry(gateway: Served, parrot: Parrot) -> None:
    """Make the traffic of which a retry is a tenth: there are no more retries than that."""
    parrot.teach(as_provider.MODELS["chat"], as_provider.lesson("chat", as_provider.PLAIN["chat"]))
    connection = http.client.HTTPConnection(gateway.host, timeout=30)
    body = json.dumps({"model": "hard/chat", **as_client.PLAIN["chat"]})
    for _ in range(10):
        headers = {"authorization": f"Bearer {gateway.key}"}
        connection.request("POST", "/v1/chat/completions", body, headers)
        assert connection.getresponse().read()
    connection.close()


def ask(gateway: Served, client: str, made: Pair, *, stream: bool) -> as_client.Heard:
    body = dict(as_client.PLAIN[client])
    if client == "gemini" and len(made.models) > 1:
        pytest.skip("this dialect has no list of models")
    if client != "gemini":
        body["provider"] = {"order": ["p0", "p1"]}
        body |= {"models": made.models} if len(made.models) > 1 else {}
    return as_client.ask(gateway, client, body, model=made.models[0], stream=stream)


def asked(parrot: Parrot, upstream: str) -> int:
    calls = parrot.asked()
    return sum(upstream == call["body"].get("model") or upstream in call["path"] for call in calls)


def not_gemini() -> str:
    """The next client whose dialect can say in which order to try."""
    return next(client for client in _clients if client != "gemini")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", HIDDEN)
@pytest.mark.parametrize("dialect", as_provider.PLAIN)
def test_what_another_endpoint_may_do_better_is_hidden(
    gateway: Served, parrot: Parrot, dialect: str, status: int, *, stream: bool
) -> None:
    made = pair(gateway, parrot, dialect, failing(dialect, status))
    heard = ask(gateway, not_gemini(), made, stream=stream)
    assert heard.status == 200, heard.body
    assert heard.broken is None
    assert [asked(parrot, upstream) for upstream in made.upstream] == [1, 1]
    found = gateway.call("GET", f"/api/v1/generation?id={heard.headers['x-generation-id']}")
    attempts = found[1]["data"]["attempts"]
    assert [attempt["status"] for attempt in attempts] == ["error", "ok"]
    if status != 429:
        assert attempts[0]["http_status"] == status


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", TOLD)
@pytest.mark.parametrize("dialect", as_provider.PLAIN)
def test_what_the_request_caused_is_told_at_once(
    gateway: Served, parrot: Parrot, dialect: str, status: int, *, stream: bool
) -> None:
    made = pair(gateway, parrot, dialect, failing(dialect, status))
    heard = ask(gateway, not_gemini(), made, stream=stream)
    assert heard.status == TOLD[status], heard.body
    assert "error" in heard.body
    assert [asked(parrot, upstream) for upstream in made.upstream] == [1, 0]


@pytest.mark.parametrize("larger", [False, True], ids=["no larger", "a larger"])
@pytest.mark.parametrize("dialect", as_provider.PLAIN)
def test_a_prompt_that_is_too_long_goes_to_a_larger_context_only(
    gateway: Served, parrot: Parrot, dialect: str, *, larger: bool
) -> None:
    failure = failing(dialect, 400, TOO_LONG[dialect])
    contexts = (8_000, 16_000 if larger else 8_000)
    made = pair(gateway, parrot, dialect, failure, two_models=True, contexts=contexts)
    heard = ask(gateway, not_gemini(), made, stream=True)
    assert heard.status == (200 if larger else 400), heard.body
    if not larger:
        assert "context_length_exceeded" in str(heard.body)
    assert asked(parrot, made.upstream[1]) == larger


REFUSALS: dict[str, Json] = {
    "chat": {"message": {"refusal": "I will not."}, "finish": "stop"},
    "messages": {"content": [], "stop_reason": "refusal"},
    "gemini": {"parts": [], "finish": "SAFETY"},
}


@pytest.mark.parametrize("listed", [False, True], ids=["no list", "a list"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", as_provider.PLAIN)
def test_a_refusal_goes_to_another_model_only_where_the_client_lists_one(
    gateway: Served, parrot: Parrot, dialect: str, *, listed: bool, stream: bool
) -> None:
    refusal = as_provider.lesson(dialect, REFUSALS[dialect])
    made = pair(gateway, parrot, dialect, refusal, two_models=listed)
    heard = ask(gateway, "chat", made, stream=stream)
    assert heard.status == 200
    assert [asked(parrot, upstream) for upstream in made.upstream] == [1, int(listed)]
    choice = heard.body["choices"][0]
    if listed:
        assert choice["message"]["content"] == "Hello"
        assert heard.body["model"] == made.models[1]
    else:
        assert choice["message"].get("refusal") or choice["finish_reason"] == "content_filter"


@pytest.mark.parametrize("dialect", as_provider.PLAIN)
def test_moderation_goes_to_another_model_only_where_the_client_lists_one(
    gateway: Served, parrot: Parrot, dialect: str
) -> None:
    made = pair(gateway, parrot, dialect, failing(dialect, 403), two_models=True)
    heard = ask(gateway, not_gemini(), made, stream=False)
    assert heard.status == 200, heard.body
    assert [asked(parrot, upstream) for upstream in made.upstream] == [1, 1]


@pytest.mark.parametrize("dialect", as_provider.PLAIN)
def test_a_pause_that_is_asked_for_is_kept_and_passed_on(
    gateway: Served, parrot: Parrot, dialect: str
) -> None:
    number = next(_numbers)
    upstream = f"claude-{number}-0" if dialect == "messages" else f"up-{number}-0"
    busy = failing(dialect, 429)
    parrot.teach(upstream, Lesson(status=429, whole=busy.whole, headers={"retry-after": "30"}))
    here = as_provider.place(f"{parrot.url}/{number}", dialect, upstream)
    gateway.add_model(f"fall/{number}", **here)
    for client in as_client.CLIENTS:
        body = as_client.PLAIN[client]
        heard = as_client.ask(gateway, client, body, model=f"fall/{number}", stream=False)
        assert heard.status == 429
        assert 28 <= int(heard.headers["retry-after"]) <= 30
    assert asked(parrot, upstream) == 1


@pytest.mark.parametrize("dialect", as_provider.PLAIN)
def test_a_stream_that_breaks_before_the_first_word_is_hidden_too(
    gateway: Served, parrot: Parrot, dialect: str
) -> None:
    whole = as_provider.lesson(dialect, as_provider.PLAIN[dialect])
    silent = {"chat": 1, "messages": 3, "gemini": 0}[dialect]
    opening = list(whole.pieces)[:silent] or [b": nothing yet\n\n"]
    made = pair(gateway, parrot, dialect, Lesson(pieces=opening, cut=True))
    heard = ask(gateway, not_gemini(), made, stream=True)
    assert heard.status == 200, heard.body
    assert heard.broken is None
    assert [asked(parrot, upstream) for upstream in made.upstream] == [1, 1]
