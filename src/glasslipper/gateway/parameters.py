"""The parameters that a request may have, in OpenRouter's words, and which endpoints take which.

A parameter that an endpoint is not known to lack counts as taken. Reads no request and calls
nobody.
"""

from __future__ import annotations

from collections.abc import Collection

PARAMETERS: tuple[str, ...] = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "max_tokens",
    "max_completion_tokens",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "seed",
    "response_format",
    "structured_outputs",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "include_reasoning",
    "reasoning",
    "reasoning_effort",
)
"""Every parameter of a chat request that means the same to all who take it."""

TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
THINKING = frozenset({"reasoning", "include_reasoning", "reasoning_effort"})

NOT_IN_MESSAGES = frozenset(
    {
        "min_p",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "seed",
    }
)
"""What Anthropic's Messages have no member for."""

NOT_IN_GEMINI = frozenset({"min_p", "repetition_penalty", "logit_bias", "parallel_tool_calls"})
"""What Google's generateContent has no member for."""

NOT_AT_OPENAI = frozenset({"top_k", "min_p", "repetition_penalty"})
"""What OpenAI itself refuses, though others who speak its language take it."""


def taken(lacks: Collection[str]) -> list[str]:
    """Return the parameters that an endpoint takes which lacks these."""
    return [name for name in PARAMETERS if name not in lacks]
