"""A package index on this machine that serves wheels, and misbehaves where a test asks it to."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from msgspec import Struct, field


class Served(Struct):
    """A wheel on the index. `cut_after` breaks the next transfer off after so many bytes.

    `asked` are the ranges that were asked for, `sent_bytes` what went out altogether.
    """

    body: bytes
    etag: str = '"one"'
    cut_after: int | None = None
    honest_ranges: bool = True
    asked: list[str | None] = field(default_factory=list[str | None])
    sent_bytes: int = 0


class Index:
    """The index: wheels by file name, and its address."""

    def __init__(self) -> None:
        self.wheels: dict[str, Served] = {}
        self.url = ""

    def add(self, name: str, members: dict[str, bytes], version: str = "1.0") -> Served:
        """Publish a wheel that holds the members."""
        plain = name.replace("-", "_")
        info = f"{plain}-{version}.dist-info"
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
            archive.writestr(f"{info}/METADATA", metadata(name, version))
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        served = Served(body=body.getvalue())
        self.wheels[f"{plain}-{version}-py3-none-any.whl"] = served
        return served


def metadata(name: str, version: str) -> str:
    """Return the metadata of a package without dependencies."""
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


class _Handler(BaseHTTPRequestHandler):
    index: Index
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        file = self.path.rsplit("/", 1)[-1]
        if self.path.startswith("/simple/"):
            self._page(self.path.split("/")[2])
        elif file.endswith(".metadata"):
            plain, version = file.split("-")[:2]
            self._whole(metadata(plain.replace("_", "-"), version).encode())
        elif file in self.index.wheels:
            self._wheel(self.index.wheels[file])
        else:
            self.send_error(404)

    def _page(self, name: str) -> None:
        links = [
            f'<a href="/files/{file}#sha256={hashlib.sha256(wheel.body).hexdigest()}" '
            f'data-dist-info-metadata="true" data-core-metadata="true">{file}</a>'
            for file, wheel in self.index.wheels.items()
            if file.split("-")[0].replace("_", "-") == name
        ]
        if not links:
            return self.send_error(404)
        return self._whole("".join(links).encode(), kind="text/html")

    def _whole(self, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _wheel(self, wheel: Served) -> None:
        wheel.asked.append(self.headers.get("Range"))
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(span[1]) if span else 0
        same = self.headers.get("If-Range") in (None, wheel.etag)
        if span and (same or not wheel.honest_ranges):
            self.send_response(206)
            last = len(wheel.body) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(wheel.body)}")
        else:
            start = 0
            self.send_response(200)
        self.send_header("ETag", wheel.etag)
        self.send_header("Content-Length", str(len(wheel.body) - start))
        self.end_headers()
        cut, wheel.cut_after = wheel.cut_after, None
        body = wheel.body[start : None if cut is None else start + cut]
        wheel.sent_bytes += len(body)
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def serving() -> Generator[Index]:
    """Run an index for as long as the block lasts."""
    index = Index()
    handler = type("Handler", (_Handler,), {"index": index})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    index.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
