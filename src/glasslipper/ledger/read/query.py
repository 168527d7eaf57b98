"""Questions in words: metrics by dimensions and time, with filters, as many of each as one likes.

The words are those of OpenRouter's analytics API (its documentation, September 2026), and some
more. Amounts are US dollars, latencies milliseconds, throughput tokens a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.ledger.read.scan import Lake

Granularity = Literal["minute", "hour", "day", "week", "month"]
Operator = Literal["eq", "neq", "gt", "gte", "lt", "lte", "in", "not_in"]
Scalar = str | int | float | bool

MOST_ROWS = 1_000_000
"""Rows that an answer may have; not a limit of the study but of a body."""


class Metric(NamedTuple):
    """Something that can be counted: its SQL over generations, and how to show it."""

    sql: str
    label: str
    format: Literal["number", "currency", "percent", "milliseconds", "tokens_per_second"]

    @property
    def is_count(self) -> bool:
        """Whether it is a whole number."""
        return self.format == "number"

    @property
    def is_rate(self) -> bool:
        """Whether it is a rate or a mean, which must not be summed."""
        return self.format not in {"number", "currency"}


def _rate(part: str, whole: str) -> str:
    return f"CAST({part} AS DOUBLE) / nullif({whole}, 0)"


def _share(column: str, quantile: float) -> str:
    return f"quantile_cont({column}, {quantile})"


_SPEED = "completion_tokens * 1000.0 / nullif(duration_ms - coalesce(first_token_ms, 0), 0)"

METRICS: dict[str, Metric] = {
    "request_count": Metric("count(*)", "Request Count", "number"),
    "total_usage": Metric("sum(charged_nanousd) / 1e9", "Total Usage", "currency"),
    "billed_usage": Metric("sum(billed_nanousd) / 1e9", "Billed by Providers", "currency"),
    "byok_usage": Metric(
        "sum(CASE WHEN is_byok THEN billed_nanousd ELSE 0 END) / 1e9", "BYOK Usage", "currency"
    ),
    "tokens_prompt": Metric("sum(prompt_tokens)", "Prompt Tokens", "number"),
    "tokens_completion": Metric("sum(completion_tokens)", "Completion Tokens", "number"),
    "tokens_total": Metric("sum(prompt_tokens + completion_tokens)", "Tokens", "number"),
    "reasoning_tokens": Metric("sum(usage_reasoning)", "Reasoning Tokens", "number"),
    "cached_tokens": Metric("sum(usage_cache_read)", "Cached Tokens", "number"),
    "cache_hit_rate": Metric(
        _rate("sum(usage_cache_read)", "sum(prompt_tokens)"), "Cache Hit Rate", "percent"
    ),
    "error_count": Metric(
        "count(*) FILTER (WHERE status NOT IN ('ok', 'cancelled'))", "Errors", "number"
    ),
    "error_rate": Metric(
        _rate("count(*) FILTER (WHERE status NOT IN ('ok', 'cancelled'))", "count(*)"),
        "Error Rate",
        "percent",
    ),
    "tool_call_count": Metric(
        "count(*) FILTER (WHERE finish_reason = 'tool_calls')", "Tool Calls", "number"
    ),
    "avg_latency": Metric("avg(first_token_ms)", "Mean Time to First Token", "milliseconds"),
    "avg_generation_time": Metric("avg(duration_ms)", "Mean Generation Time", "milliseconds"),
    "avg_throughput": Metric(f"avg({_SPEED})", "Mean Throughput", "tokens_per_second"),
    **{
        f"p{share}_latency": Metric(
            _share("first_token_ms", share / 100), f"Time to First Token, p{share}", "milliseconds"
        )
        for share in (50, 90, 95, 99)
    },
    "avg_cost": Metric("avg(charged_nanousd) / 1e9", "Mean Cost", "currency"),
    "user_count": Metric('count(DISTINCT "user")', "Users", "number"),
    "session_count": Metric("count(DISTINCT session_id)", "Sessions", "number"),
}
"""By name."""

_WORKSPACE = """nullif(regexp_extract(accounts, '"(ws-[^"]*)"', 1), '')"""

DIMENSIONS: dict[str, tuple[str, str]] = {
    "model": ("model_used", "Model"),
    "model_requested": ("model", "Model Asked For"),
    "author": ("author", "Author"),
    "provider": ("provider", "Provider"),
    "endpoint": ("endpoint", "Endpoint"),
    "api_key_id": ("key_id", "API Key"),
    "workspace": (_WORKSPACE, "Workspace"),
    "app": ("app", "App"),
    "user": ('"user"', "User"),
    "external_user": ('"user"', "External User"),
    "session_id": ("session_id", "Session"),
    "generation_id": ("id", "Generation"),
    "workload": ("workload", "Workload"),
    "origin": ("referer", "Origin"),
    "country": ("country", "Country"),
    "finish_reason": ("finish_reason", "Finish Reason"),
    "status": ("status", "Status"),
    "error": ("error", "Error"),
    "api_type": ("dialect", "API"),
    "streamed": ("streamed", "Streamed"),
    "is_byok": ("is_byok", "BYOK"),
    "task": ("task", "Task"),
    "tag": ("tag", "Tag"),
    "language": ("language", "Language"),
    "code_language": ("code_language", "Code Language"),
}
"""SQL and label by name."""

OPERATORS: dict[Operator, str] = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "in": "IN",
    "not_in": "NOT IN",
}


class Filter(Struct, frozen=True, kw_only=True):
    """A condition on a dimension."""

    field: str
    operator: Operator
    value: Scalar | list[Scalar]


class Order(Struct, frozen=True, kw_only=True):
    """What rows are sorted by: a metric, a dimension, or `date`."""

    field: str
    direction: Literal["asc", "desc"] = "desc"


class Question(Struct, frozen=True, kw_only=True):
    """What is asked: moments are Unix milliseconds, the later one excluded."""

    metrics: list[str]
    dimensions: list[str]
    since_ms: int
    until_ms: int
    granularity: Granularity | None = None
    filters: list[Filter] = []
    order_by: Order | None = None
    limit: int = 1_000
    group_limit: int | None = None


class Answer(NamedTuple):
    """Rows by name, and whether there were more."""

    rows: list[dict[str, object]]
    truncated: bool


def answer(lake: Lake, question: Question) -> Answer:
    """Ask the lake.

    Raises:
        InvalidRequest: A word of the question is not known.
    """
    for name in question.metrics:
        _known(name, METRICS, "metrics")
    for name in question.dimensions:
        _known(name, DIMENSIONS, "dimensions")
    groups = [(f'"{name}"', DIMENSIONS[name][0]) for name in question.dimensions]
    time = f"date__{question.granularity}"
    if question.granularity:
        groups.insert(0, (f'"{time}"', f"date_trunc('{question.granularity}', created_at)"))
    where, values = _where(question)
    chosen = [f"{sql} AS {name}" for name, sql in groups]
    chosen += [f'{METRICS[name].sql} AS "{name}"' for name in question.metrics]
    sql = f"SELECT {', '.join(chosen)} FROM generations WHERE {where}"
    if groups:
        sql += f" GROUP BY {', '.join(sql for _, sql in groups)}"
    order = _order(question, time)
    if question.group_limit and question.dimensions:
        each = ", ".join(f'"{name}"' for name in question.dimensions)
        number = f"row_number() OVER (PARTITION BY {each} ORDER BY {order})"
        sql = f"SELECT * FROM ({sql}) QUALIFY {number} <= {question.group_limit}"
    sql = f"SELECT * FROM ({sql}) ORDER BY {order} LIMIT {question.limit + 1}"
    names = [name.strip('"') for name, _ in groups] + question.metrics
    found = [dict(zip(names, row, strict=True)) for row in lake.rows(sql, values)]
    return Answer(found[: question.limit], len(found) > question.limit)


def _known(name: str, words: dict[str, Metric] | dict[str, tuple[str, str]], what: str) -> None:
    if name not in words:
        raise InvalidRequest(
            f"There is nothing called {name!r} among the {what}.",
            param=f"$.{what}",
            hint=f"Known are {', '.join(words)}.",
        )


def _where(question: Question) -> tuple[str, list[object]]:
    conditions = ["created_ms >= ?", "created_ms < ?"]
    values: list[object] = [question.since_ms, question.until_ms]
    for one in question.filters:
        _known(one.field, DIMENSIONS, "dimensions")
        # What is unknown differs from every value, and is the same as no text.
        column = f"coalesce(CAST({DIMENSIONS[one.field][0]} AS VARCHAR), '')"
        is_list = isinstance(one.value, list)
        if is_list != (one.operator in {"in", "not_in"}):
            raise InvalidRequest(
                f"{one.operator!r} takes {'one value' if is_list else 'a list of values'}.",
                param="$.filters",
            )
        given: Sequence[Scalar] = one.value if isinstance(one.value, list) else [one.value]
        marks = ", ".join("?" * len(given))
        right = f"({marks})" if is_list else marks
        if is_list and not given:
            conditions.append("true" if one.operator == "not_in" else "false")
            continue
        conditions.append(f"{column} {OPERATORS[one.operator]} {right}")
        values += [_text(value) for value in given]
    return " AND ".join(conditions), values


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _order(question: Question, time: str) -> str:
    """Return what rows are sorted by; ties by everything they are grouped by."""
    ties = ", ".join(f'"{name}"' for name in question.dimensions)
    wanted = question.order_by
    if wanted is None:
        first = f'"{time}" DESC' if question.granularity else f'"{question.metrics[0]}" DESC'
    else:
        field = time if wanted.field == "date" and question.granularity else wanted.field
        if field not in {time, *question.metrics, *question.dimensions}:
            raise InvalidRequest(
                f"Rows cannot be sorted by {wanted.field!r}: it is not asked for.",
                param="$.order_by.field",
            )
        first = f'"{field}" {wanted.direction.upper()} NULLS LAST'
    if question.granularity and time not in first:
        ties = f'"{time}" DESC, {ties}' if ties else f'"{time}" DESC'
    return f"{first}, {ties}" if ties else first
