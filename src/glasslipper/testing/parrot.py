"""A provider that says what it was taught, byte for byte, in any dialect.

    with Parrot() as parrot:
        parrot.teach("m1", Lesson(whole=b'{"id": …}', pieces=[b"data: …"]))
        ...                      # ask parrot.url for the model m1
        parrot.asked()           # what it was asked, in order

`FakeUpstream` plays OpenAI's format by knobs; this is for answers that no knob can make. It is a
process of its own and knows no dialect: a lesson is found by the `model` of a body, or by the
`/models/NAME:verb` of an address.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct, field

_LESSONS = "lessons"
_LOG = "asked.jsonl"
_STOP_S = 5.0
_IN_PATH = re.compile(r"/models/(?P<model>[^/]+):(?P<verb>\w+)")


class Lesson(Struct, frozen=True, kw_only=True):
    """What to say to one call: `whole`, or `pieces` where a stream is asked for.

    Pieces are written one after another, so that a reader may find a frame cut between them. A
    stream that is `cut` ends without its end; one with a `status` other than 200 is no stream.
    """

    whole: bytes = b"{}"
    pieces: Sequence[bytes] = ()
    status: int = 200
    kind: str = "application/json"
    stream_kind: str = "text/event-stream"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    cut: bool = False


class Parrot:
    """The process, and what it was asked."""

    def __init__(self) -> None:
        """Have a folder for lessons and the log; both go with the `with` block."""
        self._folder = tempfile.TemporaryDirectory(prefix="glasslipper-parrot-")
        self._place = Path(self._folder.name)
        (self._place / _LESSONS).mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self._port}"

    def teach(self, model: str, *lessons: Lesson) -> None:
        """Say these to the next calls for a model, one after another, and the last ever after."""
        path = self._place / _LESSONS / quote(model, safe="")
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(lessons))
        fresh.rename(path)

    def asked(self) -> list[Mapping[str, Any]]:
        """Return the calls so far: `path`, `headers` and `body`, a JSON value."""
        log = self._place / _LOG
        if not log.exists():
            return []
        return [msgspec.json.decode(line) for line in log.read_bytes().split(b"\n") if line]

    def __enter__(self) -> Self:
        """Start the process.

        Raises:
            RuntimeError: It did not start; its error output says why.
        """
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "glasslipper.testing.parrot", str(self._place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            self._stop()
            raise RuntimeError("the parrot did not start")
        self._port = int(line)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it, and forget what it was asked."""
        self._stop()
        self._folder.cleanup()

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


# the process


class _Ask(Struct):
    model: str = ""
    stream: bool | None = None


class _Perch:
    """Where the parrot sits: answers connections from the lessons in a folder."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._said: dict[tuple[str, int], int] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one call; tell whether the connection may bring another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        opening, *lines = head.rstrip().split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = opening.split(" ")[1]
        model, streams = _meant(path, body)
        self._note(path, headers, body)
        lesson = self._lesson(model)
        if streams and lesson.status == 200:
            return await _tell_pieces(writer, lesson)
        await _tell_whole(writer, lesson)
        return True

    def _note(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        line = msgspec.json.encode(
            {"path": path, "headers": headers, "body": msgspec.Raw(body or b"null")}
        )
        with (self._place / _LOG).open("ab") as log:
            log.write(line.replace(b"\n", b" ") + b"\n")

    def _lesson(self, model: str) -> Lesson:
        path = self._place / _LESSONS / quote(model, safe="")
        if not path.exists():
            return Lesson(status=404, whole=b'{"error":{"message":"nobody taught me that"}}')
        lessons = msgspec.json.decode(path.read_bytes(), type=list[Lesson])
        which = (model, path.stat().st_mtime_ns)
        number = self._said[which] = self._said.get(which, 0) + 1
        return lessons[min(number, len(lessons)) - 1]


def _meant(path: str, body: bytes) -> tuple[str, bool]:
    """Return the model that a call is about, and whether it wants a stream."""
    found = _IN_PATH.search(path)
    if found is not None:
        return unquote(found["model"]), found["verb"].startswith("stream")
    ask = msgspec.json.decode(body, type=_Ask)
    return ask.model, bool(ask.stream)


def _head(lesson: Lesson, kind: str, *lines: str) -> bytes:
    more = [f"{name}: {value}" for name, value in lesson.headers.items()]
    told = [f"HTTP/1.1 {lesson.status} Taught", f"content-type: {kind}", *more, *lines, "", ""]
    return "\r\n".join(told).encode("latin-1")


async def _tell_whole(writer: asyncio.StreamWriter, lesson: Lesson) -> None:
    writer.write(_head(lesson, lesson.kind, f"content-length: {len(lesson.whole)}") + lesson.whole)
    await writer.drain()


async def _tell_pieces(writer: asyncio.StreamWriter, lesson: Lesson) -> bool:
    writer.write(_head(lesson, lesson.stream_kind, "transfer-encoding: chunked"))
    for piece in lesson.pieces:
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(0)
    if lesson.cut:
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _sit(place: Path) -> None:
    server = await asyncio.start_server(_Perch(place).serve, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _look, gone)
    await gone.wait()


def _look(gone: asyncio.Event) -> None:
    """End with whoever started the process."""
    if not os.read(sys.stdin.fileno(), 4096):
        gone.set()


if __name__ == "__main__":
    asyncio.run(_sit(Path(sys.argv[1])))
