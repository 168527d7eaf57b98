"""Keys as the admin API answers them, and as a line of a table."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from glasslipper.kernel.money import usd_text

HEADINGS = ("Name", "Id", "Key", "Spent#", "Limit#", "Left#", "State")


class Key(Struct, frozen=True, kw_only=True):
    """A key. Money is nano-USD, times are RFC 3339."""

    id: str
    hash: str
    label: str
    name: str
    disabled: bool
    is_management_key: bool
    limit_nanousd: int | None
    limit_remaining_nanousd: int | None
    limit_reset: str | None
    usage_nanousd: int
    expires_at: datetime | None

    def row(self) -> tuple[str, ...]:
        """Return the key as a line below `HEADINGS`."""
        limit, left = self.limit_nanousd, self.limit_remaining_nanousd
        reset = f" {self.limit_reset}" if self.limit_reset else ""
        return (
            self.name,
            self.id,
            self.label,
            usd_text(self.usage_nanousd),
            "none" if limit is None else usd_text(limit) + reset,
            "" if left is None else usd_text(left),
            self.state(),
        )

    def state(self) -> str:
        """Return whether it works, in words."""
        if self.disabled:
            return "disabled"
        words = "manages" if self.is_management_key else "works"
        if self.expires_at is None:
            return words
        if self.expires_at <= datetime.now(UTC):
            return "expired"
        return f"{words} until {self.expires_at:%Y-%m-%d %H:%M} UTC"
