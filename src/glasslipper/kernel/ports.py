"""The seams between rooms: what one room offers another, as protocols.

`cli` plugs the implementations in. A room asks for a port by type and never learns who is
behind it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct, field

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
    when it is cancelled, and leaves `None` when it cannot know. `details` are what it measured
    of its own work, by name, where it measures something.
    """

    id: str
    request: Request
    upstream_model: str
    usage: Usage | None = None
    details: Mapping[str, float] | None = None


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


class Limits(Struct, frozen=True, kw_only=True):
    """The most that a job may take, all of its processes together.

    `work_bytes` is what it may write, `file_bytes` the largest of its files, `output_bytes` what
    it may print on each of its two streams.
    """

    wall_s: float = 10.0
    cpu_s: int = 10
    memory_bytes: int = 512 << 20
    processes: int = 32
    work_bytes: int = 64 << 20
    file_bytes: int = 32 << 20
    output_bytes: int = 256 << 10


class Job(Struct, frozen=True, kw_only=True):
    """A command to be run where it can do no harm.

    `files` are put into its working folder by their relative names. `read` and `write` show
    folders and files of this machine inside, by their place there; nothing else of the machine
    is to be seen but its programs and Python. There is no network unless `network` says so.
    """

    argv: tuple[str, ...]
    stdin: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    read: Mapping[str, str] = field(default_factory=dict[str, str])
    write: Mapping[str, str] = field(default_factory=dict[str, str])
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Limits = field(default_factory=Limits)
    network: bool = False


class Outcome(Struct, frozen=True, kw_only=True):
    """How a job ended: by itself, or stopped because it went past a limit.

    `exit_code` is `None` for a job that was stopped, and negative for one that a signal ended.
    """

    status: Literal["exited", "time", "memory", "processes", "output"]
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    wall_s: float

    @property
    def ok(self) -> bool:
        """Whether it ended by itself and says that all went well."""
        return self.status == "exited" and self.exit_code == 0


class Sandbox(Protocol):
    """Runs hostile code."""

    async def run(self, job: Job) -> Outcome:
        """Run the job to its end; cancelling stops it, and all that it has started.

        Raises:
            SetupMissing: There is nothing here that could keep it in.
            InvalidRequest: The job cannot be run as it is described.
        """
        ...


class ToolResult(Struct, frozen=True, kw_only=True):
    """What a tool gave: words, a structured value where it has one, or the word that it failed."""

    text: str
    value: object = None
    failed: bool = False


class Tools(Protocol):
    """Calls tools by their names."""

    async def call(self, name: str, arguments: Mapping[str, object]) -> ToolResult:
        """Call a tool, such as `files.read`, with its arguments.

        Raises:
            NotFound: There is no such tool.
            NotPermitted: It may not be called, or is not what was approved.
            InvalidRequest: The arguments do not fit.
            UpstreamFailed: Its server did not do its part.
        """
        ...


class Playable(Struct, frozen=True, kw_only=True):
    """A model that may be called, and what it costs: nano-USD per million tokens, as expected.

    `cached` is the price of prompt tokens that its provider has seen just before. One that is not
    `able` is known to fail the request: it reads no pictures, say, or may not be asked.
    """

    model: str
    input: int
    output: int
    cached: int
    context_tokens: int | None = None
    is_local: bool = False
    able: bool = True


class Receipt(Struct, kw_only=True):
    """What one call took; filled in by the time its events have ended, however they ended.

    `spent_nanousd` is what counts against a bound of the client's: also what is billed to a key
    of its own, which no budget is charged for. `called` is false where a call was refused before
    any provider heard of it: its model rests, say, or a budget does not cover it.
    """

    generation_id: str = ""
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    charged_nanousd: int = 0
    billed_nanousd: int = 0
    spent_nanousd: int = 0
    called: bool = True


class Caller(Protocol):
    """Calls models for one account: what the gateway offers to whoever conducts."""

    @property
    def owner(self) -> str:
        """Whom it calls for, as an opaque name."""
        ...

    def models(self, request: Request) -> Sequence[Playable]:
        """Return the models that may be called for a request, the cheapest first."""
        ...

    def within(self, request: Request, nanousd: int | None) -> tuple[Request, int]:
        """Return the request, shortened if need be to what an amount pays for, and its ceiling.

        Raises:
            BudgetExhausted: The amount does not pay for the prompt and one token.
            PriceUnknown: An amount is given, and nobody knows what the model costs.
        """
        ...

    def call(
        self,
        request: Request,
        *,
        ceiling_nanousd: int | None,
        receipt: Receipt,
        labels: Mapping[str, str],
    ) -> AsyncIterator[Event]:
        """Call one model; no more than the ceiling is charged, whatever the provider says.

        Raises:
            InvalidRequest: The model is itself one that conducts.
            GlasslipperError: It could not be served.
        """
        ...


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was done on the way to an answer.

    `probability` is how likely the policy was to choose it; `confidence` how sure it was of the
    leading answer afterwards, where it says. `spent_nanousd` is as on its `Receipt`.
    """

    number: int
    puppet: str
    model: str
    pattern: str
    why: str
    probability: float
    status: str
    generation_id: str = ""
    text: str = ""
    usage: Usage = field(default_factory=Usage)
    charged_nanousd: int = 0
    spent_nanousd: int = 0
    duration_ms: int = 0
    confidence: float | None = None


class Voice(Struct, frozen=True, kw_only=True):
    """Whose answer the events that follow are: the generation and the model."""

    generation_id: str
    model: str


class Opening(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first choice of an episode, with all that it takes to judge another one later.

    `seen` are numbers about the request, by name, never its words. `chances` are the puppets that
    might have been chosen and how likely each was, `costs` what each was expected to cost (nano-
    USD). `rule` is whom the untrained rule would have asked, `shadow` whom the policy that is only
    watched, `shadow_version`, would have. `goes_on` names the rule that decided all later steps.
    """

    seen: Mapping[str, float]
    chances: Mapping[str, float]
    costs: Mapping[str, int]
    chosen: str
    rule: str = ""
    shadow: str = ""
    shadow_version: str = ""
    goes_on: str = ""


class Played(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an episode ended: what answered, by which policy, and what all of it took.

    `replay_id` is the generation whose answer was given: feedback on it is feedback on the
    episode. `opening` is for the record, not for the client.
    """

    replay_id: str
    policy: str
    model: str
    steps: tuple[Step, ...]
    usage: Usage
    charged_nanousd: int
    why: str
    confidence: float | None = None
    opening: Opening | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """What would be done first, why, and what it may cost."""

    policy: str
    puppet: str
    model: str
    why: str
    probability: float
    ceiling_nanousd: int
    expected_nanousd: int
    candidates: Mapping[str, int]


class Conductor(Protocol):
    """Answers a request by calling models of its own choice, as often as it sees fit."""

    def conducts(self, model: str) -> bool:
        """Whether a model's name stands for this."""
        ...

    def cards(self) -> Mapping[str, Mapping[str, object]]:
        """Return the names that it goes by, each with what there is to know about its policy."""
        ...

    def plan(self, request: Request, caller: Caller) -> Plan | None:
        """Return what would be done, if the request only asks for that."""
        ...

    def wants_steps(self, request: Request) -> bool:
        """Whether the client wants to be told of each step."""
        ...

    def run(self, request: Request, caller: Caller) -> AsyncIterator[Event | Step | Voice | Played]:
        """Yield the steps, a voice and the events of its answer, and last how it ended.

        Raises:
            GlasslipperError: There is no answer.
        """
        ...

    async def close(self) -> None:
        """End what was started for it."""
        ...
