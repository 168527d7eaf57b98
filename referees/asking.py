"""A textbook client in plain HTTP: says one thing in any dialect, and retries as it is told to.

It acts only on what the gateway tells it: statuses, Retry-After, x-should-retry, and whether a
stream ended. So whoever watches from behind the gateway judges what the gateway let through.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from referees import frames
from referees.frames import Reading

DIALECTS = ("chat", "responses", "messages", "gemini")
RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
MOST_TRIES = 3
FIRST_WAIT_S = 0.2

TOOL = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}


class Reply(Struct, kw_only=True):
    """One answer over HTTP, and how it reads."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reading: Reading
    tries: int = 1

    @property
    def is_good(self) -> bool:
        """Whether a client may use it."""
        return self.status == 200 and self.reading.ending == "whole"


class Address(Struct, frozen=True, kw_only=True):
    """Where the gateway is, and the key."""

    host: str
    key: str


def body_of(dialect: str, model: str, *, text: str, stream: bool, tool: bool) -> dict[str, Any]:
    """Return the body of a question, with a tool if wanted."""
    match dialect:
        case "responses":
            body = {"model": model, "input": text, "stream": stream, "store": False}
            body |= {"tools": [_function(parameters=TOOL)]} if tool else {}
        case "messages":
            said = [{"role": "user", "content": text}]
            body = {"model": model, "max_tokens": 64, "messages": said, "stream": stream}
            body |= {"tools": [{"name": "weather", "input_schema": TOOL}]} if tool else {}
        case "gemini":
            body = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
            declared = [{"name": "weather", "parametersJsonSchema": TOOL}]
            body |= {"tools": [{"functionDeclarations": declared}]} if tool else {}
        case _:
            body = {"model": model, "messages": [{"role": "user", "content": text}]}
            body["stream"] = stream
            inner = {"name": "weather", "parameters": TOOL}
            body |= {"tools": [{"type": "function", "function": inner}]} if tool else {}
    return body


def _function(**more: object) -> dict[str, object]:
    return {"type": "function", "name": "weather", "strict": False, **more}


def path_of(dialect: str, model: str, *, stream: bool) -> str:
    """Return the path of a question."""
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return {
        "chat": "/v1/chat/completions",
        "completions": "/v1/completions",
        "responses": "/v1/responses",
        "messages": "/v1/messages",
        "gemini": f"/v1beta/models/{model}:{verb}",
    }[dialect]


def send(
    to: Address, dialect: str, path: str, body: bytes, *, wait_s: float = 30, stream: bool
) -> Reply:
    """Send one request and read its answer to the end, wherever that is.

    Raises:
        OSError: There is no answer.
        http.client.HTTPException: It is not HTTP.
    """
    connection = http.client.HTTPConnection(to.host, timeout=wait_s)
    try:
        headers = {"authorization": f"Bearer {to.key}", "content-type": "application/json"}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        try:
            said, cut = answer.read(), False
        except http.client.IncompleteRead as error:
            said, cut = error.partial, True
        heads = {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()
    return Reply(
        status=answer.status,
        headers=heads,
        body=said,
        reading=_read(dialect, heads, said, stream=stream and answer.status == 200, cut=cut),
    )


def _read(
    dialect: str, headers: Mapping[str, str], body: bytes, *, stream: bool, cut: bool
) -> Reading:
    if not stream:
        reading = frames.read_whole(body)
    elif headers.get("content-type", "").startswith("text/event-stream"):
        reading = frames.read_stream(dialect, body)
    else:
        reading = frames.read_array(body)
    if cut and reading.ending == "whole":
        reading.ending = "cut"
    return reading


def ask(
    to: Address, dialect: str, model: str, *, text: str, stream: bool, tool: bool = False
) -> Sequence[Reply]:
    """Ask, and ask again where a client should; return every answer, the last one last."""
    body = json.dumps(body_of(dialect, model, text=text, stream=stream, tool=tool)).encode()
    path = path_of(dialect, model, stream=stream)
    replies: list[Reply] = []
    while True:
        replies.append(send(to, dialect, path, body, stream=stream))
        wait_s = _wait_s(replies[-1], len(replies))
        if wait_s is None or len(replies) >= MOST_TRIES:
            return replies
        time.sleep(wait_s)


def _wait_s(reply: Reply, tries: int) -> float | None:
    """Return how long to wait before the next try; `None` for no next try."""
    if reply.is_good or reply.headers.get("x-should-retry") == "false":
        return None
    if reply.status != 200 and reply.status not in RETRIED:
        return None
    if told := reply.headers.get("retry-after"):
        return float(told)
    return FIRST_WAIT_S * 2 ** (tries - 1) * (1 + 0.3 * (tries - 1))
