"""A generation in plain words: who might have served it, who did, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from glasslipper.cli.client import in_path
from glasslipper.cli.pricing import Kept, in_words
from glasslipper.cli.reach import AdminApi
from glasslipper.cli.reading import read_answer
from glasslipper.cli.refusal import Refusal
from glasslipper.gateway.rerouting import rule_told
from glasslipper.kernel.money import usd_text

NO_PRICE = ("not_found", "not_permitted")


class Candidate(Struct, frozen=True, kw_only=True):
    """Who might have served, and how likely it was to be first."""

    endpoint: str
    propensity: float
    why: str = ""


class Attempt(Struct, frozen=True, kw_only=True):
    """One call of an upstream, and how it ended."""

    endpoint: str
    status: str
    duration_ms: int = 0
    first_token_ms: int | None = None
    http_status: int | None = None
    error: str | None = None
    billed_nanousd: int = 0


class Explained(Struct, frozen=True, kw_only=True):
    """A generation, as far as it is told of."""

    id: str
    created_at: str
    model: str
    model_requested: str
    dialect: str
    status: str
    streamed: bool
    error: str | None
    finish_reason: str | None
    latency: int | None
    generation_time: int
    tokens_prompt: int
    tokens_completion: int
    native_tokens_cached: int
    native_tokens_reasoning: int
    estimated: bool
    held_nanousd: int
    billed_nanousd: int
    charged_nanousd: int
    price_id: str | None
    is_byok: bool
    attempts: list[Attempt]
    candidates: list[Candidate]


def read(answer: object) -> Explained:
    """Return the generation of an answer."""
    return read_answer(answer, Explained)


def price_of(api: AdminApi, price_id: str | None) -> Kept | None:
    """Return the price row of a generation; `None` without one, or where it may not be seen."""
    if price_id is None:
        return None
    try:
        return read_answer(api.call("GET", f"/admin/prices/{in_path(price_id)}"), Kept)
    except Refusal as error:
        if error.code in NO_PRICE:
            return None
        raise


def tell(found: Explained, price: Kept | None) -> Iterator[str]:
    """Yield what is to be said, line by line."""
    asked = (
        "" if found.model == found.model_requested else f", asked for as {found.model_requested}"
    )
    how = "streamed" if found.streamed else "whole"
    yield f"{found.id}: {found.model}{asked}, {found.dialect}, {how}, {found.created_at}"
    yield _end(found)
    rule = next((rule for one in found.candidates if (rule := rule_told(one.why))), None)
    if rule is not None:
        yield f"The rule {rule} sent it to another model than the one asked for."
    yield ""
    yield "Who might have served, and how likely it was to be asked first:"
    for one in sorted(found.candidates, key=lambda one: -one.propensity):
        yield f"  {one.propensity:6.1%}  {one.endpoint}: {one.why or 'no reason was noted'}"
    yield ""
    yield "What happened:"
    for number, attempt in enumerate(found.attempts, start=1):
        yield f"  {number}. {_attempt(attempt)}"
    if not found.attempts:
        yield "  Nobody was called."
    yield ""
    yield "What it cost:"
    for line in _money(found, price):
        yield f"  {line}"


def _end(found: Explained) -> str:
    first = "" if found.latency is None else f", the first word after {found.latency:,} ms"
    reason = (
        f" ({found.error or found.finish_reason})" if found.error or found.finish_reason else ""
    )
    return f"It ended {found.status}{reason} after {found.generation_time:,} ms{first}."


def _attempt(attempt: Attempt) -> str:
    parts = [attempt.status if attempt.error is None else f"{attempt.status}, {attempt.error}"]
    if attempt.http_status is not None:
        parts.append(f"HTTP {attempt.http_status}")
    parts.append(f"after {attempt.duration_ms:,} ms")
    if attempt.billed_nanousd:
        parts.append(f"billed {usd_text(attempt.billed_nanousd)}")
    return f"{attempt.endpoint}: {', '.join(parts)}"


def _money(found: Explained, price: Kept | None) -> Iterator[str]:
    kinds = [
        f"{count:,} {word}"
        for count, word in (
            (found.native_tokens_cached, "of them read from a cache"),
            (found.native_tokens_reasoning, "of them thinking"),
        )
        if count
    ]
    counted = "estimated" if found.estimated else "as the provider counted"
    tokens = f"{found.tokens_prompt:,} prompt and {found.tokens_completion:,} answer tokens"
    yield ", ".join([tokens, *kinds, counted])
    if price is not None:
        yield f"{in_words(price.rates)}; {price.source}, {price.as_of} ({price.id})"
    elif found.price_id is None:
        yield "nobody knows the price"
    else:
        yield f"by the price row {found.price_id}"
    yield (
        f"held {usd_text(found.held_nanousd)}, billed {usd_text(found.billed_nanousd)}, "
        f"charged {usd_text(found.charged_nanousd)}"
    )
    if found.is_byok:
        yield "a key that an account brought along opened the provider"
