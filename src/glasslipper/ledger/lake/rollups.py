"""The sums that are made of each segment, once, so that studies need not read it again.

All of them add up: rows with the same key, from several segments or from hot rows, are to be
summed by whoever reads. Each is a query over the tables `generations` and `attempts`.
"""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.kernel.money import INPUT_CLASSES, OUTPUT_CLASSES

_CLASSES = (*INPUT_CLASSES, *OUTPUT_CLASSES)
_TOKENS = "prompt_tokens + completion_tokens"

BUCKETS_PER_OCTAVE = 8
"""Buckets of a latency histogram per factor of two: bucket b begins at 2 ** (b / 8)."""


def _sum(value: str) -> str:
    """Return a sum as an integer of 64 bits; Parquet knows no larger ones."""
    return f"coalesce(CAST(sum({value}) AS BIGINT), 0)"


def _bucket(value: str) -> str:
    return f"CAST(floor(log2(greatest({value}, 1)) * {BUCKETS_PER_OCTAVE}) AS INTEGER)"


def _count(where: str) -> str:
    """Return how many rows are so; a FILTER costs more."""
    return f"count(CASE WHEN {where} THEN 1 END)"


_UNIT_SUMS = ("prompt_tokens", "completion_tokens", "charged_nanousd", "billed_nanousd")
_UNIT = f"model, author, task, requests, {', '.join(_UNIT_SUMS)}"
_UNIT_KEYS = "model_used, author, task"


def _unit_sums(requests: str) -> str:
    return ", ".join([f"{requests} AS requests", *(f"{_sum(one)} AS {one}" for one in _UNIT_SUMS)])


def _histogram(measure: str, value: str, where: str) -> str:
    return f"""
        SELECT day, model_used AS model, provider, '{measure}' AS measure,
            {_bucket(value)} AS bucket, count(*) AS requests
        FROM generations WHERE status = 'ok' AND {where}
        GROUP BY day, model_used, provider, {_bucket(value)}"""


_SUMS = ", ".join(
    f"{_sum(name)} AS {name}"
    for name in (
        "prompt_tokens",
        "completion_tokens",
        *(f"usage_{name}" for name in _CLASSES),
        "usage_searches",
        "usage_cpu_us",
        "billed_nanousd",
        "charged_nanousd",
        "turns",
        "duration_ms",
        "first_token_ms",
    )
)

_ANSWER_US = "(duration_ms - first_token_ms) * 1000.0 / nullif(completion_tokens, 0)"

ROLLUPS: dict[str, str] = {
    "usage_daily": f"""
        SELECT day, model_used AS model, author, provider, task, tag, language, country,
            count(*) AS requests,
            {_count("status = 'ok'")} AS ok,
            {_count("status = 'cancelled'")} AS cancelled,
            {_count("status NOT IN ('ok', 'cancelled')")} AS failed,
            {_SUMS},
            {_count("finish_reason = 'tool_calls'")} AS tool_call_requests,
            {_sum(f"CASE WHEN finish_reason = 'tool_calls' THEN {_TOKENS} ELSE 0 END")}
                AS tool_call_tokens,
            {_count("tools_offered > 0")} AS tools_offered_requests,
            {_sum(f"CASE WHEN tools_offered > 0 THEN {_TOKENS} ELSE 0 END")}
                AS tools_offered_tokens,
            {_count("streamed")} AS streamed_requests,
            {_count("is_byok")} AS byok_requests,
            count(first_token_ms) AS first_tokens
        FROM generations
        GROUP BY day, model_used, author, provider, task, tag, language, country""",
    # A key's sums are made of its workloads', which are far fewer than rows.
    "units_weekly": f"""
        SELECT * FROM (
            WITH each_workload AS MATERIALIZED (
                SELECT week, key_id, workload, model_used AS model, author, task,
                    {_unit_sums("count(*)")}
                FROM generations WHERE key_id IS NOT NULL
                GROUP BY week, key_id, workload, {_UNIT_KEYS}
            ), each_key AS (
                SELECT week, key_id, model, author, task, {_unit_sums(_sum("requests"))}
                FROM each_workload GROUP BY week, key_id, model, author, task
            ), each_user AS (
                SELECT week, "user", model_used AS model, author, task, {_unit_sums("count(*)")}
                FROM generations WHERE "user" IS NOT NULL
                GROUP BY week, "user", {_UNIT_KEYS}
            )
            SELECT week, 'workload' AS unit_kind, workload AS unit, {_UNIT} FROM each_workload
            UNION ALL SELECT week, 'key' AS unit_kind, key_id AS unit, {_UNIT} FROM each_key
            UNION ALL SELECT week, 'user' AS unit_kind, "user" AS unit, {_UNIT} FROM each_user)""",
    "latency_daily": " UNION ALL ".join(
        [
            _histogram("first_token_ms", "first_token_ms", "first_token_ms IS NOT NULL"),
            _histogram("duration_ms", "duration_ms", "true"),
            _histogram(
                "token_us", _ANSWER_US, f"first_token_ms IS NOT NULL AND {_ANSWER_US} IS NOT NULL"
            ),
        ]
    ),
    "attempts_daily": f"""
        SELECT day, provider, model, status, error, http_status, count(*) AS attempts,
            {_sum("duration_ms")} AS duration_ms, {_sum("billed_nanousd")} AS billed_nanousd
        FROM attempts GROUP BY day, provider, model, status, error, http_status""",
}
"""Every rollup by the name of its table and file."""


KEYS: dict[str, tuple[str, ...]] = {
    "usage_daily": (
        "day",
        "model",
        "author",
        "provider",
        "task",
        "tag",
        "language",
        "country",
    ),
    "units_weekly": ("week", "unit_kind", "unit", "model", "author", "task"),
}
"""The rollups that know topics, and what their rows are about; all else in them is a sum."""


def taken_back(name: str, names: Sequence[str], rows: str) -> str:
    """Return a query for rows of a rollup with every sum turned to its opposite."""
    chosen = ", ".join(one if one in KEYS[name] else f"-{one} AS {one}" for one in names)
    return f"SELECT {chosen} FROM ({rows})"


def over(rollup: str, *, generations: str, attempts: str) -> str:
    """Return a rollup over tables of other names."""
    return rollup.replace("FROM generations", f"FROM {generations}").replace(
        "FROM attempts", f"FROM {attempts}"
    )
