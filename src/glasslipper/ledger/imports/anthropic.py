"""Anthropic's usage export: buckets of tokens that do not say how many requests they were.

What `/v1/organizations/usage_report/messages` answers, page after page, or the console's CSV. A
bucket becomes one generation, marked as an estimate: tokens and amounts are right, numbers and
lengths of requests are not known. Amounts are computed at the list price where one is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from glasslipper.kernel.record import Generation, LateFact
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.imports import rows
from glasslipper.ledger.imports.bucket import Bucket, Unfinished, had_ended, spread
from glasslipper.ledger.imports.rows import Priced, Row

WHAT = "Anthropic's usage export"

_DAY_MS = 86_400_000
_LABELS = (
    "workspace",
    "workspace_id",
    "service_tier",
    "usage_type",
    "context_window",
    "inference_geo",
    "speed",
)
"""What buckets of one time may be told apart by, beside model and key."""

_LONG = 200_001
"""Tokens of a prompt from which on the dearer price of long ones applies."""


def read(path: Path, priced: Priced) -> Iterator[Generation | LateFact | Unfinished]:
    """Yield one generation for each bucket of a usage export."""
    for row in rows.read(path):
        began = rows.moment(row, WHAT, "starting_at", "usage_date_utc")
        ended = rows.moment_ms(row, "ending_at") or began + _DAY_MS
        if not had_ended(ended, path):
            yield Unfinished(ended_ms=ended)
            continue
        for one in rows.inside(row, "results"):
            yield from spread(_bucket(one, began, ended), priced)


def _bucket(row: Row, began_ms: int, ended_ms: int) -> Bucket:
    written = rows.nested(row, "cache_creation")
    served = rows.nested(row, "server_tool_use")
    return Bucket(
        source="anthropic",
        began_ms=began_ms,
        ended_ms=ended_ms,
        model=rows.text(row, "model", "model_version") or "unknown",
        key=rows.text(row, "api_key_id", "api_key", "workspace_id", "workspace"),
        user=None,
        labels={name: value for name in _LABELS if (value := rows.text(row, name))},
        requests=1,
        usage=Usage(
            input=rows.number(row, "uncached_input_tokens", "usage_input_tokens_no_cache"),
            cache_read=rows.number(row, "cache_read_input_tokens", "usage_input_tokens_cache_read"),
            cache_write=rows.number(written, "ephemeral_5m_input_tokens")
            or rows.number(row, "usage_input_tokens_cache_write_5m"),
            cache_write_1h=rows.number(written, "ephemeral_1h_input_tokens")
            or rows.number(row, "usage_input_tokens_cache_write_1h"),
            output=rows.number(row, "output_tokens", "usage_output_tokens"),
            searches=rows.number(served, "web_search_requests")
            or rows.number(row, "web_search_count"),
        ),
        prompt_tokens=_LONG if _is_long(row) else 0,
    )


def _is_long(row: Row) -> bool:
    """Tell whether a bucket is of long prompts, `200k-1M` or `> 200k`; it is not if not told so."""
    window = (rows.text(row, "context_window") or "").lower().replace(" ", "")
    return window.startswith(("200k", ">"))
