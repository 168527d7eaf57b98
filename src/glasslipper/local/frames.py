"""What a gateway and its engine process say to each other over a socket pair.

A frame is four bytes of length, most significant first, and a msgpack map tagged with what it
is. Both ends are the same release, so there is no version to negotiate.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from glasslipper.kernel import errors
from glasslipper.kernel.errors import GlasslipperError, UpstreamFailed
from glasslipper.local.engine import Options, Piece, Tally

_LENGTH = struct.Struct(">I")


class Fault(Struct, frozen=True, kw_only=True):
    """An error on its way to the other process."""

    kind: str
    message: str
    hint: str
    param: str | None = None

    @classmethod
    def of(cls, error: GlasslipperError) -> Fault:
        """Pack an error."""
        kind = type(error).__name__
        return cls(kind=kind, message=error.message, hint=error.hint, param=error.param)

    def error(self) -> GlasslipperError:
        """Unpack it."""
        kind: type[GlasslipperError] = getattr(errors, self.kind, UpstreamFailed)
        return kind(self.message, hint=self.hint, param=self.param)


class Open(Struct, frozen=True, kw_only=True, tag=True):
    """Load a model; answered by `Opened`."""

    options: Options


class Generate(Struct, frozen=True, kw_only=True, tag=True):
    """Start the run of that number; answered by any number of `Said` and one `Ended`."""

    run: int
    prompt: list[dict[str, object]]
    sampling: dict[str, object]


class Cancel(Struct, frozen=True, kw_only=True, tag=True):
    """Stop the run; its `Ended` still comes."""

    run: int


class Count(Struct, frozen=True, kw_only=True, tag=True):
    """Count the prompt's tokens; answered by `Counted`."""

    run: int
    prompt: list[dict[str, object]]


class Opened(Struct, frozen=True, kw_only=True, tag=True):
    """The model is loaded, or could not be."""

    fault: Fault | None = None


class Said(Struct, frozen=True, kw_only=True, tag=True):
    """A piece of a run's answer."""

    run: int
    piece: Piece


class Ended(Struct, frozen=True, kw_only=True, tag=True):
    """A run is over."""

    run: int
    tally: Tally
    fault: Fault | None = None


class Counted(Struct, frozen=True, kw_only=True, tag=True):
    """How many tokens a prompt has."""

    run: int
    tokens: int
    fault: Fault | None = None


Order = Open | Generate | Cancel | Count
"""What the gateway says."""

Report = Opened | Said | Ended | Counted
"""What the engine process says."""

_ORDERS = msgspec.msgpack.Decoder(Order)
_REPORTS = msgspec.msgpack.Decoder(Report)


class Line:
    """One end of the socket pair; any thread may send, one receives."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()
        self._encoder = msgspec.msgpack.Encoder()

    def send(self, frame: Order | Report) -> None:
        """Send a frame.

        Raises:
            OSError: The other end is gone.
        """
        with self._lock:
            body = self._encoder.encode(frame)
            self._end.sendall(_LENGTH.pack(len(body)) + body)

    def order(self) -> Order | None:
        """Return the gateway's next frame, or `None` when it is gone."""
        body = self._receive()
        return None if body is None else _ORDERS.decode(body)

    def report(self) -> Report | None:
        """Return the engine's next frame, or `None` when it is gone."""
        body = self._receive()
        return None if body is None else _REPORTS.decode(body)

    def hang_up(self) -> None:
        """Tell both ends that no more will come."""
        try:
            self._end.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        """Give the socket back."""
        self._end.close()

    def _receive(self) -> bytes | None:
        head = self._exactly(_LENGTH.size)
        return None if head is None else self._exactly(_LENGTH.unpack(head)[0])

    def _exactly(self, size_bytes: int) -> bytes | None:
        gathered = bytearray()
        while len(gathered) < size_bytes:
            try:
                more = self._end.recv(size_bytes - len(gathered))
            except OSError:
                return None
            if not more:
                return None
            gathered += more
        return bytes(gathered)


def plain(prompt: object) -> list[dict[str, object]]:
    """Return a prompt as the frames carry it."""
    return msgspec.convert(prompt, list[dict[str, object]])


def plain_choices(sampling: Mapping[str, object]) -> dict[str, object]:
    """Return a sampling as the frames carry it."""
    return dict(sampling)
