"""Notices when the world has moved: rewards that fall below what was expected of them.

Page-Hinkley (Page 1954) on the difference between the reward and what the policy expected, for
each model by itself, so that one provider's silent change shows up under its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Alarm:
    """`slack` is how much of a fall counts as none, `limit` how much of it in all is too much.

    With rewards of 0 or 1 and the defaults, a fall by 0.2 is noticed after about 100 answers, and
    without one there is a false alarm in some ten thousand.
    """

    slack: float = 0.08
    limit: float = 14.0
    sums: dict[str, float] = field(default_factory=dict[str, float])

    def hear(self, model: str, reward: float, expected: float) -> bool:
        """Take in one answer; return whether the alarm goes off, and begin anew if it does."""
        total = max(self.sums.get(model, 0.0) + (expected - reward) - self.slack, 0.0)
        rings = total > self.limit
        self.sums[model] = 0.0 if rings else total
        return rings
