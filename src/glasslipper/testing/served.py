"""A real gateway in a child process, for tests and benchmarks that want to kill it.

    with Served(home) as gateway:
        gateway.url, gateway.key      # as `glasslipper up` announces them

Knows the command line and the HTTP API, nothing of what is behind them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urlsplit

STOP_S = 30.0


class Served:
    """`glasslipper up` on a free port, with a home of its own."""

    def __init__(
        self,
        home: Path,
        *options: str,
        environ: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        log: Path | None = None,
    ) -> None:
        """Serve `home`, with further `options` of `up`, below the command `wrapper` if given.

        It does not look for model servers on this machine, unless `environ` says so. What the
        gateway logs goes to `log`, or to this process's standard error.
        """
        self.home = home
        self.key = ""
        self._options = options
        alone = {"GLASSLIPPER_HOME": str(home), "GLASSLIPPER_DISCOVER": "false"}
        self._environ = {**os.environ, **alone, **(environ or {})}
        self._wrapper = wrapper
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._announced: dict[str, Any] = {}

    def start(self) -> Self:
        """Start the process and wait until it says that it is ready.

        Raises:
            RuntimeError: It ended instead.
        """
        self._announced = {}
        command = [*self._wrapper, sys.executable, "-m", "glasslipper", "up", "--port", "0"]
        errors: IO[bytes] | None = self._log.open("ab") if self._log else None
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [*command, "--json", "--no-fetch", *self._options],
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
                env=self._environ,
            )
        finally:
            if errors is not None:
                errors.close()
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"the gateway ended with status {self.stop()}")
        self._announced = json.loads(line)
        self.key = self._announced["key"] or self.key
        return self

    @property
    def url(self) -> str:
        """The API's address, with `/api/v1`."""
        return self._announced["url"]

    @property
    def host(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc

    @property
    def pid(self) -> int:
        """The id of the gateway's process."""
        return self._announced["pid"]

    @property
    def admin_key(self) -> str:
        """The management key that the command line uses."""
        return (self.home / "admin.key").read_text(encoding="utf-8")

    def call(
        self, method: str, path: str, body: object = None, *, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and JSON of one call, made with the management key if none is given."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            headers = {"Authorization": f"Bearer {key or self.admin_key}"}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    def add_model(self, model: str, url: str, **more: object) -> None:
        """Offer a server's model at a price of 1 and 2 USD per million tokens, unless told.

        Raises:
            RuntimeError: The gateway refused.
        """
        body = {"id": model, "url": url, "price_in": "1", "price_out": "2", **more}
        status, answer = self.call("POST", "/api/v1/admin/models", body)
        if status != 201:
            raise RuntimeError(f"adding {model} failed: {answer}")

    def make_key(self, name: str, **more: object) -> str:
        """Return the secret of a new key.

        Raises:
            RuntimeError: The gateway refused.
        """
        status, answer = self.call("POST", "/api/v1/keys", {"name": name, **more})
        if status != 201:
            raise RuntimeError(f"making a key failed: {answer}")
        return answer["key"]

    def kill(self) -> None:
        """End the process as `kill -9` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End the process as a supervisor does, and return its status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._announced.get("pid", process.pid), number)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
