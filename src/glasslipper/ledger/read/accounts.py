"""Reads keys, accounts, budgets and counters from the state file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct

from glasslipper.kernel.clock import day_of
from glasslipper.kernel.money import Price
from glasslipper.kernel.record import PriceRow
from glasslipper.ledger import byok, reroutes
from glasslipper.ledger.byok import ProviderKey
from glasslipper.ledger.reroutes import Reroute
from glasslipper.ledger.window import Period, first_day, resets_ms
from glasslipper.store.database import Database, Row

STATE_FILE = "state.sqlite"


class KeyRecord(Struct, frozen=True, kw_only=True):
    """A key as it is stored, with its own budget and every account that it spends from."""

    id: str
    hash: bytes
    hint: str
    name: str
    management: bool
    disabled: bool
    created_ms: int
    expires_ms: int | None
    labels: Mapping[str, str]
    path: tuple[str, ...]
    limit_nanousd: int | None
    period: Period
    disabled_above: bool = False
    """Whether a key that this one stands below is disabled."""

    usable_until_ms: int | None = None
    """When this key, or one that it stands below, expires."""

    budgets: tuple[str, ...]
    """Those accounts of the path that have a budget."""


class AccountRecord(Struct, frozen=True, kw_only=True):
    """An account that is no key, with its own budget."""

    id: str
    kind: str
    name: str
    parent: str | None
    created_ms: int
    limit_nanousd: int | None
    period: Period


class Byok(Struct, frozen=True, kw_only=True):
    """What providers billed keys that accounts brought along, in nano-USD."""

    total_nanousd: int
    today_nanousd: int
    week_nanousd: int
    month_nanousd: int


class Spending(Struct, frozen=True, kw_only=True):
    """What an account was charged, in nano-USD, and what it may still spend.

    `byok` is what providers billed keys that accounts brought along; whether that is part of
    what was charged, each such key says. `left_nanousd` is of its own budget, holds taken off;
    `None` without one.
    """

    total_nanousd: int
    today_nanousd: int
    week_nanousd: int
    month_nanousd: int
    byok: Byok
    held_nanousd: int
    generations: int
    limit_nanousd: int | None
    left_nanousd: int | None
    period: Period
    resets_ms: int | None


class KeptPrice(Struct, frozen=True, kw_only=True):
    """A price row as it was remembered, for which endpoint, and when it was first used."""

    row: PriceRow
    endpoint: str
    seen_ms: int


_KEY = """
    SELECT k.id, k.hash, k.hint, k.name, k.management, k.disabled, k.created_ms, k.expires_ms,
        k.labels, b.limit_nanousd, b.period
    FROM keys AS k LEFT JOIN budgets AS b ON b.account = k.id"""

_PATH = """
    WITH RECURSIVE path (id, parent, depth) AS (
        SELECT id, parent, 0 FROM accounts WHERE id = ?
        UNION ALL
        SELECT a.id, a.parent, depth + 1 FROM accounts AS a JOIN path ON a.id = path.parent
    )
    SELECT path.id, b.account IS NOT NULL FROM path LEFT JOIN budgets AS b ON b.account = path.id
    ORDER BY depth"""

_ABOVE = """
    SELECT max(disabled), min(expires_ms) FROM keys
    WHERE id IN (SELECT value FROM json_each(?))"""


class Accounts:
    """Reads the state file of one home; not for several threads at once."""

    def __init__(self, home: Path) -> None:
        """Open the state file.

        Raises:
            StoreFailed: There is none.
        """
        self._db = Database(home / STATE_FILE, read_only=True)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def key_by_hash(self, digest: bytes) -> KeyRecord | None:
        """Return the key with this hash."""
        row = self._db.row(f"{_KEY} WHERE k.hash = ?", (digest,))
        return self._key(row) if row else None

    def key(self, key_id: str) -> KeyRecord | None:
        """Return the key with this id."""
        row = self._db.row(f"{_KEY} WHERE k.id = ?", (key_id,))
        return self._key(row) if row else None

    def keys(self) -> list[KeyRecord]:
        """Return all keys, oldest first."""
        return [self._key(row) for row in self._db.rows(f"{_KEY} ORDER BY k.created_ms, k.id")]

    def _key(self, row: Row) -> KeyRecord:
        path = self._db.rows(_PATH, (row[0],))
        names = msgspec.json.encode([str(account) for account, _ in path]).decode()
        above = self._db.row(_ABOVE, (names,)) or (0, None)
        return KeyRecord(
            disabled_above=bool(above[0]),
            usable_until_ms=cast("int | None", above[1]),
            id=str(row[0]),
            hash=cast("bytes", row[1]),
            hint=str(row[2]),
            name=str(row[3]),
            management=bool(row[4]),
            disabled=bool(row[5]),
            created_ms=cast("int", row[6]),
            expires_ms=cast("int | None", row[7]),
            labels=msgspec.json.decode(str(row[8]), type=dict[str, str]),
            path=tuple(str(account) for account, _ in path),
            limit_nanousd=cast("int | None", row[9]),
            period=cast("Period", row[10] or "never"),
            budgets=tuple(str(account) for account, has_budget in path if has_budget),
        )

    def spending(self, account: str, now_ms: int) -> Spending:
        """Return what an account was charged and has left."""
        budget = self._db.row(
            "SELECT limit_nanousd, period FROM budgets WHERE account = ?", (account,)
        )
        limit = cast("int | None", budget[0]) if budget else None
        period = cast("Period", budget[1]) if budget else "never"
        held = self._sum("SELECT sum(held_nanousd) FROM holds WHERE account = ?", account)
        since = first_day(period, now_ms)
        left = None if limit is None else max(limit - self._charged(account, since) - held, 0)
        return Spending(
            total_nanousd=self._charged(account, 0),
            today_nanousd=self._charged(account, day_of(now_ms)),
            week_nanousd=self._charged(account, first_day("weekly", now_ms)),
            month_nanousd=self._charged(account, first_day("monthly", now_ms)),
            byok=Byok(
                total_nanousd=self._byok(account, 0),
                today_nanousd=self._byok(account, day_of(now_ms)),
                week_nanousd=self._byok(account, first_day("weekly", now_ms)),
                month_nanousd=self._byok(account, first_day("monthly", now_ms)),
            ),
            held_nanousd=held,
            generations=self._sum(
                "SELECT sum(generations) FROM counters WHERE account = ?", account
            ),
            limit_nanousd=limit,
            left_nanousd=left,
            period=period,
            resets_ms=resets_ms(period, now_ms) if budget else None,
        )

    def _charged(self, account: str, since_day: int) -> int:
        sql = "SELECT sum(charged_nanousd) FROM counters WHERE account = ? AND day >= ?"
        return self._sum(sql, account, since_day)

    def _byok(self, account: str, since_day: int) -> int:
        sql = "SELECT sum(byok_nanousd) FROM counters WHERE account = ? AND day >= ?"
        return self._sum(sql, account, since_day)

    def accounts(self) -> list[AccountRecord]:
        """Return every account but the keys, oldest first."""
        sql = """
            SELECT a.id, a.kind, a.name, a.parent, a.created_ms, b.limit_nanousd, b.period
            FROM accounts AS a LEFT JOIN budgets AS b ON b.account = a.id
            WHERE a.kind <> 'key' ORDER BY a.created_ms, a.kind, a.id"""
        return [
            AccountRecord(
                id=str(account),
                kind=str(kind),
                name=str(name),
                parent=cast("str | None", parent),
                created_ms=cast("int", created_ms),
                limit_nanousd=cast("int | None", limit),
                period=cast("Period", period or "never"),
            )
            for account, kind, name, parent, created_ms, limit, period in self._db.rows(sql)
        ]

    def kinds(self, accounts: Sequence[str]) -> dict[str, str]:
        """Return what each of these accounts is: `key`, `project`, `workspace`, `organisation`."""
        names = msgspec.json.encode(accounts).decode()
        sql = "SELECT id, kind FROM accounts WHERE id IN (SELECT value FROM json_each(?))"
        return {str(account): str(kind) for account, kind in self._db.rows(sql, (names,))}

    def _sum(self, sql: str, *values: str | int) -> int:
        row = self._db.row(sql, values)
        return cast("int", row[0] or 0) if row else 0

    def offered_mark(self) -> str:
        """Return what changes when the added models, the brought keys or the reroutes do."""
        row = self._db.row(
            """SELECT (SELECT json_group_array(id || ' ' || added_ms || ' ' || body) FROM models),
                (SELECT json_group_array(id || disabled || counts || allowed_models || name)
                FROM byok),
                (SELECT json_group_array(id) FROM reroutes)"""
        )
        text = msgspec.json.encode([str(value) for value in row or ()])
        return hashlib.sha256(text).hexdigest()

    def models(self) -> dict[str, bytes]:
        """Return the models that users have added, as JSON by id."""
        rows = self._db.rows("SELECT id, body FROM models ORDER BY added_ms, id")
        return {str(model): str(body).encode() for model, body in rows}

    def provider_keys(self) -> list[ProviderKey]:
        """Return the providers' keys that accounts brought along, still sealed, oldest first."""
        return byok.read_all(self._db)

    def reroutes(self) -> list[Reroute]:
        """Return the rules that another model answers a workload, oldest first."""
        return reroutes.read_all(self._db)

    def price(self, price_id: str) -> KeptPrice | None:
        """Return a price row that some generation was priced by."""
        row = self._db.row(
            "SELECT id, price, source, as_of, endpoint, seen_ms FROM prices WHERE id = ?",
            (price_id,),
        )
        if row is None:
            return None
        return KeptPrice(
            row=PriceRow(
                id=str(row[0]),
                price=msgspec.json.decode(str(row[1]), type=Price),
                source=str(row[2]),
                as_of=str(row[3]),
            ),
            endpoint=str(row[4]),
            seen_ms=cast("int", row[5]),
        )
