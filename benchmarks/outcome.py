"""How a bench speaks: progress on standard error, and one JSON line at the end of the output.

Knows nothing of what is measured.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence

_EVERY_S = 5.0
_BAR_CELLS = 24


class Progress:
    """Says how far a long run is: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, label: str, total: int) -> None:
        """Count `total` steps of what `label` names."""
        self._label = label
        self._total = max(total, 1)
        self._done = 0
        self._said_s = 0.0
        self._began_s = time.monotonic()

    def step(self, note: str = "") -> None:
        """Count one more step, and maybe say so; `note` is what is worth knowing about it."""
        self._done += 1
        now_s = time.monotonic()
        is_last = self._done >= self._total
        if sys.stderr.isatty():
            cells = _BAR_CELLS * self._done // self._total
            bar = "█" * cells + "░" * (_BAR_CELLS - cells)
            end = "\n" if is_last else ""
            sys.stderr.write(f"\r{self._label} {bar} {self._done}/{self._total} {note}\x1b[K{end}")
        elif is_last or now_s - self._said_s >= _EVERY_S:
            self._said_s = now_s
            spent_s = now_s - self._began_s
            sys.stderr.write(f"{self._label} {self._done}/{self._total} ({spent_s:.0f} s) {note}\n")
        sys.stderr.flush()


def mention(text: str) -> None:
    """Say something beside the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Show a table for people, before the JSON line."""
    lines = [list(headings), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells in lines:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        mention("  ".join(padded).rstrip())


def conclude(figures: dict[str, object]) -> None:
    """Print the figures as the last line of the output."""
    sys.stdout.write(json.dumps(figures, ensure_ascii=False) + "\n")
    sys.stdout.flush()
