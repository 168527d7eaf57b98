"""Makes workspaces and projects: the accounts between the organisation and the keys.

Each function runs inside the caller's transaction. Budgets and keys are `keys`' affair.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from glasslipper.kernel.errors import InvalidRequest, NotFound
from glasslipper.kernel.ids import new_id
from glasslipper.ledger.write.keys import ORGANISATION, WORKSPACE
from glasslipper.store.database import Database

_PARENT = {"workspace": "organisation", "project": "workspace"}
_PREFIX = {"workspace": "ws", "project": "proj"}


class NewAccount(Struct, frozen=True, kw_only=True):
    """What an account is to be; without a `parent` it stands below the default one."""

    kind: Literal["workspace", "project"]
    name: str
    parent: str | None = None


def create(db: Database, new: NewAccount, now_ms: int) -> str:
    """Make an account and return its id.

    Raises:
        NotFound: There is no such parent.
        InvalidRequest: The parent is not of the kind that such an account stands below.
    """
    parent = new.parent or (ORGANISATION if new.kind == "workspace" else WORKSPACE)
    row = db.row("SELECT kind FROM accounts WHERE id = ?", (parent,))
    if row is None:
        raise NotFound(f"There is no account {parent!r}.")
    if row[0] != _PARENT[new.kind]:
        raise InvalidRequest(
            f"A {new.kind} stands below a {_PARENT[new.kind]}, not below a {row[0]}.",
            param="$.parent",
        )
    account = new_id(_PREFIX[new.kind], now_ms)
    db.change(
        "INSERT INTO accounts (id, parent, kind, name, created_ms) VALUES (?, ?, ?, ?, ?)",
        (account, parent, new.kind, new.name, now_ms),
    )
    return account


def rename(db: Database, account: str, name: str) -> None:
    """Give an account another name.

    Raises:
        NotFound: There is no such account.
    """
    if not db.change("UPDATE accounts SET name = ? WHERE id = ?", (name, account)):
        raise NotFound(f"There is no account {account!r}.")
