"""Anthropic's usage in classes that never overlap, put together from what is told piece by piece.

Cached tokens are no part of its input count; thinking is part of its output count. An answer that
was cut off before its output was counted is taken for as long as what came of it.
"""

from __future__ import annotations

from glasslipper.gateway.providers.anthropic.wire import Count, UsageObject
from glasslipper.kernel.usage import MOST_UNITS, Usage

BYTES_PER_TOKEN = 4
"""How much of an answer is taken for a token where nobody counted."""


class Meter:
    """Adds up what is told about one answer: a later total replaces an earlier one."""

    def __init__(self) -> None:
        self._input = self._read = self._output = self._thought = self._searches = 0
        self._written = self._written_1h = 0

    def take(self, told: UsageObject) -> None:
        """Learn totals."""
        self._input = _units(told.input_tokens, self._input)
        self._read = _units(told.cache_read_input_tokens, self._read)
        self._output = _units(told.output_tokens, self._output)
        if told.output_tokens_details is not None:
            self._thought = _units(told.output_tokens_details.thinking_tokens, self._thought)
        if told.server_tool_use is not None:
            self._searches = _units(told.server_tool_use.web_search_requests, self._searches)
        self._written = _units(told.cache_creation_input_tokens, self._written)
        if told.cache_creation is not None:
            hour = _units(told.cache_creation.ephemeral_1h_input_tokens, self._written_1h)
            short = _units(told.cache_creation.ephemeral_5m_input_tokens, 0)
            self._written_1h, self._written = hour, max(self._written, hour + short)

    def usage(self, *, relayed_bytes: int = 0) -> Usage:
        """Return the units so far; `relayed_bytes` of answer came, if the end was not told."""
        output = max(self._output, -(-relayed_bytes // BYTES_PER_TOKEN))
        thought = min(self._thought, output)
        hour = min(self._written_1h, self._written)
        return Usage(
            input=self._input,
            cache_read=self._read,
            cache_write=self._written - hour,
            cache_write_1h=hour,
            output=output - thought,
            reasoning=thought,
            requests=1,
            searches=self._searches,
        )


def _units(count: Count, before: int) -> int:
    return before if count is None else int(min(max(count, 0), MOST_UNITS))
