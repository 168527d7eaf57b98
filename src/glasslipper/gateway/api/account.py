"""What a key may know about itself: its budget, its credits and its generations.

The shapes are OpenRouter's (its OpenAPI document, August 2026), with exact nano-USD beside the
dollars.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from glasslipper.gateway.api.shapes import (
    Budget,
    Credits,
    CreditsAnswer,
    FreeRequests,
    GenerationAnswer,
    GenerationShown,
    KeyShown,
    OwnKey,
    OwnKeyAnswer,
    ProviderResponse,
    RateLimit,
)
from glasslipper.gateway.auth import Caller
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.kernel.clock import iso
from glasslipper.kernel.errors import GenerationUnknown, InvalidRequest
from glasslipper.kernel.money import NANO, PER, Price, usd
from glasslipper.kernel.record import Attempt, Generation
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.read import KeyRecord
from glasslipper.ledger.write.keys import MOST_LIMIT_NANOUSD

_CACHED = ("cache_read", "cache_write", "cache_write_1h")

_encode = msgspec.json.Encoder().encode


class Describer:
    """Shows keys as the API does; what all of them need is looked up once."""

    def __init__(self, house: House, keys: Sequence[KeyRecord]) -> None:
        """Look up what is needed for these keys."""
        self._accounts = house.accounts
        self._now_ms = house.clock.now_ms()
        path = {account for key in keys for account in key.path}
        self.kinds = house.accounts.kinds(sorted(path))
        self._last_used = house.history.last_used([key.id for key in keys])
        self._counting = {one.account for one in house.accounts.provider_keys() if one.counts}

    def counts_byok(self, key: KeyRecord) -> bool:
        """Tell whether budgets pay for a provider's key that the key may use."""
        return not self._counting.isdisjoint(key.path)

    def place(self, key: KeyRecord, kind: str) -> str | None:
        """Return the nearest account of a kind above a key."""
        return next((one for one in key.path if self.kinds.get(one) == kind), None)

    def members(self, key: KeyRecord) -> dict[str, Any]:
        """Return the members of `KeyShown`; never the secret."""
        spending = self._accounts.spending(key.id, self._now_ms)
        limit, left, byok = spending.limit_nanousd, spending.left_nanousd, spending.byok
        used_ms = self._last_used.get(key.id)
        return {
            "id": key.id,
            "hash": key.hash.hex(),
            "label": key.hint,
            "name": key.name,
            "disabled": key.disabled,
            "is_management_key": key.management,
            "labels": dict(key.labels),
            "limit": None if limit is None else usd(limit),
            "limit_nanousd": limit,
            "limit_remaining": None if left is None else usd(left),
            "limit_remaining_nanousd": left,
            "limit_reset": None if key.period == "never" else key.period,
            "resets_at": None if spending.resets_ms is None else iso(spending.resets_ms),
            "usage": usd(spending.total_nanousd),
            "usage_nanousd": spending.total_nanousd,
            "usage_daily": usd(spending.today_nanousd),
            "usage_weekly": usd(spending.week_nanousd),
            "usage_monthly": usd(spending.month_nanousd),
            "byok_usage": usd(byok.total_nanousd),
            "byok_usage_daily": usd(byok.today_nanousd),
            "byok_usage_weekly": usd(byok.week_nanousd),
            "byok_usage_monthly": usd(byok.month_nanousd),
            "include_byok_in_limit": self.counts_byok(key),
            "held_nanousd": spending.held_nanousd,
            "generations": spending.generations,
            "created_at": iso(key.created_ms),
            "expires_at": None if key.expires_ms is None else iso(key.expires_ms),
            "last_used_at": None if used_ms is None else iso(used_ms),
            "workspace_id": self.place(key, "workspace") or "",
        }

    def shown(self, key: KeyRecord) -> KeyShown:
        """Return a key as the API shows it; never its secret."""
        return KeyShown(**self.members(key))

    def budgets(self, key: KeyRecord) -> list[Budget]:
        """Return every budget that pays for a key, its own first, the organisation's last."""
        includes = self.counts_byok(key)
        found = list[Budget]()
        for account in key.budgets:
            spending = self._accounts.spending(account, self._now_ms)
            limit, left = spending.limit_nanousd, spending.left_nanousd
            if limit is None or left is None:
                continue
            found.append(
                Budget(
                    scope="key_limit" if account == key.id else self.kinds.get(account, ""),
                    budget_id=account,
                    guardrail_id=None,
                    include_byok=includes,
                    limit_usd=usd(limit),
                    spend_usd=usd(limit - left),
                    remaining_usd=usd(left),
                    reset_interval=None if spending.period == "never" else spending.period,
                    resets_at=None if spending.resets_ms is None else iso(spending.resets_ms),
                )
            )
        return found


