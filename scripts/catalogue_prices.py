"""Turns the prices that others publish into tariffs: exact, in integers, in our usage classes.

`genai-prices` ships its data as Python source; it is read as a syntax tree and never run. Knows
nothing of files or networks.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal

from glasslipper.gateway.prices.tariff import Tier, Version
from glasslipper.kernel.money import NANO, Price

PER_MILLION = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "input_image_mtok": "input_image",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
}
"""Our name for each class that `genai-prices` prices by the million."""

PER_THOUSAND = {"requests_kcount": "requests", "web_searches_kcount": "searches"}
"""Our name for each class that it prices by the thousand."""

SERVICE_TIERS = ("flex", "priority", "fast")
"""The tiers of service whose prices are kept; batches are another API."""

Rates = dict[str, Decimal]
"""USD per million units by usage class."""


@dataclass
class Call:
    """A call in a syntax tree, such as `ModelPrice(input_mtok=Decimal('8'))`, not carried out."""

    name: str
    args: list[object] = field(default_factory=list)
    named: dict[str, object] = field(default_factory=dict)

    def get(self, name: str) -> object:
        """Return a named argument, or `None`."""
        return self.named.get(name)


def literal(node: ast.expr) -> object:
    """Return what an expression of constants, lists, dictionaries and calls stands for.

    Raises:
        ValueError: It holds something else.
    """
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items):
            return [literal(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {literal(k): literal(v) for k, v in zip(keys, values, strict=True) if k}
        case ast.Attribute():
            return ast.unparse(node)
        case ast.Call(func=func):
            args = [literal(arg) for arg in node.args]
            named = {word.arg: literal(word.value) for word in node.keywords if word.arg}
            return _plain(Call(ast.unparse(func), args, named))
    raise ValueError(f"not a literal: {ast.unparse(node)}")


def _plain(call: Call) -> object:
    match call.name:
        case "Decimal":
            return Decimal(str(call.args[0]))
        case "datetime.date":
            return date(*call.args)
        case "datetime.time":
            if call.get("tzinfo") != "datetime.UTC":
                raise ValueError("a time of day is not UTC")
            hours, minutes = call.args
            return (hours * 60 + minutes) * 60_000
    return call


def providers(source: str) -> dict[str, list[Call]]:
    """Return the models of each provider in the source of `genai_prices/data.py`."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == "providers":
            return {row.get("id"): row.get("models") for row in literal(statement.value)}
    raise ValueError("the data holds no providers")


def matches(clause: Call, name: str) -> bool:
    """Return whether `genai-prices` means a model by that name."""
    name = name.lower()
    ((kind, wanted),) = clause.named.items()
    match kind:
        case "or_":
            return any(matches(part, name) for part in wanted)
        case "and_":
            return all(matches(part, name) for part in wanted)
        case "regex":
            return re.search(wanted, name) is not None
        case "equals":
            return name == wanted.lower()
        case "starts_with":
            return name.startswith(wanted.lower())
        case "ends_with":
            return name.endswith(wanted.lower())
        case "contains":
            return wanted.lower() in name
    raise ValueError(f"an unknown clause: {kind}")


def names_in(clause: Call) -> list[str]:
    """Return the full names that a clause spells out."""
    ((kind, wanted),) = clause.named.items()
    if kind == "equals":
        return [wanted]
    return [name for part in wanted for name in names_in(part)] if kind == "or_" else []


def nano(usd_per_million: Decimal) -> int:
    """Return a rate in nano-USD per million units, rounded up where it is finer than that."""
    return int((usd_per_million * NANO).to_integral_value(rounding=ROUND_CEILING))


def price(rates: Rates) -> Price | None:
    """Return the price that some rates make, or `None` where they do not price tokens."""
    if "input" not in rates:
        return None
    whole = {"output": Decimal(0)} | rates
    if "cache_write" in whole:
        whole.setdefault("cache_write_1h", whole["cache_write"])
    return Price(**{name: nano(rate) for name, rate in whole.items()})


