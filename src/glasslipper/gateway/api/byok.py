"""Providers' keys that accounts bring along: `/byok`, in OpenRouter's shapes, for managers.

A key is sealed before it is written and never shown again, nor sent anywhere but where it was
brought for: whoever wants another base URL must show the key anew.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from glasslipper.gateway.api.shapes import Deleted
from glasslipper.gateway.dialects.body import parse
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.keyring import place, place_of
from glasslipper.gateway.providers import table
from glasslipper.gateway.reading import read_body
from glasslipper.gateway.transport import Origin
from glasslipper.kernel.clock import iso
from glasslipper.kernel.errors import InvalidRequest, NotFound, Unsupported
from glasslipper.kernel.ids import new_id
from glasslipper.ledger.byok import ProviderKey, read_all
from glasslipper.ledger.write import byok as kept
from glasslipper.ledger.write import keys
from glasslipper.store.database import Database

MOST_KEY_LETTERS = 4_096
MOST_NAME_LETTERS = 200
MOST_MODELS = 1_000
SHOWN_FROM_LETTERS = 12
"""A shorter key would be half told by its last four letters."""

_encode = msgspec.json.Encoder().encode


class ProviderKeyWish(Struct, frozen=True, kw_only=True):
    """The body that brings a key. `account` or `workspace_id` says for whom: all below it."""

    provider: str
    key: str
    name: str | None = None
    account: str | None = None
    workspace_id: str | None = None
    allowed_models: tuple[str, ...] | None = None
    allowed_user_ids: tuple[str, ...] | None = None
    allowed_api_key_hashes: tuple[str, ...] | None = None
    is_fallback: bool = False
    disabled: bool = False
    include_byok_in_limit: bool = False
    base_url: str | None = None


class ProviderKeyChange(Struct, frozen=True, kw_only=True):
    """The body that changes a brought key; what is left out stays."""

    key: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    allowed_models: tuple[str, ...] | UnsetType | None = UNSET
    include_byok_in_limit: bool | UnsetType = UNSET
    base_url: str | UnsetType | None = UNSET


class ProviderKeyShown(Struct, frozen=True, kw_only=True):
    """A brought key as the API shows it: never the key itself."""

    id: str
    provider: str
    name: str
    label: str
    account: str
    workspace_id: str
    disabled: bool
    allowed_models: tuple[str, ...] | None
    allowed_user_ids: tuple[str, ...] | None
    allowed_api_key_hashes: tuple[str, ...] | None
    is_fallback: bool
    sort_order: int
    include_byok_in_limit: bool
    base_url: str | None
    created_at: str


class ProviderKeyAnswer(Struct, frozen=True):
    """A brought key."""

    data: ProviderKeyShown


class ProviderKeysAnswer(Struct, frozen=True):
    """All brought keys, the oldest first."""

    data: list[ProviderKeyShown]
    total_count: int


class Rotated(Struct, frozen=True, kw_only=True):
    """Which master key seals from now on, and how many keys it has sealed anew."""

    master_key: str
    sealed: int


class RotatedAnswer(Struct, frozen=True):
    """Which master key seals from now on."""

    data: Rotated


_wishes = msgspec.json.Decoder(ProviderKeyWish)
_changes = msgspec.json.Decoder(ProviderKeyChange)


async def list_keys(house: House, http: Http) -> None:
    """Answer `GET /byok`: every brought key; `?provider=` and `?workspace_id=` pick some."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    provider, account = http.query.get("provider"), http.query.get("workspace_id")
    found = [
        _shown(key)
        for key in house.accounts.provider_keys()
        if provider in (None, key.provider) and account in (None, key.account)
    ]
    await http.reply(200, _encode(ProviderKeysAnswer(found, len(found))))


async def create(house: House, http: Http) -> None:
    """Answer `POST /byok`: keep a key."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    wish = parse(await read_body(house, http), _wishes)
    _refuse_unknown(wish)
    text = _secret(wish.key)
    now_ms = house.clock.now_ms()
    new = ProviderKey(
        id=new_id("byok", now_ms),
        account=wish.account or wish.workspace_id or keys.WORKSPACE,
        provider=_provider(wish.provider, wish.base_url),
        name=_name(wish.name or wish.provider),
        sealed=b"",
        hint=_hint(text),
        disabled=wish.disabled,
        counts=wish.include_byok_in_limit,
        allowed_models=_models(wish.allowed_models),
        base_url=_base_url(wish.base_url),
        created_ms=now_ms,
    )
    seal = _sealer(house, new, text)
    await house.ledger.change(lambda db: kept.add(db, structs.replace(new, sealed=seal(db))))
    await house.suppliers.refresh()
    await http.reply(201, _encode(ProviderKeyAnswer(_shown(new))))


async def show(house: House, http: Http, key_id: str) -> None:
    """Answer `GET /byok/{id}`."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    await http.reply(200, _encode(ProviderKeyAnswer(_shown(_find(house, key_id)))))


