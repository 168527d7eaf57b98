"""Engines that several gateway processes share: each model is loaded once on the machine.

Speaks `frames` with everyone who connects to a Unix socket. Two who open the same file with the
same options work with the same engine; who leaves takes only its own runs along.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading

from msgspec import structs

from glasslipper.kernel.errors import GlasslipperError
from glasslipper.local.child import Service
from glasslipper.local.engine import LocalEngine, Options
from glasslipper.local.frames import Fault, Line, Open, Opened
from glasslipper.local.llama import LlamaEngine


class EngineServer:
    """Loads engines when somebody first wants them, and serves them to all."""

    def __init__(self, listener: socket.socket) -> None:
        """Serve whoever connects to the listening Unix socket, from threads."""
        self._listener = listener
        self._folder = tempfile.TemporaryDirectory(prefix="gl-", ignore_cleanup_errors=True)
        self._engines: dict[Options, LocalEngine] = {}
        self._opening = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="engine-server", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the socket is closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        line = Line(connection)
        with contextlib.suppress(OSError), connection:
            order = line.order()
            if not isinstance(order, Open):
                return
            try:
                engine = self._engine(order.options)
            except GlasslipperError as error:
                line.send(Opened(fault=Fault.of(error)))
                return
            line.send(Opened())
            Service(line, engine).serve()

    def _engine(self, wanted: Options) -> LocalEngine:
        options = structs.replace(wanted, folder=self._folder.name)
        with self._opening:
            engine = self._engines.get(options)
            if engine is None:
                engine = self._engines[options] = LlamaEngine(options)
            return engine

    def close(self) -> None:
        """Serve nobody any more."""
        self._listener.close()
        self._folder.cleanup()
