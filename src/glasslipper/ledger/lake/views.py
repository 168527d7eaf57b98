"""The tables that studies see, made of stored columns: `generations`, `attempts` and the rest.

Each function takes the name of a table of stored columns (`lake.columns`) and returns a query.
What a study may rely on is written in `ledger.read.scan`.
"""

from __future__ import annotations

from glasslipper.kernel.money import INPUT_CLASSES, OUTPUT_CLASSES, USAGE_CLASSES
from glasslipper.kernel.record import COMPARED_FACT, COST_FACT
from glasslipper.ledger.lake.columns import DERIVED_ATTEMPT_ID, TOPIC

_AT = "make_timestamp({ms} * 1000)"


def generations(stored: str) -> str:
    """Return the generations."""
    at = _AT.format(ms="created_ms")
    used = "coalesce(model_served, model)"
    usage = ", ".join(f"usage_{name}" for name in USAGE_CLASSES)
    went_in = " + ".join(f"usage_{name}" for name in INPUT_CLASSES)
    came_out = " + ".join(f"usage_{name}" for name in OUTPUT_CLASSES)
    return f"""
        SELECT id, created_ms, {at} AS created_at, CAST({at} AS DATE) AS day,
            CAST(date_trunc('week', {at}) AS DATE) AS week,
            key_id, model, model_served, {used} AS model_used,
            CASE WHEN contains({used}, '/') THEN split_part({used}, '/', 1) ELSE '' END AS author,
            dialect, status, endpoint, provider, streamed, finish_reason, native_finish_reason,
            error, first_token_ms, duration_ms, estimated, held_nanousd, billed_nanousd,
            billed_nanousd - unpaid_nanousd AS charged_nanousd, price_id, upstream_id,
            session_id, "user", app, referer, user_agent, is_byok, {usage},
            billed_nanousd + reported_over_nanousd AS usage_reported_nanousd,
            {went_in} AS prompt_tokens, {came_out} AS completion_tokens, accounts, labels,
            json_extract_string(labels, '$.country') AS country, system_print,
            key_id || '/' || coalesce(app, '') || '/' || coalesce(system_print, '') AS workload,
            turns, tools_offered, tools_called, task, tag, language, code_language, classifier,
            task_confidence
        FROM {stored}"""


def relabelled(stored: str, topics: str) -> str:
    """Return stored generations with the topics of the table `topics` in place of their own."""
    said = ", ".join(
        f"CASE WHEN t.id IS NULL THEN g.{name} ELSE t.{name} END AS {name}"
        for name in TOPIC.values()
    )
    return f"SELECT g.* REPLACE ({said}) FROM {stored} AS g LEFT JOIN {topics} AS t ON g.id = t.id"


def recosted(stored: str, costs: str) -> str:
    """Return stored generations, billed as the table `costs` says where it does.

    What was charged, and what the provider said at the time, stays.
    """
    more = "coalesce(c.really_nanousd - g.billed_nanousd, 0)"
    return f"""
        SELECT g.* REPLACE (
            g.billed_nanousd + {more} AS billed_nanousd,
            g.unpaid_nanousd + {more} AS unpaid_nanousd,
            g.reported_over_nanousd - {more} AS reported_over_nanousd)
        FROM {stored} AS g LEFT JOIN {costs} AS c ON g.id = c.id"""


def attempts(stored: str, beside: str) -> str:
    """Return the attempts: those inside the stored generations, and those stored `beside`."""
    plain = f"""
        SELECT id AS generation_id, 0 AS number, coalesce(a1_id, {DERIVED_ATTEMPT_ID}) AS id,
            endpoint, provider, a1_model AS model, status, error, upstream_id,
            created_ms + a1_after_ms AS started_ms, duration_ms - a1_spare_ms AS duration_ms,
            first_token_ms, a1_http_status AS http_status, billed_nanousd
        FROM {stored} WHERE a1_model IS NOT NULL"""
    at = _AT.format(ms="started_ms")
    return f"""
        SELECT *, {at} AS started_at, CAST({at} AS DATE) AS day
        FROM ({plain} UNION ALL BY NAME SELECT * FROM {beside})"""


def feedback(facts: str) -> str:
    """Return rewards, from the late facts of kind `feedback`."""
    return f"""
        SELECT id, noted_ms, {_AT.format(ms="noted_ms")} AS noted_at, key_id, generation_id,
            session_id, TRY_CAST(json_extract_string(body, '$.reward') AS DOUBLE) AS reward,
            json_extract_string(body, '$.category') AS category
        FROM {facts} WHERE kind = 'feedback'"""


def topics(facts: str) -> str:
    """Return what classifiers and judges said, from the late facts of kind `topic` or `judged`."""
    said = ", ".join(
        f"json_extract_string(body, '$.{name}') AS {name}"
        for name in ("task", "tag", "language", "code_language", "classifier")
    )
    return f"""
        SELECT id, kind, noted_ms, key_id, generation_id, {said},
            TRY_CAST(json_extract_string(body, '$.confidence') AS FLOAT) AS task_confidence
        FROM {facts} WHERE kind IN ('topic', 'judged')"""


def comparisons(facts: str) -> str:
    """Return how other models' answers compare to the given ones, from facts of kind `compared`."""
    return f"""
        SELECT id, noted_ms, key_id, generation_id,
            json_extract_string(body, '$.model') AS other,
            json_extract_string(body, '$.better') AS better,
            json_extract_string(body, '$.judged_by') AS judged_by
        FROM {facts} WHERE kind = '{COMPARED_FACT}'"""


def corrections(facts: str) -> str:
    """Return what generations really cost, from the late facts of kind `cost`."""
    return f"""
        SELECT id, noted_ms, key_id, generation_id,
            TRY_CAST(json_extract_string(body, '$.billed_nanousd') AS BIGINT) AS billed_nanousd,
            json_extract_string(body, '$.source') AS source
        FROM {facts} WHERE kind = '{COST_FACT}'"""
