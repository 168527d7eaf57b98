"""Hard spot 8: however a provider frames its stream, every client hears the same.

The same answer, with words that are no ASCII, is framed in every way that the rules for
server-sent events allow, and in some that providers got wrong; then broken in every place.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any

import as_client
import as_provider
import pytest
from msgspec import structs

from glasslipper.testing.parrot import Lesson, Parrot
from glasslipper.testing.served import Served

Json = dict[str, Any]
WORDS = "Grüße, 世界 🌍"

SAID: dict[str, Json] = {
    "chat": {"message": {"content": WORDS}, "finish": "stop"},
    "messages": {"content": [{"type": "text", "text": WORDS}], "stop_reason": "end_turn"},
    "gemini": {"parts": [{"text": WORDS}], "finish": "STOP"},
}


def text_of(client: str, body: Json) -> str:
    match client:
        case "chat":
            return body["choices"][0]["message"].get("content", "")
        case "responses":
            texts = (item["content"][0]["text"] for item in body["output"])
            return "".join(texts)
        case "messages":
            return "".join(block["text"] for block in body["content"])
        case _:
            return "".join(part["text"] for part in body["candidates"][0]["content"]["parts"])


def frame(dialect: str, event: Json | str) -> bytes:
    return as_provider.plain_frame(dialect, event)


def with_ends(end: bytes) -> Callable[[str, Json | str], bytes]:
    def framed(dialect: str, event: Json | str) -> bytes:
        return frame(dialect, event).replace(b"\r\n", b"\n").replace(b"\n", end)

    return framed


def on_several_lines(dialect: str, event: Json | str) -> bytes:
    if isinstance(event, str):
        return frame(dialect, event)
    name = f"event: {event['type']}\n" if dialect == "messages" else ""
    lines = json.dumps(event, ensure_ascii=False, indent=1).split("\n")
    return (name + "".join(f"data: {line}\n" for line in lines) + "\n").encode()


def with_comments(dialect: str, event: Json | str) -> bytes:
    return b": keep-alive\n\n:\n" + frame(dialect, event) + b"retry: 5\nid: 1\n\n"


def without_the_space(dialect: str, event: Json | str) -> bytes:
    return frame(dialect, event).replace(b"data: ", b"data:", 1)


def without_names(dialect: str, event: Json | str) -> bytes:
    data = frame(dialect, event)
    return data.partition(b"\n")[2] if data.startswith(b"event:") else data


FRAMINGS: dict[str, Callable[[str, Json | str], bytes]] = {
    "lines that end with LF": with_ends(b"\n"),
    "lines that end with CR LF": with_ends(b"\r\n"),
    "lines that end with CR": with_ends(b"\r"),
    "data on several lines": on_several_lines,
    "comments and fields nobody asked for": with_comments,
    "no space after the colon": without_the_space,
    "no names of events": without_names,
}


def hear(
    gateway: Served, parrot: Parrot, client: str, dialect: str, pieces: list[bytes], **more: Any
) -> as_client.Heard:
    lesson = Lesson(pieces=pieces, **more)
    parrot.teach(as_provider.MODELS[dialect], lesson)
    body = as_client.PLAIN[client]
    return as_client.ask(gateway, client, body, model=f"hard/{dialect}", stream=True)


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
@pytest.mark.parametrize("dialect", SAID)
@pytest.mark.parametrize("client", as_client.CLIENTS)
def test_framing_is_a_matter_of_taste(
    gateway: Served, parrot: Parrot, client: str, dialect: str, framing: Any
) -> None:
    pieces = as_provider.pieces(dialect, SAID[dialect], framing)
    heard = hear(gateway, parrot, client, dialect, pieces)
    assert heard.broken is None
    assert text_of(client, heard.body) == WORDS


@pytest.mark.parametrize("dialect", SAID)
@pytest.mark.parametrize("client", as_client.CLIENTS)
def test_a_letter_that_is_cut_in_the_middle_is_whole_again(
    gateway: Served, parrot: Parrot, client: str, dialect: str
) -> None:
    stream = b"".join(as_provider.pieces(dialect, SAID[dialect], frame))
    heard = hear(
        gateway, parrot, client, dialect, [stream[at : at + 1] for at in range(len(stream))]
    )
    assert heard.broken is None
    assert text_of(client, heard.body) == WORDS


@pytest.mark.parametrize("client", as_client.CLIENTS)
def test_a_missing_end_mark_is_no_loss_once_the_answer_is_finished(
    gateway: Served, parrot: Parrot, client: str
) -> None:
    pieces = as_provider.pieces("chat", SAID["chat"], frame)[:-1]
    heard = hear(gateway, parrot, client, "chat", pieces)
    assert heard.broken is None
    assert text_of(client, heard.body) == WORDS


@pytest.mark.parametrize("client", as_client.CLIENTS)
def test_an_array_instead_of_events_is_read_too(
    gateway: Served, parrot: Parrot, client: str
) -> None:
    events = as_provider.events("gemini", SAID["gemini"])
    array = json.dumps(events).encode()
    heard = hear(gateway, parrot, client, "gemini", [array], stream_kind="application/json")
    assert text_of(client, heard.body) == WORDS


@pytest.mark.parametrize("dialect", SAID)
@pytest.mark.parametrize("client", as_client.CLIENTS)
def test_a_whole_answer_to_who_wanted_a_stream_is_streamed(
    gateway: Served, parrot: Parrot, client: str, dialect: str
) -> None:
    whole = as_provider.lesson(dialect, SAID[dialect]).whole
    heard = hear(gateway, parrot, client, dialect, [whole], stream_kind="application/json")
    assert heard.broken is None
    assert text_of(client, heard.body) == WORDS


ENDS_AT: dict[str, Callable[[Any], bool]] = {
    "chat": lambda event: (
        isinstance(event, dict)
        and bool(event["choices"])
        and event["choices"][0]["finish_reason"] is not None
    ),
    "messages": lambda event: event["type"] == "message_stop",
    "gemini": lambda event: "finishReason" in event["candidates"][0],
}
"""Which event says that the answer is whole."""


@pytest.mark.parametrize("cut", [False, True], ids=["ended early", "connection lost"])
@pytest.mark.parametrize("dialect", SAID)
@pytest.mark.parametrize("client", as_client.CLIENTS)
def test_a_stream_that_stops_early_is_never_told_as_whole(
    gateway: Served, parrot: Parrot, client: str, dialect: str, *, cut: bool
) -> None:
    events = as_provider.events(dialect, SAID[dialect])
    whole_at = next(at for at, event in enumerate(events) if ENDS_AT[dialect](event))
    pieces = [frame(dialect, event) for event in events]
    for many in range(1, whole_at + 1):
        heard = hear(gateway, parrot, client, dialect, pieces[:many], cut=cut)
        said = text_of(client, heard.body) if heard.status == 200 else ""
        if heard.status != 200:
            assert heard.status == 502
            assert "error" in heard.body
        else:
            assert heard.broken is not None
            assert WORDS.startswith(said)
            generation = heard.headers["x-generation-id"]
            kept = gateway.call("GET", f"/api/v1/generation?id={generation}")[1]["data"]
            assert kept["status"] == "truncated"


FIRST_WORDS = {"chat": 2, "messages": 4, "gemini": 1}
"""How many events there are up to the first words."""

FAILURES: dict[str, Json | str] = {
    "chat": {"error": {"message": "it broke down", "type": "server_error", "code": 500}},
    "messages": {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "it broke down"},
    },
    "gemini": {"error": {"code": 503, "message": "it broke down", "status": "UNAVAILABLE"}},
}


@pytest.mark.parametrize("dialect", SAID)
@pytest.mark.parametrize("client", as_client.CLIENTS)
def test_an_error_inside_a_good_stream_is_told_in_the_clients_words(
    gateway: Served, parrot: Parrot, client: str, dialect: str
) -> None:
    events = as_provider.events(dialect, SAID[dialect])
    failure = as_provider.plain_frame(dialect, FAILURES[dialect])
    begun = [frame(dialect, event) for event in events[:-2]]
    if dialect == "messages":
        begun = [frame(dialect, event) for event in events[:4]]
    late = hear(
        gateway, parrot, client, dialect, [*begun[: 4 if dialect != "gemini" else 1], failure]
    )
    assert late.status == 200
    assert late.broken is not None
    assert "it broke down" in json.dumps(late.broken)
    early = hear(gateway, parrot, client, dialect, [failure])
    assert early.status == 502
    assert "it broke down" in json.dumps(early.body)


def test_gemini_clients_without_alt_sse_get_one_array(gateway: Served, parrot: Parrot) -> None:
    lesson = as_provider.lesson("chat", SAID["chat"])
    parrot.teach(as_provider.MODELS["chat"], structs.replace(lesson))
    connection = http.client.HTTPConnection(gateway.host, timeout=30)
    connection.request(
        "POST",
        "/v1beta/models/hard/chat:streamGenerateContent",
        json.dumps(as_client.PLAIN["gemini"]),
        {"x-goog-api-key": gateway.key},
    )
    reply = connection.getresponse()
    chunks = json.loads(reply.read())
    connection.close()
    assert reply.headers["content-type"] == "application/json"
    assert len(chunks) > 1
    said = (part["text"] for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"])
    assert "".join(said) == WORDS
