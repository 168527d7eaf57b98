"""Leases: at most one holder of a name at a time, whoever dies and whatever the clock does.

A lease lasts for a time and is renewed by its holder. Each new holder gets a larger token; work
done under a lease carries the token, and whoever accepts work refuses a token smaller than one
already seen (fencing: Kleppmann, "How to do distributed locking", 2016), so that a holder that
was asleep past its time does no harm.
"""

from __future__ import annotations

from msgspec import Struct

from glasslipper.store.database import Database

MIGRATION = (
    """CREATE TABLE leases (
        name TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        token INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL
    ) WITHOUT ROWID""",
)


MOST_MS = 600_000
"""How long a lease may last."""


class Lease(Struct, frozen=True, kw_only=True):
    """A name held by an owner until `expires_ms` (Unix milliseconds), under a fencing token."""

    name: str
    owner: str
    token: int
    expires_ms: int


def acquire(db: Database, name: str, *, owner: str, ttl_ms: int, now_ms: int) -> Lease | None:
    """Take or renew the lease; `None` if another owner holds it.

    A lease that has longer to go than any may last was taken while the clock was ahead: it
    counts as expired.

    Raises:
        ValueError: The lease would last longer than `MOST_MS`.
    """
    if ttl_ms > MOST_MS:
        raise ValueError(f"a lease lasts at most {MOST_MS} ms, not {ttl_ms}")
    latest_ms = now_ms + MOST_MS
    expires_ms = now_ms + ttl_ms
    with db.transaction():
        row = db.row(
            """INSERT INTO leases (name, owner, token, expires_ms) VALUES (?, ?, 1, ?)
            ON CONFLICT (name) DO UPDATE SET
                token = token + (owner <> excluded.owner OR expires_ms <= ? OR expires_ms > ?),
                owner = excluded.owner,
                expires_ms = excluded.expires_ms
            WHERE owner = excluded.owner OR expires_ms <= ? OR expires_ms > ?
            RETURNING token""",
            (name, owner, expires_ms, now_ms, latest_ms, now_ms, latest_ms),
        )
    if row is None or not isinstance(row[0], int):
        return None
    return Lease(name=name, owner=owner, token=row[0], expires_ms=expires_ms)


def release(db: Database, lease: Lease) -> bool:
    """Give the lease back; `False` if it was no longer held. Its token is never used again."""
    with db.transaction():
        changed = db.change(
            "UPDATE leases SET expires_ms = 0 WHERE name = ? AND owner = ? AND token = ?",
            (lease.name, lease.owner, lease.token),
        )
    return changed == 1
