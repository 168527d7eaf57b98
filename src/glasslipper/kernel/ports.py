"""The seams between rooms: what one room offers another, as protocols.

`cli` plugs the implementations in. A room asks for a port by type and never learns who is
behind it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from glasslipper.kernel.events import Event
from glasslipper.kernel.messages import Request
from glasslipper.kernel.record import Account, Generation, Intent, LateFact, PriceRow, Topic
from glasslipper.kernel.usage import Usage


class Hold(Protocol):
    """Money kept back from every budget above an account until it settles."""

    @property
    def nanousd(self) -> int:
        """The ceiling: the most that may be charged to it."""
        ...


class Recorder(Protocol):
    """The durable record. Each call returns once the record is as durable as configured."""

    async def intend(self, intent: Intent) -> None:
        """Write down that an upstream is about to be called."""
        ...

    async def settle(self, generation: Generation) -> None:
        """Write down how an exchange ended; a second time with the same id changes nothing."""
        ...

    async def note(self, fact: LateFact) -> None:
        """Write down something learned later."""
        ...


class Attempted(Struct, kw_only=True):
    """What an upstream is asked to do: the request, and the id by which the ledger knows it.

    `usage` is the last that the upstream knows to be spent; it sets it before it ends, also
    when it is cancelled, and leaves `None` when it cannot know.
    """

    id: str
    request: Request
    upstream_model: str
    usage: Usage | None = None


class Upstream(Protocol):
    """Something that runs models: a provider's codec, or `local`."""

    def send(self, attempt: Attempted) -> AsyncIterator[Event]:
        """Run the attempt and yield its events.

        Closing the iterator cancels the call. `UpstreamFailed` and its kinds are raised for
        what went wrong; a stream that just ends without `Finished` broke off.
        """
        ...


class EmbeddingResult(Struct, frozen=True, kw_only=True):
    """Vectors, one for each input, and the tokens and CPU microseconds that they took.

    `reported_nanousd` is the cost that the provider itself stated, if it did.
    """

    vectors: Sequence[Sequence[float]]
    tokens: int
    cpu_us: int = 0
    reported_nanousd: int | None = None


class Embedder(Protocol):
    """Something that turns texts into vectors."""

    async def embed(
        self, model: str, texts: Sequence[str], dimensions: int | None
    ) -> EmbeddingResult:
        """Return one vector for each text."""
        ...


class Token(Protocol):
    """One token as an engine produced it."""

    @property
    def text(self) -> str:
        """The text that it adds; may be empty while a character is incomplete."""
        ...

    @property
    def logprob(self) -> float | None:
        """Its natural-log probability, where it was asked for."""
        ...


class Engine(Protocol):
    """Something that generates tokens on this machine: llama.cpp, or sparse attention.

    Speaks plain dictionaries so that a package without any of our types can offer one.
    """

    def generate(
        self, prompt: Sequence[Mapping[str, object]], sampling: Mapping[str, object]
    ) -> Iterator[Token]:
        """Yield tokens as they come; closing the iterator stops the work."""
        ...


class Pricer(Protocol):
    """Knows what endpoints cost."""

    def row(self, endpoint: str) -> PriceRow | None:
        """Return the price row now in force, or `None` if nobody knows."""
        ...


class History(Protocol):
    """Reads the ledger; never writes."""

    def generation(self, generation_id: str) -> Generation | None:
        """Return one record, or `None`."""
        ...


class Labeller(Protocol):
    """Tells what requests are about. Takes about a millisecond of CPU; any thread may ask."""

    def label(self, request: Request, workload: str | None = None) -> Topic:
        """Label the user's words in a request; the system prompt is not looked at.

        `workload` names what the request is one of; what it usually asks may be learned.
        """
        ...


class Judge(Protocol):
    """Knows how to ask a language model what a request is about, and how to read its answer."""

    def question(self, request: Request) -> Request | None:
        """Return what to ask about a request; `None` where there is nothing to judge."""
        ...

    def read(self, request: Request, answer: str) -> Topic | None:
        """Return the label in an answer about a request; `None` where it is no label."""
        ...


class Purse(Protocol):
    """Takes holds on the budgets of an account."""

    async def hold(self, account: Account, ceiling_nanousd: int) -> Hold:
        """Keep back the ceiling from every budget above the account, all or none.

        Raises:
            BudgetExhausted: One of them does not have that much left.
        """
        ...
