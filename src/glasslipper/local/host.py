"""Serves a blocking engine to asyncio: loads it once, a slot for each answer, a bounded queue.

A thread per answer takes tokens from the engine and passes them on. Closing or cancelling a
stream stops the engine's work wherever it is. The slot is free when the engine's work has
stopped, not when the answer has been read: a slow reader keeps at most one context of tokens
waiting for it, and keeps nobody else waiting. Knows nothing of requests and events.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import math
import threading
import time
from collections.abc import Callable

from glasslipper.kernel.errors import EngineBusy, GlasslipperError, UpstreamFailed
from glasslipper.local.engine import Choices, LocalEngine, Piece, Prompt, Run, Tally

_LEARNING = 0.3
_FIRST_GUESS_S = 5.0


class Host:
    """One engine and those who wait for it.

    It may be used from several event loops, one after another or at once.
    """

    def __init__(self, open_engine: Callable[[], LocalEngine], *, slots: int, queue: int) -> None:
        """Take the way to open the engine; it is opened at the first use.

        `slots` answers are worked on at once, and at most `queue` more may wait.
        """
        self._open_engine = open_engine
        self._engine: LocalEngine | None = None
        self._opening = threading.Lock()
        self._slots = slots
        self._queue = queue
        self._lock = threading.Lock()
        self._active = 0
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()
        self._mean_s = _FIRST_GUESS_S
        self._closed = False

    async def start(self, prompt: Prompt, sampling: Choices) -> Stream:
        """Wait for a slot and start an answer, which must be closed.

        Raises:
            EngineBusy: The queue is full.
            GlasslipperError: The engine cannot be opened.
        """
        await self._enter()
        began_s = time.monotonic()
        try:
            engine = await self.engine()
            run = engine.generate(prompt, sampling)
        except BaseException:
            self._pass_on()
            raise
        return Stream(run, ended=lambda: self._leave(time.monotonic() - began_s))

    async def engine(self) -> LocalEngine:
        """Return the engine, opening it if nobody has yet."""
        return self._engine or await asyncio.to_thread(self._open)

    async def close(self) -> None:
        """Close the engine; answers that run end with an error."""
        self._closed = True
        await asyncio.to_thread(self._shut)

    def _open(self) -> LocalEngine:
        with self._opening:
            if self._closed:
                raise UpstreamFailed("The engine has been closed.")
            if self._engine is None:
                self._engine = self._open_engine()
            return self._engine

    def _shut(self) -> None:
        with self._opening:
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.close()

    async def _enter(self) -> None:
        """Wait for a slot."""
        with self._lock:
            if self._active < self._slots:
                self._active += 1
                return
            if len(self._waiting) >= self._queue:
                raise self._busy()
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            with self._lock:
                was_waiting = turn in self._waiting
                if was_waiting:
                    self._waiting.remove(turn)
            if not was_waiting:
                self._pass_on()
            raise

    def _leave(self, took_s: float) -> None:
        self._mean_s += _LEARNING * (took_s - self._mean_s)
        self._pass_on()

    def _pass_on(self) -> None:
        """Give the slot to the next in the queue, or back."""
        with self._lock:
            while self._waiting:
                turn = self._waiting.popleft()
                with contextlib.suppress(RuntimeError):  # its event loop is gone, and it with it
                    turn.get_loop().call_soon_threadsafe(_wake, turn)
                    return
            self._active -= 1

    def _busy(self) -> EngineBusy:
        turns = (len(self._waiting) + 1) / self._slots
        return EngineBusy(
            f"{self._active} answers are being made and {len(self._waiting)} wait.",
            retry_after_s=max(1, math.ceil(self._mean_s * turns)),
        )


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


class Stream:
    """An answer on its way from the engine's thread to the event loop."""

    def __init__(self, run: Run, *, ended: Callable[[], None]) -> None:
        """Carry the pieces of a run; `ended` hears, in another thread, that its work is over."""
        self._run = run
        self._tell_ended = ended
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[Piece | None] = asyncio.Queue()
        self._error: GlasslipperError | None = None
        self._ended = asyncio.Event()
        threading.Thread(target=self._carry, name="glasslipper-relay", daemon=True).start()

    @property
    def tally(self) -> Tally:
        """What the answer took; final once it has ended or been closed."""
        return self._run.tally

    def __aiter__(self) -> Stream:
        """Return itself."""
        return self

    async def __anext__(self) -> Piece:
        """Return the next piece; raise what the engine raised."""
        piece = await self._pieces.get()
        if piece is not None:
            return piece
        self._pieces.put_nowait(None)
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop the work and wait until it has, however often the waiting is cancelled."""
        self._run.close()
        cancelled: asyncio.CancelledError | None = None
        while not self._ended.is_set():
            try:
                await self._ended.wait()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _carry(self) -> None:
        try:
            for piece in self._run:
                self._tell(piece)
        except GlasslipperError as error:
            self._error = error
        finally:
            self._tell_ended()
            self._tell(None)

    def _tell(self, piece: Piece | None) -> None:
        """Hand a piece to the event loop; if that is gone, so is whoever wanted it."""
        try:
            self._loop.call_soon_threadsafe(self._take, piece)
        except RuntimeError:
            self._run.close()

    def _take(self, piece: Piece | None) -> None:
        self._pieces.put_nowait(piece)
        if piece is None:
            self._ended.set()
