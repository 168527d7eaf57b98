"""A provider's usage object in classes that never overlap.

In OpenAI's format cached, audio and image tokens are part of the prompt count and reasoning is
part of the completion count. Where a total shows that reasoning was left out, it is added.
Whatever a provider claims, no class is negative and the classes add up to its own counts.
"""

from __future__ import annotations

from decimal import Decimal

from glasslipper.gateway.providers.openai.wire import (
    CompletionDetails,
    Count,
    PromptDetails,
    UsageObject,
)
from glasslipper.kernel.money import nanousd
from glasslipper.kernel.usage import MOST_UNITS, Usage

_NO_PROMPT = (PromptDetails(), PromptDetails(cached_tokens=0, audio_tokens=0))
_NO_COMPLETION = (
    CompletionDetails(),
    CompletionDetails(reasoning_tokens=0, audio_tokens=0),
    CompletionDetails(reasoning_tokens=0),
)
"""Details that tell of nothing, in the forms in which they come."""

_MAX_USD = 1_000_000
"""A provider that claims to have charged more for one call is not believed."""


def usage_of(told: UsageObject) -> Usage:
    """Return the units and the reported cost, in disjoint classes."""
    if (plain := plain_usage(told)) is not None:
        return plain
    inner = told.prompt_tokens_details or PromptDetails()
    outer = told.completion_tokens_details or CompletionDetails()
    prompt, completion = _totals(told, _units(outer.reasoning_tokens))
    cached = inner.cached_tokens or told.cached_tokens or told.prompt_cache_hit_tokens
    plain_in, (cache_read, cache_write, audio_in, image_in) = _carve(
        prompt, cached, inner.cache_write_tokens, inner.audio_tokens, inner.image_tokens
    )
    plain_out, (reasoning, audio_out, image_out) = _carve(
        completion, outer.reasoning_tokens, outer.audio_tokens, outer.image_tokens
    )
    return Usage(
        input=plain_in,
        cache_read=cache_read,
        cache_write=cache_write,
        input_audio=audio_in,
        input_image=image_in,
        output=plain_out,
        reasoning=reasoning,
        output_audio=audio_out,
        output_image=image_out,
        requests=1,
        reported_nanousd=_cost(told.cost),
    )


def plain_usage(told: UsageObject) -> Usage | None:
    """Return the usage where there are two numbers of tokens and no more to know."""
    prompt, completion = told.prompt_tokens, told.completion_tokens
    if not (isinstance(prompt, int) and isinstance(completion, int)):
        return None
    if not (0 < prompt <= MOST_UNITS and 0 <= completion <= MOST_UNITS):
        return None
    if told.cost is not None:
        return None
    inner, outer = told.prompt_tokens_details, told.completion_tokens_details
    if not (inner is None or inner in _NO_PROMPT) or not (outer is None or outer in _NO_COMPLETION):
        return None
    if told.cached_tokens or told.prompt_cache_hit_tokens:
        return None
    return Usage(input=prompt, output=completion, requests=1)


def _totals(told: UsageObject, reasoning: int) -> tuple[int, int]:
    """Return the prompt's and the completion's tokens, reasoning included."""
    prompt, completion = _units(told.prompt_tokens), _units(told.completion_tokens)
    total = _units(told.total_tokens)
    if told.prompt_tokens is None:
        prompt = max(0, total - completion)
    if reasoning > completion or (reasoning and total == prompt + completion + reasoning):
        completion += reasoning
    return prompt, completion


def _carve(total: int, *claims: Count) -> tuple[int, list[int]]:
    """Return what is left of a total, and what each claim gets of it, in order."""
    shares: list[int] = []
    for claim in claims:
        share = min(total, _units(claim))
        shares.append(share)
        total -= share
    return total, shares


def _units(count: Count) -> int:
    return int(min(max(count or 0, 0), MOST_UNITS))


def _cost(cost: Decimal | None) -> int | None:
    if cost is None or not cost.is_finite() or not 0 <= cost <= _MAX_USD:
        return None
    return nanousd(cost)
