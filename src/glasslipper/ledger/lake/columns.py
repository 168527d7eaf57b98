"""The columns of the sealed tables, and how a record's JSON becomes them.

What is nearly always the same as something else is stored as its difference: what a budget did
not pay of what was billed, how much more a provider reported, and the only attempt of an exchange
that needed one (`a1_…`; other attempts have a file of their own). `views` turns all of it back.

A line to read holds a generation in `g` and, where one is known, its `Topic` in `t`; or a late
fact in `f`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from glasslipper.kernel.money import USAGE_CLASSES
from glasslipper.kernel.record import TOPIC_FACT
from glasslipper.store.duck import text, texts


class Column(NamedTuple):
    """A column: its name, its type, and its value as SQL over a line."""

    name: str
    type: str
    value: str


def _kept(kind: str, *names: str) -> list[Column]:
    return [Column(name, kind, f'g."{name}"') for name in names]


def _filled(kind: str, default: str, *names: str) -> list[Column]:
    return [Column(name, kind, f'coalesce(g."{name}", {default})') for name in names]


TOPIC = {
    "task": "task",
    "tag": "tag",
    "language": "language",
    "code_language": "code_language",
    "confidence": "task_confidence",
    "classifier": "classifier",
}
"""The members of a `Topic`, and the columns of a generation that hold them."""

_TOPIC_TYPES = {name: "FLOAT" if name == "confidence" else "VARCHAR" for name in TOPIC}


_FIRST = "g.attempts[1]"
_SAME = ("endpoint", "provider", "status", "error", "upstream_id", "first_token_ms")
_PLAIN = " AND ".join(
    [
        "len(g.attempts) = 1",
        *(f"{_FIRST}.{name} IS NOT DISTINCT FROM g.{name}" for name in _SAME),
        f"coalesce({_FIRST}.billed_nanousd, 0) = coalesce(g.billed_nanousd, 0)",
    ]
)
"""Whether an exchange had one attempt that says little that the generation does not."""

DERIVED_ATTEMPT_ID = "'att-' || substr(id, 5) || '-1'"
"""What the first attempt of the generation `id` is called (`kernel.ids.attempt_id`)."""


def _of_plain(name: str, kind: str, value: str) -> Column:
    return Column(f"a1_{name}", kind, f"CASE WHEN {_PLAIN} THEN {value} END")


GENERATIONS: tuple[Column, ...] = (
    *_kept("VARCHAR", "id"),
    *_kept("BIGINT", "created_ms"),
    *_kept("VARCHAR", "key_id", "model", "dialect", "status", "model_served"),
    *_kept("VARCHAR", "endpoint", "provider"),
    *_filled("BOOLEAN", "false", "streamed"),
    *_kept("VARCHAR", "finish_reason", "native_finish_reason", "error"),
    *_kept("BIGINT", "first_token_ms"),
    *_filled("BIGINT", "0", "duration_ms"),
    *_filled("BOOLEAN", "false", "estimated"),
    *_filled("BIGINT", "0", "held_nanousd", "billed_nanousd"),
    Column(
        "unpaid_nanousd",
        "BIGINT",
        "coalesce(g.billed_nanousd, 0) - coalesce(g.charged_nanousd, 0)",
    ),
    Column(
        "reported_over_nanousd",
        "BIGINT",
        "g.usage.reported_nanousd - coalesce(g.billed_nanousd, 0)",
    ),
    *_kept("VARCHAR", "price_id", "upstream_id", "session_id", "user", "app", "referer"),
    *_kept("VARCHAR", "user_agent"),
    *_filled("BOOLEAN", "false", "is_byok"),
    *(
        Column(f"usage_{name}", "BIGINT", f'coalesce(g.usage."{name}", 0)')
        for name in USAGE_CLASSES
    ),
    *_kept("VARCHAR", "accounts"),
    *_filled("VARCHAR", "'{}'", "labels"),
    *_kept("VARCHAR", "system_print"),
    *_filled("INTEGER", "0", "turns", "tools_offered", "tools_called"),
    *(
        Column(column, "FLOAT" if name == "confidence" else "VARCHAR", f"t.{name}")
        for name, column in TOPIC.items()
    ),
    _of_plain(
        "id", "VARCHAR", f"nullif({_FIRST}.id, {DERIVED_ATTEMPT_ID.replace('(id', '(g.id')})"
    ),
    _of_plain("model", "VARCHAR", f"{_FIRST}.model"),
    _of_plain("http_status", "INTEGER", f"{_FIRST}.http_status"),
    _of_plain("after_ms", "BIGINT", f"{_FIRST}.started_ms - g.created_ms"),
    _of_plain(
        "spare_ms",
        "BIGINT",
        f"coalesce(g.duration_ms, 0) - coalesce({_FIRST}.duration_ms, 0)",
    ),
)
"""The columns of a segment's generations, in the order in which they are stored."""

ATTEMPTS: tuple[Column, ...] = (
    Column("generation_id", "VARCHAR", "g.id"),
    Column("number", "INTEGER", "n - 1"),
    *(
        Column(name, "VARCHAR", f"a.{name}")
        for name in ("id", "endpoint", "provider", "model", "status", "error", "upstream_id")
    ),
    Column("started_ms", "BIGINT", "a.started_ms"),
    Column("duration_ms", "BIGINT", "coalesce(a.duration_ms, 0)"),
    Column("first_token_ms", "BIGINT", "a.first_token_ms"),
    Column("http_status", "INTEGER", "a.http_status"),
    Column("billed_nanousd", "BIGINT", "coalesce(a.billed_nanousd, 0)"),
)
"""The columns of the attempts that the generations do not hold themselves."""

