"""The engine as a process of its own: `python -m glasslipper.local.child FD`.

Speaks `frames` over the inherited socket FD and ends when the other end does, so it never
outlives the gateway. Native code that crashes takes only this process with it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time

from glasslipper.kernel.errors import GlasslipperError
from glasslipper.local.engine import LocalEngine, Run
from glasslipper.local.frames import (
    Cancel,
    Count,
    Counted,
    Ended,
    Fault,
    Generate,
    Line,
    Open,
    Opened,
    Said,
)
from glasslipper.local.llama import LlamaEngine
from glasslipper.local.meter import Meter


def main() -> None:
    """Serve until the other end hangs up."""
    line = Line(socket.socket(fileno=int(sys.argv[1])))
    order = line.order()
    if isinstance(order, Open):
        try:
            engine = LlamaEngine(order.options, meter=Meter(time.process_time_ns))
        except GlasslipperError as error:
            line.send(Opened(fault=Fault.of(error)))
        else:
            line.send(Opened())
            Service(line, engine).serve()
            engine.close()
    os._exit(0)  # at once: the runtime's threads may be deep in a batch that nobody wants now


class Service:
    """Obeys one gateway that wants answers of an engine."""

    def __init__(self, line: Line, engine: LocalEngine) -> None:
        """Take orders from a line."""
        self._line = line
        self._engine = engine
        self._runs: dict[int, Run] = {}

    def serve(self) -> None:
        """Obey until the other end is gone."""
        while (order := self._line.order()) is not None:
            match order:
                case Generate():
                    run = self._engine.generate(order.prompt, order.sampling)
                    self._runs[order.run] = run
                    threading.Thread(target=self._tell, args=(order.run, run), daemon=True).start()
                case Cancel():
                    if (unwanted := self._runs.get(order.run)) is not None:
                        unwanted.close()
                case Count():
                    self._line.send(self._count(order))
                case Open():
                    continue
        for run in list(self._runs.values()):
            run.close()

    def _tell(self, number: int, run: Run) -> None:
        fault: Fault | None = None
        try:
            try:
                for piece in run:
                    self._line.send(Said(run=number, piece=piece))
            except GlasslipperError as error:
                fault = Fault.of(error)
            del self._runs[number]
            self._line.send(Ended(run=number, tally=run.tally, fault=fault))
        except OSError:
            return  # the other end is gone, which `serve` sees as well

    def _count(self, order: Count) -> Counted:
        try:
            return Counted(run=order.run, tokens=self._engine.count(order.prompt))
        except GlasslipperError as error:
            return Counted(run=order.run, tokens=0, fault=Fault.of(error))


if __name__ == "__main__":
    main()
