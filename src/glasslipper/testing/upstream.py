"""A provider that does not exist: OpenAI-compatible, scripted, and able to misbehave exactly.

    python -m glasslipper.testing.upstream --port 0 --gap-ms 20 --log calls.jsonl

The first line on standard output is `{"port": …}`. It serves `/v1/chat/completions`,
`/v1/embeddings` and `/v1/models`; `glasslipper.testing.script` tells the knobs, which flags and
model names turn. The log has one line for each call, appended before its answer starts, so that
it is an independent count of what was served, also if everybody else is killed. A caller who
leaves before the end of an answer adds a line `{"gone": n, "sent_frames": k}`.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

import msgspec
import uvloop
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url
from msgspec import Struct

from glasslipper.testing import answers
from glasslipper.testing.answers import Plan
from glasslipper.testing.play import Play
from glasslipper.testing.script import Script, script_of

BODY_MAX_BYTES = 64 * 1024 * 1024


class StreamOptions(Struct):
    """What a caller wants of a stream."""

    include_usage: bool = False


class Ask(Struct):
    """The fields of a request body that the fake understands."""

    model: str = "fake"
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    user: str | None = None
    input: str | list[str | int | list[int]] = ""
    encoding_format: Literal["float", "base64"] | None = None


class Call(Struct):
    """One request as it came in."""

    path: str
    body: bytes
    request_id: str | None
    keeps_alive: bool
    key: str | None = None


class Book:
    """Counts calls and writes them down, each line with one write to the end of the file."""

    def __init__(self, path: Path | None) -> None:
        """Append to `path`, or only count."""
        self.calls = 0
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = None if path is None else os.open(path, flags, 0o644)

    def note_call(self, call: Call, ask: Ask) -> int:
        """Write a call down and return its number."""
        self.calls += 1
        self._append(
            {
                "n": self.calls,
                "at_ms": time.time_ns() // 1_000_000,
                "request_id": call.request_id,
                "key": call.key,
                "path": call.path,
                "model": ask.model,
                "stream": bool(ask.stream),
                "user": ask.user,
                "max_tokens": ask.max_tokens or ask.max_completion_tokens,
            }
        )
        return self.calls

    def note_gone(self, number: int, sent_frames: int) -> None:
        """Write down that the caller left before the end."""
        self._append({"gone": number, "sent_frames": sent_frames})

    def _append(self, line: Mapping[str, object]) -> None:
        if self._file is not None:
            os.write(self._file, msgspec.json.encode(line) + b"\n")


def key_mark(key: bytes) -> str:
    """Return what the log holds instead of a key: enough to tell one from another."""
    return hashlib.sha256(key).hexdigest()[:12]


class Provider:
    """Decides what to answer; plans are kept, for callers tend to repeat themselves."""

    def __init__(self, defaults: Mapping[str, object], book: Book) -> None:
        """Answer by `defaults` where a model name says nothing else."""
        self._defaults = dict(defaults)
        self.book = book
        self.script = lru_cache(maxsize=1024)(self._script)
        self.chat = lru_cache(maxsize=1024)(self._chat)
        self._ask = msgspec.json.Decoder(Ask)

    def _script(self, model: str) -> Script:
        return script_of(model, self._defaults)

    def _chat(self, model: str, stream: bool, limit: int | None, asks_usage: bool) -> Plan:
        script = self.script(model)
        if script.fault == "refuse":
            return Plan(head=b"", ending="close")
        if script.status is not None:
            return answers.refused(script, script.status)
        if stream:
            return answers.streamed(script, model, limit=limit, asks_usage=asks_usage)
        return answers.whole(script, model, limit=limit)

    def answer(self, call: Call) -> tuple[int, Script, Plan]:
        """Write the call down and return its number, its script and the plan of its answer."""
        if call.path == "/v1/models":
            return 0, Script(), answers.models()
        if call.path not in ("/v1/chat/completions", "/v1/embeddings"):
            return 0, Script(), answers.complaint(f"no such path: {call.path}", status=404)
        try:
            ask = self._ask.decode(call.body)
            script = self.script(ask.model)
        except (msgspec.DecodeError, ValueError) as error:
            return 0, Script(), answers.complaint(str(error), status=400)
        number = self.book.note_call(call, ask)
        if call.path == "/v1/chat/completions":
            options = ask.stream_options
            limit = ask.max_tokens if ask.max_tokens is not None else ask.max_completion_tokens
            asks_usage = options is not None and options.include_usage
            return number, script, self.chat(ask.model, bool(ask.stream), limit, asks_usage)
        return number, script, self._vectors(ask, script)

    def _vectors(self, ask: Ask, script: Script) -> Plan:
        if script.fault == "refuse":
            return Plan(head=b"", ending="close")
        if script.status is not None:
            return answers.refused(script, script.status)
        is_one = isinstance(ask.input, str) or isinstance(next(iter(ask.input), None), int)
        return answers.embeddings(
            script,
            ask.model,
            inputs=1 if is_one else len(ask.input),
            in_base64=ask.encoding_format == "base64",
        )


class Client(asyncio.Protocol):
    """One caller's connection: takes requests in turn and plays the planned answers."""

    def __init__(self, provider: Provider) -> None:
        """Ask `provider` what to answer."""
        self._provider = provider
        self._loop = asyncio.get_running_loop()
        self._parser = HttpRequestParser(self)
        self._calls: deque[Call] = deque()
        self._play: Play | None = None
        self._keeps_alive = True
        self._url = b""
        self._body: list[bytes] = []
        self._size_bytes = 0
        self._request_id: str | None = None
        self._key: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse; whoever does not speak HTTP is sent away."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the answer under way and note that its caller is gone."""
        play, self._play = self._play, None
        self._calls.clear()
        if play is not None:
            play.stop()
            self._provider.book.note_gone(play.number, play.sent_frames)

    def on_message_begin(self) -> None:
        """Start a request."""
        self._url, self._body, self._size_bytes = b"", [], 0
        self._request_id = self._key = None

    def on_url(self, url: bytes) -> None:
        """Note the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the request's id, and a mark of the bearer key."""
        match name.lower():
            case b"x-request-id":
                self._request_id = value.decode("latin-1")
            case b"authorization":
                self._key = key_mark(value.removeprefix(b"Bearer "))
            case _:
                pass

    def on_body(self, body: bytes) -> None:
        """Gather the body."""
        self._size_bytes += len(body)
        if self._size_bytes > BODY_MAX_BYTES:
            self._transport.abort()
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer now, or after the answers before."""
        path = parse_url(self._url).path.decode("latin-1")
        body, keeps = b"".join(self._body), self._parser.should_keep_alive()
        self._calls.append(Call(path, body, self._request_id, keeps, self._key))
        if self._play is None:
            self._next()

    def _next(self) -> None:
        while self._calls and self._play is None and not self._transport.is_closing():
            call = self._calls.popleft()
            self._keeps_alive = call.keeps_alive
            number, script, plan = self._provider.answer(call)
            self._play = Play(number, script, plan, transport=self._transport)
            self._play.begin(self._over)

    def _over(self, play: Play) -> None:
        """End the answer; one that hangs is not over until its caller leaves."""
        ending = play.plan.ending
        if ending == "hang":
            return
        self._play = None
        if ending == "close" or (ending == "keep" and not self._keeps_alive):
            self._transport.close()
        elif ending == "reset":
            self._reset()
        elif self._calls:
            self._loop.call_soon(self._next)

    def _reset(self) -> None:
        if self._transport.get_write_buffer_size():
            self._loop.call_later(0.001, self._reset)
            return
        link = self._transport.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


async def serve(provider: Provider, *, host: str, port: int, until_stdin_closes: bool) -> None:
    """Serve until SIGTERM or SIGINT, and say first on which port."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_stdin, stop)
    server = await loop.create_server(lambda: Client(provider), host, port, backlog=4096)
    actual = server.sockets[0].getsockname()[1]
    sys.stdout.write(f'{{"port": {actual}}}\n')
    sys.stdout.flush()
    await stop.wait()
    server.close()


def _stop_at_end_of_stdin(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the server as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m glasslipper.testing.upstream")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, help="append a JSON line for each call")
    parser.add_argument("--until-stdin-closes", action="store_true")
    knobs = [field.name for field in msgspec.structs.fields(Script)]
    for name in knobs:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name)
    given = vars(parser.parse_args(arguments))
    defaults = {name: given[name] for name in knobs if given[name] is not None}
    try:
        script_of("", defaults)
    except ValueError as error:
        parser.error(str(error))
    _allow_many_connections()
    provider = Provider(defaults, Book(given["log"]))
    uvloop.run(
        serve(
            provider,
            host=given["host"],
            port=given["port"],
            until_stdin_closes=given["until_stdin_closes"],
        )
    )


def _allow_many_connections() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
