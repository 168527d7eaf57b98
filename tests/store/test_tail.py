"""What is copied through memory is in the file at once, byte for byte as calls would write it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.store.tail import Tail, keeps_room

ROOM = 8_192


@settings(max_examples=40, deadline=None)
@given(
    lines=st.lists(st.binary(min_size=1, max_size=6_000).filter(lambda b: b"\n" not in b)),
    start=st.integers(0, 9_000),
)
def test_both_ways_leave_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], start: int
) -> None:
    folder: Path = tmp_path_factory.mktemp("tail")
    found = [_written(folder / name, lines, start, mapped=name == "mapped") for name in _NAMES]
    assert found[0] == found[1] == bytes(start) + b"".join(line + b"\n" for line in lines)


def test_a_line_is_read_by_others_as_soon_as_it_is_written(tmp_path: Path) -> None:
    file = _opened(tmp_path / "one")
    tail = Tail(file, mapped=True)
    tail.make_room(0, ROOM)
    tail.write(b"first", 0)
    with (tmp_path / "one").open("rb") as other:
        assert other.read(7) == b"first\n\0"
    tail.close()
    os.close(file)


def test_a_line_beyond_the_room_is_written_by_a_call(tmp_path: Path) -> None:
    file = _opened(tmp_path / "one")
    tail = Tail(file, mapped=True)
    tail.make_room(0, ROOM)
    assert tail.write(b"x" * ROOM, 0) == ROOM + 1
    assert (tmp_path / "one").read_bytes() == b"x" * ROOM + b"\n"
    tail.close()
    os.close(file)


def test_an_unknown_file_system_is_not_trusted_to_keep_its_room() -> None:
    reading, writing = os.pipe()
    assert not keeps_room(reading)
    os.close(reading)
    os.close(writing)


_NAMES = ("mapped", "called")


def _opened(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(file, 0, ROOM)
    return file


def _written(path: Path, lines: list[bytes], start: int, *, mapped: bool) -> bytes:
    """Write lines from an offset on, making room as a journal does; return the file."""
    file = _opened(path)
    tail, at, end = Tail(file, mapped=mapped), start, 0
    for line in lines:
        if at + len(line) + 1 > end:
            end = at + len(line) + 1 + ROOM
            os.posix_fallocate(file, 0, end)
            tail.make_room(at, end)
        at = tail.write(line, at)
    tail.close()
    os.ftruncate(file, at)
    os.close(file)
    return path.read_bytes()
