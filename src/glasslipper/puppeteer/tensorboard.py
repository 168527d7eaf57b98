"""Figures of a training as an event file that TensorBoard shows. Knows the format, no training.

A file is a row of records (length, checksum of the length, bytes, checksum of the bytes; checksums
are CRC-32C, masked), each an `Event` in protocol buffers: the wall time, the step, and a summary
of one value with its tag. Written here, because all that TensorBoard's own writers would add is
their dependencies.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path

_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_WORD = 0xFFFFFFFF
_VERSION = b"brain.Event:2"


def _table() -> list[int]:
    table: list[int] = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_CRCS = _table()


class Events:
    """An event file of its own in a folder, which TensorBoard is shown."""

    def __init__(self, folder: Path) -> None:
        """Begin one.

        Raises:
            OSError: The folder cannot be written to.
        """
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        places = (folder / f"{name}.{number}" for number in range(1000))
        path = next(place for place in places if not place.exists())
        self._file = path.open("xb")
        self._put(event(time.time(), version=_VERSION))

    def add(self, tag: str, step: int, value: float) -> None:
        """Write one figure; it can be seen at once."""
        self._put(event(time.time(), step=step, tag=tag, value=value))

    def close(self) -> None:
        """End the file."""
        self._file.close()

    def _put(self, told: bytes) -> None:
        self._file.write(record(told))
        self._file.flush()


def event(
    wall_s: float, *, step: int = 0, version: bytes = b"", tag: str = "", value: float = 0.0
) -> bytes:
    """Return an `Event`: a file's version, or one value of a tag at a step."""
    told = b"\x09" + struct.pack("<d", wall_s)
    if version:
        return told + _field(3, version)
    summary = _field(1, _field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
    return told + b"\x10" + _varint(step) + _field(5, summary)


def record(told: bytes) -> bytes:
    """Return bytes as a record of the file."""
    length = struct.pack("<Q", len(told))
    return length + _checksum(length) + told + _checksum(told)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _checksum(told: bytes) -> bytes:
    crc = _WORD
    for byte in told:
        crc = _CRCS[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= _WORD
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & _WORD)
