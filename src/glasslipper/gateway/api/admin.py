"""The admin API: keys, spend and models. The command line and the console are its clients.

Key paths have OpenRouter's shapes (`/keys`, with a management key); limits may also be given as
exact `limit_nanousd`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from glasslipper.gateway.api.account import Describer
from glasslipper.gateway.api.shapes import (
    Deleted,
    KeyAnswer,
    KeyMade,
    KeysAnswer,
    KeyShown,
    Named,
    NamedAnswer,
    Spent,
    SpentAnswer,
)
from glasslipper.gateway.dialects.body import parse
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.reading import read_body
from glasslipper.gateway.suppliers import AddedModel
from glasslipper.kernel.errors import InvalidRequest, NotFound
from glasslipper.kernel.money import nanousd, usd
from glasslipper.ledger.read import KeyRecord
from glasslipper.ledger.read.sealed import SpendBy
from glasslipper.ledger.window import Period
from glasslipper.ledger.write import keys
from glasslipper.store.database import Database

Reset = Literal["daily", "weekly", "monthly", "never"] | None
MOST_LABELS = 32
T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


class KeyWish(Struct, frozen=True, kw_only=True):
    """The body that makes a key."""

    name: str
    limit: float | str | None = None
    limit_nanousd: int | None = None
    limit_reset: Reset = None
    expires_at: str | None = None
    ttl_s: int | None = None
    management: bool = False
    parent: str | None = None
    labels: dict[str, str] = field(default_factory=dict[str, str])


class SessionWish(Struct, frozen=True, kw_only=True):
    """The body that makes a short-lived key below the key that asks."""

    ttl_s: int
    name: str = "session"
    limit: float | str | None = None
    limit_nanousd: int | None = None
    labels: dict[str, str] = field(default_factory=dict[str, str])


class KeyChange(Struct, frozen=True, kw_only=True):
    """The body that changes a key; what is left out stays."""

    name: str | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    limit: float | str | UnsetType | None = UNSET
    limit_nanousd: int | UnsetType | None = UNSET
    limit_reset: Reset | UnsetType = UNSET


class PullWish(Struct, frozen=True, kw_only=True):
    """The body that fetches a local model."""

    id: str


class Refreshed(Struct, frozen=True, kw_only=True):
    """How many models are offered now."""

    models: int


class RefreshedAnswer(Struct, frozen=True):
    """How many models are offered now."""

    data: Refreshed


_key_wishes = msgspec.json.Decoder(KeyWish)
_session_wishes = msgspec.json.Decoder(SessionWish)
_key_changes = msgspec.json.Decoder(KeyChange)
_models = msgspec.json.Decoder(AddedModel)
_pulls = msgspec.json.Decoder(PullWish)


async def list_keys(house: House, http: Http) -> None:
    """Answer `GET /keys`: every key, with what it spent."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    await house.ledger.flush()
    found = house.accounts.keys()
    describer = Describer(house, found)
    await http.reply(200, _encode(KeysAnswer([describer.shown(key) for key in found])))


async def create_key(house: House, http: Http) -> None:
    """Answer `POST /keys`: make a key and show it, this once."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    wish = parse(await read_body(house, http), _key_wishes)
    now_ms = house.clock.now_ms()
    new = keys.NewKey(
        name=name_of(wish.name),
        parent=wish.parent or keys.PROJECT,
        limit_nanousd=limit_of(wish.limit, wish.limit_nanousd),
        period=wish.limit_reset or "never",
        expires_ms=_expiry(wish.expires_at, wish.ttl_s, now_ms),
        management=wish.management,
        labels=_labels(wish.labels),
    )
    await _make(house, http, new)


async def create_session_key(house: House, http: Http) -> None:
    """Answer `POST /key/sessions`: any key makes a short-lived one that spends from its budget."""
    caller = house.gatekeeper.admit(http.header(b"authorization"))
    wish = parse(await read_body(house, http), _session_wishes)
    new = keys.NewKey(
        name=name_of(wish.name),
        parent=caller.key.id,
        limit_nanousd=limit_of(wish.limit, wish.limit_nanousd),
        expires_ms=_expiry(None, wish.ttl_s, house.clock.now_ms()),
        labels={**caller.key.labels, **_labels(wish.labels)},
    )
    await _make(house, http, new)


async def _make(house: House, http: Http, new: keys.NewKey) -> None:
    now_ms = house.clock.now_ms()
    made = await house.ledger.change(lambda db: keys.create(db, new, now_ms))
    body = KeyMade(_shown(house, _key(house, made.id)), made.secret)
    await http.reply(201, _encode(body))


async def show_key(house: House, http: Http, key_id: str) -> None:
    """Answer `GET /keys/{id or hash}`."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    await house.ledger.flush()
    await http.reply(200, _encode(KeyAnswer(_shown(house, _key(house, key_id)))))


