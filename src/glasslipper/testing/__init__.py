"""Fakes that behave like the real thing, for our tests and for yours.

    with FakeUpstream(tokens=64, gap_ms=20) as upstream:
        ...                      # call upstream.url
        upstream.calls()         # what it was asked

`FakeUpstream` runs `glasslipper.testing.upstream` as a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

__all__ = ["FakeUpstream"]

_STOP_S = 5.0


class FakeUpstream:
    """A scripted OpenAI-compatible provider in a child process.

    The process ends with the `with` block, and also when the process that started it dies.
    """

    def __init__(self, *, port: int = 0, log: Path | None = None, **knobs: object) -> None:
        """Listen on `port` of 127.0.0.1, or on any; append to `log`, or to a file of its own.

        `knobs` are those of `glasslipper.testing.script.Script`, for calls whose model name
        says nothing else.
        """
        self._port = port
        self._folder = tempfile.TemporaryDirectory(prefix="glasslipper-upstream-")
        self._log = Path(self._folder.name) / "calls.jsonl" if log is None else log
        self._knobs = knobs
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL, with `/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def pid(self) -> int:
        """The id of the process.

        Raises:
            RuntimeError: It is not running.
        """
        if self._process is None:
            raise RuntimeError("the fake upstream is not running")
        return self._process.pid

    def lines(self) -> list[Mapping[str, Any]]:
        """Return every line of the log: calls, and notes of callers who left early."""
        if not self._log.exists():
            return []
        text = self._log.read_bytes()
        return [msgspec.json.decode(line) for line in text.split(b"\n") if line]

    def calls(self) -> list[Mapping[str, Any]]:
        """Return the calls that it accepted, each noted before its answer began."""
        return [line for line in self.lines() if "n" in line]

    def gone(self) -> dict[int, int]:
        """Return, by number of the call, how many frames its caller had been sent on leaving."""
        return {line["gone"]: line["sent_frames"] for line in self.lines() if "gone" in line}

    def start(self) -> Self:
        """Start the process and wait until it listens.

        Raises:
            RuntimeError: It did not start; its error output says why.
        """
        command = [sys.executable, "-m", "glasslipper.testing.upstream", "--until-stdin-closes"]
        command += [f"--port={self._port}", f"--log={self._log}"]
        command += [f"--{name.replace('_', '-')}={value}" for name, value in self._knobs.items()]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            self._end_process()
            raise RuntimeError("the fake upstream did not start")
        self._port = msgspec.json.decode(line)["port"]
        return self

    def stop(self) -> None:
        """Stop the process; the log stays readable until the `with` block ends."""
        self._end_process()

    def _end_process(self) -> None:
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

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it and remove its log, unless the log's place was given."""
        self._end_process()
        self._folder.cleanup()
