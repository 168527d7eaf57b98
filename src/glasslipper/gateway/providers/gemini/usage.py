"""Google's usage in classes that never overlap.

The prompt count holds what came from the cache and all media, but not what tools brought in; the
count of the candidates leaves the thinking out. Whatever is claimed, no class is negative and the
classes add up to Google's own counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.gateway.providers.gemini.wire import Count, ModalityCount, UsageMetadata
from glasslipper.kernel.usage import MOST_UNITS, Usage


def usage_of(told: UsageMetadata) -> Usage:
    """Return the units in disjoint classes."""
    tools = _units(told.tool_use_prompt_token_count)
    reasoning = _units(told.thoughts_token_count)
    prompt = _units(told.prompt_token_count)
    said = told.candidates_token_count
    if said is None:
        said = _units(told.total_token_count) - prompt - tools - reasoning
    plain_in, (cached, audio_in, image_in) = _carve(
        prompt, told.cached_content_token_count, *_uncached(told)
    )
    plain_out, (audio_out, image_out) = _carve(
        _units(said),
        _of(told.candidates_tokens_details, "AUDIO"),
        _of(told.candidates_tokens_details, "IMAGE"),
    )
    return Usage(
        input=plain_in + tools,
        cache_read=cached,
        input_audio=audio_in,
        input_image=image_in,
        output=plain_out,
        reasoning=reasoning,
        output_audio=audio_out,
        output_image=image_out,
        requests=1,
    )


def _uncached(told: UsageMetadata) -> list[int]:
    return [
        _of(told.prompt_tokens_details, kind) - _of(told.cache_tokens_details, kind)
        for kind in ("AUDIO", "IMAGE")
    ]


def _of(details: Sequence[ModalityCount] | None, kind: str) -> int:
    return sum(_units(each.token_count) for each in details or () if each.modality == kind)


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