async def change_key(house: House, http: Http, key_id: str) -> None:
    """Answer `PATCH /keys/{id or hash}`: rename, switch off or on, set the limit."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    change = parse(await read_body(house, http), _key_changes)
    key = _key(house, key_id)
    await house.ledger.change(lambda db: _change(db, key, change))
    house.gatekeeper.note_change()
    await http.reply(200, _encode(KeyAnswer(_shown(house, _key(house, key.id)))))


def _change(db: Database, key: KeyRecord, change: KeyChange) -> None:
    if change.name is not UNSET:
        keys.rename(db, key.id, name_of(change.name))
    if change.disabled is not UNSET:
        keys.set_disabled(db, key.id, disabled=change.disabled)
    limit, period = key.limit_nanousd, key.period
    if change.limit is not UNSET or change.limit_nanousd is not UNSET:
        limit = limit_of(given(change.limit), given(change.limit_nanousd))
    if change.limit_reset is not UNSET:
        period: Period = change.limit_reset or "never"
    if (limit, period) != (key.limit_nanousd, key.period):
        keys.set_budget(db, key.id, limit, period)


async def delete_key(house: House, http: Http, key_id: str) -> None:
    """Answer `DELETE /keys/{id or hash}`: the key works no more; what it did stays recorded."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    key = _key(house, key_id)
    await house.ledger.change(lambda db: keys.set_disabled(db, key.id, disabled=True))
    house.gatekeeper.note_change()
    await http.reply(200, _encode(Deleted(deleted=True, id=key.id)))


async def spend(house: House, http: Http) -> None:
    """Answer `GET /admin/spend?by=key|model|day|provider|status&since_ms=`."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    try:
        by = msgspec.convert(http.query.get("by", "key"), SpendBy)
        since_ms = int(http.query.get("since_ms", "0"))
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidRequest(f"The query is wrong: {error}.", param="by") from error
    await house.ledger.flush()
    names = {key.id: key.name for key in house.accounts.keys()} if by == "key" else {}
    data = [
        Spent(
            group=row.group,
            name=names.get(row.group, row.group),
            generations=row.generations,
            charged_nanousd=row.charged_nanousd,
            charged_usd=usd(row.charged_nanousd),
            billed_nanousd=row.billed_nanousd,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
        )
        for row in await asyncio.to_thread(house.history.spend, by, since_ms=since_ms)
    ]
    await http.reply(200, _encode(SpentAnswer(data)))


async def add_model(house: House, http: Http) -> None:
    """Answer `POST /admin/models`: offer a GGUF file or a server's model."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    model = parse(await read_body(house, http), _models)
    await house.suppliers.add(model)
    await http.reply(201, _encode(NamedAnswer(Named(model.id))))


async def remove_model(house: House, http: Http, model: str) -> None:
    """Answer `DELETE /admin/models/{id}`: offer a model that was added no more."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    await house.suppliers.remove(model)
    await http.reply(200, _encode(Deleted(deleted=True, id=model)))


async def pull_model(house: House, http: Http) -> None:
    """Answer `POST /admin/models/pull`: offer a model file that has been fetched beside us."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    wish = parse(await read_body(house, http), _pulls)
    await house.suppliers.refresh()
    if not any(model == wish.id for model, _ in house.offer):
        raise NotFound(
            f"{wish.id} has not been fetched.", hint=f"glasslipper models pull {wish.id}"
        )
    await http.reply(200, _encode(NamedAnswer(Named(wish.id))))


async def refresh_models(house: House, http: Http) -> None:
    """Answer `POST /admin/models/refresh`: look again at what there is, other servers too."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    await house.suppliers.refresh()
    await house.suppliers.look_around()
    await http.reply(200, _encode(RefreshedAnswer(Refreshed(models=len(list(house.offer))))))


def _shown(house: House, key: KeyRecord) -> KeyShown:
    return Describer(house, [key]).shown(key)


def _key(house: House, name: str) -> KeyRecord:
    found = house.accounts.key(name)
    if found is None and len(name) == 64:
        found = _by_hash(name, house.accounts.key_by_hash)
    if found is None:
        raise NotFound(f"There is no key {name!r}.", hint="`glasslipper keys list` shows them.")
    return found


def _by_hash(text: str, look_up: Callable[[bytes], T | None]) -> T | None:
    try:
        return look_up(bytes.fromhex(text))
    except ValueError:
        return None


def given(value: T | UnsetType | None) -> T | None:
    """Return what was given, nothing being none."""
    return None if value is UNSET else value


def limit_of(limit: float | str | None, exact: int | None) -> int | None:
    """Return a limit in nano-USD.

    Raises:
        InvalidRequest: It is no amount.
    """
    if exact is not None or limit is None:
        return exact
    try:
        return nanousd(limit)
    except ValueError as error:
        raise InvalidRequest(
            f"A limit is an amount of dollars: {error}.", param="$.limit"
        ) from error


def _expiry(expires_at: str | None, ttl_s: int | None, now_ms: int) -> int | None:
    if ttl_s is not None:
        if not 0 < ttl_s <= 10 * 366 * 86_400:
            raise InvalidRequest("`ttl_s` is between a second and ten years.", param="$.ttl_s")
        return now_ms + ttl_s * 1000
    if expires_at is None:
        return None
    try:
        return int(msgspec.convert(expires_at, datetime).timestamp() * 1000)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        raise InvalidRequest(
            "A time is written like 2026-12-31T00:00:00Z.", param="$.expires_at"
        ) from error


def name_of(name: str) -> str:
    """Return a name that people may give.

    Raises:
        InvalidRequest: It is empty or too long.
    """
    if not 0 < len(name) <= 200:
        raise InvalidRequest("A name has 1 to 200 letters.", param="$.name")
    return name


def _labels(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > MOST_LABELS or any(len(k) > 64 or len(v) > 256 for k, v in labels.items()):
        raise InvalidRequest(
            f"At most {MOST_LABELS} labels, names of 64 and values of 256 letters.",
            param="$.labels",
        )
    return labels
