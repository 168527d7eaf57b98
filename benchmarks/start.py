"""Measures how light the product is before it does anything: time, memory, bytes, packages.

    make bench-start
    make bench-start ARGS="--quick"

The keys of the last line:

    cli_import_cpu_s     CPU seconds, user and system, of a whole child process that imports the
                         command line and ends: the interpreter's own start included, nothing
                         taken off; the median of several. `bare_python_cpu_s` is the same without
                         the import
    up_second_start_s    from starting `glasslipper up` to its ready line, on a home that has been
                         served before, with the default model fetched and checked; the median
    idle_rss_bytes       VmRSS of that process after a few `GET /models` and no call of a model
    wheel_bytes          size of the wheel
    runtime_packages     packages that requirements/run.txt names for this Python and platform
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from packaging.requirements import Requirement

from glasslipper.store import places
from outcome import Progress, conclude, mention, table

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
LISTINGS = 5
STOP_S = 30.0


class Idle(NamedTuple):
    """A gateway that was started and did nothing: how long it took, and its memory."""

    ready_s: float
    rss_bytes: int


def cpu_s(code: str) -> float:
    """Return the CPU seconds of a Python process that runs `code`."""
    process = subprocess.Popen([sys.executable, "-c", code])
    _, status, spent = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{code!r} ended with status {process.returncode}")
    return spent.ru_utime + spent.ru_stime


def start_and_stop(home: Path) -> Idle:
    """Serve `home` with the real models' folder, look at the process, and stop it."""
    environ = {
        **os.environ,
        "GLASSLIPPER_HOME": str(home),
        "GLASSLIPPER_MODELS": str(places.models()),
    }
    began_s = time.monotonic()
    process = subprocess.Popen(
        [BIN / "glasslipper", "up", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        env=environ,
    )
    try:
        line = process.stdout.readline() if process.stdout else b""
        ready_s = time.monotonic() - began_s
        if not line:
            raise RuntimeError(f"the gateway ended with status {process.wait(STOP_S)}")
        announced = json.loads(line)
        key = (home / "admin.key").read_text(encoding="utf-8")
        for _ in range(LISTINGS):
            list_models(announced["url"], key)
        return Idle(ready_s, rss_bytes(announced["pid"]))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)
        if process.stdout is not None:
            process.stdout.close()


def list_models(url: str, key: str) -> list[dict[str, Any]]:
    """Return what `GET /models` says."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=STOP_S)
    try:
        connection.request(
            "GET", f"{parts.path}/models", headers={"Authorization": f"Bearer {key}"}
        )
        return json.loads(connection.getresponse().read())["data"]
    finally:
        connection.close()


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process and the children that it may have."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 + sum(rss_bytes(int(child)) for child in children)
    raise RuntimeError(f"process {pid} has no VmRSS")


def wheel_bytes(folder: Path) -> int:
    """Build the wheel into `folder` and return its size."""
    command = [BIN / "uv", "build", "--wheel", "--no-build-isolation", "--out-dir", folder]
    subprocess.run(
        [*command, "--python", sys.executable, ROOT], check=True, stdout=sys.stderr.fileno()
    )
    (wheel,) = folder.glob("*.whl")
    return wheel.stat().st_size


def runtime_packages() -> int:
    """Return how many packages the requirement file names for this environment."""
    text = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.partition(" --hash")[0].strip() for line in text.splitlines()]
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return len({one.name for one in wanted if one.marker is None or one.marker.evaluate()})


def median_of(times: int, measure: Callable[[], float], progress: Progress) -> float:
    """Return the median of some measurements."""
    found: list[float] = []
    for _ in range(times):
        found.append(measure())
        progress.step()
    return statistics.median(found)


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(
        prog="make bench-start",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="measure fewer times")
    given = parser.parse_args()
    imports, starts = (5, 2) if given.quick else (21, 7)
    progress = Progress("start", 2 * imports + starts + 2)
    with tempfile.TemporaryDirectory(prefix="glasslipper-start-") as name:
        folder = Path(name)
        cli_s = median_of(imports, lambda: cpu_s("import glasslipper.cli"), progress)
        bare_s = median_of(imports, lambda: cpu_s("pass"), progress)
        first = start_and_stop(folder / "home")
        progress.step()
        idle: list[Idle] = []
        for _ in range(starts):
            idle.append(start_and_stop(folder / "home"))
            progress.step()
        size_bytes = wheel_bytes(folder / "wheel")
        progress.step()
    figures: dict[str, object] = {
        "cli_import_cpu_s": round(cli_s, 4),
        "up_second_start_s": round(statistics.median(one.ready_s for one in idle), 3),
        "idle_rss_bytes": int(statistics.median(one.rss_bytes for one in idle)),
        "wheel_bytes": size_bytes,
        "runtime_packages": runtime_packages(),
        "bare_python_cpu_s": round(bare_s, 4),
        "up_first_start_s": round(first.ready_s, 3),
        "up_second_start_s_max": round(max(one.ready_s for one in idle), 3),
        "idle_rss_bytes_max": max(one.rss_bytes for one in idle),
    }
    mention(f"Python {sys.version.split()[0]} on {sys.platform}, models in {places.models()}")
    table(["", "figure"], figures.items())
    conclude(figures)


if __name__ == "__main__":
    main()
