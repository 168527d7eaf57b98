"""The lines that this process has just appended, so that copying them need not read them again.

The loop adds, the keeper's thread takes. It is a short cut and nothing more: what is not here,
because there was too much of it or because copying failed, is read from the journal's files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

MOST_LINES = 40_000


class Ends(Protocol):
    """What of a generation has a column of its own; a `Generation` has it."""

    @property
    def id(self) -> str:
        """Which exchange it ends."""
        ...

    @property
    def key_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def created_ms(self) -> int:
        """When it began, in Unix ms."""
        ...


class Begins(Protocol):
    """What tells which exchange an intent begins; an `Intent` does."""

    @property
    def generation_id(self) -> str:
        """Which exchange it is about."""
        ...

    @property
    def number(self) -> int:
        """Which attempt of it."""
        ...


FreshLine = tuple[int, bytes, Ends | Begins | None]
"""The journal position after a line, the line without its newline, and whom it is about."""


class Fresh:
    """Lines in the order in which they were appended."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._lines: deque[FreshLine] = deque(maxlen=MOST_LINES)
        self.add: Callable[[FreshLine], None] = self._lines.append
        """Take in a line that has been appended; of too many the first are forgotten."""

    def take(self, position: int, until: int) -> list[FreshLine]:
        """Remove and return the lines from `position` on, without a gap, `until` a position.

        Empty where the line that begins at `position` is not here.
        """
        lines = self._lines
        taken: list[FreshLine] = []
        try:
            while True:
                one = lines.popleft()
                end, line, _ = one
                if end <= position:
                    continue
                if end > until or end - len(line) - 1 != position:
                    break
                position = end
                taken.append(one)
        except IndexError:  # the last one is taken
            return taken
        lines.appendleft(one)
        return taken
