"""What was used, by anything and over any time: OpenRouter's activity and analytics APIs.

Their shapes (OpenRouter's OpenAPI document and documentation, September 2026) without their
limits: any number of dimensions and filters, any span, today included. Counts are texts, as
there. A study runs beside the event loop, one at a time.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, date, datetime, timedelta

import msgspec
from msgspec import Struct, structs

from glasslipper.gateway.dialects.body import parse
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.reading import read_body
from glasslipper.kernel.clock import DAY_MS
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.ledger.read import query
from glasslipper.ledger.read.query import (
    Filter,
    Granularity,
    Operator,
    Order,
    Question,
    Scalar,
)
from glasslipper.ledger.read.scan import Lake

DEFAULT_SPAN_MS = 7 * DAY_MS
MEMORY_BYTES = 512 << 20

_AT_A_TIME = asyncio.Semaphore(1)


class ActivityItem(Struct, frozen=True, kw_only=True):
    """What one endpoint did on one day; amounts are US dollars."""

    date: str
    model: str
    model_permaslug: str
    endpoint_id: str
    provider_name: str
    usage: float
    byok_usage_inference: float
    requests: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int


class ActivityAnswer(Struct, frozen=True):
    """Activity, the latest day first."""

    data: list[ActivityItem]


class TimeRange(Struct, frozen=True, kw_only=True):
    """From when to when; the end is excluded."""

    start: datetime
    end: datetime


class AnalyticsQuery(Struct, frozen=True, kw_only=True):
    """A question; without a time range it is about the last seven days."""

    metrics: list[str]
    dimensions: list[str] = []
    granularity: Granularity | None = None
    time_range: TimeRange | None = None
    filters: list[Filter] = []
    order_by: Order | None = None
    limit: int = 1_000
    group_limit: int | None = None


class AnalyticsMetadata(Struct, frozen=True, kw_only=True):
    """How the answer came to be."""

    query_time_ms: float
    row_count: int
    truncated: bool


class AnalyticsRows(Struct, frozen=True, kw_only=True):
    """Rows by the names of what was asked for, and `date__…` where a granularity was."""

    data: list[dict[str, str | float | bool | None]]
    metadata: AnalyticsMetadata


class AnalyticsAnswer(Struct, frozen=True):
    """What the ledger says."""

    data: AnalyticsRows


class MetricShown(Struct, frozen=True, kw_only=True):
    """Something that can be asked for."""

    name: str
    display_label: str
    is_rate: bool
    display_format: str


class DimensionShown(Struct, frozen=True, kw_only=True):
    """Something that it can be asked by."""

    name: str
    display_label: str


class OperatorShown(Struct, frozen=True, kw_only=True):
    """How a filter compares, and with what."""

    name: str
    value_type: str


class AnalyticsMeta(Struct, frozen=True, kw_only=True):
    """All words that a question may use."""

    metrics: list[MetricShown]
    dimensions: list[DimensionShown]
    operators: list[OperatorShown]
    granularities: list[DimensionShown]


class AnalyticsMetaAnswer(Struct, frozen=True):
    """All words that a question may use."""

    data: AnalyticsMeta


_OF_MANY: dict[Operator, Operator] = {
    "eq": "in",
    "neq": "not_in",
    "in": "in",
    "not_in": "not_in",
}
"""How a comparison with one value is one with many."""

_questions = msgspec.json.Decoder(AnalyticsQuery)
_encode = msgspec.json.encode


async def activity(house: House, http: Http) -> None:
    """Answer `GET /activity?date=&since=&until=&api_key_hash=`: days of endpoints."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    first, last = _days(http.query)
    sql = """
        SELECT CAST(day AS VARCHAR), model, model_used, coalesce(endpoint, ''),
            coalesce(provider, ''),
            sum(charged_nanousd) / 1e9,
            sum(CASE WHEN is_byok THEN billed_nanousd ELSE 0 END) / 1e9,
            count(*), CAST(sum(prompt_tokens) AS BIGINT), CAST(sum(completion_tokens) AS BIGINT),
            CAST(sum(usage_reasoning) AS BIGINT)
        FROM generations WHERE day >= $first AND day <= $last
            AND (CAST($key AS VARCHAR) IS NULL OR key_id = $key)
        GROUP BY ALL ORDER BY 1 DESC, 6 DESC, 2, 3, 4, 5"""
    key = http.query.get("api_key_hash")
    values: dict[str, object] = {"first": first, "last": last, "key": key}
    async with _AT_A_TIME:
        rows = await asyncio.to_thread(_asked, house, sql, values)
    names = ActivityItem.__struct_fields__
    data = msgspec.convert([dict(zip(names, row, strict=True)) for row in rows], list[ActivityItem])
    await http.reply(200, _encode(ActivityAnswer(data)))


def _asked(house: House, sql: str, values: dict[str, object]) -> list[tuple[object, ...]]:
    with _lake(house) as lake:
        return lake.rows(sql, values)


def _lake(house: House) -> Lake:
    return Lake(house.ledger.home, memory_bytes=MEMORY_BYTES, threads=1)


