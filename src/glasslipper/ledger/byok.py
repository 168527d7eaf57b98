"""A provider's key that an account brought along, as the state file keeps it: sealed."""

from __future__ import annotations

from typing import cast

import msgspec
from msgspec import Struct

from glasslipper.store.database import Database, Row


class ProviderKey(Struct, frozen=True, kw_only=True):
    """A key of a provider, for everybody below an account.

    Attributes:
        id: Its name here, `byok-…`.
        account: Who brought it.
        provider: The slug of the provider that it opens.
        name: What people call it.
        sealed: The key itself, encrypted.
        hint: Its last letters, by which people recognise it.
        disabled: It is not used.
        counts: Whether budgets pay for what it is used for.
        allowed_models: The models that it may be used for; `None`: any.
        base_url: Where it is sent instead of the provider's own address.
        created_ms: When it was brought.
    """

    id: str
    account: str
    provider: str
    name: str
    sealed: bytes
    hint: str
    disabled: bool = False
    counts: bool = False
    allowed_models: tuple[str, ...] | None = None
    base_url: str | None = None
    created_ms: int


_FIELDS = ProviderKey.__struct_fields__
_SELECT = f"SELECT {', '.join(_FIELDS)} FROM byok"  # noqa: S608


def read_all(db: Database) -> list[ProviderKey]:
    """Return every key, the oldest first."""
    return [_key(row) for row in db.rows(f"{_SELECT} ORDER BY created_ms, id")]


def find(db: Database, key_id: str) -> ProviderKey | None:
    """Return the key with this id."""
    row = db.row(f"{_SELECT} WHERE id = ?", (key_id,))
    return _key(row) if row else None


def _key(row: Row) -> ProviderKey:
    values = dict[str, object](zip(_FIELDS, row, strict=True))
    values["allowed_models"] = msgspec.json.decode(cast("str", values["allowed_models"]))
    return msgspec.convert(values, ProviderKey, strict=False)
