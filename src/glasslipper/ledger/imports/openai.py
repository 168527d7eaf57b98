"""OpenAI's usage export: buckets of an hour or a day, each with so many requests.

What `/v1/organization/usage/completions` answers, page after page, or the same columns as CSV.
A bucket becomes as many generations as it counts requests, with an even share of its tokens each,
evenly spread over its time; they are marked as estimates. The export names no prices: amounts are
computed at the list price of the model where one is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from glasslipper.kernel.record import Generation, LateFact
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.imports import rows
from glasslipper.ledger.imports.bucket import Bucket, Unfinished, had_ended, spread
from glasslipper.ledger.imports.rows import Priced, Row

WHAT = "OpenAI's usage export"


def read(path: Path, priced: Priced) -> Iterator[Generation | LateFact | Unfinished]:
    """Yield the generations that a usage export counts."""
    for row in rows.read(path):
        began = rows.moment(row, WHAT, "start_time", "start_time_iso")
        ended = rows.moment_ms(row, "end_time", "end_time_iso") or began + 86_400_000
        if not had_ended(ended, path):
            yield Unfinished(ended_ms=ended)
            continue
        for one in rows.inside(row, "results"):
            yield from spread(_bucket(one, began, ended), priced)


def _bucket(row: Row, began_ms: int, ended_ms: int) -> Bucket:
    went_in, cached = rows.number(row, "input_tokens"), rows.number(row, "input_cached_tokens")
    heard, said = rows.number(row, "input_audio_tokens"), rows.number(row, "output_audio_tokens")
    return Bucket(
        source="openai",
        began_ms=began_ms,
        ended_ms=ended_ms,
        model=rows.text(row, "model") or "unknown",
        key=rows.text(row, "api_key_id", "api_key_name", "project_id", "project_name"),
        user=rows.text(row, "user_id", "user_email"),
        labels={
            name: value
            for name in ("project_id", "batch", "service_tier")
            if (value := rows.text(row, name))
        },
        requests=rows.number(row, "num_model_requests"),
        usage=Usage(
            input=max(went_in - cached - heard, 0),
            cache_read=cached,
            input_audio=heard,
            output=max(rows.number(row, "output_tokens") - said, 0),
            output_audio=said,
        ),
    )
