"""Keeps the rules that another model answers a workload.

Each function runs inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from glasslipper.kernel.errors import InvalidRequest, NotFound
from glasslipper.ledger.reroutes import Reroute
from glasslipper.store.database import Database

MOST_RULES = 10_000


def add(db: Database, rules: Sequence[Reroute]) -> None:
    """Keep rules, each in place of one about the same workload and the same model.

    Raises:
        NotFound: There is no such key.
        InvalidRequest: There are too many rules already.
    """
    for rule in rules:
        if db.row("SELECT 1 FROM keys WHERE id = ?", (rule.key_id,)) is None:
            raise NotFound(
                f"There is no key {rule.key_id!r}.",
                hint="A workload begins with the id of a key; `glasslipper keys list` shows them.",
                param="$.workloads",
            )
        db.change(
            """INSERT OR REPLACE INTO reroutes (id, key_id, app, system_print, asked, "to",
                created_ms) VALUES (?, ?, ?, ?, ?, ?, ?)""",
            (
                rule.id,
                rule.key_id,
                rule.app,
                rule.system_print,
                rule.asked,
                rule.to,
                rule.created_ms,
            ),
        )
    count = db.row("SELECT count(*) FROM reroutes")
    if count and cast("int", count[0]) > MOST_RULES:
        raise InvalidRequest(f"There can be {MOST_RULES} rules.", hint="Remove some first.")


def remove(db: Database, rule_id: str) -> bool:
    """Forget a rule; `False` if there was none."""
    return db.change("DELETE FROM reroutes WHERE id = ?", (rule_id,)) > 0
