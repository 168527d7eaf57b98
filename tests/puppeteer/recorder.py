"""A provider that remembers what it was asked: scripted replies by model, bodies kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes a request's body; returns the message of its answer."""


class Recorder:
    """Serves `/chat/completions`, streamed or not; use it as a context."""

    def __init__(self, reply: Reply) -> None:
        self.bodies: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.bodies.append(body)
                message = reply(body)
                told = stream_of(message) if body.get("stream") else whole_of(message)
                self.send_response(200)
                kind = "text/event-stream" if body.get("stream") else "application/json"
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self, model: str) -> list[dict[str, Any]]:
        return [body for body in self.bodies if body["model"] == model]


USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def whole_of(message: dict[str, Any]) -> bytes:
    reason = "tool_calls" if message.get("tool_calls") else "stop"
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "x"}
    return json.dumps({**body, "choices": [choice], "usage": USAGE}).encode()


def stream_of(message: dict[str, Any]) -> bytes:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "x"}
        return b"data: " + json.dumps({**body, "choices": [choice]}).encode() + b"\n\n"

    calls = [{"index": place, **one} for place, one in enumerate(message.get("tool_calls", ()))]
    pieces = [chunk({"role": "assistant"})]
    if message.get("content"):
        pieces.append(chunk({"content": message["content"]}))
    if calls:
        pieces.append(chunk({"tool_calls": calls}))
    pieces.append(chunk({}, "tool_calls" if calls else "stop"))
    usage = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "x"}
    pieces.append(
        b"data: " + json.dumps({**usage, "choices": [], "usage": USAGE}).encode() + b"\n\n"
    )
    return b"".join([*pieces, b"data: [DONE]\n\n"])
