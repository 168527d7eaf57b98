"""Turns requests from numbers into the ledger's columns, by SQL over arrays.

`Writer` is whatever runs DuckDB's SQL and seals its queries: the command line hands over the
ledger's own. Column names are those that studies see (`ledger.read.scan`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from glasslipper.testing.year import rows as requests
from glasslipper.testing.year.models import MODELS
from glasslipper.testing.year.world import (
    APPS,
    COUNTRIES,
    LANGUAGES,
    MONTHS,
    TAGS,
    TASKS,
    World,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.generic]


class Writer(Protocol):
    """Runs SQL and seals what queries return as one segment."""

    def run(self, sql: str, values: Sequence[object] = ()) -> None:
        """Run a statement for what it does."""
        ...

    def load(self, table: str, columns: Mapping[str, Column]) -> None:
        """Make or replace a table from arrays of equal length."""
        ...

    def seal(
        self,
        source: str,
        name: str,
        *,
        generations: str = "",
        attempts: str = "",
        late_facts: str = "",
    ) -> object:
        """Write the rows of queries."""
        ...


_ALPHABET = "'ABCDEFGHIJKLMNOPQRSTUV', 'abcdefghjkmnpqrstvwxyz'"


def _id(prefix: str, ms: str, more: str) -> str:
    """Return SQL for an id in the ledger's layout: 48 bits of time and 80 of something else."""
    return (
        f"'{prefix}-' || translate(to_base({ms}, 32, 10) || to_base(r.tail, 32, 8)"
        f" || to_base({more}, 32, 8), {_ALPHABET})"
    )


_GENERATION = _id("gen", "r.created_ms", "r.number * 2 + r.copy")

_FROM = """
    FROM requests AS r
    JOIN demo_workloads AS w ON r.w = w.w
    JOIN demo_offers AS o ON r.model = o.model AND r.provider = o.provider AND r.month = o.month
    JOIN demo_tags AS t ON r.task = t.task AND r.tag = t.tag"""

GENERATIONS = f"""
    SELECT {_GENERATION} AS id, r.created_ms, w.key_id, o.model_id AS model,
        o.model_id AS model_served, o.endpoint, o.provider_id AS provider,
        ['ok', 'error', 'cancelled'][r.status + 1] AS status, true AS streamed,
        ['stop', 'length', 'tool_calls', NULL][r.finish + 1] AS finish_reason,
        CASE WHEN r.status = 1 THEN 'upstream_failed' END AS error,
        CASE WHEN r.status <> 1 THEN r.first_token_ms END AS first_token_ms, r.duration_ms,
        r.billed + r.wasted AS billed_nanousd, o.price_id,
        'up-' || r.tail || '-' || r.number AS upstream_id,
        'ses-' || r.w || '-' || r.day || '-' || r.session AS session_id,
        'user-' || r.w || '-' || r.user AS "user", w.app, w.system_print,
        r.prompt - r.cache_read AS usage_input, r.cache_read AS usage_cache_read,
        r.output AS usage_output, r.reasoning AS usage_reasoning, w.labels,
        r.turn + 1 AS turns, r.tools_offered, r.tools_called,
        t.task_name AS task, t.tag_name AS tag, w.language,
        CASE WHEN t.task_name IS NOT NULL THEN 'demo-1' END AS classifier,
        CASE WHEN t.task_name IS NOT NULL THEN 0.8 END AS task_confidence,
        r.retried = 0 AS plain
    {_FROM} ORDER BY r.created_ms"""

_TRIES = f"""
    SELECT {_GENERATION} AS generation_id, tries.number,
        {_id("att", "r.created_ms", "r.number * 4 + r.copy * 2 + tries.number")} AS id,
        o.endpoint, o.provider_id AS provider, o.model_id AS model,
        CASE WHEN tries.number = 0 THEN 'error' ELSE 'ok' END AS status,
        CASE WHEN tries.number = 0 THEN 'upstream_failed' END AS error,
        r.created_ms + tries.number * 400 AS started_ms,
        CASE WHEN tries.number = 0 THEN 400 ELSE r.duration_ms END AS duration_ms,
        CASE WHEN tries.number = 1 THEN r.first_token_ms END AS first_token_ms,
        CASE WHEN tries.number = 0 THEN 503 ELSE 200 END AS http_status,
        CASE WHEN tries.number = 0 THEN r.wasted ELSE r.billed END AS billed_nanousd
    {_FROM}, (SELECT unnest([0, 1]) AS number) AS tries
    WHERE r.retried = 1 ORDER BY r.created_ms, 1, 2"""

