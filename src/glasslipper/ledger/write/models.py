"""Keeps the models that users have added, as JSON by id; what it says is the gateway's affair."""

from __future__ import annotations

from glasslipper.store.database import Database


def keep_model(db: Database, model: str, body: str, now_ms: int) -> None:
    """Add a model, or change it."""
    db.change(
        """INSERT INTO models (id, body, added_ms) VALUES (?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET body = excluded.body""",
        (model, body, now_ms),
    )


def forget_model(db: Database, model: str) -> bool:
    """Take a model away; `False` if there was none."""
    return db.change("DELETE FROM models WHERE id = ?", (model,)) > 0
