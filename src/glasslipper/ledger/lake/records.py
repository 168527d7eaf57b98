"""Makes records out of stored columns again: the JSON of a `Generation`, as journals hold it."""

from __future__ import annotations

from glasslipper.kernel.money import USAGE_CLASSES
from glasslipper.ledger.lake.columns import DERIVED_ATTEMPT_ID
from glasslipper.ledger.tables import ATTEMPT, SCALARS

_SAME = tuple(name for name in SCALARS if name != "charged_nanousd")
"""Fields of a record that are stored as they are."""

_USAGE = ", ".join(
    [
        *(f"{name}: g.usage_{name}" for name in USAGE_CLASSES),
        "reported_nanousd: g.billed_nanousd + g.reported_over_nanousd",
    ]
)

_INSIDE = f"""{{
    id: coalesce(g.a1_id, {DERIVED_ATTEMPT_ID.replace("(id", "(g.id")}),
    endpoint: g.endpoint, provider: g.provider, model: g.a1_model,
    started_ms: g.created_ms + g.a1_after_ms, status: g.status,
    duration_ms: g.duration_ms - g.a1_spare_ms, first_token_ms: g.first_token_ms,
    http_status: g.a1_http_status, error: g.error, upstream_id: g.upstream_id,
    billed_nanousd: g.billed_nanousd}}"""

_BESIDE = "{" + ", ".join(f"{name}: {name}" for name in ATTEMPT) + "}"


def generations(stored: str, attempts: str, candidates: str) -> str:
    """Return a query for `id` and the JSON `record` of each generation in `stored`."""
    same = ", ".join(f'"{name}": g."{name}"' for name in _SAME)
    return f"""
        SELECT g.id, to_json({{
            {same}, charged_nanousd: g.billed_nanousd - g.unpaid_nanousd, usage: {{{_USAGE}}},
            accounts: CAST(g.accounts AS JSON), labels: CAST(g.labels AS JSON),
            attempts: CASE WHEN g.a1_model IS NULL THEN coalesce(a.attempts, []) ELSE [{_INSIDE}]
                END,
            candidates: coalesce(c.candidates, [])}}) AS record
        FROM {stored} AS g
        LEFT JOIN (
            SELECT generation_id, list({_BESIDE} ORDER BY number) AS attempts
            FROM {attempts} GROUP BY generation_id) AS a ON a.generation_id = g.id
        LEFT JOIN (
            SELECT generation_id,
                list({{endpoint: endpoint, propensity: propensity, why: why}} ORDER BY number)
                    AS candidates
            FROM {candidates} GROUP BY generation_id) AS c ON c.generation_id = g.id"""
