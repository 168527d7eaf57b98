"""Langfuse's observations: what its API, its table export and its blob export write.

Only generations are taken; spans and events are no calls. The three spell names differently
(camelCase or snake_case) and mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from glasslipper.kernel.finish import Status
from glasslipper.kernel.record import Generation, LateFact
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.imports import rows
from glasslipper.ledger.imports.rows import Priced, Row

WHAT = "Langfuse's observations"


def read(path: Path, priced: Priced) -> Iterator[Generation | LateFact]:
    """Yield the generations among observations."""
    for row in rows.read(path):
        if (rows.text(row, "type") or "GENERATION").upper() == "GENERATION":
            yield _generation(row, priced)


def _generation(row: Row, priced: Priced) -> Generation:
    del priced
    metadata = rows.nested(row, "metadata")
    key = rows.key_of("langfuse", rows.text(row, "projectId", "project_id"))
    began = rows.moment(row, WHAT, "startTime", "start_time")
    ended = rows.moment_ms(row, "endTime", "end_time") or began
    first = rows.moment_ms(row, "completionStartTime", "completion_start_time")
    cost = _cost(row)
    model = rows.text(row, "model", "providedModelName", "provided_model_name") or "unknown"
    provider = rows.text(metadata, "ls_provider", "provider")
    return Generation(
        id=f"langfuse-{rows.need(row, 'id', WHAT)}",
        created_ms=began,
        key_id=key,
        accounts=(key,),
        model=rows.authored(model, provider),
        dialect="chat",
        status=_status(row),
        model_served=rows.authored(model, provider),
        provider=provider,
        error="error" if _status(row) == "error" else None,
        first_token_ms=max(first - began, 0) if first is not None else None,
        duration_ms=max(ended - began, 0),
        usage=_usage(row),
        billed_nanousd=cost,
        charged_nanousd=cost,
        session_id=rows.text(row, "sessionId", "session_id", "traceId", "trace_id"),
        user=rows.text(row, "userId", "user_id"),
        app=rows.text(row, "traceName", "trace_name", "name"),
    )


def _cost(row: Row) -> int:
    """Return what a call cost in all, or the sum of its parts where nothing says that."""
    parts = rows.nested(row, "costDetails", "cost_details")
    return (
        rows.nanousd(parts, "total")
        or rows.nanousd(
            row, "totalCost", "total_cost", "calculatedTotalCost", "calculated_total_cost"
        )
        or sum(rows.nanousd(parts, name) for name in parts)
    )


def _usage(row: Row) -> Usage:
    told = rows.nested(row, "usageDetails", "usage_details") or rows.nested(row, "usage")
    went_in = rows.number(told, "input", "promptTokens", "prompt_tokens") or rows.number(
        row, "promptTokens", "prompt_tokens", "inputUsage", "input_usage", "inputTokens"
    )
    came_out = rows.number(told, "output", "completionTokens", "completion_tokens") or rows.number(
        row, "completionTokens", "completion_tokens", "outputUsage", "output_usage", "outputTokens"
    )
    return Usage(
        input=went_in,
        cache_read=rows.number(
            told, "input_cached_tokens", "cache_read_input_tokens", "input_cache_read"
        ),
        cache_write=rows.number(told, "cache_creation_input_tokens", "input_cache_creation"),
        output=came_out,
        reasoning=rows.number(told, "output_reasoning_tokens", "output_reasoning"),
        requests=1,
    )


def _status(row: Row) -> Status:
    return "error" if (rows.text(row, "level") or "").upper() == "ERROR" else "ok"
