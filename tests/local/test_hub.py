"""Any file of a hub, through the hub's own client, checked like everything else."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

CONTENT = b"GGUF" + bytes(range(256)) * 500
REVISION = "a" * 40


class _Hub(BaseHTTPRequestHandler):
    """As much of a hub as serves one file, with the SHA-256 in its headers."""

    says_sha256 = hashlib.sha256(CONTENT).hexdigest()
    gives = CONTENT

    def do_HEAD(self) -> None:
        if not self.path.endswith("/model.gguf"):
            return self.send_error(404)
        self.send_response(200)
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{self.says_sha256}"')
        self.send_header("Content-Length", str(len(self.gives)))
        return self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        if self.path.endswith("/model.gguf"):
            self.wfile.write(self.gives)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    handler = type("Hub", (_Hub,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def ask(hub: ThreadingHTTPServer, folder: Path, file: str = "model.gguf", more: str = "") -> str:
    """Fetch in a process of its own, since the client reads its settings once; return the end."""
    program = (
        f"{more}\nfrom pathlib import Path\nfrom glasslipper.local import fetch_hf\n"
        f"print(fetch_hf('owner/repo', {file!r}, folder=Path({str(folder)!r})))"
    )
    settings = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=os.environ | settings | {"HF_HOME": str(folder / "home")},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return (done.stdout or done.stderr).strip()


def test_a_file_of_the_hub_comes_with_its_hash_and_revision(
    hub: ThreadingHTTPServer, tmp_path: Path
) -> None:
    path = Path(ask(hub, tmp_path))
    assert path.read_bytes() == CONTENT
    origin = msgspec.json.decode(path.with_name(path.name + ".json").read_bytes())
    assert origin["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert origin["revision"] == REVISION


def test_a_file_that_is_not_what_the_hub_says_is_refused(
    hub: ThreadingHTTPServer, tmp_path: Path
) -> None:
    hub.RequestHandlerClass.gives = CONTENT[:-1] + b"!"  # type: ignore[attr-defined]
    assert "HashMismatch" in ask(hub, tmp_path)
    assert list(tmp_path.rglob("*.gguf")) == []


def test_a_file_that_is_no_model_is_refused(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    hub.RequestHandlerClass.gives = b"MZ"  # type: ignore[attr-defined]
    hub.RequestHandlerClass.says_sha256 = hashlib.sha256(b"MZ").hexdigest()  # type: ignore[attr-defined]
    assert "is not a GGUF file" in ask(hub, tmp_path)
    assert list(tmp_path.rglob("*.gguf")) == []


def test_a_file_that_the_hub_lacks_is_a_clear_error(
    hub: ThreadingHTTPServer, tmp_path: Path
) -> None:
    assert "DownloadFailed: The hub does not give other.gguf" in ask(hub, tmp_path, "other.gguf")


def test_without_the_client_the_error_says_what_to_install(
    hub: ThreadingHTTPServer, tmp_path: Path
) -> None:
    hide = "import sys; sys.modules['huggingface_hub'] = None"
    assert "SetupMissing" in ask(hub, tmp_path, more=hide)
