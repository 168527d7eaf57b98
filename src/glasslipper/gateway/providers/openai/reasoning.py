"""A wish to think, in the words of each provider.

OpenRouter and its like take the whole wish. Elsewhere there is only a word for the effort, a
switch, or a budget, and what a provider cannot be told in its own words is put into the nearest
that it has. Whether the client sees the thoughts is not the provider's concern, except where
leaving them out spares sending them.
"""

from __future__ import annotations

from glasslipper.gateway.providers.table import Provider
from glasslipper.kernel.messages import Reasoning

Json = dict[str, object]

BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192}
"""Tokens of thinking that an effort stands for, where there are only budgets; more is no limit."""

USUAL_EFFORT = "medium"
"""What stands for the plain wish to think, where there is only a word for the effort."""


def reasoning_members(wish: Reasoning | None, provider: Provider) -> Json:
    """Return the members of a request body that carry the wish; none where there is none."""
    if wish is None:
        return {}
    if provider.reasoning == "object":
        return _object(wish)
    effort = _effort(wish)
    if provider.reasoning == "budget":
        return _budget(wish, effort)
    if provider.reasoning == "switch":
        return _switch(wish, effort)
    return {} if effort is None else {"reasoning_effort": effort}


def _object(wish: Reasoning) -> Json:
    members: Json = {
        "enabled": wish.enabled,
        "effort": wish.effort,
        "max_tokens": wish.max_tokens,
        "exclude": wish.exclude or None,
        "summary": wish.summary,
    }
    told = {name: value for name, value in members.items() if value is not None}
    return {"reasoning": told} if told else {}


def _switch(wish: Reasoning, effort: str | None) -> Json:
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    switch: Json = {"thinking": {"type": "enabled"}} if wish.enabled else {}
    is_said = wish.effort is not None or wish.max_tokens is not None
    return switch | ({"reasoning_effort": effort} if is_said else {})


def _budget(wish: Reasoning, effort: str | None) -> Json:
    if effort is None:
        return {}
    if effort == "none":
        return {"enable_thinking": False}
    members: Json = {"enable_thinking": True}
    budget = wish.max_tokens or (BUDGETS.get(effort) if wish.effort else None)
    if budget is not None:
        members["thinking_budget"] = budget
    return members


def _effort(wish: Reasoning) -> str | None:
    """Return one word for the whole wish, or nothing where it leaves the effort open."""
    if wish.enabled is False:
        return "none"
    if wish.effort is not None:
        return wish.effort
    if wish.max_tokens is not None:
        if wish.max_tokens <= BUDGETS["low"]:
            return "low"
        return "medium" if wish.max_tokens <= BUDGETS["medium"] else "high"
    return USUAL_EFFORT if wish.enabled else None