def _days(given: dict[str, str]) -> tuple[date, date]:
    try:
        if one := given.get("date"):
            return date.fromisoformat(one), date.fromisoformat(one)
        first = date.fromisoformat(given.get("since", "1970-01-01"))
        return first, date.fromisoformat(given.get("until", "9999-12-31"))
    except ValueError as error:
        raise InvalidRequest("A day is written like 2026-11-26.", param="date") from error


async def ask(house: House, http: Http) -> None:
    """Answer `POST /analytics/query`."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    asked = parse(await read_body(house, http), _questions)
    names = {key.id: key.name for key in house.accounts.keys()}
    question = _question(_by_id(asked, names), house.clock.now_ms())
    began_s = time.perf_counter()
    async with _AT_A_TIME:
        found = await asyncio.to_thread(_answered, house, question)
    rows = [_shown(row, question, names) for row in found.rows]
    metadata = AnalyticsMetadata(
        query_time_ms=round((time.perf_counter() - began_s) * 1000, 1),
        row_count=len(rows),
        truncated=found.truncated,
    )
    await http.reply(200, _encode(AnalyticsAnswer(AnalyticsRows(data=rows, metadata=metadata))))


def _answered(house: House, question: Question) -> query.Answer:
    with _lake(house) as lake:
        return query.answer(lake, question)


def _by_id(asked: AnalyticsQuery, names: dict[str, str]) -> AnalyticsQuery:
    """Return a question whose filters name keys by their ids; rows show names, and those are asked.

    A name may be that of several keys; whoever asks for it asks for all of them.
    """

    def ids(name: Scalar) -> list[Scalar]:
        return [one for one, shown in names.items() if shown == name] or [name]

    def by_id(one: Filter) -> Filter:
        if one.field != "api_key_id" or one.operator not in _OF_MANY:
            return one
        values = one.value if isinstance(one.value, list) else [one.value]
        if isinstance(one.value, list) != (one.operator in _OF_MANY.values()):
            return one  # it is refused for what it is
        found = [identifier for value in values for identifier in ids(value)]
        return structs.replace(one, operator=_OF_MANY[one.operator], value=found)

    return structs.replace(asked, filters=[by_id(one) for one in asked.filters])


def _question(asked: AnalyticsQuery, now_ms: int) -> Question:
    if not asked.metrics:
        raise InvalidRequest("Say at least one metric.", param="$.metrics")
    if not 1 <= asked.limit <= query.MOST_ROWS:
        raise InvalidRequest(f"A limit is from 1 to {query.MOST_ROWS}.", param="$.limit")
    if asked.group_limit is not None and asked.group_limit < 1:
        raise InvalidRequest("A group limit is 1 or more.", param="$.group_limit")
    since_ms, until_ms = now_ms - DEFAULT_SPAN_MS, now_ms + DAY_MS
    if asked.time_range is not None:
        since_ms, until_ms = _ms(asked.time_range.start), _ms(asked.time_range.end)
        if since_ms >= until_ms:
            raise InvalidRequest("The time range ends before it begins.", param="$.time_range")
    return Question(
        metrics=asked.metrics,
        dimensions=asked.dimensions,
        since_ms=since_ms,
        until_ms=until_ms,
        granularity=asked.granularity,
        filters=asked.filters,
        order_by=asked.order_by,
        limit=asked.limit,
        group_limit=asked.group_limit,
    )


def _ms(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int((aware - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def _shown(
    row: dict[str, object], question: Question, names: dict[str, str]
) -> dict[str, str | float | bool | None]:
    """Return a row as OpenRouter shows it: counts as text, keys by their names."""
    shown: dict[str, str | float | bool | None] = {}
    for name, value in row.items():
        metric = query.METRICS.get(name)
        if name.startswith("date__") and isinstance(value, date):
            shown[name] = _when(value, question)
        elif metric is not None and metric.is_count:
            shown[name] = str(int(value)) if isinstance(value, int | float) else "0"
        elif metric is not None:
            shown[name] = float(value) if isinstance(value, int | float) else None
        elif name == "api_key_id":
            shown[name] = names.get(str(value), str(value))
        else:
            shown[name] = value if isinstance(value, bool) or value is None else str(value)
    return shown


def _when(moment: date, question: Question) -> str:
    if question.granularity in {"minute", "hour"} and isinstance(moment, datetime):
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return moment.strftime("%Y-%m-%d")


async def meta(house: House, http: Http) -> None:
    """Answer `GET /analytics/meta`: which words a question may use."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    found = AnalyticsMeta(
        metrics=[
            MetricShown(
                name=name,
                display_label=metric.label,
                is_rate=metric.is_rate,
                display_format=metric.format,
            )
            for name, metric in query.METRICS.items()
        ],
        dimensions=[
            DimensionShown(name=name, display_label=label)
            for name, (_, label) in query.DIMENSIONS.items()
        ],
        operators=[
            OperatorShown(name=name, value_type="array" if name.endswith("in") else "scalar")
            for name in query.OPERATORS
        ],
        granularities=[
            DimensionShown(name=name, display_label=name.capitalize())
            for name in ("minute", "hour", "day", "week", "month")
        ],
    )
    await http.reply(200, _encode(AnalyticsMetaAnswer(found)))
