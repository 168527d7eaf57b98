"""CommonGen-Hard (Madaan et al., arXiv 2303.17651), made short: five words of each set.

The whole sets have about thirty words, whose sentences take a small model half a minute.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct

from glasslipper.kernel.errors import SetupMissing
from glasslipper.puppeteer.exam.task import Split, Task

FILE = "tasks/commongen_hard.jsonl"
WORDS = 5


class _Row(Struct):
    concepts: list[str]


@lru_cache(maxsize=2)
def _rows(path: Path) -> list[_Row]:
    if not path.is_file():
        raise SetupMissing(
            f"CommonGen-Hard is not at {path}.",
            hint="Set GLASSLIPPER_DATA to the folder of the data.",
        )
    return [msgspec.json.decode(line, type=_Row) for line in path.read_bytes().splitlines()]


def draw(data: Path, split: Split, number: int) -> Task:
    """Return one of the sets, as a wish for a sentence.

    Raises:
        SetupMissing: The file is not there.
    """
    rows = _rows(data / FILE)
    index = (2 * number + (split == "test")) % len(rows)
    words = rows[index].concepts[:WORDS]
    return Task(
        id=f"sentence-{index}",
        kind="sentence",
        form="words",
        text=f"Write one short sentence that uses all of these words: {', '.join(words)}.",
        gold=" ".join(words),
    )
