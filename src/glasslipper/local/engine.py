"""What `local` expects of an engine beyond the port: several answers at once, counted, stoppable.

An engine speaks plain dictionaries. The prompt is a list of `{"role", "content"}`; the sampling
may hold the fields of `kernel.messages.Sampling` by name, `grammar` (see `constrain`) with the
`grammar_param` that errors about it name, and `reuse_prompt`: whether the work done for a
similar prompt may be used again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from glasslipper.kernel.events import TokenLogprob
from glasslipper.kernel.usage import Usage

Prompt = Sequence[Mapping[str, object]]
Choices = Mapping[str, object]


class Options(Struct, frozen=True, kw_only=True):
    """How an engine runs a model file.

    Each of `slots` requests at once has `context_tokens` of its own. `batch_tokens` is how much
    of a prompt is worked on between two looks at whether the request is still wanted. `folder` is
    a private one for the engine's own use.
    """

    path: str
    folder: str
    context_tokens: int
    slots: int = 4
    threads: int = 1
    batch_tokens: int = 128


class Piece(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One token as it came, or none yet: then `text` is empty. Satisfies the port `Token`."""

    text: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def logprob(self) -> float | None:
        """Its natural-log probability, where it was asked for."""
        return self.logprobs[0].logprob if self.logprobs else None


class Tally(Struct, kw_only=True):
    """What a run has used so far, and how it ended once it has.

    `prompt_tokens` were worked on for this run, `cached_tokens` reused from another; `details`
    are what the engine measured of its work, by name.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cpu_us: int = 0
    finish: Literal["stop", "length"] | None = None
    details: dict[str, float] = {}

    def usage(self) -> Usage:
        """Return it as the ledger counts."""
        return Usage(
            input=self.prompt_tokens,
            cache_read=self.cached_tokens,
            output=self.output_tokens,
            cpu_us=self.cpu_us,
            requests=1,
        )


class Run:
    """The pieces of one answer, put in by the thread that makes them and taken out by another.

    It holds no more than one context of tokens, since no answer is longer. After `close` the
    iteration still ends only when the work has: then the tally is final.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self._pieces: queue.SimpleQueue[Piece | None] = queue.SimpleQueue()
        self._unwanted = threading.Event()
        self._error: Exception | None = None

    def __iter__(self) -> Run:
        """Return itself."""
        return self

    def __next__(self) -> Piece:
        """Wait for the next piece; raise what went wrong, if something did."""
        piece = self._pieces.get()
        if piece is not None:
            return piece
        self._pieces.put(None)
        if self._error is not None:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        """Ask for the work to stop; safe from any thread, at any time, and does not wait."""
        self._unwanted.set()

    @property
    def is_unwanted(self) -> bool:
        """Whether somebody has closed it."""
        return self._unwanted.is_set()

    def put(self, piece: Piece) -> None:
        """Add a piece."""
        self._pieces.put(piece)

    def end(self, error: Exception | None = None) -> None:
        """Say that there will be no more, because all is done or because of the error."""
        self._error = error
        self._pieces.put(None)


@runtime_checkable
class LocalEngine(Protocol):
    """An engine that `Host` can serve; it is also a `kernel.ports.Engine`."""

    def generate(self, prompt: Prompt, sampling: Choices) -> Run:
        """Start an answer.

        The run raises `ContextTooLong`, `InvalidRequest` or a kind of `UpstreamFailed`.
        """
        ...

    def count(self, prompt: Prompt) -> int:
        """Return how many tokens the prompt has."""
        ...

    def close(self) -> None:
        """Stop everything and give the memory back."""
        ...
