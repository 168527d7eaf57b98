"""CPU time of work that several requests share, split between them as it is spent.

While n requests run, each pays an n-th of what the engine's threads use. Between two changes of
n that is a constant share, so one running sum is enough: what a single request would have paid
since the beginning. Time that nobody asked for (loading, idling) is paid by nobody.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

_TASKS = Path("/proc/self/task")


class Meter:
    """Shares out what a clock of CPU nanoseconds counts."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._running = 0
        self._seen_ns = 0
        self._each_ns = 0.0

    def join(self) -> float:
        """Begin a request and return its ticket for `leave`."""
        with self._lock:
            self._advance()
            self._running += 1
            return self._each_ns

    def leave(self, ticket: float) -> int:
        """End a request and return the CPU microseconds that it pays."""
        with self._lock:
            self._advance()
            self._running -= 1
            return round((self._each_ns - ticket) / 1000)

    def _advance(self) -> None:
        now_ns = self._clock_ns()
        if self._running:
            self._each_ns += (now_ns - self._seen_ns) / self._running
        self._seen_ns = now_ns


class ThreadsClock:
    """CPU time of some native threads of this process, in nanoseconds.

    Only Linux lets one thread's time be read by another; elsewhere the time of the whole process
    is taken, which overstates it by what else the process does.
    """

    def __init__(self, thread_ids: Iterable[int]) -> None:
        self._seen_ns = dict.fromkeys(thread_ids, 0)

    def __call__(self) -> int:
        """Return the sum; a thread that has ended counts with the last that was seen of it."""
        if sys.platform != "linux":
            return time.process_time_ns()
        for thread_id in self._seen_ns:
            try:
                self._seen_ns[thread_id] = time.clock_gettime_ns(_clock_of(thread_id))
            except OSError:
                continue
        return sum(self._seen_ns.values())


def native_threads() -> frozenset[int]:
    """Return the ids of this process's threads that Python did not start; Linux only."""
    if sys.platform != "linux":
        return frozenset()
    ours = {thread.native_id for thread in threading.enumerate()}
    return frozenset(int(task.name) for task in _TASKS.iterdir()) - ours


def _clock_of(thread_id: int) -> int:
    """Return the id by which Linux names the CPU clock of one thread."""
    per_thread, scheduled = 4, 2
    return ~thread_id << 3 | per_thread | scheduled
