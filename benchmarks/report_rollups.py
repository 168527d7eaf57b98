"""Makes every segment's rollups of a ledger anew, as sealing does, for the time that it takes.

`make bench-report` runs it as a process of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from glasslipper.ledger.lake import segments
from glasslipper.ledger.write.segment import write_rollups
from glasslipper.store.duck import Duck

THREADS = 2


def main(home: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch, Duck(threads=THREADS) as duck:
        for segment in segments.found_in(home):
            write_rollups(duck, segment.folder, segment.manifest.files, into=Path(scratch))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
