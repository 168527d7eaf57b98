"""GSM-Hard (Gao et al., arXiv 2211.10435): school sums with numbers too large for the head.

Read from `tasks/gsm_hard_v2.jsonl.gz` in the data folder; every second one is for training.
"""

from __future__ import annotations

import gzip
import random
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct

from glasslipper.kernel.errors import SetupMissing
from glasslipper.puppeteer.exam.task import Split, Task

FILE = "tasks/gsm_hard_v2.jsonl.gz"
LONGEST_CHARACTERS = 200
"""Longer stories are left out: small models on one core are to answer hundreds of them."""


class _Row(Struct):
    input: str
    target: float


@lru_cache(maxsize=2)
def _rows(path: Path) -> list[tuple[int, _Row]]:
    if not path.is_file():
        raise SetupMissing(
            f"GSM-Hard is not at {path}.", hint="Set GLASSLIPPER_DATA to the folder of the data."
        )
    with gzip.open(path) as file:
        rows = list(enumerate(msgspec.json.decode(line, type=_Row) for line in file))
    rows = [(index, row) for index, row in rows if len(row.input) <= LONGEST_CHARACTERS]
    random.Random(20250525).shuffle(rows)  # noqa: S311 - tasks, not secrets
    return rows


def draw(data: Path, split: Split, number: int) -> Task:
    """Return one of the stories.

    Raises:
        SetupMissing: The file is not there.
    """
    rows = _rows(data / FILE)
    index, row = rows[(2 * number + (split == "test")) % len(rows)]
    return Task(
        id=f"gsm_hard-{index}",
        kind="gsm_hard",
        form="number",
        text=row.input.strip(),
        gold=repr(row.target),
    )
