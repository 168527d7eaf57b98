"""Seals on a disk that is full, then on one that has room; test_full_disk runs it on a tmpfs."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

from recording import make_key, plain, record

from glasslipper.kernel.errors import DiskFull
from glasslipper.ledger.read import LedgerHistory
from glasslipper.ledger.read.verify import verify
from glasslipper.ledger.write import Ledger, seal


def main(home: Path) -> None:
    said: dict[str, object] = {}
    with Ledger(home) as ledger:
        account = make_key(ledger)
        record(ledger, *(plain(account) for _ in range(500)))
        filler = home / "filler"
        failures = 0
        for left_bytes in (0, 20_000, 100_000, 300_000):  # it fails here and there, half-way too
            fill(filler, left_bytes)
            try:
                seal.seal(home, seal.NOW)
            except DiskFull:
                failures += 1
        said["failures"] = failures
        said["leftovers"] = [path.name for path in home.glob("lake/.staging/*")]
        filler.unlink()
        record(ledger, plain(account))
        made = seal.seal(home, seal.NOW)
        said["sealed"] = sum(one.manifest.files["generations"].rows for one in made)
        history = LedgerHistory(home)
        said["calls"] = sum(row.generations for row in history.spend("model"))
        history.close()
    verdict = verify(home)
    said |= {"holds": verdict.holds, "generations": verdict.generations}
    print(json.dumps(said))


def fill(filler: Path, left_bytes: int) -> None:
    filler.unlink(missing_ok=True)
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - left_bytes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
