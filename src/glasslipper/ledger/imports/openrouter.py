"""OpenRouter's activity CSV: one row for each generation (columns as of September 2026)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from glasslipper.kernel.finish import Status
from glasslipper.kernel.record import Generation, LateFact
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.imports import rows
from glasslipper.ledger.imports.rows import Priced, Row

WHAT = "OpenRouter's activity export"


def read(path: Path, priced: Priced) -> Iterator[Generation | LateFact]:
    """Yield the generations of an activity export."""
    del priced
    for row in rows.read(path):
        yield _generation(row)


def _generation(row: Row) -> Generation:
    key = rows.key_of("openrouter", rows.text(row, "api_key_name"))
    model = rows.need(row, "model_permaslug", WHAT)
    variant = rows.text(row, "variant")
    if variant and variant != "standard" and ":" not in model:
        model = f"{model}:{variant}"
    provider = rows.text(row, "provider_name")
    native = rows.text(row, "finish_reason_raw")
    finish = rows.finish(rows.text(row, "finish_reason_normalized")) or rows.finish(native)
    cost = rows.nanousd(row, "cost_total")
    byok = rows.nanousd(row, "byok_usage_inference")
    return Generation(
        id=f"openrouter-{rows.need(row, 'generation_id', WHAT)}",
        created_ms=rows.moment(row, WHAT, "created_at"),
        key_id=key,
        accounts=(key,),
        model=model,
        dialect="chat",
        status=_status(row, finish),
        model_served=model,
        endpoint=f"{model}@{provider}" if provider else None,
        provider=provider,
        streamed=rows.flag(row, "streamed"),
        finish_reason=finish,
        native_finish_reason=native,
        first_token_ms=rows.number(row, "time_to_first_token_ms") or None,
        duration_ms=rows.number(row, "generation_time_ms"),
        usage=_usage(row),
        billed_nanousd=cost + byok,
        charged_nanousd=cost,
        user=rows.text(row, "user"),
        app=rows.text(row, "app_name"),
        is_byok=byok > 0,
    )


def _usage(row: Row) -> Usage:
    went_in, cached = rows.number(row, "tokens_prompt"), rows.number(row, "tokens_cached")
    came_out, thought = rows.number(row, "tokens_completion"), rows.number(row, "tokens_reasoning")
    return Usage(
        input=max(went_in - cached, 0),
        cache_read=min(cached, went_in),
        output=max(came_out - thought, 0),
        reasoning=min(thought, came_out),
        requests=1,
    )


def _status(row: Row, finish: str | None) -> Status:
    if rows.flag(row, "cancelled"):
        return "cancelled"
    return "error" if finish == "error" else "ok"
