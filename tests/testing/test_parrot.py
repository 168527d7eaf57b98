"""The parrot says what it was taught, and remembers what it was asked."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from glasslipper.testing.parrot import Lesson, Parrot


@pytest.fixture(scope="module")
def parrot() -> Iterator[Parrot]:
    with Parrot() as parrot:
        yield parrot


def ask(
    parrot: Parrot, body: Any, path: str = "/v1/chat/completions"
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(parrot.url.removeprefix("http://"), timeout=10)
    connection.request("POST", path, json.dumps(body), {"X-Mark": "here"})
    reply = connection.getresponse()
    try:
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        connection.close()


def test_lessons_are_said_one_after_another_and_the_last_ever_after(parrot: Parrot) -> None:
    parrot.teach("a/b", Lesson(whole=b"1", status=429, headers={"retry-after": "3"}), Lesson())
    status, headers, said = ask(parrot, {"model": "a/b"})
    assert (status, headers["retry-after"], said) == (429, "3", b"1")
    assert [ask(parrot, {"model": "a/b"})[::2] for _ in range(2)] == [(200, b"{}")] * 2
    parrot.teach("a/b", Lesson(whole=b"new"))
    assert ask(parrot, {"model": "a/b"})[2] == b"new"


def test_a_stream_comes_in_the_pieces_that_were_taught(parrot: Parrot) -> None:
    parrot.teach("s", Lesson(whole=b"whole", pieces=[b"data: \xc3", b"\xa9\n\n"]))
    assert ask(parrot, {"model": "s"})[2] == b"whole"
    status, headers, said = ask(parrot, {"model": "s", "stream": True})
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert said == "data: é\n\n".encode()
    google = "/v1beta/models/s:streamGenerateContent?alt=sse"
    assert ask(parrot, {}, google)[2] == said


def test_a_stream_that_is_cut_does_not_end(parrot: Parrot) -> None:
    parrot.teach("cut", Lesson(pieces=[b"data: 1\n\n"], cut=True))
    with pytest.raises(http.client.IncompleteRead):
        ask(parrot, {"model": "cut", "stream": True})


def test_what_it_was_asked_is_remembered_and_what_nobody_taught_is_told(parrot: Parrot) -> None:
    status, _, said = ask(parrot, {"model": "stranger", "x": [1]}, "/v1/messages")
    assert (status, json.loads(said)["error"]["message"]) == (404, "nobody taught me that")
    last = parrot.asked()[-1]
    assert (last["path"], last["body"]) == ("/v1/messages", {"model": "stranger", "x": [1]})
    assert last["headers"]["x-mark"] == "here"
