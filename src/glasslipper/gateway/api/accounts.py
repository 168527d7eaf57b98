"""The account tree above the keys: organisation, workspaces and projects, each with its budget.

A budget binds everything below its account, and every exchange takes its hold from all of them at
once. Keys themselves are `admin`'s.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from glasslipper.gateway.api.admin import Reset, given, limit_of, name_of
from glasslipper.gateway.dialects.body import parse
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.reading import read_body
from glasslipper.kernel.clock import iso
from glasslipper.kernel.errors import NotFound
from glasslipper.kernel.money import usd
from glasslipper.ledger.read import AccountRecord
from glasslipper.ledger.window import Period
from glasslipper.ledger.write import accounts
from glasslipper.ledger.write.keys import set_budget
from glasslipper.store.database import Database


class AccountWish(Struct, frozen=True, kw_only=True):
    """The body that makes an account; a project stands below a workspace."""

    kind: Literal["workspace", "project"]
    name: str
    parent: str | None = None
    limit: float | str | None = None
    limit_nanousd: int | None = None
    limit_reset: Reset = None


class AccountChange(Struct, frozen=True, kw_only=True):
    """The body that changes an account; what is left out stays."""

    name: str | UnsetType = UNSET
    limit: float | str | UnsetType | None = UNSET
    limit_nanousd: int | UnsetType | None = UNSET
    limit_reset: Reset | UnsetType = UNSET


class AccountShown(Struct, frozen=True, kw_only=True):
    """An account, with what everything below it spent. Amounts are USD unless the name says so."""

    id: str
    kind: str
    name: str
    parent: str | None
    created_at: str
    limit: float | None
    limit_nanousd: int | None
    limit_remaining: float | None
    limit_remaining_nanousd: int | None
    limit_reset: str | None
    resets_at: str | None
    usage: float
    usage_nanousd: int
    held_nanousd: int
    generations: int


class AccountAnswer(Struct, frozen=True):
    """One account."""

    data: AccountShown


class AccountsAnswer(Struct, frozen=True):
    """All accounts but the keys, from the organisation down."""

    data: list[AccountShown]


_encode = msgspec.json.Encoder().encode
_wishes = msgspec.json.Decoder(AccountWish)
_changes = msgspec.json.Decoder(AccountChange)


async def listing(house: House, http: Http) -> None:
    """Answer `GET /admin/accounts`."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    await house.ledger.flush()
    found = [_shown(house, one) for one in house.accounts.accounts()]
    await http.reply(200, _encode(AccountsAnswer(found)))


async def create(house: House, http: Http) -> None:
    """Answer `POST /admin/accounts`: make a workspace or a project."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    wish = parse(await read_body(house, http), _wishes)
    limit = limit_of(wish.limit, wish.limit_nanousd)
    new = accounts.NewAccount(kind=wish.kind, name=name_of(wish.name), parent=wish.parent)
    now_ms = house.clock.now_ms()

    def make(db: Database) -> str:
        account = accounts.create(db, new, now_ms)
        if limit is not None:
            set_budget(db, account, limit, wish.limit_reset or "never")
        return account

    made = await house.ledger.change(make)
    await http.reply(201, _encode(AccountAnswer(_shown(house, _find(house, made)))))


async def show(house: House, http: Http, account: str) -> None:
    """Answer `GET /admin/accounts/{id}`."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    await house.ledger.flush()
    await http.reply(200, _encode(AccountAnswer(_shown(house, _find(house, account)))))


async def change(house: House, http: Http, account: str) -> None:
    """Answer `PATCH /admin/accounts/{id}`: rename it, set or take away its budget."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    wish = parse(await read_body(house, http), _changes)
    found = _find(house, account)
    await house.ledger.change(lambda db: _change(db, found, wish))
    house.gatekeeper.note_change()
    await http.reply(200, _encode(AccountAnswer(_shown(house, _find(house, account)))))


def _change(db: Database, account: AccountRecord, wish: AccountChange) -> None:
    if wish.name is not UNSET:
        accounts.rename(db, account.id, name_of(wish.name))
    limit, period = account.limit_nanousd, account.period
    if wish.limit is not UNSET or wish.limit_nanousd is not UNSET:
        limit = limit_of(given(wish.limit), given(wish.limit_nanousd))
    if wish.limit_reset is not UNSET:
        period: Period = wish.limit_reset or "never"
    if (limit, period) != (account.limit_nanousd, account.period):
        set_budget(db, account.id, limit, period)


def _find(house: House, account: str) -> AccountRecord:
    found = next((one for one in house.accounts.accounts() if one.id == account), None)
    if found is None:
        raise NotFound(
            f"There is no account {account!r}.",
            hint="GET /api/v1/admin/accounts lists them; keys stand at /api/v1/keys.",
        )
    return found


def _shown(house: House, account: AccountRecord) -> AccountShown:
    spending = house.accounts.spending(account.id, house.clock.now_ms())
    limit, left = spending.limit_nanousd, spending.left_nanousd
    return AccountShown(
        id=account.id,
        kind=account.kind,
        name=account.name,
        parent=account.parent,
        created_at=iso(account.created_ms),
        limit=None if limit is None else usd(limit),
        limit_nanousd=limit,
        limit_remaining=None if left is None else usd(left),
        limit_remaining_nanousd=left,
        limit_reset=None if limit is None or spending.period == "never" else spending.period,
        resets_at=None if spending.resets_ms is None else iso(spending.resets_ms),
        usage=usd(spending.total_nanousd),
        usage_nanousd=spending.total_nanousd,
        held_nanousd=spending.held_nanousd,
        generations=spending.generations,
    )
