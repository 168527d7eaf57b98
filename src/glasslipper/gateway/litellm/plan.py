"""What of a LiteLLM configuration is taken, what is not, and why, in words for its owner.

A key that stands in the file is carried `Hidden` to whoever seals it; no word says any value
that might be a secret.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from glasslipper.gateway.added import CUSTOM, AddedModel
from glasslipper.gateway.litellm import costs
from glasslipper.gateway.litellm.document import items, mapping, read_document
from glasslipper.gateway.litellm.providers import Meant, address, language, meant_by
from glasslipper.gateway.providers import table
from glasslipper.gateway.transport import Origin
from glasslipper.kernel.errors import GlasslipperError, InvalidRequest

ENVIRON = "os.environ/"
NO_KEYS = frozenset(
    {"", "none", "null", "na", "n/a", "empty", "dummy", "fake", "fake-key", "anything"}
)
"""What people write where a server wants no key."""

_RATE_LIMITS = "how often a model may be called is not limited here; limit what keys may spend"
_TIMES = "time limits are settings of the whole gateway, in settings.toml"
_RETRIES = "failures are retried elsewhere by themselves"
_DEFAULTS = "defaults of requests are the client's to send"

WHY_NOT = {
    "rpm": _RATE_LIMITS,
    "tpm": _RATE_LIMITS,
    "max_parallel_requests": _RATE_LIMITS,
    "timeout": _TIMES,
    "stream_timeout": _TIMES,
    "max_retries": _RETRIES,
    "num_retries": _RETRIES,
    "weight": "endpoints are drawn by price, speed and reliability; `provider.order` overrides it",
    "order": "endpoints are drawn by price, speed and reliability; `provider.order` overrides it",
    "temperature": _DEFAULTS,
    "top_p": _DEFAULTS,
    "max_tokens": _DEFAULTS,
    "extra_headers": "headers may hold secrets, and are not sent",
    "headers": "headers may hold secrets, and are not sent",
    "extra_body": _DEFAULTS,
    "organization": "the key's own organisation is used",
    "max_budget": "budgets belong to keys: glasslipper keys create NAME --limit …",
    "budget_duration": "budgets belong to keys: glasslipper keys create NAME --limit … --reset …",
    "master_key": "keys are made here: glasslipper keys create NAME --management",
    "database_url": "state and records lie in GLASSLIPPER_HOME, in files of their own",
    "fallbacks": "clients send them: `models` in a request lists who is tried next",
    "context_window_fallbacks": "clients send them: `models` in a request lists who is tried next",
    "default_fallbacks": "clients send them: `models` in a request lists who is tried next",
    "model_group_alias": "each model is called by the name that it has in model_list",
    "routing_strategy": "endpoints are drawn by price, speed and reliability",
    "cache": "answers are not kept, except for requests with an idempotency key",
    "drop_params": "parameters that a provider does not take are handled for each provider",
}
"""Why a member of the file is not taken."""

_TAKEN = {"model", "api_key", "api_base", "base_url", *costs.MEMBERS}
_INFO = {"max_input_tokens", "max_output_tokens", "max_tokens", "mode", "id", *costs.MEMBERS}
_SECTIONS = ("litellm_settings", "router_settings", "general_settings")


class Hidden:
    """A secret on its way, which shows itself to nobody who does not ask for its `text`."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        """Return nothing of it."""
        return "Hidden()"


class Note(Struct, frozen=True):
    """A member of the file that is not taken, and why."""

    what: str
    why: str


class Planned(Struct, frozen=True, kw_only=True):
    """An entry of `model_list`: the model that it becomes, if it does, and what is told of it.

    `key` is a secret that stood in the file, for `slug`, to be sent to `model.url` if that is
    stated.
    """

    entry: int
    name: str
    model: AddedModel | None = None
    slug: str = CUSTOM
    key: Hidden | None = None
    taken: tuple[str, ...] = ()
    ignored: tuple[Note, ...] = ()


class Plan(Struct, frozen=True, kw_only=True):
    """What a configuration becomes."""

    models: tuple[Planned, ...]
    settings: tuple[Note, ...]


def plan(content: bytes, environ: Mapping[str, str] = os.environ) -> Plan:
    """Return what the file of a LiteLLM proxy becomes; `environ` fills in addresses it refers to.

    Raises:
        InvalidRequest: It is no such file, or none that can be read safely.
    """
    document = read_document(content)
    if not isinstance(document.get("model_list"), list):
        raise InvalidRequest(
            "The file has no model_list.", hint="Is this the config.yaml of a LiteLLM proxy?"
        )
    named: dict[tuple[str, str], int] = {}
    entries = enumerate(items(document["model_list"]), start=1)
    models = tuple(_planned(number, entry, environ, named) for number, entry in entries)
    return Plan(models=models, settings=tuple(_settings(document)))


def _settings(document: Mapping[str, object]) -> list[Note]:
    notes: list[Note] = []
    for section, content in document.items():
        if section == "environment_variables":
            names = ", ".join(mapping(content))
            notes.append(Note(section, f"set {names} before `glasslipper up`"))
        elif section in _SECTIONS:
            notes += [Note(f"{section}.{name}", _why(name)) for name in mapping(content or {})]
        elif section != "model_list":
            notes.append(Note(section, _why(section)))
    return notes


def _why(name: str) -> str:
    return WHY_NOT.get(name, "there is nothing of the kind here")


def _planned(
    number: int, entry: object, environ: Mapping[str, str], named: dict[tuple[str, str], int]
) -> Planned:
    name = f"entry {number}"
    try:
        members = mapping(entry)
        name = _text(members.get("model_name")) or name
        params = mapping(members.get("litellm_params"))
        info = mapping(members.get("model_info") or {})
        ignored = _ignored(members, params, info)
        if "*" in name:
            why = "every model of a provider is offered by itself once there is a key of it"
            return Planned(entry=number, name=name, ignored=(Note("model_name", why),))
        meant = meant_by(_text(params.get("model")))
        if isinstance(meant, str):
            return Planned(entry=number, name=name, ignored=(Note("model", meant),))
        found = _Entry(number, name, meant, params, info)
        return _read(found, ignored, environ, named)
    except GlasslipperError as error:
        return Planned(entry=number, name=name, ignored=(Note(name, error.message),))


class _Entry(NamedTuple):
    number: int
    name: str
    meant: Meant
    params: Mapping[str, object]
    info: Mapping[str, object]


class _Key(NamedTuple):
    """Where an entry's key is, if it has any, and what is told of it."""

    variable: str | None
    hidden: Hidden | None
    words: str


