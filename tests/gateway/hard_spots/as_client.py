"""Clients of the four dialects: how each asks, reads a stream, and goes on with a tool's result.

A stream is read as strictly as the official clients do, and put together to what the same answer
would be as a whole, so that one expectation serves both.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from glasslipper.testing.served import Served

Json = dict[str, Any]

CLIENTS = ("chat", "responses", "messages", "gemini")

PLAIN: dict[str, Json] = {
    "chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "responses": {"input": "Hi"},
    "messages": {"max_tokens": 9000, "messages": [{"role": "user", "content": "Hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
}
"""A question for whoever only looks at the answer."""


class Heard(NamedTuple):
    """An answer as a client has it: HTTP status, headers, and the body, put together."""

    status: int
    headers: dict[str, str]
    body: Json
    broken: Json | None = None
    """What a stream said instead of its end."""


def ask(
    served: Served,
    client: str,
    body: Json,
    *,
    model: str,
    stream: bool,
    headers: Json | None = None,
) -> Heard:
    """Ask in a client's words and return what it is told."""
    path, sent = _address(client, body, model, stream=stream)
    connection = http.client.HTTPConnection(served.host, timeout=30)
    try:
        told = {"authorization": f"Bearer {served.key}", **(headers or {})}
        connection.request("POST", path, json.dumps(sent), told)
        reply = connection.getresponse()
        data = reply.read()
    finally:
        connection.close()
    fields = {name.lower(): value for name, value in reply.getheaders()}
    if not fields.get("content-type", "").startswith("text/event-stream"):
        whole = json.loads(data)
        if reply.status == 200 and client == "gemini":
            whole = _gathered(whole if isinstance(whole, list) else [whole])
        return Heard(reply.status, fields, whole)
    said, broken = _READ[client](list(_frames(data)))
    return Heard(reply.status, fields, said, broken)


def _address(client: str, body: Json, model: str, *, stream: bool) -> tuple[str, Json]:
    if client == "gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{verb}", body
    path = {"chat": "chat/completions"}.get(client, client)
    return f"/v1/{path}", {"model": model, "stream": stream, **body}


def _frames(data: bytes) -> Iterator[tuple[str | None, str]]:
    """Yield the name and data of each event; anything else than comments is a mistake."""
    for frame in data.decode().removesuffix("\n\n").split("\n\n"):
        name, text = None, None
        for line in frame.split("\n"):
            field, _, value = line.partition(": ")
            match field:
                case "event":
                    name = value
                case "data":
                    assert text is None, frame
                    text = value
                case _:
                    assert line.startswith(":"), frame
        if text is not None:
            yield name, text


Frames = list[tuple[str | None, str]]
Read = tuple[Json, Json | None]


def _chat(frames: Frames) -> Read:
    message: Json = {}
    calls: dict[int, Json] = {}
    choice: Json = {"message": message}
    body: Json = {"choices": [choice]}
    broken = None
    assert all(name is None for name, _ in frames)
    *events, (_, last) = frames
    if last != "[DONE]":
        events.append((None, last))
        broken = json.loads(last)
        assert "error" in broken, last
    for _, text in events:
        chunk = json.loads(text)
        body |= {name: value for name, value in chunk.items() if name != "choices"}
        for each in chunk["choices"]:
            _grow_message(message, calls, each["delta"])
            for name in ("finish_reason", "native_finish_reason"):
                if each.get(name) is not None:
                    choice[name] = each[name]
    if calls:
        message["tool_calls"] = list(calls.values())
        message["content"] = message.get("content") or None
    return body, broken


def _grow_message(message: Json, calls: dict[int, Json], delta: Json) -> None:
    for name in ("content", "refusal", "reasoning"):
        if delta.get(name) is not None:
            message[name] = message.get(name, "") + delta[name]
    for detail in delta.get("reasoning_details", ()):
        _grow_details(message.setdefault("reasoning_details", []), detail)
    message.setdefault("annotations", []).extend(delta.get("annotations", ()))
    for piece in delta.get("tool_calls", ()):
        call = calls.get(piece["index"])
        if call is None:
            assert piece["id"], piece
            call = calls[piece["index"]] = {
                "id": piece["id"],
                "type": piece["type"],
                "function": {"name": "", "arguments": ""},
            }
        call["function"]["name"] += piece["function"].get("name", "")
        call["function"]["arguments"] += piece["function"].get("arguments", "")


def _grow_details(details: list[Json], piece: Json) -> None:
    for known in details:
        if all(known.get(name) == piece.get(name) for name in ("index", "type")):
            for name, value in piece.items():
                joins = name in ("text", "summary")
                known[name] = known.get(name, "") + value if joins else value
            return
    details.append(dict(piece))


