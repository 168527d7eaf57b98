"""What a key may know about itself: its budget, its credits and its generations.

The shapes are OpenRouter's (its OpenAPI document, August 2026), with exact nano-USD beside the
dollars.
"""

from __future__ import annotations

import asyncio

import msgspec

from glasslipper.gateway.auth import Caller
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.shapes import (
    Credits,
    CreditsAnswer,
    GenerationAnswer,
    GenerationShown,
    KeyAnswer,
    KeyShown,
)
from glasslipper.kernel.clock import iso
from glasslipper.kernel.errors import GenerationUnknown, InvalidRequest
from glasslipper.kernel.money import usd
from glasslipper.kernel.record import Generation
from glasslipper.ledger.read import KeyRecord, Spending

_encode = msgspec.json.Encoder().encode


async def key(house: House, http: Http) -> None:
    """Answer `GET /key`: the key that asks."""
    caller = house.gatekeeper.admit(http.header(b"authorization"))
    await house.ledger.flush()
    spending = house.accounts.spending(caller.key.id, house.clock.now_ms())
    await http.reply(200, _encode(KeyAnswer(describe(caller.key, spending))))


def describe(key: KeyRecord, spending: Spending) -> KeyShown:
    """Return a key as the API shows it; never its secret."""
    limit, left = spending.limit_nanousd, spending.left_nanousd
    return KeyShown(
        id=key.id,
        hash=key.hash.hex(),
        label=key.hint,
        name=key.name,
        disabled=key.disabled,
        is_management_key=key.management,
        is_free_tier=False,
        labels=dict(key.labels),
        limit=None if limit is None else usd(limit),
        limit_nanousd=limit,
        limit_remaining=None if left is None else usd(left),
        limit_remaining_nanousd=left,
        limit_reset=None if key.period == "never" else key.period,
        resets_at=None if spending.resets_ms is None else iso(spending.resets_ms),
        usage=usd(spending.total_nanousd),
        usage_nanousd=spending.total_nanousd,
        usage_daily=usd(spending.today_nanousd),
        usage_weekly=usd(spending.week_nanousd),
        usage_monthly=usd(spending.month_nanousd),
        held_nanousd=spending.held_nanousd,
        generations=spending.generations,
        created_at=iso(key.created_ms),
        expires_at=None if key.expires_ms is None else iso(key.expires_ms),
    )


async def credits(house: House, http: Http) -> None:
    """Answer `GET /credits`: what the tightest budget above the key allows and has spent."""
    caller = house.gatekeeper.admit(http.header(b"authorization"))
    await house.ledger.flush()
    now_ms = house.clock.now_ms()
    budgets = [house.accounts.spending(account, now_ms) for account in caller.account.path]
    limited = [budget for budget in budgets if budget.left_nanousd is not None]
    tightest = min(limited, key=lambda budget: budget.left_nanousd or 0, default=budgets[-1])
    limit = tightest.limit_nanousd
    spent = (
        tightest.total_nanousd
        if limit is None or tightest.left_nanousd is None
        else limit - tightest.left_nanousd - tightest.held_nanousd
    )
    data = Credits(
        total_credits=None if limit is None else usd(limit),
        total_usage=usd(spent),
        total_credits_nanousd=limit,
        total_usage_nanousd=spent,
    )
    await http.reply(200, _encode(CreditsAnswer(data)))


async def generation(house: House, http: Http) -> None:
    """Answer `GET /generation?id=`: one record, to the key that made it or to a manager."""
    caller = house.gatekeeper.admit(http.header(b"authorization"))
    wanted = http.query.get("id", "")
    if not wanted:
        raise InvalidRequest("Say which generation: ?id=gen-…", param="id")
    found = await asyncio.to_thread(house.history.generation, wanted)
    if found is None or not may_see(caller, found):
        raise GenerationUnknown(f"There is no generation {wanted!r} of this key.")
    await http.reply(200, _encode(GenerationAnswer(show(found))))


def may_see(caller: Caller, found: Generation) -> bool:
    """Tell whether a key may know of a generation: its own, one below it, or a manager's."""
    return caller.key.management or caller.key.id in found.accounts


def show(record: Generation) -> GenerationShown:
    """Return a generation as the API shows it."""
    usage = record.usage
    return GenerationShown(
        id=record.id,
        upstream_id=record.upstream_id,
        session_id=record.session_id,
        external_user=record.user,
        api_type=record.dialect,
        created_at=iso(record.created_ms),
        model=record.model_served or record.model,
        model_requested=record.model,
        provider_name=record.provider,
        endpoint=record.endpoint,
        status=record.status,
        error=record.error,
        streamed=record.streamed,
        cancelled=record.status == "cancelled",
        finish_reason=record.finish_reason,
        native_finish_reason=record.native_finish_reason,
        latency=record.first_token_ms,
        generation_time=record.duration_ms,
        tokens_prompt=usage.prompt_tokens,
        tokens_completion=usage.completion_tokens,
        native_tokens_prompt=usage.prompt_tokens,
        native_tokens_completion=usage.completion_tokens,
        native_tokens_reasoning=usage.reasoning,
        native_tokens_cached=usage.cache_read,
        cpu_us=usage.cpu_us,
        estimated=record.estimated,
        usage=usd(record.charged_nanousd),
        total_cost=usd(record.charged_nanousd),
        charged_nanousd=record.charged_nanousd,
        billed_nanousd=record.billed_nanousd,
        held_nanousd=record.held_nanousd,
        upstream_inference_cost=usd(record.billed_nanousd),
        price_id=record.price_id,
        is_byok=record.is_byok,
        app=record.app,
        http_referer=record.referer,
        user_agent=record.user_agent,
        labels=dict(record.labels),
        provider_responses=record.attempts,
        candidates=record.candidates,
    )