def version(
    levels: Mapping[int, Rates],
    *,
    since: date | None = None,
    window_ms: tuple[int, int] | None = None,
    service_tier: str | None = None,
) -> Version | None:
    """Return the version whose rates above each prompt size are given; `None` if unpriced."""
    steps = [(above, price(rates)) for above, rates in sorted(levels.items())]
    if any(made is None for _, made in steps) or steps[0][0] != 0:
        return None
    return Version(
        price=steps[0][1],
        tiers=tuple(Tier(above, made) for above, made in steps[1:]),
        since_ms=0 if since is None else _midnight_ms(since),
        window_ms=window_ms,
        service_tier=service_tier,
    )


def _midnight_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def levels(stated: Mapping[str, object]) -> dict[int, Rates]:
    """Return the rates above each prompt size, from the arguments of a `ModelPrice`.

    Classes that we do not count, such as hours of sound, are left out.
    """
    edges = {0}
    for value in stated.values():
        if isinstance(value, Call):
            edges.update(tier.get("start") for tier in value.get("tiers"))
    found: dict[int, Rates] = {edge: {} for edge in edges}
    for key, value in stated.items():
        ours, times = (
            (PER_MILLION.get(key), 1) if key in PER_MILLION else (PER_THOUSAND.get(key), 1000)
        )
        if ours is not None and value is not None:
            for edge in edges:
                found[edge][ours] = _at(value, edge) * times
    return found


def _at(value: object, prompt_tokens: int) -> Decimal:
    if isinstance(value, Decimal):
        return value
    rate = value.get("base")
    for tier in sorted(value.get("tiers"), key=lambda tier: tier.get("start")):
        if prompt_tokens >= tier.get("start") and prompt_tokens > 0:
            rate = tier.get("price")
    return rate


def versions(model: Call) -> tuple[Version, ...]:
    """Return the versions of a `ModelInfo`, usual ones first; none if it is not priced by token."""
    stated = model.get("prices")
    rows = (
        stated if isinstance(stated, list) else [Call("ConditionalPrice", named={"prices": stated})]
    )
    usual = [
        version(levels(row.get("prices").named), since=_since(row), window_ms=_window(row))
        for row in rows
    ]
    if not usual or None in usual:
        return ()
    return (*usual, *_service_versions(rows, model.get("price_variants") or []))


def _since(row: Call) -> date | None:
    constraint = row.get("constraint")
    return None if constraint is None else constraint.get("start_date")


def _window(row: Call) -> tuple[int, int] | None:
    constraint = row.get("constraint")
    if constraint is None or constraint.name != "TimeOfDateConstraint":
        return None
    return constraint.get("start_time"), constraint.get("end_time")


def _service_versions(rows: list[Call], variants: list[Call]) -> Iterable[Version]:
    """Yield the versions of each tier of service: its own rates laid over the usual ones."""
    for name in SERVICE_TIERS:
        own = [
            row for row in variants if row.get("when") in ({"service_tier": name}, {"speed": name})
        ]
        if not own:
            continue
        if any(_window(row) for row in rows):
            raise ValueError("prices by the hour and by the tier of service do not mix yet")
        first = min(_since(row) or date.min for row in own)
        days = sorted(
            {first} | {day for row in [*rows, *own] if (day := _since(row)) and day > first}
        )
        for day in days:
            merged = dict(_in_force(rows, day)[-1].get("prices").named)
            for row in reversed(_in_force(own, day)):
                merged.update(row.get("prices").named)
            made = version(levels(merged), since=max(day, date(1970, 1, 1)), service_tier=name)
            if made is not None:
                yield made


def _in_force(rows: list[Call], day: date) -> list[Call]:
    active = [row for row in rows if (_since(row) or date.min) <= day]
    return active or rows[:1]


def overlay_version(cost: Mapping[str, object]) -> Version | None:
    """Return the version that a `cost` of models.dev makes; `None` if it prices no tokens."""
    found = {0: _overlay_rates(cost)}
    for tier in cost.get("tiers", ()):
        if tier["tier"]["type"] != "context":
            return None
        found[int(tier["tier"]["size"])] = found[0] | _overlay_rates(tier)
    if "tiers" not in cost and "context_over_200k" in cost:
        found[200_000] = found[0] | _overlay_rates(cost["context_over_200k"])
    return version(found)


def _overlay_rates(cost: Mapping[str, object]) -> Rates:
    classes = (
        "input", "output", "cache_read", "cache_write", "reasoning", "input_audio", "output_audio",
    )  # fmt: skip
    return {name: Decimal(str(cost[name])) for name in classes if name in cost}
