"""Makes intents and generations like those of real traffic, for the bench of the ledger.

Lengths come from the Azure traces of 2023 where they are at hand, else from distributions like
theirs; models, prices and identifiers have the shapes that providers give them.
"""

from __future__ import annotations

import csv
import os
import random
import string
from pathlib import Path

from glasslipper.kernel.ids import attempt_id, new_id
from glasslipper.kernel.money import Price, amount_nanousd
from glasslipper.kernel.record import Account, Attempt, Candidate, Generation, Intent, PriceRow
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.read import Accounts
from glasslipper.ledger.write import Ledger
from glasslipper.ledger.write.keys import NewKey, create

TRACES = ("azure_llm_2023_conv.csv", "azure_llm_2023_code.csv")

_BASE62 = string.ascii_letters + string.digits


class _Model:
    """An endpoint with its price, and how its provider calls answers."""

    def __init__(self, name: str, provider: str, dollars: tuple[float, float], prefix: str) -> None:
        self.name = name
        self.provider = provider
        self.upstream = name.partition("/")[2]
        self.endpoint = f"{name}@{provider}"
        self.row = PriceRow(
            id=new_id("price"),
            price=Price(input=int(dollars[0] * 1e9), output=int(dollars[1] * 1e9)),
            source="models.dev",
            as_of="2026-11-01",
        )
        self.prefix = prefix


_MODELS = [
    _Model("openai/gpt-5-mini", "openai", (0.25, 2.0), "chatcmpl-"),
    _Model("openai/gpt-5", "openai", (1.25, 10.0), "chatcmpl-"),
    _Model("anthropic/claude-sonnet-4.5", "anthropic", (3.0, 15.0), "msg_01"),
    _Model("anthropic/claude-haiku-4.5", "anthropic", (1.0, 5.0), "msg_01"),
    _Model("google/gemini-2.5-flash", "google", (0.3, 2.5), ""),
    _Model("deepseek/deepseek-v3.2", "deepseek", (0.28, 0.42), ""),
    _Model("qwen/qwen3-coder", "together", (0.4, 1.6), "chatcmpl-"),
    _Model("local/coder-0.5b", "local", (0.0, 0.0), "att-"),
]
_WEIGHTS = (30, 8, 18, 10, 14, 10, 6, 4)
_ID_LETTERS = {"chatcmpl-": 29, "msg_01": 22, "": 22, "att-": 0}
_APPS = ("ide", "support", "search", "batch", None)
_AGENTS = ("openai-python/3.54.0", "anthropic-sdk/2.1", "curl/8.5", "node")


def make_account(ledger: Ledger, *, again: bool = False) -> Account:
    """Make a key and return whom it speaks for; with `again`, one that is there already."""
    accounts = Accounts(ledger.home)
    try:
        known = [key for key in accounts.keys() if key.name == "bench"] if again else []
        if not known:
            new = NewKey(name="bench")
            made = ledger.change_now(lambda db: create(db, new, ledger.clock.now_ms()))
            found = accounts.key(made.id)
            known = [found] if found else []
        (record,) = known[:1]
    finally:
        accounts.close()
    return Account(path=record.path, key_id=record.id, budgets=record.budgets)


class Traffic:
    """An endless row of exchanges of fifty keys."""

    def __init__(self, account: Account, chance: random.Random) -> None:
        """Let all of them pay from the account's path, below keys of their own."""
        self._chance = chance
        self._keys = [new_id("key") for _ in range(50)]
        self._paths = {key: (key, *account.path[1:]) for key in self._keys}
        self._sessions = {key: new_id("ses") for key in self._keys}
        self._prints = [f"{chance.getrandbits(64):016x}" for _ in range(40)]
        self._lengths = _lengths(chance)

    def pair(self, now_ms: int) -> tuple[Intent, Generation]:
        """Return what is written before and after one exchange."""
        chance = self._chance
        (model,) = chance.choices(_MODELS, _WEIGHTS)
        key = self._keys[int(50 * chance.random() ** 2)]
        if chance.random() < 0.1:
            self._sessions[key] = new_id("ses")
        went_in, came_out = chance.choice(self._lengths)
        cached = int(went_in * chance.random()) if chance.random() < 0.4 else 0
        usage = Usage(input=went_in - cached, cache_read=cached, output=came_out, requests=1)
        billed = amount_nanousd(usage, model.row.price)
        identifier = new_id("gen", now_ms)
        first_ms = int(chance.lognormvariate(6, 0.5))
        duration_ms = first_ms + int(came_out * chance.uniform(5, 25))
        upstream_id = model.prefix + "".join(chance.choices(_BASE62, k=_ID_LETTERS[model.prefix]))
        attempt = Attempt(
            id=attempt_id(identifier, 1),
            endpoint=model.endpoint,
            provider=model.provider,
            model=model.upstream,
            started_ms=now_ms + (chance.random() < 0.2),
            status="ok",
            duration_ms=duration_ms - (chance.random() < 0.5),
            first_token_ms=first_ms,
            upstream_id=upstream_id,
            billed_nanousd=billed,
        )
        intent = Intent(
            generation_id=identifier,
            attempt_id=attempt.id,
            created_ms=now_ms,
            key_id=key,
            accounts=self._paths[key],
            model=model.name,
            endpoint=model.endpoint,
            provider=model.provider,
            dialect="chat",
            streamed=True,
            input_units=went_in * 4,
            held_nanousd=0,
            price=model.row,
            cell=0,
            session_id=self._sessions[key],
        )
        generation = Generation(
            id=identifier,
            created_ms=now_ms,
            key_id=key,
            accounts=self._paths[key],
            model=model.name,
            dialect="chat",
            status="ok",
            model_served=model.name,
            endpoint=model.endpoint,
            provider=model.provider,
            streamed=True,
            finish_reason="tool_calls" if chance.random() < 0.3 else "stop",
            native_finish_reason="stop",
            first_token_ms=first_ms,
            duration_ms=duration_ms,
            usage=usage,
            billed_nanousd=billed,
            charged_nanousd=billed,
            price_id=model.row.id,
            upstream_id=upstream_id,
            session_id=self._sessions[key],
            app=chance.choice(_APPS),
            user_agent=chance.choice(_AGENTS),
            labels={"team": "search"},
            attempts=(attempt,),
            candidates=_candidates(model, chance),
            system_print=chance.choice(self._prints),
            turns=chance.randrange(1, 12),
            tools_offered=chance.choice((0, 0, 8, 14)),
        )
        return intent, generation


def _candidates(model: _Model, chance: random.Random) -> tuple[Candidate, ...]:
    share = round(chance.random(), 3)
    return (
        Candidate(endpoint=model.endpoint, propensity=share, why="price"),
        Candidate(endpoint=f"{model.name}@other", propensity=1 - share, why="price"),
    )


def _lengths(chance: random.Random) -> list[tuple[int, int]]:
    """Return prompt and answer tokens of real requests, if their traces are at hand."""
    folder = Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data")) / "traffic"
    found: list[tuple[int, int]] = []
    for name in TRACES:
        path = folder / name
        if path.exists():
            with path.open(encoding="utf-8") as file:
                rows = csv.DictReader(file)
                found += [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in rows]
    return found or [
        (int(chance.lognormvariate(6.8, 1.1)) + 1, int(chance.lognormvariate(4.8, 0.9)) + 1)
        for _ in range(20_000)
    ]
