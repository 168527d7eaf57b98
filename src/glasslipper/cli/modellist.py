"""Models as the API lists them, those that could be fetched besides, and both as lines."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TypeAlias

import msgspec
from msgspec import Struct

from glasslipper.cli.reading import read_answer
from glasslipper.kernel.money import NANO, PER, usd_text
from glasslipper.local import MODELS, is_present

HEADINGS = ("Model", "Where", "Fetched", "Context#", "Price")

Shown: TypeAlias = dict[str, object]


class _Pricing(Struct, frozen=True):
    """USD as exact text: for a token, for a second of CPU."""

    prompt: str = "0"
    completion: str = "0"
    cpu_second: str | None = None


class _Model(Struct, frozen=True, kw_only=True):
    id: str
    context_length: int | None = None
    pricing: _Pricing | None = None
    endpoints: list[str] = []
    local: bool = False
    fetched: bool | None = None
    download_bytes: int = 0


def offered(answer: object) -> list[Shown]:
    """Return the models of an answer; `fetched` is true for local ones and null for others."""
    shown = read_answer(answer, list[Shown])
    return [model | {"fetched": True if model.get("local") else None} for model in shown]


def unfetched(known: Sequence[Shown]) -> list[Shown]:
    """Return the models of the catalogue that are neither known nor here."""
    ids = {model["id"] for model in known}
    return [
        {
            "id": model.id,
            "context_length": model.context_tokens,
            "local": True,
            "fetched": False,
            "download_bytes": model.download_bytes,
            "licence": model.licence,
        }
        for model in MODELS.values()
        if model.id not in ids and not is_present(model)
    ]


def row(shown: Shown) -> tuple[str, ...]:
    """Return a model as a line below `HEADINGS`."""
    model = msgspec.convert(shown, _Model)
    providers = [endpoint.rpartition("@")[2] for endpoint in model.endpoints]
    return (
        model.id,
        "this machine" if model.local else ", ".join(providers),
        _fetched(model),
        "" if model.context_length is None else f"{model.context_length:,}",
        _price(model),
    )


def _fetched(model: _Model) -> str:
    if model.fetched is None:
        return ""
    return "yes" if model.fetched else f"no ({model.download_bytes / 1e6:,.0f} MB)"


def _price(model: _Model) -> str:
    pricing = model.pricing
    if pricing is None or pricing.prompt.startswith("-"):
        return "CPU time" if model.local else "unknown"
    if pricing.cpu_second is not None:
        return f"{_dollars(pricing.cpu_second, 3600)} a CPU-hour"
    prompt, completion = _dollars(pricing.prompt, PER), _dollars(pricing.completion, PER)
    return f"{prompt} in, {completion} out a million"


def _dollars(usd_each: str, units: int) -> str:
    return usd_text(int(Decimal(usd_each) * units * NANO))
