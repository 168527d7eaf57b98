"""What the market does, from a file of daily rankings that the user supplies.

The file has a JSON object on each line (`.jsonl`, or compressed as `.jsonl.xz`), as OpenRouter's
rankings give it: `date`, and lists such as `market_share` (author, share_pct) and `models`.
Shares are of the whole market, as far as the ranking goes down.
"""

from __future__ import annotations

import datetime
import lzma
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct, field

from glasslipper.kernel.errors import InvalidRequest


class AuthorShare(Struct, frozen=True, kw_only=True):
    """An author's share of the tokens of a day, in percent."""

    author: str
    share_pct: float = 0.0


class ModelShare(Struct, frozen=True, kw_only=True):
    """A model's share of the tokens of a day, in percent."""

    model_id: str
    share_pct: float = 0.0
    tokens: float = 0.0


class Day(Struct, frozen=True, kw_only=True):
    """The rankings of one day."""

    date: datetime.date
    market_share: list[AuthorShare] = field(default_factory=list[AuthorShare])
    models: list[ModelShare] = field(default_factory=list[ModelShare])
    categories_programming: list[ModelShare] = field(default_factory=list[ModelShare])


class Market(Struct, frozen=True, kw_only=True):
    """All days, the oldest first."""

    days: list[Day]

    @property
    def cited(self) -> str:
        """How to cite it."""
        return f"Source: OpenRouter (openrouter.ai/rankings), as of {self.days[-1].date}"

    def author_shares(self, most: int = 8) -> list[tuple[str, float]]:
        """Return the mean shares of authors over all days, the largest first."""
        sums: dict[str, float] = {}
        for day in self.days:
            for entry in day.market_share:
                sums[entry.author] = sums.get(entry.author, 0.0) + entry.share_pct / 100
        means = [(author, total / len(self.days)) for author, total in sums.items()]
        named = [one for one in means if one[0].lower() not in ("others", "other")]
        return sorted(named, key=lambda one: (-one[1], one[0]))[:most]

    def weekly_share(self, belongs: Callable[[str], bool]) -> dict[str, float]:
        """Return the share of the models that belong, by week (Monday).

        It is a lower bound: rankings name the largest models only.
        """
        sums: dict[str, list[float]] = {}
        for day in self.days:
            monday = day.date - datetime.timedelta(day.date.weekday())
            week = sums.setdefault(monday.isoformat(), [0.0, 0.0])
            week[0] += sum(one.share_pct / 100 for one in day.models if belongs(one.model_id))
            week[1] += 1
        return {week: part / days for week, (part, days) in sums.items()}


def read(path: Path) -> Market:
    """Return the rankings in a file.

    Raises:
        InvalidRequest: It is not there or not such a file.
    """
    try:
        raw = path.read_bytes()
        text = lzma.decompress(raw) if path.suffix == ".xz" else raw
        days = [msgspec.json.decode(line, type=Day) for line in text.splitlines() if line.strip()]
    except (OSError, lzma.LZMAError, msgspec.MsgspecError) as error:
        raise InvalidRequest(f"{path} is no file of daily rankings: {error}") from error
    days = sorted((day for day in days if day.market_share or day.models), key=lambda day: day.date)
    if not days:
        raise InvalidRequest(f"{path} has no day with rankings.")
    return Market(days=days)
