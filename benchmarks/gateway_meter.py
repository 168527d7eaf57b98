"""What a process and its children have used: CPU to the nanosecond, and resident memory.

Reads the scheduler's own sum of a process, threads that have ended included; no clock ticks and
no sampling. Knows nothing of what the processes do.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_PROCESS_CLOCK = 2  # CPUCLOCK_SCHED in the kernel's clock numbers


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it now."""
    yield pid
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                yield from tree(int(child))


def cpu_ns(pid: int) -> int:
    """Return the CPU time of a process and its living descendants, user and system.

    It is what `/proc/PID/task/*/schedstat` adds up to, and threads that have ended.
    """
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            total += time.clock_gettime_ns((~one << 3) | _PROCESS_CLOCK)
    return total


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process and its living descendants."""
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for one in tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int(Path(f"/proc/{one}/statm").read_text(encoding="ascii").split()[1])
    return total * page_bytes


def pin(pid: int, core: int) -> None:
    """Keep every thread of a process, and what it will start, on one core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def load_average() -> float:
    """Return how many tasks wanted to run in the last minute: how busy the machine is."""
    return os.getloadavg()[0]