async def key(house: House, http: Http) -> None:
    """Answer `GET /key`: the key that asks."""
    caller = house.gatekeeper.admit(http.header(b"authorization"))
    await house.ledger.flush()
    describer = Describer(house, [caller.key])
    budgets = describer.budgets(caller.key)
    shown = OwnKey(
        **describer.members(caller.key),
        budgets=budgets,
        effective_budget=min(budgets, key=lambda budget: budget.remaining_usd, default=None),
        is_free_tier=False,
        is_provisioning_key=caller.key.management,
        organization_id=describer.place(caller.key, "organisation"),
        allowed_data_regions=["global"],
        free_model_daily_requests=FreeRequests(limit=-1, remaining=-1, used=0),
        rate_limit=RateLimit(requests=-1, interval="10s", note="There is no limit of requests."),
    )
    await http.reply(200, _encode(OwnKeyAnswer(shown)))


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
        total_credits=usd(MOST_LIMIT_NANOUSD if limit is None else limit),
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
    price = await _price_of(house, found)
    kinds = house.accounts.kinds(found.accounts)
    workspace = next((one for one in found.accounts if kinds.get(one) == "workspace"), None)
    shown = show(found, price=price, workspace=workspace)
    await http.reply(200, _encode(GenerationAnswer(shown)))


async def _price_of(house: House, found: Generation) -> Price | None:
    """Return the price of a generation; a row that was used just now may still be on its way."""
    if found.price_id is None:
        return None
    kept = house.accounts.price(found.price_id)
    if kept is None:
        await house.ledger.flush()
        kept = house.accounts.price(found.price_id)
    return kept.row.price if kept else None


def may_see(caller: Caller, found: Generation) -> bool:
    """Tell whether a key may know of a generation: its own, one below it, or a manager's."""
    return caller.key.management or caller.key.id in found.accounts


def show(record: Generation, *, price: Price | None, workspace: str | None) -> GenerationShown:
    """Return a generation as the API shows it, with what its price row tells of caching."""
    usage = record.usage
    return GenerationShown(
        id=record.id,
        upstream_id=record.upstream_id,
        session_id=record.session_id,
        external_user=record.user,
        api_type="embeddings" if record.dialect == "embeddings" else "completions",
        dialect=record.dialect,
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
        native_tokens_completion_images=usage.output_image,
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
        cache_discount=_cache_discount(usage, price),
        price_id=record.price_id,
        is_byok=record.is_byok,
        app=record.app,
        http_referer=record.referer,
        origin=record.referer or "",
        user_agent=record.user_agent,
        labels=dict(record.labels),
        workspace_id=workspace,
        provider_responses=[_response(attempt) for attempt in record.attempts],
        attempts=record.attempts,
        candidates=record.candidates,
    )


def _response(attempt: Attempt) -> ProviderResponse:
    answered = 200 if attempt.status == "ok" or attempt.first_token_ms is not None else None
    return ProviderResponse(
        id=attempt.upstream_id or UNSET,
        endpoint_id=attempt.endpoint,
        provider_name=attempt.provider,
        model_permaslug=attempt.model,
        status=attempt.http_status or answered,
        latency=attempt.duration_ms,
    )


def _cache_discount(usage: Usage, price: Price | None) -> float | None:
    """Return what caching saved, in USD by the price row; what writing cost more counts less."""
    cached = {
        name: getattr(usage, name) for name in ("cache_read", "cache_write", "cache_write_1h")
    }
    if price is None or not any(cached.values()):
        return None
    saved = sum(units * (price.input - price.rate(name)) for name, units in cached.items())
    return saved / PER / NANO
