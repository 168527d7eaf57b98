"""What is measured: each subject a process of its own on a core of its own, counted as it is asked.

The upstream and the load share the other core. A subject that cannot be had is left out with a
reason; Glasslipper cannot be left out.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway_load import Burst, Caller, Crowd, Target, UnexpectedAnswer
from gateway_meter import cpu_ns, pin, rss_bytes
from gateway_peers import Missing, Recipe, litellm, nginx, portkey
from gateway_streams import Chorus, Stream
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from outcome import mention

CLIENTS = 32
SLOW_MS = 20
LIMIT_NANOUSD = 10**15
MODELS = {"plain": "fake", "slow": f"fake?delay_ms={SLOW_MS}", "stream": "fake"}

_START_S = 120.0
_STOP_S = 10.0
_QUIET_NS = 1_000_000
_LOOK_S = 0.1
_LOOKS = 20


class Subject:
    """A running subject; `sent` counts every request that it was sent."""

    def __init__(self, name: str, pid: int, target: Target) -> None:
        """Know where it listens and which process it is."""
        self.name = name
        self.pid = pid
        self.target = target
        self.sent = 0
        self._crowd: Crowd | None = None
        self._caller: Caller | None = None

    def burst(self, requests: int) -> Burst:
        """Send that many requests from `CLIENTS` clients."""
        if self._crowd is None:
            self._crowd = Crowd(self.target, clients=CLIENTS)
        self.sent += requests
        return self._crowd.ask(requests)

    def measured(self, requests: int) -> tuple[Burst, float]:
        """Return the burst and the CPU microseconds of a request, what follows it included.

        The connections are new, for some subjects close those that rest.
        """
        self.hang_up()
        self._crowd = Crowd(self.target, clients=CLIENTS)
        before_ns = self.rest()
        burst = self.burst(requests)
        return burst, (self.rest() - before_ns) / 1000 / requests

    def rest(self) -> int:
        """Wait until it has finished what it does after its answers; return its CPU time in ns."""
        now_ns = cpu_ns(self.pid)
        for _ in range(_LOOKS):
            time.sleep(_LOOK_S)
            before_ns, now_ns = now_ns, cpu_ns(self.pid)
            if now_ns - before_ns < _QUIET_NS:
                break
        return now_ns

    def slow_ms(self) -> float:
        """Send one request that the upstream answers after `SLOW_MS`; return how long it took."""
        if self._caller is None:
            self._caller = Caller(self.target, "slow")
        self.sent += 1
        return self._caller.ask_ms()

    def streams(self, clients: int, *, each: int) -> tuple[list[Stream], int]:
        """Read streams with that many clients; return them and how many ran at the same time."""
        chorus = Chorus(self.target, clients=clients, streams_each=each)
        try:
            found = list(chorus.listen())
        finally:
            chorus.close()
        self.sent += len(found)
        return found, chorus.most_at_once

    @property
    def rss_bytes(self) -> int:
        """Its resident memory."""
        return rss_bytes(self.pid)

    def hang_up(self) -> None:
        """Close all connections to it."""
        for one in (self._crowd, self._caller):
            if one is not None:
                one.close()
        self._crowd = self._caller = None


class Glasslipper(Subject):
    """Our gateway with the defaults of `make up`, asked with a key that has a limit."""

    def __init__(self, home: Path, urls: Mapping[str, str], *, durability: str) -> None:
        """Start it in `home`; `urls` says for each of the bench's models who has it."""
        self._served = Served(home, "--durability", durability, log=home.with_suffix(".log"))
        self._served.start()
        try:
            for model, behind in MODELS.items():
                self._served.add_model(f"bench/{model}", urls[model], upstream_model=behind)
            key = self._served.make_key("bench", limit_nanousd=LIMIT_NANOUSD)
        except BaseException:
            self._served.kill()
            raise
        target = Target(
            port=int(self._served.host.rpartition(":")[2]),
            path="/api/v1/chat/completions",
            models={model: f"bench/{model}" for model in MODELS},
            headers={"authorization": f"Bearer {key}"},
        )
        super().__init__(home.name, self._served.pid, target)

    def stop(self) -> int:
        """Stop it and return how many generations its tables hold."""
        self.hang_up()
        self._served.stop()
        rows = 0
        for path in self._served.home.glob("journal/*/rows.sqlite"):
            with contextlib.closing(sqlite3.connect(path)) as table:
                rows += table.execute("SELECT count(*) FROM generations").fetchone()[0]
        return rows


