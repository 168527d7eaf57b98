"""The journal, the cells and their promises."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.kernel.errors import StoreBusy, StoreFailed
from glasslipper.store import journal
from glasslipper.store.cells import Cells
from glasslipper.store.database import Durability
from glasslipper.store.journal import Journal

LINE = st.binary(min_size=1, max_size=200).map(
    lambda data: data.replace(b"\n", b"n").replace(b"\0", b"z")
)


def all_lines(folder: Path, start: int = 0) -> list[bytes]:
    return [line for block in journal.read(folder, start) for line in block.lines]


def write(opened: Journal, line: bytes) -> int:
    opened.reserve(len(line) + 1)
    position = opened.append(line)
    opened.unreserve(len(line) + 1)
    return position


@settings(max_examples=30, deadline=None)
@given(batches=st.lists(st.lists(LINE, max_size=6), min_size=1, max_size=4))
def test_lines_read_back_in_order_across_reopening(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    for batch in batches:
        opened = Journal(folder)
        for line in batch:
            write(opened, line)
        opened.close()
    assert all_lines(folder) == [line for batch in batches for line in batch]


def test_reading_goes_on_from_any_position_that_was_reached(tmp_path: Path) -> None:
    opened = Journal(tmp_path)
    positions = [write(opened, b"%d" % number) for number in range(100)]
    for number, position in enumerate(positions):
        assert all_lines(tmp_path, position) == [b"%d" % n for n in range(number + 1, 100)]
    opened.close()


def test_positions_go_on_counting_from_file_to_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FILE_BYTES", 1000)
    opened = Journal(tmp_path)
    written = [b"line %04d" % number for number in range(500)]
    positions = [write(opened, line) for line in written]
    opened.close()
    assert len(list(tmp_path.glob("*.ndjson"))) > 3
    assert all_lines(tmp_path) == written
    assert all_lines(tmp_path, positions[249]) == written[250:]
    journal.drop_before(tmp_path, positions[249])
    assert all_lines(tmp_path, positions[249]) == written[250:]
    with pytest.raises(StoreFailed, match="deleted"):
        all_lines(tmp_path, 0)
    reopened = Journal(tmp_path)
    assert reopened.end == positions[-1]
    reopened.close()


@pytest.mark.parametrize("torn", [b"half a li", b"half" + bytes(5000), bytes(8192)])
def test_a_torn_line_at_the_end_is_dropped_and_writing_goes_on(tmp_path: Path, torn: bytes) -> None:
    opened = Journal(tmp_path)
    write(opened, b"whole")
    opened.close()
    (file,) = tmp_path.glob("*.ndjson")
    with file.open("ab") as end:
        end.write(torn)
    assert all_lines(tmp_path) == [b"whole"]
    opened = Journal(tmp_path)
    write(opened, b"next")
    opened.close()
    assert all_lines(tmp_path) == [b"whole", b"next"]


def test_only_one_process_owns_a_journal(tmp_path: Path) -> None:
    opened = Journal(tmp_path)
    assert not journal.is_free(tmp_path)
    with pytest.raises(StoreBusy):
        Journal(tmp_path)
    opened.close()
    assert journal.is_free(tmp_path)


@pytest.mark.parametrize("durability", ["process", "power"])
def test_everything_appended_survives_a_kill(tmp_path: Path, durability: str) -> None:
    script = """
        import sys
        from pathlib import Path
        from glasslipper.store.cells import Cells
        from glasslipper.store.journal import Journal
        folder = Path(sys.argv[1])
        opened, cells = Journal(folder, durability=sys.argv[2]), Cells(folder / "cells")
        cell = cells.take()
        for number in range(10_000_000):
            opened.reserve(10)
            opened.append(b"%d" % number)
            opened.unreserve(10)
            cells.values[cell] = number
            if number % 1000 == 0:
                sys.stdout.write(f"{number} {cell}\\n")
                sys.stdout.flush()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), durability],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as child:
        assert child.stdout is not None
        told = [child.stdout.readline().split() for _ in range(8)]
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
    number, cell = int(told[-1][0]), int(told[-1][1])
    found = all_lines(tmp_path)
    assert found == [b"%d" % n for n in range(len(found))]
    assert len(found) > number
    cells = Cells(tmp_path / "cells")
    assert number <= cells.values[cell] <= len(found)
    cells.close()


def test_power_durability_waits_for_the_sync_and_many_share_one(tmp_path: Path) -> None:
    opened = Journal(tmp_path, durability="power")

    async def one(number: int) -> None:
        await opened.durable(write(opened, b"%d" % number))

    async def many() -> None:
        async with asyncio.timeout(20):
            await asyncio.gather(*[one(number) for number in range(500)])

    asyncio.run(many())
    opened.close()
    assert len(all_lines(tmp_path)) == 500


@pytest.mark.parametrize("durability", ["process", "power"])
def test_what_waits_for_a_sync_is_called_in_order_even_if_another_fails(
    tmp_path: Path, durability: Durability, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Journal(tmp_path, durability=durability)
    called: list[int] = []
    synced = [0]
    fdatasync = os.fdatasync

    def watched(file: int) -> None:
        end = opened.end
        fdatasync(file)
        synced.append(end)

    monkeypatch.setattr(os, "fdatasync", watched)

    def then(number: int, failure: StoreFailed | None) -> None:
        assert failure is None
        if durability == "power":
            assert synced[-1] >= ends[number]
        called.append(number)
        if number % 7 == 3 and durability == "power":
            raise ValueError(number)

    async def many() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        for number in range(200):
            ends.append(write(opened, b"%d" % number))
            opened.once_durable(partial(then, number))
        async with asyncio.timeout(20):
            while len(called) < 200:
                await asyncio.sleep(0.001)

    ends: list[int] = []
    asyncio.run(many())
    opened.close()
    assert called == list(range(200))


def test_a_cell_starts_at_zero_and_two_never_share_one(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells", count=4)
    taken = [cells.take() for _ in range(5)]
    assert sorted(cell for cell in taken if cell is not None) == [0, 1, 2, 3]
    assert taken[-1] is None
    cells.values[2] = 7
    cells.give(2)
    assert cells.take() == 2
    assert cells.values[2] == 0
    cells.close()
