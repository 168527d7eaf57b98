"""LiteLLM's spend logs: what `/spend/logs` answers, or the table `LiteLLM_SpendLogs` as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from glasslipper.kernel.finish import Status
from glasslipper.kernel.record import Dialect, Generation, LateFact
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.imports import rows
from glasslipper.ledger.imports.rows import Priced, Row

WHAT = "LiteLLM's spend logs"

_DIALECTS: dict[str, Dialect] = {
    "embedding": "embeddings",
    "text_completion": "completions",
    "responses": "responses",
    "anthropic_messages": "messages",
}


def read(path: Path, priced: Priced) -> Iterator[Generation | LateFact]:
    """Yield the generations of spend logs."""
    del priced
    for row in rows.read(path):
        yield _generation(row)


def _generation(row: Row) -> Generation:
    metadata = rows.nested(row, "metadata")
    key = rows.key_of(
        "litellm",
        rows.text(metadata, "user_api_key_alias") or (rows.text(row, "api_key") or "")[:12],
    )
    provider = rows.text(row, "custom_llm_provider")
    served = rows.authored(rows.text(row, "model") or "unknown", provider)
    began = rows.moment(row, WHAT, "startTime", "start_time")
    ended = rows.moment_ms(row, "endTime", "end_time") or began
    first = rows.moment_ms(row, "completionStartTime", "completion_start_time")
    spend = rows.nanousd(row, "spend")
    kind = (rows.text(row, "call_type") or "").removeprefix("a")
    return Generation(
        id=f"litellm-{rows.need(row, 'request_id', WHAT)}",
        created_ms=began,
        key_id=key,
        accounts=(key,),
        model=rows.text(row, "model_group") or served,
        dialect=_DIALECTS.get(kind, "chat"),
        status=_status(row, metadata),
        model_served=served,
        endpoint=f"{served}@{provider}" if provider else None,
        provider=provider,
        first_token_ms=max(first - began, 0) if first is not None and first < ended else None,
        duration_ms=max(ended - began, 0),
        usage=_usage(row, metadata),
        billed_nanousd=spend,
        charged_nanousd=spend,
        session_id=rows.text(row, "session_id"),
        user=rows.text(row, "end_user", "user"),
        labels=_labels(row, metadata),
    )


def _usage(row: Row, metadata: Row) -> Usage:
    went_in, came_out = rows.number(row, "prompt_tokens"), rows.number(row, "completion_tokens")
    told = rows.nested(rows.nested(metadata, "additional_usage_values"), "prompt_tokens_details")
    cached = min(rows.number(told, "cached_tokens"), went_in)
    return Usage(input=went_in - cached, cache_read=cached, output=came_out, requests=1)


def _status(row: Row, metadata: Row) -> Status:
    said = rows.text(row, "status") or rows.text(metadata, "status") or "success"
    return "error" if said == "failure" else "ok"


def _labels(row: Row, metadata: Row) -> dict[str, str]:
    found = {
        "team": rows.text(metadata, "user_api_key_team_alias") or rows.text(row, "team_id"),
        "organisation": rows.text(row, "organization_id"),
    }
    return {name: value for name, value in found.items() if value}
