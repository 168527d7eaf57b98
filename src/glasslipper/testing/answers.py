"""The bytes of an OpenAI-compatible provider's answers, well-formed or as broken as scripted.

An answer is planned once for each script and then only stamped with the number of the call, so
that the server can serve many. Knows nothing of sockets and time.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Literal

import msgspec
from msgspec import Struct

from glasslipper.testing.script import Script

Ending = Literal["keep", "close", "reset", "hang"]
"""What becomes of the connection after the last byte."""

STAMP = b"000000000000"
"""Stands in planned bytes for the number of the call."""

_CREATED_S = 1_760_000_000
_LAST_CHUNK = b"0\r\n\r\n"
_ENDINGS: dict[str, Ending] = {"cut": "close", "end": "close", "reset": "reset", "stall": "hang"}


class Plan(Struct, frozen=True, kw_only=True):
    """What to send: `head` at once, `first` and `frames` in their time, then `last`.

    Only `frames` count as sent frames; the bytes hold `STAMP` where the call's number goes.
    """

    head: bytes
    first: bytes = b""
    frames: Sequence[bytes] = ()
    last: bytes = b""
    ending: Ending = "keep"


def stamp(number: int) -> bytes:
    """Return what takes the place of `STAMP` in the answer to call `number`."""
    return b"%012d" % number


def streamed(script: Script, model: str, *, limit: int | None, asks_usage: bool) -> Plan:
    """Plan a streamed chat completion of at most `limit` tokens."""
    deltas, finish = _deltas(script, limit)
    frames = [_frame(model, delta) for delta in deltas]
    finale = [_frame(model, {}, finish)]
    if script.usage == "always" or (script.usage == "asked" and asks_usage):
        finale.append(_event({**_chunk(model), "choices": [], "usage": usage(script, len(deltas))}))
    done = _chunked(b"data: [DONE]\n\n")
    whole = Plan(
        head=_head(200, b"text/event-stream", b"transfer-encoding: chunked"),
        first=_frame(model, {"role": "assistant", "content": ""}),
        frames=frames,
        last=b"".join([*finale, done, _LAST_CHUNK]),
    )
    return _spoilt_stream(script, model, whole, b"".join(finale))


def _spoilt_stream(script: Script, model: str, plan: Plan, finale: bytes) -> Plan:
    change = msgspec.structs.replace
    before, after = list(plan.frames[: script.after]), plan.frames[script.after :]
    early = change(plan, frames=before, last=b"")
    match script.fault:
        case "cut" | "reset" | "stall" as fault:
            return change(early, ending=_ENDINGS[fault])
        case "end":
            return change(early, last=_LAST_CHUNK)
        case "malformed_http":
            return change(early, last=b"this is no chunk\r\n", ending="close")
        case "malformed_json":
            return change(plan, frames=[*before, _chunked(b'data: {"id": "chat\n\n'), *after])
        case "error_event":
            return change(early, last=_event(_error("the provider broke down")) + _LAST_CHUNK)
        case "huge_frame":
            huge = _frame(model, {"content": "x" * script.huge_bytes})
            return change(plan, frames=[*before, huge, *after])
        case "no_done":
            return change(plan, last=finale + _LAST_CHUNK)
        case "wrong_length":
            return _too_short(plan)
        case _:
            return plan


def _too_short(plan: Plan) -> Plan:
    """Announce more than will come; without chunks, as Content-Length has it."""
    frames = [_unchunked(each) for each in plan.frames]
    first = _unchunked(plan.first)
    size_bytes = len(first) + sum(map(len, frames)) + 100
    head = _head(200, b"text/event-stream", b"content-length: %d" % size_bytes)
    return Plan(head=head, first=first, frames=frames, ending="close")


def whole(script: Script, model: str, *, limit: int | None) -> Plan:
    """Plan a chat completion in one piece, of at most `limit` tokens."""
    deltas, finish = _deltas(script, limit)
    message: dict[str, object] = {"role": "assistant", "content": None}
    if script.tool is not None:
        message["tool_calls"] = [_tool_call(script, script.arguments)]
    else:
        message["content"] = "".join(str(delta["content"]) for delta in deltas)
    if script.fault == "huge_frame":
        message["content"] = "x" * script.huge_bytes
    answer: dict[str, object] = {
        **_chunk(model),
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if script.usage != "missing":
        answer["usage"] = usage(script, len(deltas))
    return _spoilt_whole(script, msgspec.json.encode(answer))


def _spoilt_whole(script: Script, body: bytes) -> Plan:
    half = body[: len(body) // 2]
    head = _json_head(200, len(body))
    match script.fault:
        case "cut" | "end" | "reset" | "stall" as fault:
            return Plan(head=head, last=half, ending=_ENDINGS[fault])
        case "malformed_http":
            return Plan(head=b"this is no answer\r\n\r\n", ending="close")
        case "malformed_json":
            return Plan(head=_json_head(200, len(half)), last=half)
        case "error_event":
            return as_json(_error("the provider broke down"))
        case "wrong_length":
            return Plan(head=_json_head(200, len(body) + 100), last=body, ending="close")
        case _:
            return Plan(head=head, last=body)


def refused(script: Script, status: int) -> Plan:
    """Plan an answer with an error status."""
    extra = [] if script.retry_after is None else [b"retry-after: %d" % script.retry_after]
    return as_json(_error(f"scripted status {status}"), status=status, extra=extra)


def as_json(value: object, *, status: int = 200, extra: Sequence[bytes] = ()) -> Plan:
    """Plan a JSON answer."""
    body = msgspec.json.encode(value)
    return Plan(head=_json_head(status, len(body), extra), last=body)


def complaint(message: str, *, status: int) -> Plan:
    """Plan an answer that says what is wrong with the request."""
    return as_json(_error(message, kind="invalid_request_error"), status=status)


def models() -> Plan:
    """Plan the list of models: there is one, whose name takes a script."""
    model = {"id": "fake", "object": "model", "created": _CREATED_S, "owned_by": "glasslipper"}
    return as_json({"object": "list", "data": [model]})


def embeddings(script: Script, model: str, *, inputs: int, in_base64: bool) -> Plan:
    """Plan as many vectors as there are inputs; each points along its own axis."""
    data: list[dict[str, object]] = []
    for index in range(inputs):
        vector = [0.0] * script.dimensions
        vector[index % script.dimensions] = 1.0
        packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        data.append(
            {
                "object": "embedding",
                "index": index,
                "embedding": packed if in_base64 else vector,
            }
        )
    answer: dict[str, object] = {"object": "list", "data": data, "model": model}
    if script.usage != "missing":
        spent = usage(script, 0)
        answer["usage"] = {name: spent[name] for name in ("prompt_tokens", "total_tokens")}
    return as_json(answer)


def usage(script: Script, pieces: int) -> dict[str, object]:
    """Return the usage that the script states, for an answer of so many pieces."""
    output = pieces if script.completion_tokens is None else script.completion_tokens
    spent: dict[str, object] = {
        "prompt_tokens": script.prompt_tokens,
        "completion_tokens": output,
        "total_tokens": script.prompt_tokens + output,
    }
    if script.cached_tokens is not None:
        spent["prompt_tokens_details"] = {"cached_tokens": script.cached_tokens}
    if script.reasoning_tokens is not None:
        spent["completion_tokens_details"] = {"reasoning_tokens": script.reasoning_tokens}
    if script.cost is not None:
        spent["cost"] = script.cost
    return spent


def _deltas(script: Script, limit: int | None) -> tuple[Sequence[Mapping[str, object]], str]:
    """Return the deltas of the answer and why it ends."""
    if script.tool is not None:
        half = len(script.arguments) // 2
        opening = {"tool_calls": [{"index": 0, **_tool_call(script, script.arguments[:half])}]}
        rest = {"index": 0, "function": {"arguments": script.arguments[half:]}}
        return [opening, {"tool_calls": [rest]}], "tool_calls"
    pieces = script.pieces()
    if limit is not None and limit < len(pieces):
        return [{"content": piece} for piece in pieces[:limit]], "length"
    return [{"content": piece} for piece in pieces], "stop"


def _tool_call(script: Script, arguments: str) -> dict[str, object]:
    function = {"name": script.tool, "arguments": arguments}
    return {"id": "call_1", "type": "function", "function": function}


def _chunk(model: str) -> dict[str, object]:
    return {
        "id": f"chatcmpl-{STAMP.decode()}",
        "object": "chat.completion.chunk",
        "created": _CREATED_S,
        "model": model,
    }


def _frame(model: str, delta: Mapping[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _event({**_chunk(model), "choices": [choice]})


def _event(value: object) -> bytes:
    return _chunked(b"data: %b\n\n" % msgspec.json.encode(value))


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _unchunked(chunk: bytes) -> bytes:
    return chunk[chunk.index(b"\r\n") + 2 : -2]


def _error(message: str, *, kind: str = "server_error") -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "code": None, "param": None}}


def _json_head(status: int, size_bytes: int, extra: Sequence[bytes] = ()) -> bytes:
    return _head(status, b"application/json", b"content-length: %d" % size_bytes, *extra)


def _head(status: int, content_type: bytes, *lines: bytes) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    opening = f"HTTP/1.1 {status} {phrase}".encode()
    stamped = b"x-request-id: req-" + STAMP
    return b"\r\n".join([opening, b"content-type: " + content_type, stamped, *lines, b"", b""])
