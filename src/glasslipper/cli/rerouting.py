"""Rules that another model answers a workload, as the admin API answers them."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

HEADINGS = ("Id", "Workload", "From", "To", "Since")


class Rule(Struct, frozen=True, kw_only=True, rename={"asked": "from"}):
    """A rule; without `from` it concerns whatever model is asked for."""

    id: str
    workload: str
    asked: str | None
    to: str
    created_at: datetime

    def row(self) -> tuple[str, ...]:
        """Return the rule as a line below `HEADINGS`."""
        since = f"{self.created_at:%Y-%m-%d}"
        return self.id, self.workload, self.asked or "any model", self.to, since
