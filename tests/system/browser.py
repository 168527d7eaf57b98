"""A real Chromium, asked over its DevTools protocol: `make test-system` installs it."""

import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CALM = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-port=0",
)  # fmt: skip
COMPLAINTS = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")


class Tab:
    """The only tab of a browser."""

    def __init__(self, line: ClientConnection) -> None:
        self._line = line
        self._numbers = itertools.count(1)
        self._heard: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        self._line.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._line.recv(timeout=100))
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]
            self._heard.append(told)

    def run(self, script: str) -> Any:
        """Evaluate an expression, or the promise that it is, and return its value."""
        told = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def until(self, script: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < deadline, script
            time.sleep(0.1)

    def open(self, page: Path, *, width: int = 1280, dark: bool = False) -> None:
        """Open a page that lies in a file."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self._heard.clear()
        self.call("Page.navigate", url=page.as_uri())
        self.until(f"document.readyState === 'complete' && location.href === '{page.as_uri()}'")

    def point_at(self, x: float, y: float) -> None:
        """Move the mouse."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def complaints(self) -> list[dict[str, Any]]:
        """Return what the page has logged or thrown since it was opened."""
        return [one for one in self._heard if one.get("method") in COMPLAINTS]

    def addresses(self) -> list[str]:
        """Return what the page has asked for since it was opened, itself left out."""
        asked = [one for one in self._heard if one.get("method") == "Network.requestWillBeSent"]
        return [one["params"]["request"]["url"] for one in asked][1:]


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """Start Chromium with a new profile, and stop it."""
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is missing: `make test-system` installs it."
    command = [chromium, *CALM, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        try:
            with connect(_address(profile), max_size=None) as line:
                yield Tab(line)
        finally:
            running.terminate()


def _address(profile: Path) -> str:
    """Return where the tab listens, once it does."""
    told = profile / "DevToolsActivePort"
    deadline = time.monotonic() + 60
    while not told.exists() or not told.read_text(encoding="utf-8").strip():
        assert time.monotonic() < deadline, "Chromium did not start."
        time.sleep(0.1)
    port = told.read_text(encoding="utf-8").split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
        tabs = json.load(answer)
    return next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
