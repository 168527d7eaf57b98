"""What referees run against: gateways with providers behind them, and llmock as such a provider.

Knows no referee but llmock's way of being started and scripted.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glasslipper.gateway.providers.table import PROVIDERS
from glasslipper.store import places as own_places
from glasslipper.testing.served import Served
from referees import places

LLMOCK = "0.2.2"
START_S = 90.0

MODELS = {
    "openai": "openai/gpt-5-mini",
    "anthropic": "anthropic/claude-opus-4.5",
    "google": "google/gemini-2.5-flash",
    "mistral": "mistralai/ministral-8b",
}
"""A model of each provider; llm-comply leaves tests out for other names."""

_KEYS = tuple(name for provider in PROVIDERS for name in provider.key_env)


def local_models() -> Path:
    """Return the folder of the models that are on this machine already."""
    return own_places.models()


@contextmanager
def gateway(name: str = "gateway", **environ: str) -> Iterator[Served]:
    """Run a gateway with a fresh home; keys and addresses come from `environ` alone."""
    with tempfile.TemporaryDirectory(prefix="glasslipper-referee-") as folder:
        home = Path(folder)
        blank = dict.fromkeys(_KEYS, "")
        settings = {**blank, "GLASSLIPPER_MODELS": str(local_models()), **environ}
        log = logs() / f"{name}.log"
        log.unlink(missing_ok=True)
        with Served(home, environ=settings, log=log) as served:
            yield served


def logs() -> Path:
    """Return the folder of what the processes log."""
    folder = places.cache() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Llmock:
    """A running llmock: its address, its script, its verdict."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def environ(self) -> dict[str, str]:
        """Return what makes a gateway use it as every provider of `MODELS`."""
        return providers(
            openai=f"{self.url}/v1",
            anthropic=f"{self.url}/anthropic",
            google=f"{self.url}/gemini/v1beta",
            mistral=f"{self.url}/mistral/v1",
        )

    def script(self, *behaviours: Mapping[str, Any]) -> None:
        """Forget everything, then queue behaviours for the next requests."""
        self._ask("POST", "reset")
        if behaviours:
            self._ask("POST", "scenario", {"behaviors": list(behaviours)})

    def verdict(self) -> dict[str, Any]:
        """Return what it thinks of its client since the last script."""
        return self._ask("GET", "verdict")

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests since the last script."""
        found = self._ask("GET", "requests")
        return found if isinstance(found, list) else found["requests"]

    def _ask(self, method: str, what: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/_llmock/{what}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read() or b"null")


@contextmanager
def llmock(*options: str) -> Iterator[Llmock]:
    """Run llmock on a free port.

    Raises:
        MissingError: It cannot be installed.
    """
    program = places.python("llmock", f"llmock=={LLMOCK}") / "llmock"
    port = free_port()
    with (logs() / "llmock.log").open("wb") as log:
        command = [program, "serve", "--port", str(port), "--log-level", "warning", *options]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _await_port(process, port)
        yield Llmock(port)
    finally:
        process.terminate()
        process.wait(10)


def providers(**base_urls: str) -> dict[str, str]:
    """Return the environment that moves providers, by slug, to these addresses."""
    keys = {provider.slug: provider.key_env[0] for provider in PROVIDERS if provider.key_env}
    made = {keys[slug]: "sk-referee" for slug in base_urls}
    return made | {f"GLASSLIPPER_{slug.upper()}_BASE_URL": url for slug, url in base_urls.items()}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _await_port(process: subprocess.Popen[bytes], port: int) -> None:
    give_up = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise places.MissingError("llmock does not start")


def run_quietly(
    command: Sequence[str | Path],
    *,
    wait_s: float,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a referee to its end, or to the end of its time: then its status is 124."""
    text = [str(part) for part in command]
    try:
        return subprocess.run(
            text,
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=wait_s,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environ or {})},
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(text, 124, _text(error.stdout), _text(error.stderr))


def _text(said: bytes | str | None) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said or ""


def mention(text: str) -> None:
    """Say how far the run is."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
