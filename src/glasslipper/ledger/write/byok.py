"""Keeps the providers' keys that accounts bring along. They come sealed and are never opened here.

Each function runs inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import msgspec
from msgspec import structs

from glasslipper.kernel.errors import InvalidRequest, NotFound
from glasslipper.ledger.byok import ProviderKey, find, read_all
from glasslipper.store.database import Database

MOST_KEYS = 10_000


def add(db: Database, key: ProviderKey) -> None:
    """Keep a new key.

    Raises:
        NotFound: There is no such account.
        InvalidRequest: There are too many keys already.
    """
    if db.row("SELECT 1 FROM accounts WHERE id = ?", (key.account,)) is None:
        raise NotFound(f"There is no account {key.account}.", param="$.account")
    count = db.row("SELECT count(*) FROM byok")
    if count and cast("int", count[0]) >= MOST_KEYS:
        raise InvalidRequest(f"There are {MOST_KEYS} keys already.", hint="Delete some first.")
    _put(db, key)


def change(db: Database, key_id: str, changes: Mapping[str, object]) -> ProviderKey:
    """Change fields of a key and return it as it is now.

    Raises:
        NotFound: There is no such key.
    """
    key = find(db, key_id)
    if key is None:
        raise NotFound(f"There is no provider key {key_id!r}.")
    changed = structs.replace(key, **changes)
    _put(db, changed)
    return changed


def remove(db: Database, key_id: str) -> bool:
    """Forget a key; `False` if there was none."""
    return db.change("DELETE FROM byok WHERE id = ?", (key_id,)) > 0


def reseal(db: Database, seal_again: Callable[[ProviderKey], bytes]) -> int:
    """Put another seal on every key, all or none; return how many there are."""
    keys = read_all(db)
    for key in keys:
        db.change("UPDATE byok SET sealed = ? WHERE id = ?", (seal_again(key), key.id))
    return len(keys)


def _put(db: Database, key: ProviderKey) -> None:
    db.change(
        """INSERT OR REPLACE INTO byok (id, account, provider, name, sealed, hint, disabled, counts,
            allowed_models, base_url, created_ms)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            key.id,
            key.account,
            key.provider,
            key.name,
            key.sealed,
            key.hint,
            key.disabled,
            key.counts,
            msgspec.json.encode(key.allowed_models).decode(),
            key.base_url,
            key.created_ms,
        ),
    )
