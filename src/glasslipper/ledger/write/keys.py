"""Makes and changes accounts, keys and budgets in the state file.

Each function runs inside the caller's transaction. A key is an account of kind `key`; a key may
have keys below it, short-lived and labelled, that spend from its budget too.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct, field

from glasslipper.kernel.errors import InvalidRequest, NotFound
from glasslipper.kernel.ids import new_id
from glasslipper.ledger.secret import Secret, new_secret
from glasslipper.ledger.window import PERIODS, Period
from glasslipper.store.database import Database

MOST_DEEP = 16
"""How deep an account may stand: every one above it is charged with each call."""

MOST_BELOW = 10_000
"""How many keys that work may stand right below one key."""

_LIVING = """
    SELECT count(*) FROM accounts AS a JOIN keys AS k ON k.id = a.id
    WHERE a.parent = ? AND NOT k.disabled AND (k.expires_ms IS NULL OR k.expires_ms > ?)
        AND EXISTS (SELECT 1 FROM keys WHERE id = a.parent)"""

_DEPTH = """
    WITH RECURSIVE up (id, depth) AS (
        SELECT ?, 1
        UNION ALL
        SELECT a.parent, depth + 1 FROM accounts AS a JOIN up ON a.id = up.id
        WHERE a.parent IS NOT NULL
    )
    SELECT max(depth) FROM up"""

MOST_LIMIT_NANOUSD = 2**62 - 1
"""The greatest limit that a budget may have: some four thousand million dollars."""

ORGANISATION, WORKSPACE, PROJECT = "org-default", "ws-default", "proj-default"


class NewKey(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key is to be. `parent` is the account that it spends from besides its own."""

    name: str
    parent: str = PROJECT
    limit_nanousd: int | None = None
    period: Period = "never"
    expires_ms: int | None = None
    management: bool = False
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


class MadeKey(Struct, frozen=True, kw_only=True):
    """A key just made: the only time that its secret is known."""

    id: str
    secret: str
    hint: str


def make_defaults(db: Database, now_ms: int) -> None:
    """Make the accounts that every key stands under, unless they are there."""
    for account, parent, kind in (
        (ORGANISATION, None, "organisation"),
        (WORKSPACE, ORGANISATION, "workspace"),
        (PROJECT, WORKSPACE, "project"),
    ):
        db.change(
            """INSERT OR IGNORE INTO accounts (id, parent, kind, name, created_ms)
            VALUES (?, ?, ?, 'default', ?)""",
            (account, parent, kind, now_ms),
        )


def create(db: Database, key: NewKey, now_ms: int, secret: Secret | None = None) -> MadeKey:
    """Make a key and the account that it is.

    Raises:
        NotFound: There is no such parent.
        InvalidRequest: The limit is negative, the period unknown, or too much stands there.
    """
    if db.row("SELECT 1 FROM accounts WHERE id = ?", (key.parent,)) is None:
        raise NotFound(f"There is no account {key.parent}.")
    deep = db.row(_DEPTH, (key.parent,))
    if deep is not None and int(deep[0] or 0) >= MOST_DEEP:
        raise InvalidRequest(
            f"Accounts stand at most {MOST_DEEP} deep below each other.", param="$.parent"
        )
    living = db.row(_LIVING, (key.parent, now_ms))
    if living is not None and int(living[0] or 0) >= MOST_BELOW:
        raise InvalidRequest(
            f"{MOST_BELOW:,} keys that work stand below this one.",
            hint="Let some expire, or disable them; a shorter `ttl_s` helps.",
        )
    secret = secret or new_secret()
    key_id = new_id("key", now_ms)
    db.change(
        "INSERT INTO accounts (id, parent, kind, name, created_ms) VALUES (?, ?, 'key', ?, ?)",
        (key_id, key.parent, key.name, now_ms),
    )
    db.change(
        """INSERT INTO keys
            (id, hash, hint, name, management, disabled, created_ms, expires_ms, labels)
        VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?)""",
        (
            key_id,
            secret.hash,
            secret.hint,
            key.name,
            key.management,
            now_ms,
            key.expires_ms,
            msgspec.json.encode(key.labels).decode(),
        ),
    )
    if key.limit_nanousd is not None:
        set_budget(db, key_id, key.limit_nanousd, key.period)
    return MadeKey(id=key_id, secret=secret.text, hint=secret.hint)


def set_budget(db: Database, account: str, limit_nanousd: int | None, period: Period) -> None:
    """Give an account a budget, change it, or take it away (`None`).

    Raises:
        NotFound: There is no such account.
        InvalidRequest: The limit is negative or the period unknown.
    """
    if db.row("SELECT 1 FROM accounts WHERE id = ?", (account,)) is None:
        raise NotFound(f"There is no account {account}.")
    if limit_nanousd is None:
        db.change("DELETE FROM budgets WHERE account = ?", (account,))
        return
    if not 0 <= limit_nanousd <= MOST_LIMIT_NANOUSD:
        raise InvalidRequest("A limit is zero or more dollars.", param="$.limit")
    if period not in PERIODS:
        raise InvalidRequest(f"A period is one of {', '.join(PERIODS)}.", param="$.limit_reset")
    db.change(
        """INSERT INTO budgets (account, limit_nanousd, period) VALUES (?, ?, ?)
        ON CONFLICT (account) DO UPDATE SET
            limit_nanousd = excluded.limit_nanousd, period = excluded.period""",
        (account, limit_nanousd, period),
    )


def set_disabled(db: Database, key_id: str, *, disabled: bool) -> None:
    """Switch a key off or on.

    Raises:
        NotFound: There is no such key.
    """
    if not db.change("UPDATE keys SET disabled = ? WHERE id = ?", (disabled, key_id)):
        raise NotFound(f"There is no key {key_id}.")


def rename(db: Database, key_id: str, name: str) -> None:
    """Give a key another name.

    Raises:
        NotFound: There is no such key.
    """
    if not db.change("UPDATE keys SET name = ? WHERE id = ?", (name, key_id)):
        raise NotFound(f"There is no key {key_id}.")
