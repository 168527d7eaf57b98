"""Answers of providers in their own words: from the short form of the catalogue to the wire.

The short form of an answer says what matters; here it gets what every answer of its dialect has
around it, and is cut into the events of a stream as the provider would, unless its `stream`
tells them one by one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from glasslipper.testing.parrot import Lesson

Json = dict[str, Any]

MODELS = {"chat": "real", "messages": "claude-sonnet-4-5", "gemini": "gemini-3-flash"}
"""What the provider of each dialect calls its model."""

KEY_ENV = "HARD_SPOT_KEY"
"""The variable that holds the key of all of them."""

_BASES = {"chat": "/v1", "messages": "", "gemini": "/v1beta"}
_SPEAKS = {"chat": "custom", "messages": "anthropic", "gemini": "google"}

PLAIN: dict[str, Json] = {
    "chat": {"message": {"content": "Hello"}, "finish": "stop"},
    "messages": {"content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"},
    "gemini": {"parts": [{"text": "Hello"}], "finish": "STOP"},
}
"""An answer for whoever only looks at the question."""

USAGE: dict[str, Json] = {
    "chat": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    "messages": {"input_tokens": 10, "output_tokens": 5},
    "gemini": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
}


def place(url: str, dialect: str, model: str | None = None) -> Json:
    """Return what adds the model of a provider at an address that speaks a dialect."""
    return {
        "url": f"{url}{_BASES[dialect]}",
        "upstream_model": model or MODELS[dialect],
        "speaks": _SPEAKS[dialect],
        "key_env": KEY_ENV,
    }


def lesson(
    dialect: str, said: Json, frame: Callable[[str, Json | str], bytes] | None = None
) -> Lesson:
    """Return what to teach the parrot; `frame` writes an event of a stream."""
    if "refusal" in said:
        refusal = said["refusal"]
        return Lesson(
            status=refusal["status"],
            whole=json.dumps(refusal["body"]).encode(),
            headers=refusal.get("headers", {}),
        )
    return Lesson(
        whole=json.dumps(_WHOLE[dialect](said)).encode(),
        pieces=pieces(dialect, said, plain_frame),
        cut=said.get("cut", False),
    )


def pieces(dialect: str, said: Json, frame: Callable[[str, Json | str], bytes]) -> list[bytes]:
    """Return the events of a stream, each as bytes."""
    return [frame(dialect, event) for event in events(dialect, said)]


def events(dialect: str, said: Json) -> list[Json | str]:
    """Return the events of a stream; a text is written as it is."""
    if "stream" in said:
        return [_dressed(dialect, event) for event in said["stream"]]
    return list(_STREAM[dialect](said))


def plain_frame(dialect: str, event: Json | str) -> bytes:
    """Write an event as the provider of a dialect does."""
    if isinstance(event, str):
        return f"data: {event}\n\n".encode()
    name = f"event: {event['type']}\n" if dialect == "messages" else ""
    end = "\r\n\r\n" if dialect == "gemini" else "\n\n"
    return f"{name}data: {json.dumps(event, ensure_ascii=False)}{end}".encode()


def _usage(dialect: str, said: Json) -> Json:
    return said.get("usage", USAGE[dialect])


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [half for half in (text[:middle], text[middle:]) if half]


def _dressed(dialect: str, event: Json | str) -> Json | str:
    """Put around a short event of a stream what each has."""
    if isinstance(event, str) or dialect == "messages":
        return event
    if dialect == "gemini":
        return {"responseId": "up-1", "modelVersion": "real", **event}
    if "choices" in event or "error" in event:
        return {**_CHUNK, **event}
    if "usage" in event and "delta" not in event and "finish" not in event:
        return {**_CHUNK, "choices": [], **event}
    more = {name: value for name, value in event.items() if name not in ("delta", "finish")}
    choice = {
        "index": 0,
        "delta": event.get("delta", {}),
        "finish_reason": event.get("finish"),
    }
    return {**_CHUNK, "choices": [choice], **more}


# OpenAI's chat completions

_CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1_760_000_000,
    "model": "real",
}


def _chat(said: Json) -> Json:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None, **said["message"]},
        "finish_reason": said["finish"],
    }
    usage = {"usage": _usage("chat", said)}
    return {**_CHUNK, "object": "chat.completion", "choices": [choice], **usage} | said.get(
        "more", {}
    )


def _chat_stream(said: Json) -> Iterator[Json | str]:
    def chunk(delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**_CHUNK, "choices": [choice]} | said.get("more", {})

    message = dict(said["message"])
    yield chunk({"role": "assistant", "content": ""})
    calls = message.pop("tool_calls", [])
    for name in ("reasoning", "reasoning_content", "content", "refusal"):
        for half in _halves(message.pop(name, None) or ""):
            yield chunk({name: half})
    for detail in message.pop("reasoning_details", []):
        yield from (chunk({"reasoning_details": [piece]}) for piece in _detail_pieces(detail))
    if message:
        yield chunk(message)
    for index, call in enumerate(calls):
        opening = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        yield chunk({"tool_calls": [opening]})
        for half in _halves(call["function"]["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": half}}]})
    yield chunk({}, said["finish"])
    yield {**_CHUNK, "choices": [], "usage": _usage("chat", said)}
    yield "[DONE]"


def _detail_pieces(detail: Json) -> Iterator[Json]:
    for name in ("text", "summary"):
        if name in detail:
            first, *rest = _halves(detail[name])
            base = {one: detail[one] for one in ("type", "index", "format", "id") if one in detail}
            yield {**base, name: first}
            yield {**detail, name: "".join(rest)}
            return
    yield detail


# Anthropic's Messages


def _messages(said: Json) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "real",
        "content": said["content"],
        "stop_reason": said["stop_reason"],
        "stop_sequence": said.get("stop_sequence"),
        "usage": _usage("messages", said),
    } | said.get("more", {})


def _messages_stream(said: Json) -> Iterator[Json]:
    usage = _usage("messages", said)
    begun = {**_messages(said), "content": [], "stop_reason": None, "stop_sequence": None}
    begun["usage"] = {**usage, "output_tokens": 1}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(said["content"]):
        opening, growths = _grown(block)
        yield {"type": "content_block_start", "index": index, "content_block": opening}
        yield {"type": "ping"}
        for growth in growths:
            yield {"type": "content_block_delta", "index": index, "delta": growth}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": said["stop_reason"], "stop_sequence": said.get("stop_sequence")}
    yield {"type": "message_delta", "delta": ended | said.get("more", {}), "usage": usage}
    yield {"type": "message_stop"}


def _grown(block: Json) -> tuple[Json, list[Json]]:
    """Return how a block opens, and what it grows by."""
    match block["type"]:
        case "text":
            grown = [{"type": "text_delta", "text": half} for half in _halves(block["text"])]
            cited = block.get("citations") or ()
            grown.extend({"type": "citations_delta", "citation": one} for one in cited)
            more = {"citations": []} if "citations" in block else {}
            return {"type": "text", "text": "", **more}, grown
        case "thinking":
            grown = [
                {"type": "thinking_delta", "thinking": half} for half in _halves(block["thinking"])
            ]
            grown.append({"type": "signature_delta", "signature": block["signature"]})
            return {"type": "thinking", "thinking": "", "signature": ""}, grown
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            halves = _halves(json.dumps(block["input"])) if block["input"] else []
            grown = [{"type": "input_json_delta", "partial_json": half} for half in ["", *halves]]
            return {**block, "input": {}}, grown
        case _:
            return block, []


# Google's Gemini


def _gemini(said: Json) -> Json:
    candidate: Json = {"index": 0, "content": {"role": "model", "parts": said["parts"]}}
    candidate |= {"finishReason": said["finish"]} | said.get("candidate", {})
    whole: Json = {"candidates": [candidate], "usageMetadata": _usage("gemini", said)}
    return whole | {"responseId": "up-1", "modelVersion": "real"} | said.get("more", {})


def _gemini_stream(said: Json) -> Iterator[Json]:
    base = {"responseId": "up-1", "modelVersion": "real"}
    cut = [piece for part in said["parts"] for piece in _part_pieces(part)]
    for part in cut:
        content = {"role": "model", "parts": [part]}
        yield {**base, "candidates": [{"index": 0, "content": content}]}
    yield _gemini({**said, "parts": []})


def _part_pieces(part: Json) -> list[Json]:
    halves = _halves(part.get("text", ""))
    if len(halves) < 2:
        return [part]
    first = {name: value for name, value in part.items() if name != "thoughtSignature"}
    return [{**first, "text": halves[0]}, {**part, "text": halves[1]}]


_WHOLE: dict[str, Callable[[Json], Json]] = {
    "chat": _chat,
    "messages": _messages,
    "gemini": _gemini,
}
_STREAM: dict[str, Callable[[Json], Iterator[Json | str]]] = {
    "chat": _chat_stream,
    "messages": _messages_stream,
    "gemini": _gemini_stream,
}
