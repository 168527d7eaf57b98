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


_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _LETTERS for b in _LETTERS]

_TAGS_OF_TASK = 8
_PROVIDERS_OF_MODEL = max(len(model.providers) for model in MODELS)


def _base32(number: str, pairs: int) -> str:
    """Return SQL for a number in so many pairs of letters, as arguments of `concat`."""
    shifts = range(10 * (pairs - 1), -1, -10)
    return ", ".join(f"n.pair[1 + (({number} >> {shift}) & 1023)]" for shift in shifts)


def _id(prefix: str, ms: str, more: str) -> str:
    """Return SQL for an id in the ledger's layout: 48 bits of time and 80 of something else."""
    pairs = (_base32(ms, 5), _base32("r.tail", 4), _base32(f"({more})", 4))
    return f"concat('{prefix}-', {', '.join(pairs)})"


_GENERATION = _id("gen", "r.created_ms", "r.number * 2 + r.copy")

_FROM = "FROM requests AS r, demo_names AS n"
"""Names are looked up in lists: cheaper than a join, and the requests stay in their order."""


def _of_workload(name: str) -> str:
    return f"n.{name}[r.w + 1]"


def _of_offer(name: str) -> str:
    place = f"(r.model * {_PROVIDERS_OF_MODEL} + r.provider) * {MONTHS} + r.month"
    return f"n.{name}[{place} + 1]"


def _of_tag(name: str) -> str:
    return f"n.{name}[(r.task + 1) * {_TAGS_OF_TASK} + r.tag + 1]"


_TASK = _of_tag("task_name")

GENERATIONS = f"""
    SELECT {_GENERATION} AS id, r.created_ms, {_of_workload("key_id")} AS key_id,
        {_of_offer("model_id")} AS model, {_of_offer("model_id")} AS model_served,
        {_of_offer("endpoint")} AS endpoint, {_of_offer("provider_id")} AS provider,
        ['ok', 'error', 'cancelled'][r.status + 1] AS status, true AS streamed,
        ['stop', 'length', 'tool_calls', NULL][r.finish + 1] AS finish_reason,
        CASE WHEN r.status = 1 THEN 'upstream_failed' END AS error,
        CASE WHEN r.status <> 1 THEN r.first_token_ms END AS first_token_ms, r.duration_ms,
        r.billed + r.wasted AS billed_nanousd, {_of_offer("price_id")} AS price_id,
        concat('up-', r.tail, '-', r.number) AS upstream_id,
        concat('ses-', r.w, '-', r.day, '-', r.session) AS session_id,
        concat('user-', r.w, '-', r.user) AS "user", {_of_workload("app")} AS app,
        {_of_workload("system_print")} AS system_print,
        r.prompt - r.cache_read AS usage_input, r.cache_read AS usage_cache_read,
        r.output AS usage_output, r.reasoning AS usage_reasoning,
        {_of_workload("labels")} AS labels,
        r.turn + 1 AS turns, r.tools_offered, r.tools_called,
        {_TASK} AS task, {_of_tag("tag_name")} AS tag, {_of_workload("language")} AS language,
        CASE WHEN r.task >= 0 THEN 'demo-1' END AS classifier,
        CASE WHEN r.task >= 0 THEN 0.8 END AS task_confidence,
        r.retried = 0 AS plain
    {_FROM}"""

_TRIES = f"""
    SELECT {_GENERATION} AS generation_id, tries.number,
        {_id("att", "r.created_ms", "r.number * 4 + r.copy * 2 + tries.number")} AS id,
        {_of_offer("endpoint")} AS endpoint, {_of_offer("provider_id")} AS provider,
        {_of_offer("model_id")} AS model,
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
        'feedback' AS kind, r.true_ms + r.duration_ms + r.reply_ms AS noted_ms,
        {_of_workload("key_id")} AS key_id,
        {_GENERATION} AS generation_id, '{{"reward":' || r.reward || '}}' AS body
    {_FROM} WHERE r.reward >= 0
    UNION ALL
    SELECT {_id("fact", "r.true_ms + 60000", "r.number * 2 + 1")} AS id, 'judged' AS kind,
        r.true_ms + 60000 AS noted_ms, {_of_workload("key_id")} AS key_id,
        {_GENERATION} AS generation_id,
        '{{"task":"' || {_of_workload("task")} || '","language":"' || {_of_workload("language")}
            || '","confidence":1,"classifier":"judge/demo"}}' AS body
    {_FROM} WHERE r.judged = 1"""


def prepare(writer: Writer, world: World) -> None:
    """Make the small tables of names."""
    lists = {"pair": _PAIRS} | _workloads(world) | _offers(world) | _tags()
    for name, texts in lists.items():
        places = np.arange(len(texts))
        writer.load(f"demo_{name}", {"place": places, "name": np.array(texts, dtype=object)})
    chosen = ", ".join(
        f"(SELECT list(name ORDER BY place) FROM demo_{name}) AS {name}"  # noqa: S608 - ours
        for name in lists
    )
    writer.run(f"CREATE OR REPLACE TABLE demo_names AS SELECT {chosen}")
    for name in lists:
        writer.run(f"DROP TABLE demo_{name}")


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


def _workloads(world: World) -> dict[str, list[str | None]]:
    everyone = range(world.size)
    return {
        "key_id": [key_name(world, w) for w in everyone],
        "app": [APPS[app] for app in world.app],
        "system_print": [_print(world.seed, w) for w in everyone],
        "task": [TASKS[task] for task in world.task],
        "language": [LANGUAGES[language] for language in world.language],
        "labels": [f'{{"country":"{COUNTRIES[country]}"}}' for country in world.country],
    }


def _tags() -> dict[str, list[str | None]]:
    """Return the names of tasks and tags; the first task is none."""
    tasks: list[str | None] = [None] * _TAGS_OF_TASK
    tags: list[str | None] = [None] * _TAGS_OF_TASK
    for name in TASKS:
        more = len(TAGS[name])
        tasks += [name] * _TAGS_OF_TASK
        tags += [*TAGS[name], *[None] * (_TAGS_OF_TASK - more)]
    return {"task_name": tasks, "tag_name": tags}


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


def _offers(world: World) -> dict[str, list[str | None]]:
    names: dict[str, list[str | None]] = {
        name: [None] * (len(MODELS) * _PROVIDERS_OF_MODEL * MONTHS)
        for name in ("model_id", "endpoint", "provider_id", "price_id")
    }
    for one in offers(world):
        place = (one.model * _PROVIDERS_OF_MODEL + one.provider) * MONTHS + one.month
        names["model_id"][place] = MODELS[one.model].id
        names["endpoint"][place] = one.endpoint
        names["provider_id"][place] = one.provider_name
        names["price_id"][place] = one.price_id
    return names