class Stage:
    """The upstream and every subject that can be had, for as long as the context lasts."""

    def __init__(self, *, load_core: int, subject_core: int, may_fetch: bool, peers: bool) -> None:
        """Fetch missing peers only if that is allowed; leave them out without `peers`."""
        self._load_core = load_core
        self._subject_core = subject_core
        self._may_fetch = may_fetch
        self._peers = peers
        self._stack = ExitStack()
        self.subjects: dict[str, Subject] = {}

    def __enter__(self) -> Stage:
        with ExitStack() as stack:
            self._fill(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _fill(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="glasslipper-bench-")))
        upstream = stack.enter_context(FakeUpstream(log=Path(os.devnull)))
        pin(upstream.pid, self._load_core)
        pin(os.getpid(), self._load_core)
        streamer_pid, streamer_port = stack.enter_context(_clockwork())
        pin(streamer_pid, self._load_core)
        direct = Target(
            port=upstream.port,
            stream_port=streamer_port,
            path="/v1/chat/completions",
            models=MODELS,
            headers={},
        )
        self._add(stack, Subject("direct", upstream.pid, direct))
        self._try("nginx", stack, lambda: nginx(
            folder,
            upstreams=(upstream.port, streamer_port),
            ports=(free_port(), free_port()),
            models=MODELS,
        ))  # fmt: skip
        urls = dict.fromkeys(MODELS, upstream.url)
        urls["stream"] = f"http://127.0.0.1:{streamer_port}/v1"
        for name, durability in (("glasslipper", "process"), ("glasslipper_power", "power")):
            ours = Glasslipper(folder / name, urls, durability=durability)
            stack.callback(ours.stop)
            pin(ours.pid, self._subject_core)
            self._add(stack, ours)
        if not self._peers:
            return
        fetch = self._may_fetch
        self._try("litellm", stack, lambda: litellm(
            folder, upstream=upstream.url, port=free_port(), may_fetch=fetch
        ))  # fmt: skip
        self._try("portkey", stack, lambda: portkey(
            upstream=upstream.url, port=free_port(), may_fetch=fetch, models=MODELS
        ))  # fmt: skip

    def _try(self, name: str, stack: ExitStack, recipe: Callable[[], Recipe]) -> None:
        try:
            made = recipe()
            pid = stack.enter_context(_running(made, self._subject_core))
            subject = Subject(name, pid, made.target)
            _await(subject)
        except (Missing, UnexpectedAnswer) as error:
            mention(f"{name} is left out: {error}")
        else:
            self._add(stack, subject)

    def _add(self, stack: ExitStack, subject: Subject) -> None:
        stack.callback(subject.hang_up)
        self.subjects[subject.name] = subject


@contextmanager
def _running(recipe: Recipe, core: int) -> Generator[int]:
    """Run a recipe on a core and yield the id of its process."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            recipe.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **recipe.environ},
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _clockwork() -> Generator[tuple[int, int]]:
    """Run the upstream that streams; yield the id of its process and its port."""
    command = [sys.executable, Path(__file__).with_name("gateway_clockwork.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process.pid, int(process.stdout.readline() if process.stdout else b"")
        finally:
            process.terminate()


def _await(subject: Subject) -> None:
    """Wait until a subject answers.

    Raises:
        Missing: It does not, for long.
    """
    until_s = time.monotonic() + _START_S
    while True:
        try:
            caller = Caller(subject.target, "plain")
        except OSError as error:
            if time.monotonic() > until_s or not Path(f"/proc/{subject.pid}/exe").exists():
                raise Missing("it did not begin to listen") from error
            time.sleep(_LOOK_S)
        else:
            caller.ask_ms()
            caller.close()
            return


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