CANDIDATES: tuple[Column, ...] = (
    Column("generation_id", "VARCHAR", "g.id"),
    Column("number", "INTEGER", "n - 1"),
    Column("endpoint", "VARCHAR", "c.endpoint"),
    Column("propensity", "DOUBLE", "c.propensity"),
    Column("why", "VARCHAR", "coalesce(c.why, '')"),
)
"""The columns of the endpoints that might have served."""

LATE_FACTS: tuple[Column, ...] = (
    *(
        Column(name, kind, f"f.{name}")
        for name, kind in (
            ("id", "VARCHAR"),
            ("kind", "VARCHAR"),
            ("noted_ms", "BIGINT"),
            ("key_id", "VARCHAR"),
            ("generation_id", "VARCHAR"),
            ("session_id", "VARCHAR"),
            ("body", "VARCHAR"),
        )
    ),
)
"""The columns of the late facts; `body` is JSON."""

_ATTEMPT = (
    "STRUCT(id VARCHAR, endpoint VARCHAR, provider VARCHAR, model VARCHAR, started_ms BIGINT,"
    " status VARCHAR, duration_ms BIGINT, first_token_ms BIGINT, http_status INTEGER,"
    " error VARCHAR, upstream_id VARCHAR, billed_nanousd BIGINT)[]"
)
_CANDIDATE = "STRUCT(endpoint VARCHAR, propensity DOUBLE, why VARCHAR)[]"


def topic_of(body: str) -> str:
    """Return SQL for the JSON of a `Topic` as a struct."""
    return f"from_json({body}, {text(json.dumps(_TOPIC_TYPES))})"


def _line() -> dict[str, str]:
    """Return the types of a line's members."""
    usage = ", ".join(f'"{name}" BIGINT' for name in (*USAGE_CLASSES, "reported_nanousd"))
    plain = {
        column.name: column.type
        for column in GENERATIONS
        if column.value in {f'g."{column.name}"'}
        or column.value.startswith(f'coalesce(g."{column.name}"')
    }
    members = {
        **plain,
        "charged_nanousd": "BIGINT",
        "usage": f"STRUCT({usage})",
        "accounts": "JSON",
        "labels": "JSON",
        "attempts": _ATTEMPT,
        "candidates": _CANDIDATE,
    }
    facts = ", ".join(
        f"{column.name} {'JSON' if column.name == 'body' else column.type}" for column in LATE_FACTS
    )
    return {
        "g": "STRUCT(" + ", ".join(f'"{name}" {kind}' for name, kind in members.items()) + ")",
        "t": f"STRUCT({', '.join(f'{name} {kind}' for name, kind in _TOPIC_TYPES.items())})",
        "f": f"STRUCT({facts})",
    }


_LINE = ", ".join(f"{name}: {text(kind)}" for name, kind in _line().items())


def lines_of(files: Iterable[Path]) -> str:
    """Return SQL for the lines of files: a table with `g`, `t` and `f`."""
    return (
        f"read_ndjson({texts(list(files))}, columns = {{{_LINE}}}, maximum_object_size = 67108864)"
    )


def generations_of(lines: str) -> str:
    """Return a query for the generations, as they are stored, in the table `lines`."""
    return f"SELECT {_values(GENERATIONS)} FROM {lines} WHERE g.id IS NOT NULL"


def attempts_of(lines: str) -> str:
    """Return a query for the attempts that the generations in `lines` do not hold themselves."""
    return f"""
        SELECT {_values(ATTEMPTS)} FROM (
            SELECT g, unnest(g.attempts) AS a, generate_subscripts(g.attempts, 1) AS n
            FROM {lines} WHERE g.id IS NOT NULL AND NOT coalesce({_PLAIN}, false))"""


def candidates_of(lines: str) -> str:
    """Return a query for the candidates of the generations in `lines`."""
    return f"""
        SELECT {_values(CANDIDATES)} FROM (
            SELECT g, unnest(g.candidates) AS c, generate_subscripts(g.candidates, 1) AS n
            FROM {lines} WHERE g.id IS NOT NULL)"""


def late_facts_of(lines: str) -> str:
    """Return a query for the late facts in `lines`."""
    return f"SELECT {_values(LATE_FACTS)} FROM {lines} WHERE f.id IS NOT NULL"


def with_topics(lines: str) -> str:
    """Return a query for the generations in `lines`, each with the last topic said in `lines`."""
    return f"""
        SELECT l.g, coalesce(l.t, x.t) AS t FROM {lines} AS l LEFT JOIN (
            SELECT f.generation_id AS id, arg_max({topic_of("f.body")}, (f.noted_ms, f.id)) AS t
            FROM {lines} WHERE f.kind = '{TOPIC_FACT}' GROUP BY f.generation_id
        ) AS x ON l.g.id = x.id
        WHERE l.g.id IS NOT NULL"""


def empty(columns: Iterable[Column]) -> str:
    """Return a query with these columns and no rows."""
    nothing = ", ".join(f'CAST(NULL AS {column.type}) AS "{column.name}"' for column in columns)
    return f"SELECT {nothing} LIMIT 0"


def _values(columns: Iterable[Column]) -> str:
    return ", ".join(
        f'CAST({column.value} AS {column.type}) AS "{column.name}"' for column in columns
    )
