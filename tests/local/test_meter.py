"""CPU time is shared out exactly, and measured truly."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasslipper.local.meter import Meter, ThreadsClock, native_threads

STEPS = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 3), st.booleans()), min_size=1, max_size=30
)


@given(steps=STEPS)
def test_all_that_is_spent_while_somebody_runs_is_paid_once(
    steps: list[tuple[int, int, bool]],
) -> None:
    now_ns = 0
    meter = Meter(lambda: now_ns)
    tickets: list[float] = []
    owed_ns = 0
    paid_us = 0
    for spent_ns, place, joins in steps:
        now_ns += spent_ns
        owed_ns += spent_ns if tickets else 0
        if joins:
            tickets.append(meter.join())
        elif tickets:
            paid_us += meter.leave(tickets.pop(place % len(tickets)))
    payers = sum(1 for _ in steps)
    for ticket in tickets:
        paid_us += meter.leave(ticket)
    assert paid_us == pytest.approx(owed_ns / 1000, abs=payers)


def test_those_who_run_together_pay_alike() -> None:
    now_ns = 0
    meter = Meter(lambda: now_ns)
    first = meter.join()
    now_ns = 1_000_000
    second = meter.join()
    now_ns = 5_000_000
    assert meter.leave(first) == 3000
    assert meter.leave(second) == 2000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reads another thread's clock")
def test_the_clock_counts_the_threads_it_is_given_and_no_others() -> None:
    begun, done, told = threading.Event(), threading.Event(), list[int]()

    def burn() -> None:
        told.append(threading.get_native_id())
        begun.set()
        while time.thread_time() < 0.1:
            pass
        told.append(time.thread_time_ns())
        done.wait(30)

    thread = threading.Thread(target=burn)
    thread.start()
    begun.wait(30)
    clock = ThreadsClock([told[0]])
    while len(told) < 2:
        clock()
    assert clock() == pytest.approx(told[1], rel=0.2)
    done.set()
    thread.join()
    assert clock() >= told[1]


def test_threads_of_python_are_not_native_threads() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, args=(30,))
    thread.start()
    found = native_threads()
    done.set()
    thread.join()
    assert thread.native_id not in found
