"""What the ledger keeps about an exchange: its intent before, its generation after, late facts.

Records hold no prompts and no answers. Times are Unix milliseconds in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from glasslipper.kernel.finish import FinishReason, Status
from glasslipper.kernel.money import Price
from glasslipper.kernel.usage import Usage

Dialect = Literal["chat", "responses", "messages", "gemini", "embeddings", "completions"]


class Account(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom a key speaks for: its own account and every account above it, nearest first.

    `path` starts with the key's own account id and ends with the organisation's; `budgets` are
    those of it that have a budget.
    """

    path: tuple[str, ...]
    key_id: str
    budgets: tuple[str, ...] = ()
    management: bool = False
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


class PriceRow(Struct, frozen=True, kw_only=True):
    """A price, and where it comes from: every generation names the row that it was priced by."""

    id: str
    price: Price
    source: str
    as_of: str


class Candidate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint that might have served the exchange, and how likely it was to be drawn."""

    endpoint: str
    propensity: float
    why: str = ""


class Intent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is written down before an upstream is called.

    `number` counts the attempts of an exchange. `input_units` is an upper bound of the prompt's
    tokens. `cell` is the index of the exchange's
    progress cell, where relayed bytes are counted for the case of a crash. `is_byok` says that the
    provider's key is the caller's own, `uncharged` that no budget pays for the attempt.
    """

    generation_id: str
    attempt_id: str
    created_ms: int
    key_id: str
    accounts: tuple[str, ...]
    model: str
    endpoint: str
    provider: str
    dialect: Dialect
    streamed: bool
    input_units: int
    held_nanousd: int
    price: PriceRow | None
    cell: int
    number: int = 1
    session_id: str | None = None
    user: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    is_byok: bool = False
    uncharged: bool = False


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One upstream call in an exchange and how it ended."""

    id: str
    endpoint: str
    provider: str
    model: str
    started_ms: int
    status: Status
    duration_ms: int = 0
    first_token_ms: int | None = None
    http_status: int | None = None
    error: str | None = None
    upstream_id: str | None = None
    billed_nanousd: int = 0


class Generation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The durable record of an exchange.

    `billed_nanousd` is what the provider says or the price row gives, `charged_nanousd` what the
    budget pays; charged never exceeds `held_nanousd` where a hold was taken. `is_byok` says that
    the key that served was not the house's but one that an account brought along.

    What it was like, without its words: `system_print` is a salted fingerprint of the system
    prompt, `turns` counts the user's turns, `tools_offered` and `tools_called` count tools.
    """

    id: str
    created_ms: int
    key_id: str
    accounts: tuple[str, ...]
    model: str
    dialect: Dialect
    status: Status
    model_served: str | None = None
    endpoint: str | None = None
    provider: str | None = None
    streamed: bool = False
    finish_reason: FinishReason | None = None
    native_finish_reason: str | None = None
    error: str | None = None
    first_token_ms: int | None = None
    duration_ms: int = 0
    usage: Usage = field(default_factory=Usage)
    estimated: bool = False
    held_nanousd: int = 0
    billed_nanousd: int = 0
    charged_nanousd: int = 0
    price_id: str | None = None
    upstream_id: str | None = None
    session_id: str | None = None
    user: str | None = None
    app: str | None = None
    referer: str | None = None
    user_agent: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    attempts: tuple[Attempt, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    is_byok: bool = False
    system_print: str | None = None
    turns: int = 0
    tools_offered: int = 0
    tools_called: int = 0


class Topic(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a prompt is about: the body of a late fact of kind `topic`.

    `task` is one of the study's twelve names, `math` or `other`; `tag` one of the finer market
    tags; both are `None` where the classifier abstained. `language` and `code_language` are
    lower-case codes. `classifier` names who said so, with its version.
    """

    task: str | None = None
    tag: str | None = None
    language: str | None = None
    code_language: str | None = None
    confidence: float = 0.0
    classifier: str = ""


TOPIC_FACT = "topic"
"""The kind of the late fact whose body is a `Topic`."""

JUDGED_FACT = "judged"
"""The kind of the late fact whose body is a `Topic` that a language model gave, on a sample."""


COST_FACT = "cost"
"""The kind of a late fact that says what its generation really cost: `billed_nanousd`, `source`."""

COMPARED_FACT = "compared"
"""The kind of the late fact that says how another model's answer to the same prompt compares."""


class LateFact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something learned after the records were written, about a generation or a whole session.

    Late facts are appended beside the records and never change them. `kind` names the sort, such
    as `feedback` or `topic`; `body` is JSON-able; `key_id` is whose fact it is.
    """

    id: str
    kind: str
    noted_ms: int
    key_id: str
    body: Mapping[str, object]
    generation_id: str | None = None
    session_id: str | None = None
