"""Reads GGUF files: metadata, and tensors as float32 numpy arrays.

Knows the container (version 2 and 3) and the storage types F32, F16, BF16, Q8_0, Q4_0 and Q4_1,
as the ggml project's specification gives them. Does not know what the tensors are for. The file
may be hostile: lengths are checked against the file before anything is read.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from glasslipper.dsa.errors import ModelUnfit

Value = int | float | bool | str | list["Value"]
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

_SCALARS = dict(zip((*range(8), 10, 11, 12), "BbHhIif?Qqd", strict=True))
_STRING, _ARRAY = 8, 9
_BLOCK = 32


class Tensor(NamedTuple):
    """Where a tensor lies: its shape with the slowest axis first, its type and its offset."""

    shape: tuple[int, ...]
    kind: int
    offset: int


class GgufFile:
    """An open file: `metadata` by key, `tensors` by name."""

    def __init__(self, path: Path) -> None:
        """Read the head of the file at `path`.

        Raises:
            ModelUnfit: It is no GGUF file, or a damaged one.
        """
        self.path = path
        try:
            with path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise ModelUnfit(f"{path} cannot be read: {error}.") from error
        try:
            self.metadata, self.tensors, self._start = _read_head(self._bytes)
        except (struct.error, UnicodeDecodeError, ValueError, RecursionError) as error:
            raise ModelUnfit(
                f"{path} is not a sound GGUF file: {error}.",
                hint="Fetch the model again: glasslipper models pull local/smol",
            ) from error

    def array(self, name: str) -> Floats:
        """Return a tensor as float32.

        Raises:
            ModelUnfit: It is not there, is stored in a way we do not know, or is cut short.
        """
        tensor = self.tensors.get(name)
        if tensor is None:
            raise ModelUnfit(f"{self.path.name} has no tensor {name}.")
        storage = _STORED.get(tensor.kind)
        if storage is None:
            raise ModelUnfit(
                f"{name} is stored as ggml type {tensor.kind}, which is not supported.",
                hint="Take a file in F32, F16, BF16, Q8_0, Q4_0 or Q4_1, or the original folder.",
            )
        items, size, unpack = storage
        begin = self._start + tensor.offset
        length = math.prod(tensor.shape) // items * size
        if begin + length > len(self._bytes) or tensor.shape[-1] % items:
            raise ModelUnfit(f"{self.path.name} is cut short at {name}.")
        raw = np.frombuffer(self._bytes, np.uint8, length, begin).reshape(-1, size)
        return unpack(raw).reshape(tensor.shape)


def _read_head(data: mmap.mmap) -> tuple[Mapping[str, Value], Mapping[str, Tensor], int]:
    reader = _Reader(data)
    magic, version, tensor_count, entry_count = reader.take("4sIQQ")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError("its first bytes are not those of GGUF 2 or 3")
    metadata: dict[str, Value] = {}
    for _ in range(cast(int, entry_count)):
        key = reader.text()
        metadata[key] = reader.value(cast(int, reader.take("I")[0]))
    tensors: dict[str, Tensor] = {}
    for _ in range(cast(int, tensor_count)):
        name = reader.text()
        axes = cast(int, reader.take("I")[0])
        if axes > 8:
            raise ValueError("a tensor has too many axes")
        shape = cast("tuple[int, ...]", reader.take(f"{axes}Q"))
        kind, offset = reader.take("IQ")
        tensors[name] = Tensor(shape[::-1], cast(int, kind), cast(int, offset))
    unit = metadata.get("general.alignment", 32)
    unit = unit if isinstance(unit, int) and unit > 0 else 32
    return metadata, tensors, -(-reader.at // unit) * unit


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def take(self, layout: str) -> tuple[object, ...]:
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def text(self) -> str:
        length = cast(int, self.take("Q")[0])
        if self.at + length > len(self.data):
            raise ValueError("a text is longer than the file")
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def value(self, kind: int) -> Value:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            inner, count = cast("tuple[int, int]", self.take("IQ"))
            if count > len(self.data) - self.at:
                raise ValueError("a list is longer than the file")
            return [self.value(inner) for _ in range(count)]
        if kind not in _SCALARS:
            raise ValueError(f"there is no value type {kind}")
        return cast("int | float | bool", self.take(_SCALARS[kind])[0])


def _f32(raw: Bytes) -> Floats:
    return raw.view("<f4").astype(np.float32)


def _f16(raw: Bytes) -> Floats:
    return raw.view("<f2").astype(np.float32)


def _bf16(raw: Bytes) -> Floats:
    return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _half(raw: Bytes, at: int) -> Floats:
    return raw[:, at : at + 2].copy().view("<f2").astype(np.float32)


def _q8_0(raw: Bytes) -> Floats:
    return _half(raw, 0) * raw[:, 2:].view(np.int8).astype(np.float32)


def _nibbles(raw: Bytes) -> Floats:
    return np.concatenate([raw & 15, raw >> 4], axis=1).astype(np.float32)


def _q4_0(raw: Bytes) -> Floats:
    return _half(raw, 0) * (_nibbles(raw[:, 2:]) - 8)


def _q4_1(raw: Bytes) -> Floats:
    return _half(raw, 0) * _nibbles(raw[:, 4:]) + _half(raw, 2)


_STORED: Mapping[int, tuple[int, int, Callable[[Bytes], Floats]]] = {
    0: (1, 4, _f32),
    1: (1, 2, _f16),
    30: (1, 2, _bf16),
    8: (_BLOCK, 34, _q8_0),
    2: (_BLOCK, 18, _q4_0),
    3: (_BLOCK, 20, _q4_1),
}
"""By ggml type: items in a block, its bytes, and how it unpacks."""