def _read(
    entry: _Entry,
    ignored: list[Note],
    environ: Mapping[str, str],
    named: dict[tuple[str, str], int],
) -> Planned:
    url = _url(entry, environ)
    slug = language(entry.meant.slug, url)
    count = named[entry.name, slug] = named.get((entry.name, slug), 0) + 1
    prices = costs.prices(entry.params, entry.info)
    key = _key(entry, slug, url, environ)
    model = AddedModel(
        id=entry.name,
        url=url,
        upstream_model=entry.meant.model,
        speaks=None if slug == CUSTOM else slug,
        key_env=key.variable,
        provider=slug if count == 1 else f"{slug}-{count}",
        price_in=prices.pop("input", "0") if prices else None,
        price_out=prices.pop("output", "0"),
        prices=prices,
        context_tokens=_count(entry.info.get("max_input_tokens")),
        max_output_tokens=_count(
            entry.info.get("max_output_tokens") or entry.info.get("max_tokens")
        ),
    )
    model.check()
    server = "a server that speaks OpenAI's API" if slug == CUSTOM else model.server().name
    place = "" if url is None else ", at the address that the file says"
    taken = [f"it is {model.upstream_model} of {server}{place}", key.words]
    if model.price_in is not None:
        taken.append("its prices are those of the file")
    return Planned(
        entry=entry.number,
        name=entry.name,
        model=model,
        slug=slug,
        key=key.hidden,
        taken=tuple(taken),
        ignored=tuple(ignored),
    )


def _url(entry: _Entry, environ: Mapping[str, str]) -> str | None:
    stated = _text(entry.params.get("api_base") or entry.params.get("base_url"))
    if stated.startswith(ENVIRON):
        variable = stated.removeprefix(ENVIRON)
        stated = environ.get(variable, "").strip()
        if not stated:
            raise InvalidRequest(f"its address is in {variable}, which is not set here")
    if not stated:
        return None
    url = address(entry.meant.slug, stated)
    try:
        Origin.parse(url)
    except InvalidRequest:  # its words quote the address, which may hold a password
        raise InvalidRequest("its address is not the plain base URL of a service") from None
    return url


def _key(entry: _Entry, slug: str, url: str | None, environ: Mapping[str, str]) -> _Key:
    stated = _text(entry.params.get("api_key"))
    row = table.provider(slug)
    usual = row.key_env[0] if row is not None and row.key_env and not row.is_local else None
    if stated.startswith(ENVIRON):
        variable = stated.removeprefix(ENVIRON)
        absent = "" if environ.get(variable) else ", which is not set here"
        return _Key(variable, None, f"its key is read from {variable}{absent}")
    if stated.lower() not in NO_KEYS:
        return _Key(None, Hidden(stated), "its key is sealed, and kept for the organisation")
    if usual is None or url is not None:
        return _Key(None, None, "it is shown no key")
    absent = "" if environ.get(usual) else ", which is not set here"
    return _Key(None, None, f"its key is read from {usual}{absent}")


def _ignored(
    members: Mapping[str, object], params: Mapping[str, object], info: Mapping[str, object]
) -> list[Note]:
    known = {"model_name", "litellm_params", "model_info"}
    found = [(name, name) for name in members if name not in known]
    found += [(f"litellm_params.{name}", name) for name in params if name not in _TAKEN]
    found += [(f"model_info.{name}", name) for name in info if name not in _INFO]
    return [Note(what, _why(name)) for what, name in found]


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**53:
        return None
    return value
