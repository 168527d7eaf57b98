"""An engine from elsewhere, served like our own: turns its iterator into a run that `Host` takes.

The guest needs none of our types: it offers `generate` as `kernel.ports.Engine` has it, `count`
and `close`; its answers say in `told` how many tokens they took and how they ended. Which of our
errors one of its own stands for, `explain` says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

from glasslipper.kernel.errors import GlasslipperError, UpstreamFailed
from glasslipper.kernel.ports import Token
from glasslipper.local.engine import Choices, Piece, Prompt, Run


class GuestTold(Protocol):
    """What a guest knows of an answer."""

    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    finish: Literal["stop", "length"] | None

    @property
    def details(self) -> Mapping[str, float]:
        """What it measured of its work, by name."""
        ...


class GuestAnswer(Protocol):
    """An answer of a guest; worked on while it is iterated over."""

    @property
    def told(self) -> GuestTold:
        """What is known of it so far."""
        ...

    def __iter__(self) -> Iterator[Token]:
        """Iterate over its tokens."""
        ...

    def close(self) -> None:
        """Stop the work."""
        ...


class Guest(Protocol):
    """An engine from elsewhere."""

    def generate(
        self, prompt: Sequence[Mapping[str, object]], sampling: Mapping[str, object]
    ) -> GuestAnswer:
        """Return an answer."""
        ...

    def count(self, prompt: Sequence[Mapping[str, object]]) -> int:
        """Return how many tokens the prompt has."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


Explain = Callable[[Exception], GlasslipperError | None]
"""Returns our error for a guest's, or `None` for one that it does not know."""


class GuestEngine:
    """A guest as a `LocalEngine`."""

    def __init__(self, guest: Guest, explain: Explain) -> None:
        """Serve a guest."""
        self._guest = guest
        self._explain = explain
        self._runs: set[Run] = set()

    def generate(self, prompt: Prompt, sampling: Choices) -> Run:
        """Start an answer; it is worked on in a thread of its own."""
        run = Run()
        self._runs.add(run)
        work = threading.Thread(
            target=self._work, args=(run, prompt, sampling), name="glasslipper-guest", daemon=True
        )
        work.start()
        return run

    def count(self, prompt: Prompt) -> int:
        """Return how many tokens the prompt has."""
        return self._guest.count(prompt)

    def close(self) -> None:
        """Stop the answers that run and give the memory back."""
        for run in tuple(self._runs):
            run.close()
        self._guest.close()

    def _work(self, run: Run, prompt: Prompt, sampling: Choices) -> None:
        error: Exception | None = None
        began_ns = time.process_time_ns()
        try:
            self._answer(run, prompt, sampling)
        except Exception as caught:  # noqa: BLE001 - a guest's own errors are not ours to list
            error = self._explain(caught) or UpstreamFailed(f"The engine failed: {caught}")
            error.__cause__ = caught
        finally:
            # All of the process: a guest computes in threads of its own.
            run.tally.cpu_us = (time.process_time_ns() - began_ns) // 1000
            self._runs.discard(run)
            run.end(error)

    def _answer(self, run: Run, prompt: Prompt, sampling: Choices) -> None:
        answer = self._guest.generate(prompt, sampling)
        try:
            for token in answer:
                if run.is_unwanted:
                    break
                if token.text:
                    run.put(Piece(text=token.text))
        finally:
            answer.close()
            told, tally = answer.told, run.tally
            tally.cached_tokens = told.cached_tokens
            tally.prompt_tokens = told.prompt_tokens - told.cached_tokens
            tally.output_tokens = told.output_tokens
            tally.finish = None if run.is_unwanted else told.finish
            tally.details = dict(told.details)
