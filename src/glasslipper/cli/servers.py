"""Which servers of this home are running: each leaves a note of its address while it serves.

A note whose process is gone is deleted. A live process is asked whether it is what the note
says, because process ids come round again.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlsplit

ADMIN_KEY = "admin.key"
SERVERS = "servers"
PATIENCE_S = 2.0


class Note(NamedTuple):
    """What a server wrote down about itself."""

    url: str
    pid: int


def running(home: Path) -> Iterator[Note]:
    """Yield the servers of a home that answer, the youngest first."""
    for path in sorted((home / SERVERS).glob("*.json"), key=_written_ns, reverse=True):
        note = _read(path)
        if note is None:
            continue
        if not _lives(note.pid):
            with suppress(OSError):
                path.unlink()
        elif is_alive(note.url):
            yield note


def is_alive(url: str) -> bool:
    """Tell whether a server answers at this address, and is one of ours."""
    parts = urlsplit(url)
    try:
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=PATIENCE_S
        )
        with closing(connection):
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            health: object = json.loads(answer.read(65_536))
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return isinstance(health, dict) and cast("dict[str, object]", health).get("status") == "alive"


def _written_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read(path: Path) -> Note | None:
    """Return the note, or `None` if it went away meanwhile or is not one."""
    try:
        note = cast("object", json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    match note:
        case {"url": str(url), "pid": int(pid)} if pid > 0 and url.startswith("http://"):
            return Note(url=url, pid=pid)
        case _:
            return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
