"""Plays a planned answer on a connection, in its time.

Times are kept from the start of the answer, so that a late frame does not delay the next ones.
Does not close connections: it says when it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from glasslipper.testing.answers import STAMP, Plan, stamp
from glasslipper.testing.script import Script


class Play:
    """One answer under way."""

    def __init__(
        self, number: int, script: Script, plan: Plan, *, transport: asyncio.Transport
    ) -> None:
        """Be ready to answer call `number`."""
        self.number = number
        self.plan = plan
        self.sent_frames = 0
        self._script = script
        self._stamp = stamp(number)
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None
        self._first_s = 0.0
        self._over: Callable[[Play], None] = _nobody

    def begin(self, over: Callable[[Play], None]) -> None:
        """Start; calls `over` once all that is planned has been written, maybe at once."""
        script, plan = self._script, self.plan
        if not (script.delay_ms or script.first_ms or script.gap_ms):
            self.sent_frames = len(plan.frames)
            self._write(plan.head, plan.first, *plan.frames, plan.last)
            over(self)
            return
        self._over = over
        loop = asyncio.get_running_loop()
        head_s = loop.time() + script.delay_ms / 1000
        self._first_s = head_s + script.first_ms / 1000
        self._timer = loop.call_at(head_s, self._begin_body)

    def stop(self) -> None:
        """Write no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin_body(self) -> None:
        self._write(self.plan.head, self.plan.first)
        self._timer = asyncio.get_running_loop().call_at(self._first_s, self._step)

    def _step(self) -> None:
        frames, gap_s = self.plan.frames, self._script.gap_ms / 1000
        until = min(self.sent_frames + 1, len(frames)) if gap_s else len(frames)
        due = frames[self.sent_frames : until]
        self.sent_frames = until
        if until < len(frames):
            self._write(*due)
            next_s = self._first_s + until * gap_s
            self._timer = asyncio.get_running_loop().call_at(next_s, self._step)
        else:
            self._write(*due, self.plan.last)
            self._over(self)

    def _write(self, *parts: bytes) -> None:
        data = b"".join(parts).replace(STAMP, self._stamp)
        if data:
            self._transport.write(data)


def _nobody(_play: Play) -> None:
    return
