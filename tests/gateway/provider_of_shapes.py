"""A provider that answers with whatever usage it was given for a model, in three languages.

One server stands for OpenAI's, Anthropic's and Google's; the model's name finds the usage.
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Mapping
from typing import Any, Self

from msgspec import Struct

TEXT = "Twelve bytes"
Usage = Mapping[str, Any] | None


class Reply(Struct, frozen=True, kw_only=True):
    """What to answer: a usage, the tier of service, and where a stream of OpenAI's tells it."""

    usage: Usage
    tier: str | None = None
    told: str = "last"


class Provider(http.server.ThreadingHTTPServer):
    """Answers on a free port of this machine; `replies` holds the reply of each model."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: dict[str, Reply] = {}
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body)
        if "/models/" in self.path:
            model, _, verb = self.path.rpartition("/")[2].partition(":")
            frames, whole = _gemini(self.server.replies[model])
            streams = verb.startswith("stream")
        else:
            reply, streams = self.server.replies[body["model"]], body.get("stream")
            frames, whole = _messages(reply) if "messages" in self.path else _chat(reply)
        if streams:
            self._send("text/event-stream", b"".join(frames))
        else:
            self._send("application/json", json.dumps(whole).encode())

    def _send(self, kind: str, data: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _event(value: object, name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value)}\n\n".encode()


def _chat(reply: Reply) -> tuple[list[bytes], Any]:
    base: dict[str, Any] = {"id": "chatcmpl-1", "created": 1_760_000_000, "model": "m"}
    base |= {"service_tier": reply.tier} if reply.tier else {}
    usage = {} if reply.usage is None else {"usage": reply.usage}
    message = {"role": "assistant", "content": TEXT}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {**base, "object": "chat.completion", "choices": [choice], **usage}
    base["object"] = "chat.completion.chunk"
    said = {"index": 0, "delta": message, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    match reply.told:
        case "beside":
            tail = [{**base, "choices": [end], **usage}]
        case "inside":
            tail = [{**base, "choices": [{**end, **usage}]}]
        case "always":
            tail = [{**base, "choices": [end], **usage}, {**base, "choices": [], **usage}]
        case _:
            tail = [{**base, "choices": [end]}, *([{**base, "choices": [], **usage}] * bool(usage))]
    first = {**base, "choices": [said], **(usage if reply.told == "always" else {})}
    return [*map(_event, [first, *tail]), b"data: [DONE]\n\n"], whole


def _messages(reply: Reply) -> tuple[list[bytes], Any]:
    usage = dict(reply.usage or {})
    usage |= {"service_tier": reply.tier} if reply.tier else {}
    base = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    block = {"type": "text", "text": TEXT}
    whole = {**base, "content": [block], **end, "usage": usage}
    begun = {**base, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    frames = [
        _event({"type": "message_start", "message": begun}, "message_start"),
        _event(
            {"type": "content_block_start", "index": 0, "content_block": {**block, "text": ""}},
            "content_block_start",
        ),
        _event(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": TEXT},
            },
            "content_block_delta",
        ),
        _event({"type": "content_block_stop", "index": 0}, "content_block_stop"),
        _event({"type": "message_delta", "delta": end, "usage": usage}, "message_delta"),
        _event({"type": "message_stop"}, "message_stop"),
    ]
    return frames, whole


def _gemini(reply: Reply) -> tuple[list[bytes], Any]:
    content = {"role": "model", "parts": [{"text": TEXT}]}
    usage = {} if reply.usage is None else {"usageMetadata": reply.usage}
    end = {"index": 0, "content": content, "finishReason": "STOP"}
    whole = {"candidates": [end], **usage, "responseId": "r1", "modelVersion": "m"}
    early = {
        "candidates": [{"index": 0, "content": content}],
        "usageMetadata": {"promptTokenCount": (reply.usage or {}).get("promptTokenCount", 0)},
    }
    last = {**whole, "candidates": [{**end, "content": {"role": "model", "parts": []}}]}
    return [_event(early), _event(last)], whole
