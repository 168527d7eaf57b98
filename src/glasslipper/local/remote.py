"""The other side of `child` and of `shared`: an engine in another process, like any other.

That process is a child, started when it is first needed and again after it died; or it is one
that several gateways share, and is connected to. A death costs the runs in flight an
`EngineCrashed` and nothing else.
"""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future

from glasslipper.kernel.errors import EngineCrashed, GlasslipperError, UpstreamFailed
from glasslipper.local.engine import Choices, Options, Piece, Prompt, Run
from glasslipper.local.frames import (
    Cancel,
    Count,
    Counted,
    Ended,
    Generate,
    Line,
    Open,
    Opened,
    Said,
    plain,
    plain_choices,
)

_FAREWELL_S = 10.0


class RemoteEngine:
    """A model loaded in another process."""

    def __init__(self, options: Options, *, shared_at: str | None = None) -> None:
        """Start a child, or connect to the socket at `shared_at`, and have the model loaded.

        Raises:
            UpstreamFailed: The engine does not take the file.
            EngineCrashed: The process died over it, or is not there.
        """
        self._options = options
        self._shared_at = shared_at
        self._starting = threading.Lock()
        self._numbers = itertools.count(1)
        self._closed = False
        self._child: _Child | None = _Child(options, shared_at)

    @property
    def process_id(self) -> int | None:
        """The id of the child process, where there is one."""
        child = self._child
        return child.process.pid if child is not None and child.process is not None else None

    def generate(self, prompt: Prompt, sampling: Choices) -> Run:
        """Return a run that starts when its first piece is asked for."""
        return _RemoteRun(self, prompt, sampling)

    def count(self, prompt: Prompt) -> int:
        """Return how many tokens the prompt has."""
        return self.living().count(next(self._numbers), prompt)

    def close(self) -> None:
        """End the child."""
        with self._starting:
            self._closed = True
            child, self._child = self._child, None
        if child is not None:
            child.close()

    def next_number(self) -> int:
        """Return a number for a new run."""
        return next(self._numbers)

    def living(self) -> _Child:
        """Return the child, a new one if the last has died."""
        with self._starting:
            if self._closed:
                raise UpstreamFailed("The engine has been closed.")
            if self._child is None or self._child.is_dead:
                self._child = _Child(self._options, self._shared_at)
            return self._child


class _RemoteRun(Run):
    """A run in the child."""

    def __init__(self, engine: RemoteEngine, prompt: Prompt, sampling: Choices) -> None:
        super().__init__()
        self._engine = engine
        self._order: tuple[Prompt, Choices] | None = (prompt, sampling)
        self._number = engine.next_number()
        self._child: _Child | None = None

    def __next__(self) -> Piece:
        if self._order is not None:
            (prompt, sampling), self._order = self._order, None
            self._child = self._engine.living()
            self._child.generate(self._number, self, prompt=prompt, sampling=sampling)
            if self.is_unwanted:
                self._child.cancel(self._number)
        return super().__next__()

    def close(self) -> None:
        super().close()
        if self._child is not None:
            self._child.cancel(self._number)


def _connected(path: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    try:
        link.connect(path)
    except OSError as error:
        link.close()
        raise EngineCrashed("The process that runs local models is not there.") from error
    return link


class _Child:
    """One life of the other process, as far as we see it."""

    process: subprocess.Popen[bytes] | None = None

    def __init__(self, options: Options, shared_at: str | None) -> None:
        self._line = Line(self._spawned() if shared_at is None else _connected(shared_at))
        self._lock = threading.Lock()
        self._dead: GlasslipperError | None = None
        self._runs: dict[int, Run] = {}
        self._counts: dict[int, Future[int]] = {}
        self._open(options)
        self._listener = threading.Thread(
            target=self._listen, name="glasslipper-child", daemon=True
        )
        self._listener.start()

    def _spawned(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "glasslipper.local.child", str(theirs.fileno())]
            self.process = subprocess.Popen(  # noqa: S603 - ourselves
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        return ours

    @property
    def is_dead(self) -> bool:
        """Whether the process has ended."""
        if self._dead is not None:
            return True
        return self.process is not None and self.process.poll() is not None

    def generate(self, number: int, run: Run, *, prompt: Prompt, sampling: Choices) -> None:
        """Start a run; what becomes of it goes into `run`."""
        self._expect(number, run)
        order = Generate(run=number, prompt=plain(prompt), sampling=plain_choices(sampling))
        self._send(order)

    def cancel(self, number: int) -> None:
        """Stop a run, if it still goes on."""
        if number in self._runs:
            self._send(Cancel(run=number))

    def count(self, number: int, prompt: Prompt) -> int:
        """Return how many tokens the prompt has."""
        answer: Future[int] = Future()
        with self._lock:
            if self._dead is not None:
                raise self._dead
            self._counts[number] = answer
        self._send(Count(run=number, prompt=plain(prompt)))
        return answer.result()

    def close(self) -> None:
        """End the process and wait for its end."""
        self._line.hang_up()
        self._listener.join()

    def _open(self, options: Options) -> None:
        self._send(Open(options=options))
        opened = self._line.report()
        fault = opened.fault if isinstance(opened, Opened) else None
        if isinstance(opened, Opened) and fault is None:
            return
        self._line.hang_up()
        death = self._await_death()
        self._line.close()
        raise fault.error() if fault is not None else death

    def _send(self, order: Open | Generate | Cancel | Count) -> None:
        try:
            self._line.send(order)
        except OSError:
            return  # it died; the listener tells everyone

    def _expect(self, number: int, run: Run) -> None:
        with self._lock:
            if self._dead is None:
                self._runs[number] = run
                return
        run.end(self._dead)

    def _listen(self) -> None:
        while (report := self._line.report()) is not None:
            match report:
                case Said():
                    self._runs[report.run].put(report.piece)
                case Ended():
                    run = self._runs.pop(report.run)
                    run.tally = report.tally
                    run.end(report.fault.error() if report.fault is not None else None)
                case Counted():
                    self._answer_count(report)
                case Opened():
                    continue
        self._bury()
        self._line.close()

    def _answer_count(self, report: Counted) -> None:
        answer = self._counts.pop(report.run)
        if report.fault is not None:
            answer.set_exception(report.fault.error())
        else:
            answer.set_result(report.tokens)

    def _bury(self) -> None:
        """End what still waits for the process, which has hung up."""
        death = self._await_death()
        with self._lock:
            self._dead = death
            runs, counts = list(self._runs.values()), list(self._counts.values())
            self._runs.clear()
            self._counts.clear()
        for run in runs:
            run.end(None if run.is_unwanted else death)
        for count in counts:
            count.set_exception(death)

    def _await_death(self) -> EngineCrashed:
        if self.process is None:
            return EngineCrashed("The process that runs local models ended.")
        try:
            code = self.process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return EngineCrashed(f"The local engine's process ended ({how}).")
