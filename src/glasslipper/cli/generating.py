"""Makes the ledger of a generated year: block by block, in several processes if wanted.

A generation that was stopped goes on where it was when the same is asked for again: what each
block adds up to is kept in `report/generated` until the year is whole.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import msgspec
import numpy as np

from glasslipper.kernel.money import Price
from glasslipper.kernel.record import PriceRow
from glasslipper.ledger import tables
from glasslipper.ledger.read.accounts import STATE_FILE
from glasslipper.ledger.write import prices
from glasslipper.ledger.write.bulk import Bulk
from glasslipper.store.database import Database
from glasslipper.store.migrate import migrate
from glasslipper.testing.year import Block, Truth, Wish, Year

Watch = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and how much there is."""

PARTS = Path("report") / "generated"
_WISH = PARTS / "wish.json"
_TRUTH = Path("truth.json")


def generate(folder: Path, wish: Wish, *, watch: Watch | None = None, processes: int = 1) -> Truth:
    """Write a generated year's ledger and its truth into a folder, or what lacks of it.

    Raises:
        FileExistsError: The folder holds another year, or a part of one.
    """
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    _claim(folder, msgspec.json.encode(wish))
    if (folder / _TRUTH).exists():
        return msgspec.json.decode((folder / _TRUTH).read_bytes(), type=Truth)
    year = Year(wish)
    blocks = year.blocks()
    left = [block for block in blocks if not _part(folder, block).exists()]
    done = len(blocks) - len(left)
    for _ in _written(folder, year, left, processes):
        done += 1
        if watch is not None:
            watch("Generating a year", wish.rows * done // len(blocks), wish.rows)
    for block in blocks:
        with np.load(_part(folder, block)) as kept:
            year.count(kept)
    truth = year.truth()
    _keep_prices(folder, year)
    year.write_files(folder, truth)
    (folder / "models.json").replace(folder / "report" / "models.json")
    for block in blocks:
        _part(folder, block).unlink()
    return truth


def _claim(folder: Path, mine: bytes) -> None:
    """Make sure that the folder holds nothing of another year."""
    path = folder / _WISH
    if path.exists() and path.read_bytes() != mine:
        raise FileExistsError(f"{folder} holds another generated year, or a part of one.")
    path.write_bytes(mine)


def _written(folder: Path, year: Year, blocks: list[Block], processes: int) -> Iterator[None]:
    """Write blocks, and yield whenever one of them is there."""
    if processes == 1 or len(blocks) < 2:
        with Bulk(folder) as writer:
            year.prepare(writer)
            for block in blocks:
                _write(folder, year, writer, block)
                yield
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, _begin, (folder, year.wish)) as pool:
        for one in as_completed([pool.submit(_write_here, block) for block in blocks]):
            one.result()
            yield


_here: list[tuple[Path, Year, Bulk]] = []
"""What a process of the pool works with."""


def _begin(folder: Path, wish: Wish) -> None:
    year, writer = Year(wish), Bulk(folder, threads=1)
    year.prepare(writer)
    _here.append((folder, year, writer))


def _write_here(block: Block) -> None:
    _write(*_here[0], block)


def _write(folder: Path, year: Year, writer: Bulk, block: Block) -> None:
    """Write a block, then what it adds up to: that file says that the block is there."""
    sums = year.write_block(writer, block).arrays()
    path = _part(folder, block)
    with path.with_suffix(".tmp").open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **sums)
    path.with_suffix(".tmp").replace(path)


def _part(folder: Path, block: Block) -> Path:
    return folder / PARTS / f"{block.name}.npz"


def _keep_prices(folder: Path, year: Year) -> None:
    """Remember the price rows that the generations name."""
    state = Database(folder / STATE_FILE)
    try:
        migrate(state, tables.STATE)
        for offer in year.prices():
            price = Price(input=offer.price[0], cache_read=offer.price[1], output=offer.price[2])
            row = PriceRow(id=offer.price_id, price=price, source="generated", as_of="2026-11-01")
            prices.remember(state, offer.endpoint, row, 0)
    finally:
        state.close()