async def change(house: House, http: Http, key_id: str) -> None:
    """Answer `PATCH /byok/{id}`: replace it, rename it, switch it off or on, say for what."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    wish = parse(await read_body(house, http), _changes)
    key = _find(house, key_id)
    if wish.base_url is not UNSET and wish.base_url != key.base_url and wish.key is UNSET:
        raise InvalidRequest(
            "A key goes to another base URL only if it is shown anew.", param="$.key"
        )
    changes = _changed(wish)
    seal = None
    if wish.key is not UNSET:
        text = _secret(wish.key)
        seal, changes["hint"] = _sealer(house, key, text), _hint(text)

    def write(db: Database) -> ProviderKey:
        return kept.change(db, key.id, changes | ({"sealed": seal(db)} if seal else {}))

    changed = await house.ledger.change(write)
    await house.suppliers.refresh()
    await http.reply(200, _encode(ProviderKeyAnswer(_shown(changed))))


async def delete(house: House, http: Http, key_id: str) -> None:
    """Answer `DELETE /byok/{id}`: forget it."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    key = _find(house, key_id)
    await house.ledger.change(lambda db: kept.remove(db, key.id))
    await house.suppliers.refresh()
    await http.reply(200, _encode(Deleted(deleted=True, id=key.id)))


async def rotate(house: House, http: Http) -> None:
    """Answer `POST /byok/rotate`: make a new master key and seal every key with it."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    vault = house.suppliers.vault

    def turn(db: Database) -> Rotated:
        texts = {key.id: vault.open(key.sealed, place=place_of(key)) for key in read_all(db)}
        master_key = vault.turn()
        count = kept.reseal(
            db,
            lambda key: vault.seal(texts[key.id], place=place_of(key), may_make_key=False),
        )
        return Rotated(master_key=master_key, sealed=count)

    rotated = await house.ledger.change(turn)
    await house.suppliers.refresh()
    await http.reply(200, _encode(RotatedAnswer(rotated)))


def _sealer(house: House, key: ProviderKey, text: str) -> Callable[[Database], bytes]:
    """Return what seals a key inside a transaction, where no other process turns the master key."""
    return lambda db: house.suppliers.vault.seal(
        text, place=place(key.id, key.provider), may_make_key=not read_all(db)
    )


def _find(house: House, key_id: str) -> ProviderKey:
    for key in house.accounts.provider_keys():
        if key.id == key_id:
            return key
    raise NotFound(f"There is no provider key {key_id!r}.", hint="GET /api/v1/byok lists them.")


def _shown(key: ProviderKey) -> ProviderKeyShown:
    return ProviderKeyShown(
        id=key.id,
        provider=key.provider,
        name=key.name,
        label=key.hint,
        account=key.account,
        workspace_id=key.account,
        disabled=key.disabled,
        allowed_models=key.allowed_models,
        allowed_user_ids=None,
        allowed_api_key_hashes=None,
        is_fallback=False,
        sort_order=0,
        include_byok_in_limit=key.counts,
        base_url=key.base_url,
        created_at=iso(key.created_ms),
    )


def _changed(wish: ProviderKeyChange) -> dict[str, object]:
    """Return what a wish changes besides the key itself."""
    changes: dict[str, object] = {}
    if wish.name is not UNSET:
        changes["name"] = _name(wish.name)
    if wish.disabled is not UNSET:
        changes["disabled"] = wish.disabled
    if wish.include_byok_in_limit is not UNSET:
        changes["counts"] = wish.include_byok_in_limit
    if wish.allowed_models is not UNSET:
        changes["allowed_models"] = _models(wish.allowed_models)
    if wish.base_url is not UNSET:
        changes["base_url"] = _base_url(wish.base_url)
    return changes


def _refuse_unknown(wish: ProviderKeyWish) -> None:
    """Refuse what would give the key to more people than was meant."""
    if wish.allowed_user_ids is not None or wish.allowed_api_key_hashes is not None:
        raise Unsupported(
            "A provider's key cannot be kept to some users or keys by a list.",
            hint="Bring it for their account: `account` takes a key's id too.",
            param="$.allowed_api_key_hashes",
        )
    if wish.is_fallback:
        raise Unsupported("A brought key is always tried first.", param="$.is_fallback")


def _provider(slug: str, base_url: str | None) -> str:
    row = table.provider(slug)
    if row is None:
        known = ", ".join(row.slug for row in table.PROVIDERS)
        raise InvalidRequest(
            f"There is no provider {slug!r}.", hint=f"Known are: {known}.", param="$.provider"
        )
    if not (base_url or row.base_url):
        raise InvalidRequest("Say where the key is to be sent.", param="$.base_url")
    return slug


def _secret(text: str) -> str:
    bare = text.strip()
    if not 0 < len(bare) <= MOST_KEY_LETTERS or not (bare.isascii() and bare.isprintable()):
        raise InvalidRequest(f"A key has 1 to {MOST_KEY_LETTERS} plain letters.", param="$.key")
    return bare


def _hint(text: str) -> str:
    return f"…{text[-4:]}" if len(text) >= SHOWN_FROM_LETTERS else "…"


def _name(name: str) -> str:
    if not 0 < len(name) <= MOST_NAME_LETTERS:
        raise InvalidRequest(f"A name has 1 to {MOST_NAME_LETTERS} letters.", param="$.name")
    return name


def _models(models: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if models is not None and (len(models) > MOST_MODELS or any(len(one) > 200 for one in models)):
        raise InvalidRequest(
            f"At most {MOST_MODELS} models of 200 letters.", param="$.allowed_models"
        )
    return models


def _base_url(base_url: str | None) -> str | None:
    if base_url is not None:
        Origin.parse(base_url)
    return base_url
