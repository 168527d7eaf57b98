"""What models answered, found again by what they were asked: a cache by content, on disk.

The key is a hash of the model's file and of everything that shapes the answer; asked twice with
temperature 0 and a seed, a local model says the same. One line of JSON an answer, appended, so
that whoever fills it may be stopped at any time. Knows no tasks and no patterns.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from glasslipper.kernel.messages import Request

VERSION = 1


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model answered, and what that took.

    `logprob` is the mean natural-log probability of its tokens, where that is known.
    """

    text: str
    finish: str
    input_tokens: int
    output_tokens: int
    cpu_us: int
    logprob: float | None = None


class _Line(Struct, kw_only=True):
    key: str
    model: str
    reply: Reply
    v: int = VERSION


def key_of(request: Request, weights: str) -> str:
    """Return the name of an answer: `weights` is the SHA-256 of the model's file."""
    asked = msgspec.json.encode(
        [VERSION, weights, request.messages, request.sampling, request.response_format],
        order="deterministic",
    )
    return hashlib.sha256(asked).hexdigest()


class Recall:
    """The answers of a file, and of older ones that are only read."""

    def __init__(self, path: Path, *, also: tuple[Path, ...] = ()) -> None:
        """Read what is there; what a cut-off write left at the end of the file is passed over."""
        self._path = path
        self._replies: dict[str, Reply] = {}
        for one in (*also, path):
            for line in _lines(one):
                self._replies[line.key] = line.reply

    def __len__(self) -> int:
        """Return how many answers are known."""
        return len(self._replies)

    def find(self, key: str) -> Reply | None:
        """Return the answer of that name, if it is known."""
        return self._replies.get(key)

    def keep(self, key: str, model: str, reply: Reply) -> None:
        """Remember an answer, on disk when this returns."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = msgspec.json.encode(_Line(key=key, model=model, reply=reply)) + b"\n"
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if os.lseek(file, 0, os.SEEK_END) and not _ends_line(self._path):
                line = b"\n" + line
            os.write(file, line)
        finally:
            os.close(file)
        self._replies[key] = reply


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _lines(path: Path) -> Iterator[_Line]:
    if not path.is_file():
        return
    decode = msgspec.json.Decoder(_Line).decode
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for raw in file:
            try:
                line = decode(raw)
            except msgspec.DecodeError:
                continue
            if line.v == VERSION:
                yield line
