"""Draws charts beside the study: a process of its own takes one after the other as they come.

The library that draws holds the interpreter while it works, so a thread would not do. What was
drawn before is taken from where it is `kept`. Whatever becomes of that process and those files,
what is not drawn is drawn here: the page is the same, but that the axes of time are then this
process's zone's.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import msgspec

from glasslipper.report.charts import draw
from glasslipper.report.charts.kept import Kept
from glasslipper.report.charts.order import Order

_SERVE = f"from {__name__} import serve; serve()"


class Studio:
    """Use it as a context; `begin` charts early, and `take` them when they are needed."""

    def __init__(self, kept: Kept | None = None) -> None:
        self._kept = kept
        self._charts: dict[str, tuple[Order, Future[str]]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="studio")
        self._open = False
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._open = True
        if self._kept is None or self._kept.is_empty:
            self._hire()  # it loads what draws while others read the ledger
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False
        child = self._child
        if child is not None and kind is not None:
            child.kill()
        self._pool.shutdown(cancel_futures=True)
        if child is not None:
            for pipe in (child.stdin, child.stdout):
                with contextlib.suppress(OSError):  # it may have left before it was asked
                    if pipe is not None:
                        pipe.close()
            child.wait()
        if self._kept is not None:
            self._kept.tidy()

    def begin(self, order: Order) -> None:
        """Have a chart drawn, by its identity, unless it was before."""
        found = self._kept.find(order) if self._kept is not None else ""
        if found:
            drawing: Future[str] = Future()
            drawing.set_result(found)
            self._charts[order.identity] = order, drawing
        elif self._open:
            self._hire()
            self._charts[order.identity] = order, self._pool.submit(self._ask, order)

    def take(self, order: Order) -> str:
        """Return a chart, drawn now if it was not begun or went wrong."""
        if order.identity not in self._charts:
            self.begin(order)
        begun = self._charts.get(order.identity)
        drawn = begun[1].result() if begun is not None and begun[0] == order else ""
        return drawn or _drawn(order)  # not kept: it is drawn in this process's zone of time

    def _hire(self) -> None:
        """Start the process that draws, if it has not been."""
        if self._child is not None:
            return
        with contextlib.suppress(OSError):
            self._child = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-c", _SERVE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"TZ": "UTC"},  # axes of time are drawn in its zone
            )

    def _ask(self, order: Order) -> str:
        """Return what the other process drew; nothing if it cannot."""
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            return ""
        try:
            child.stdin.write(msgspec.json.encode(order) + b"\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except (OSError, ValueError):
            return ""
        if not line.endswith(b"\n"):
            return ""
        drawn = msgspec.json.decode(line, type=str)
        if self._kept is not None:
            self._kept.keep(order, drawn)
        return drawn


def _drawn(order: Order) -> str:
    return draw.svg(
        order.spec, title=order.title, description=order.description, identity=order.identity
    )


def serve() -> None:
    """Draw what comes on standard input, a line for each, until it ends."""
    orders = msgspec.json.Decoder(Order)
    draw.warm_up()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(msgspec.json.encode(_drawn(orders.decode(line))) + b"\n")
        sys.stdout.buffer.flush()
