"""Server-sent events, cut into frames as the bytes come in.

Follows the WHATWG rules for an event stream, for the two fields that the APIs of language models
use: `event` and `data`. Comments, `id` and `retry` are passed over. Works on bytes, so that a
character cut in two is nobody's concern here, and keeps what invalid UTF-8 there is.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from msgspec import Struct

from glasslipper.kernel.errors import StreamBroken

FRAME_MAX_BYTES = 1024 * 1024
"""The longest frame that is accepted: its lines, with their names and ends."""

_BOM = b"\xef\xbb\xbf"


class Frame(Struct, frozen=True, gc=False):
    """One event: its type, empty if none was given, and its data lines joined by line feeds."""

    event: bytes
    data: bytes


class Splitter:
    r"""Turns one stream into frames, however it is cut.

    >>> splitter = Splitter()
    >>> splitter.feed(b"data: [DO")
    []
    >>> splitter.feed(b"NE]\n\n")
    [Frame(event=b'', data=b'[DONE]')]
    """

    __slots__ = ("_data", "_event", "_frame_bytes", "_held", "_is_new", "_line", "_skips_lf")

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        self._is_new = True
        self._held = b""  # of a byte order mark that may be cut
        self._line = bytearray()  # an unfinished line
        self._skips_lf = False  # the last byte was a CR that ended a line
        self._event = b""
        self._data: list[bytes] = []
        self._frame_bytes = 0  # of the finished lines of the current frame

    @property
    def at_boundary(self) -> bool:
        """Whether nothing but comments came since the last frame ended."""
        return (
            not self._frame_bytes
            and not self._held
            and (not self._line or self._line.startswith(b":"))
        )

    def feed(self, data: bytes) -> list[Frame]:
        """Take in the next bytes of the stream and return the frames that they complete.

        Raises:
            StreamBroken: A frame is longer than `FRAME_MAX_BYTES`.
        """
        if self._is_new:
            data = self._without_bom(data)
        if not data:
            return []
        if not (self._frame_bytes or self._line or self._skips_lf):
            frames = _plain_frames(data)
            if frames is not None:
                return frames
        return self._by_line(data)

    def _without_bom(self, data: bytes) -> bytes:
        data = self._held + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._held = data
            return b""
        self._is_new = False
        self._held = b""
        return data.removeprefix(_BOM)

    def _by_line(self, data: bytes) -> list[Frame]:
        if self._skips_lf:
            data = data.removeprefix(b"\n")
        frames: list[Frame] = []
        for piece in data.splitlines(keepends=True):
            line = piece.rstrip(b"\r\n")
            whole = len(line) < len(piece)
            if self._line or not whole:
                self._line += line
                self._check_length()
                if not whole:
                    break
                line = bytes(self._line)
                self._line.clear()
            if line:
                self._take(line)
            else:
                self._finish(frames)
        self._skips_lf = data.endswith(b"\r")
        return frames

    def _take(self, line: bytes) -> None:
        name, _colon, value = line.partition(b":")
        if not name:
            return
        self._frame_bytes += len(line) + 1
        self._check_length()
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif name == b"event":
            self._event = value.removeprefix(b" ")

    def _finish(self, frames: list[Frame]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            frames.append(Frame(self._event, data))
            self._data.clear()
        self._event = b""
        self._frame_bytes = 0

    def _check_length(self) -> None:
        if self._frame_bytes + len(self._line) > FRAME_MAX_BYTES:
            raise StreamBroken(f"an event is longer than {FRAME_MAX_BYTES} bytes")


def _plain_frames(data: bytes) -> list[Frame] | None:
    """Return the frames of `data` if it is nothing but whole `data: …` frames, else `None`."""
    if not data.startswith(b"data: ") or not data.endswith(b"\n\n") or b"\r" in data:
        return None
    if len(data) > FRAME_MAX_BYTES:
        return None
    parts = data[6:-2].split(b"\n\ndata: ")
    if data.count(b"\n") != 2 * len(parts):
        return None
    return [Frame(b"", part) for part in parts]
