"""One file over HTTP, resumable: what has arrived stays in a `.part` file until the rest is there.

A resumed download asks for the missing range and continues only if the server answers 206
for exactly that range of a file with the same size and entity tag; else it starts over. Knows
nothing of wheels and hashes.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import IO, cast

import msgspec
import truststore
from msgspec import Struct

from glasslipper.kernel.errors import DownloadFailed

CHUNK_BYTES = 1 << 20
STALL_S = 60.0
"""How long a server may stay silent."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Note(Struct, frozen=True, kw_only=True):
    """What the `.part` file is a part of."""

    url: str
    etag: str | None
    size_bytes: int | None


def download(url: str, into: Path, *, limit_bytes: int, on_bytes: Callable[[int], None]) -> None:
    """Bring the file at `url` to `into`, continuing where an earlier call stopped.

    `on_bytes` hears the number of bytes there so far. More than `limit_bytes` are not accepted.

    Raises:
        DownloadFailed: The file did not arrive; what did is kept for the next call.
    """
    part = into.with_name(into.name + ".part")
    note = into.with_name(into.name + ".note")
    try:
        with _opened(url, part, note) as response, part.open("ab") as file:
            size_bytes = _begin(response, url=url, file=file, note=note)
            _copy(response, file, limit_bytes=limit_bytes, on_bytes=on_bytes)
            file.flush()
            os.fsync(file.fileno())
    except urllib.error.URLError as error:
        raise DownloadFailed(f"{_host(url)} cannot be reached: {error.reason}") from error
    except (http.client.HTTPException, ssl.SSLError, TimeoutError, ConnectionError) as error:
        raise DownloadFailed(f"The download from {_host(url)} broke off: {error!r}") from error
    except OSError as error:
        raise no_room(error, into.parent) from error
    have_bytes = part.stat().st_size
    if size_bytes is not None and have_bytes != size_bytes:
        raise DownloadFailed(
            f"The download from {_host(url)} broke off at {have_bytes} of {size_bytes} bytes."
        )
    part.replace(into)
    note.unlink(missing_ok=True)


def no_room(error: OSError, folder: Path) -> DownloadFailed:
    """Return the error to raise where writing into `folder` failed."""
    if error.errno in _NO_ROOM:
        return DownloadFailed(
            f"There is no room left in {folder}.",
            hint="Free some space, or set GLASSLIPPER_MODELS to a folder with more room.",
        )
    return DownloadFailed(f"{folder} cannot be written: {error.strerror or error}.")


def _opened(url: str, part: Path, note: Path) -> http.client.HTTPResponse:
    """Return the response, to a range request where a part is worth continuing."""
    have_bytes, known = _known(url, part, note)
    headers = {"Accept-Encoding": "identity", "User-Agent": "glasslipper"}
    if have_bytes:
        headers["Range"] = f"bytes={have_bytes}-"
        if known.etag is not None and not known.etag.startswith("W/"):
            headers["If-Range"] = known.etag
    try:
        response = _fetch(url, headers)
    except urllib.error.HTTPError as error:
        with error:
            if not have_bytes or error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise DownloadFailed(f"{_host(url)} answers {error.code} {error.msg}.") from error
    else:
        if not have_bytes or _continues(response, have_bytes, known):
            return response
        if response.status == HTTPStatus.OK:
            part.unlink()
            return response
        response.close()
    part.unlink()
    return _opened(url, part, note)


def _known(url: str, part: Path, note: Path) -> tuple[int, _Note]:
    """Return how many bytes are there and of what; nothing, if that cannot be told."""
    fresh = _Note(url=url, etag=None, size_bytes=None)
    try:
        known = msgspec.json.decode(note.read_bytes(), type=_Note)
        have_bytes = part.stat().st_size
    except (OSError, msgspec.DecodeError):
        known, have_bytes = fresh, 0
    whole = known.size_bytes is not None and have_bytes >= known.size_bytes
    if known.url != url or known.size_bytes is None or whole:
        part.unlink(missing_ok=True)
        return 0, fresh
    return have_bytes, known


def _fetch(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - see _host
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=_trust()))
    _host(url)
    response: object = opener.open(request, timeout=STALL_S)
    return cast("http.client.HTTPResponse", response)


def _trust() -> ssl.SSLContext:
    """Return whom to trust: the named certificates where there are some, else the system's."""
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context()
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _continues(response: http.client.HTTPResponse, have_bytes: int, known: _Note) -> bool:
    """Tell whether the response is the missing rest of the same file."""
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        return False
    span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
    if span is None or int(span[1]) != have_bytes:
        return False
    return int(span[3]) == known.size_bytes and response.headers.get("ETag") == known.etag


def _begin(
    response: http.client.HTTPResponse, *, url: str, file: IO[bytes], note: Path
) -> int | None:
    """Write down what is being downloaded and return its full size, if the server tells it."""
    length = response.headers.get("Content-Length")
    size_bytes = int(length) + file.tell() if length and length.isdigit() else None
    etag = response.headers.get("ETag")
    note.write_bytes(msgspec.json.encode(_Note(url=url, etag=etag, size_bytes=size_bytes)))
    return size_bytes


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    *,
    limit_bytes: int,
    on_bytes: Callable[[int], None],
) -> None:
    have_bytes = file.tell()
    on_bytes(have_bytes)
    while chunk := response.read1(CHUNK_BYTES):
        have_bytes += len(chunk)
        if have_bytes > limit_bytes:
            raise DownloadFailed(f"The server sends more than the {limit_bytes} bytes expected.")
        file.write(chunk)
        on_bytes(have_bytes)


def _host(url: str) -> str:
    """Return the host in a web address, which is all of it that messages repeat.

    Raises:
        DownloadFailed: It is not a web address.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise DownloadFailed(f"{parts.scheme} is not a way to download.")
    return parts.hostname or "The server"