_FACTS = f"""
    SELECT {_id("fact", "r.true_ms + r.duration_ms + r.reply_ms", "r.number * 2")} AS id,
        'feedback' AS kind, r.true_ms + r.duration_ms + r.reply_ms AS noted_ms, w.key_id,
        {_GENERATION} AS generation_id, '{{"reward":' || r.reward || '}}' AS body
    {_FROM} WHERE r.reward >= 0
    UNION ALL
    SELECT {_id("fact", "r.true_ms + 60000", "r.number * 2 + 1")} AS id, 'judged' AS kind,
        r.true_ms + 60000 AS noted_ms, w.key_id, {_GENERATION} AS generation_id,
        '{{"task":"' || w.task || '","language":"' || w.language
            || '","confidence":1,"classifier":"judge/demo"}}' AS body
    {_FROM} WHERE r.judged = 1"""


def prepare(writer: Writer, world: World) -> None:
    """Make the small tables of names."""
    writer.load("demo_workloads", _workloads(world))
    writer.load("demo_offers", _offers(world))
    names = [(-1, index, None, None) for index in range(8)]
    for task, name in enumerate(TASKS):
        names += [(task, index, name, tag) for index, tag in enumerate(TAGS[name])]
    columns = list(zip(*names, strict=True))
    writer.load(
        "demo_tags",
        {
            "task": np.array(columns[0]),
            "tag": np.array(columns[1]),
            "task_name": np.array(columns[2], dtype=object),
            "tag_name": np.array(columns[3], dtype=object),
        },
    )


def write(writer: Writer, name: str, rows: requests.Rows) -> None:
    """Seal the requests as one segment."""
    writer.load("requests", rows)
    writer.seal("demo", name, generations=GENERATIONS, attempts=_TRIES, late_facts=_FACTS)


def _print(seed: int, workload: int) -> str:
    return hashlib.sha256(f"{seed}/{workload}".encode()).hexdigest()[:12]


def key_name(world: World, workload: int) -> str:
    """Return the id of a workload's key."""
    return f"key-{int(world.key[workload]):03d}"


def workload_name(world: World, workload: int) -> str:
    """Return what the ledger calls a workload."""
    app = APPS[int(world.app[workload])]
    return f"{key_name(world, workload)}/{app}/{_print(world.seed, workload)}"


def _workloads(world: World) -> dict[str, Column]:
    everyone = range(world.size)

    def text(values: list[str]) -> Column:
        return np.array(values, dtype=object)

    return {
        "w": np.arange(world.size),
        "key_id": text([key_name(world, w) for w in everyone]),
        "app": text([APPS[app] for app in world.app]),
        "system_print": text([_print(world.seed, w) for w in everyone]),
        "task": text([TASKS[task] for task in world.task]),
        "language": text([LANGUAGES[language] for language in world.language]),
        "labels": text([f'{{"country":"{COUNTRIES[country]}"}}' for country in world.country]),
    }


class Offer(NamedTuple):
    """What a provider asks for a model in a month: input, cached input, output, nano-USD per M."""

    model: int
    provider: int
    month: int
    endpoint: str
    provider_name: str
    price_id: str
    price: tuple[int, int, int]


def offers(world: World) -> list[Offer]:
    """Return what every provider asks for every model in every month."""
    price_in, price_cached, price_out = requests.prices(world)
    found: list[Offer] = []
    for model, one in enumerate(MODELS):
        for provider, name in enumerate(one.providers):
            for month in range(MONTHS):
                place = (model, provider, month)
                price = (int(price_in[place]), int(price_cached[place]), int(price_out[place]))
                endpoint = f"{one.id}@{name}"
                digest = hashlib.sha256(f"{endpoint}{price}".encode()).hexdigest()[:16]
                found.append(
                    Offer(model, provider, month, endpoint, name, f"price-{digest}", price)
                )
    return found


def _offers(world: World) -> dict[str, Column]:
    rows = offers(world)

    def whole(place: int) -> Column:
        return np.array([row[place] for row in rows], dtype=np.int64)

    def text(place: int) -> Column:
        return np.array([row[place] for row in rows], dtype=object)

    return {
        "model": whole(0),
        "provider": whole(1),
        "month": whole(2),
        "endpoint": text(3),
        "provider_id": text(4),
        "price_id": text(5),
        "model_id": np.array([MODELS[row[0]].id for row in rows], dtype=object),
    }