def _responses(frames: Frames) -> Read:
    *events, (_, last) = frames
    assert last == "[DONE]"
    whole: Json = {}
    texts: dict[str, str] = {}
    for number, (name, text) in enumerate(events):
        event = json.loads(text)
        assert (event["type"], event["sequence_number"]) == (name, number)
        whole = event.get("response", whole)
        if event["type"].endswith(".delta") and "item_id" in event:
            texts[event["item_id"]] = texts.get(event["item_id"], "") + event["delta"]
    status = json.loads(events[-1][1])["type"].removeprefix("response.")
    assert whole["status"] == status
    for item in whole["output"]:
        assert texts.get(item["id"], "") == _words(item)
    return whole, whole if status == "failed" else None


def _words(item: Json) -> str:
    parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
    said = "".join(part.get("text", part.get("refusal", "")) for part in parts)
    return said + item.get("arguments", item.get("input", ""))


def _messages(frames: Frames) -> Read:
    message: Json = {}
    blocks: list[Json] = []
    json_of: dict[int, str] = {}
    open_at: set[int] = set()
    broken = None
    for name, text in frames:
        event = json.loads(text)
        assert name == event["type"]
        match name:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                assert event["index"] == len(blocks)
                blocks.append(dict(event["content_block"]))
                open_at.add(event["index"])
            case "content_block_delta":
                assert event["index"] in open_at
                _grow_block(blocks[event["index"]], event, json_of)
            case "content_block_stop":
                open_at.remove(event["index"])
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
            case "error":
                broken = event
            case _:
                assert name in ("ping", "message_stop")
    if broken is None:
        assert frames[-1][0] == "message_stop"
        assert not open_at
    for index, written in json_of.items():
        blocks[index]["input"] = json.loads(written)
    return {**message, "content": blocks}, broken


def _grow_block(block: Json, event: Json, json_of: dict[int, str]) -> None:
    delta = event["delta"]
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case "input_json_delta":
            if delta["partial_json"]:
                json_of[event["index"]] = json_of.get(event["index"], "") + delta["partial_json"]
        case other:
            raise AssertionError(f"an unknown delta: {other}")


def _gemini(frames: Frames) -> Read:
    assert all(name is None for name, _ in frames)
    chunks = [json.loads(text) for _, text in frames]
    broken = chunks.pop() if "error" in chunks[-1] else None
    return _gathered(chunks), broken


def _gathered(chunks: list[Json]) -> Json:
    """Return the pieces of a stream as one answer: neighbours that are alike become one part."""
    body: Json = {}
    parts: list[Json] = []
    candidate: Json = {}
    for chunk in chunks:
        body |= chunk
        for each in chunk.get("candidates", ()):
            candidate |= each
            for part in each["content"]["parts"]:
                _grow_parts(parts, part)
    candidate["content"] = {"role": "model", "parts": parts or [{"text": ""}]}
    return {**body, "candidates": [candidate]}


def _grow_parts(parts: list[Json], part: Json) -> None:
    last = parts[-1] if parts else {}
    if part == {"text": ""}:
        return
    alike = "text" in last and "text" in part and last.get("thought") == part.get("thought")
    if alike and "thoughtSignature" not in last:
        last["text"] += part["text"]
        last.update({name: value for name, value in part.items() if name != "text"})
    else:
        parts.append(dict(part))


_READ: dict[str, Callable[[Frames], Read]] = {
    "chat": _chat,
    "responses": _responses,
    "messages": _messages,
    "gemini": _gemini,
}


# how a conversation goes on


def gone_on(client: str, asked: Json, told: Json, result: str) -> Json:
    """Return what a client asks next: the answer as it was told, and a result for each call."""
    return {**asked, **_GOES_ON[client](asked, told, result)}


def _chat_on(asked: Json, told: Json, result: str) -> Json:
    message = {"role": "assistant", **told["choices"][0]["message"]}
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": result}
        for call in message["tool_calls"]
    ]
    return {"messages": [*asked["messages"], message, *results]}


def _responses_on(asked: Json, told: Json, result: str) -> Json:
    given = asked["input"]
    first = [{"role": "user", "content": given}] if isinstance(given, str) else given
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": result}
        for item in told["output"]
        if item["type"] == "function_call"
    ]
    return {"input": [*first, *told["output"], *results]}


def _messages_on(asked: Json, told: Json, result: str) -> Json:
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": result}
        for block in told["content"]
        if block["type"] == "tool_use"
    ]
    turns = [
        {"role": "assistant", "content": told["content"]},
        {"role": "user", "content": results},
    ]
    return {"messages": [*asked["messages"], *turns]}


def _gemini_on(asked: Json, told: Json, result: str) -> Json:
    content = told["candidates"][0]["content"]
    results = [
        {
            "functionResponse": {
                "id": part["functionCall"]["id"],
                "name": part["functionCall"]["name"],
                "response": {"output": result},
            }
        }
        for part in content["parts"]
        if "functionCall" in part
    ]
    return {"contents": [*asked["contents"], content, {"role": "user", "parts": results}]}


_GOES_ON: dict[str, Callable[[Json, Json, str], Json]] = {
    "chat": _chat_on,
    "responses": _responses_on,
    "messages": _messages_on,
    "gemini": _gemini_on,
}
