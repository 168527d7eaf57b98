"""Draws charts beside the study: a process of its own takes one after the other as they come.

The library that draws holds the interpreter while it works, so a thread would not do. Whatever
becomes of that process, what it did not draw is drawn here: the page is the same either way.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from glasslipper.report.charts import draw
from glasslipper.report.charts.frame import Spec

_SERVE = f"from {__name__} import serve; serve()"


class Order(Struct, frozen=True, kw_only=True):
    """A chart to be drawn; see `draw.svg`."""

    spec: Spec
    title: str
    description: str
    identity: str


class Studio:
    """Use it as a context; `begin` charts early, and `take` them when they are needed."""

    def __init__(self) -> None:
        self._charts: dict[str, tuple[Order, Future[str]]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="studio")
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._child = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-c", _SERVE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        except OSError:
            self._child = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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

    def begin(self, order: Order) -> None:
        """Have a chart drawn, by its identity."""
        if self._child is not None:
            self._charts[order.identity] = order, self._pool.submit(self._ask, order)

    def take(self, order: Order) -> str:
        """Return a chart, drawn now if it was not begun or went wrong."""
        begun = self._charts.get(order.identity)
        drawn = begun[1].result() if begun is not None and begun[0] == order else ""
        return drawn or _drawn(order)

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
        return msgspec.json.decode(line, type=str) if line.endswith(b"\n") else ""


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
