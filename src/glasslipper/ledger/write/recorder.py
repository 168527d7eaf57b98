"""Records exchanges in this process's journal: the intent before, the generation after.

The journal promises that what is acknowledged is there (see `store.journal` for how, at both
durabilities). An intent reserves room for its generation, so that a disk that fills up refuses
new exchanges and loses none that has begun. Implements `kernel.ports.Recorder`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from glasslipper.kernel.errors import StoreFailed
from glasslipper.kernel.record import Generation, Intent, LateFact
from glasslipper.ledger import lines
from glasslipper.ledger.write.fresh import Begins, Ends, Fresh
from glasslipper.ledger.write.purse import NO_HOLD, BudgetHold
from glasslipper.store.cells import Cells
from glasslipper.store.journal import Journal

ROOM_BYTES = 8_192
"""Room kept for what a generation says beyond its intent."""


class Charged(Ends, Protocol):
    """What counters and budgets want to know of a generation; a generation is one."""

    @property
    def accounts(self) -> tuple[str, ...]:
        """Whom it is counted for."""
        ...

    @property
    def charged_nanousd(self) -> int:
        """What budgets pay."""
        ...

    @property
    def billed_nanousd(self) -> int:
        """What the provider asks for."""
        ...

    @property
    def is_byok(self) -> bool:
        """Whether the provider's key is the caller's own."""
        ...


Noted = Callable[[int, Charged | None, BudgetHold], None]
"""Told of a line: the position after it, what it charges, and the hold that it settles."""


class Recorder:
    """The writing end of one journal. Its methods run in one event loop."""

    def __init__(self, journal: Journal, cells: Cells, *, fresh: Fresh, noted: Noted) -> None:
        """Record into `journal`; tell `noted` of each generation, and `None` of other facts.

        Every line appended is also given to `fresh`.
        """
        self._journal = journal
        self._cells = cells
        self._fresh = fresh
        self._noted = noted
        self._open: dict[str, tuple[int, BudgetHold]] = {}  # the room reserved, and the hold
        self.once_durable = journal.once_durable
        """Have something called once all that was written is as durable as promised."""
        self.is_instant = journal.is_instant
        """Whether a line is as durable as promised once it is written: nobody has to wait."""
        self.relayed = cells.values
        """Bytes relayed to the client, by cell."""
        self.give_cell = cells.give
        """Take a cell back that no intent names, or whose exchange is settled."""

    @property
    def open_exchanges(self) -> int:
        """How many exchanges have an intent and no generation yet."""
        return len(self._open)

    def is_open(self, generation_id: str) -> bool:
        """Tell whether an exchange has an intent and no generation yet."""
        return generation_id in self._open

    def take_cell(self) -> int:
        """Return a cell, set to zero, in which to count what an exchange relays.

        Raises:
            StoreFailed: More exchanges are running than there are cells.
        """
        cell = self._cells.take()
        if cell is None:
            raise StoreFailed("Too many exchanges are running at once.", hint="Try again shortly.")
        return cell

    async def durable(self, position: int) -> None:
        """Return once what was written before `position` is as durable as promised.

        Raises:
            StoreFailed: The journal cannot be synced.
        """
        await self._journal.durable(position)

    async def intend(self, intent: Intent, *, hold: BudgetHold = NO_HOLD) -> None:
        """Write down that an upstream is about to be called, under a hold.

        Raises:
            DiskFull: There is no room for the exchange; nothing is written.
            StoreFailed: The journal cannot be written; the upstream must not be called.
        """
        await self._journal.durable(self.write_intent(intent, hold))

    def write_intent(self, intent: Intent, hold: BudgetHold) -> int:
        """Do the same without waiting; return the position to wait for.

        Raises:
            DiskFull: There is no room for the exchange; nothing is written.
            StoreFailed: The journal cannot be written; the upstream must not be called.
        """
        return self.write_intent_line(intent, lines.encode(intent), hold)

    def write_intent_line(self, intent: Begins, line: bytes, hold: BudgetHold) -> int:
        """Do the same with the line of an intent and what it begins.

        Raises:
            DiskFull: There is no room for the exchange; nothing is written.
            StoreFailed: The journal cannot be written; the upstream must not be called.
        """
        generation_id = intent.generation_id
        known = self._open.get(generation_id)
        room = len(line) + 1 if known else 3 * len(line) + ROOM_BYTES
        self._journal.reserve(room)
        try:
            position = self._journal.append(line)
        except StoreFailed:
            self._journal.unreserve(room)
            raise
        self._fresh.add((position, line, intent))
        if known is not None:
            room, hold = room + known[0], known[1]
        self._open[generation_id] = (room, hold)
        return position

    async def settle(self, generation: Generation) -> None:
        """Write down how an exchange ended; a second time with the same id changes nothing.

        Raises:
            StoreFailed: The journal cannot be written. The exchange stays open, so that settling
                can be tried again; a restart closes it otherwise.
        """
        position = self.write_generation(generation)
        if position is not None:
            await self._journal.durable(position)

    def write_generation(self, generation: Generation) -> int | None:
        """Do the same without waiting; return the position to wait for, if anything was written.

        Raises:
            StoreFailed: The journal cannot be written; the exchange stays open.
        """
        return self.write_generation_line(generation, lines.encode(generation))

    def write_generation_line(self, charged: Charged, line: bytes) -> int | None:
        """Do the same with the line of a generation and what it charges.

        Raises:
            StoreFailed: The journal cannot be written; the exchange stays open.
        """
        generation_id = charged.id
        known = self._open.get(generation_id)
        if known is None:
            return None
        position = self._journal.append(line)
        self._fresh.add((position, line, charged))
        del self._open[generation_id]
        room, hold = known
        self._journal.unreserve(room)
        self._noted(position, charged, hold)
        return position

    async def note(self, fact: LateFact) -> None:
        """Write down something learned later.

        Raises:
            DiskFull: There is no room; nothing is written.
        """
        line = lines.encode(fact)
        self._journal.reserve(len(line) + 1)
        try:
            position = self._journal.append(line)
        finally:
            self._journal.unreserve(len(line) + 1)
        self._fresh.add((position, line, None))
        self._noted(position, None, NO_HOLD)
        await self._journal.durable(position)
