"""What was planted into a generated ledger, and what a study of it should find.

`Planted` is drawn from the seed before anything else; each effect is absent under some seeds.
`Truth` is written beside the ledger. Its `numbers` are keyed by section and by the name of a
finding: those of one kind are parameters of the generator, which an interval should cover; those
of the other are sums over the rows that were really made, computed here, not read from a ledger.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct, field

PRESENT = 0.75
"""The probability with which a seed has an effect."""


class Planted(Struct, frozen=True, kw_only=True):
    """The effects of one seed. A field that is `None` or zero says that the effect is absent."""

    drift_from: float
    drift_to: float
    founder_retention: float | None
    later_retention: float
    boomerang: tuple[float, ...] | None
    steady: tuple[float, ...]
    substitution: float | None
    elasticity: float | None
    price_error: float
    duplicates: float
    clock_skew_ms: int
    prompt_growth: float
    tool_share_to: float
    label_accuracy: float
    cheap_suffices: bool

    @property
    def absent(self) -> list[str]:
        """The names of the effects that this seed lacks."""
        present = {
            "drift": self.drift_from != self.drift_to,
            "foundational": self.founder_retention is not None,
            "boomerang": self.boomerang is not None,
            "substitution": self.substitution is not None,
            "elasticity": self.elasticity is not None,
            "price_error": self.price_error != 0,
            "duplicates": self.duplicates != 0,
            "clock_skew": self.clock_skew_ms != 0,
            "overpaying": self.cheap_suffices,
        }
        return [name for name, there in present.items() if not there]


def planted(seed: int, *, everything: bool = False) -> Planted:
    """Draw the effects of a seed; all of them, where `everything` is asked for."""
    rng = np.random.default_rng([seed, 1])
    has = [everything or bool(rng.random() < PRESENT) for _ in range(9)]
    later = 0.30
    return Planted(
        drift_from=0.20,
        drift_to=0.55 if has[0] else 0.20,
        founder_retention=0.70 if has[1] else None,
        later_retention=later,
        boomerang=(0.50, 0.18, 0.46, 0.44) if has[2] else None,
        steady=(0.46, 0.36, 0.30, 0.27, 0.25, 0.24),
        substitution=0.60 if has[3] else None,
        elasticity=-0.60 if has[4] else None,
        price_error=0.12 if has[5] else 0.0,
        duplicates=0.003 if has[6] else 0.0,
        clock_skew_ms=2 * 3_600_000 if has[7] else 0,
        prompt_growth=4.0,
        tool_share_to=0.45,
        label_accuracy=0.82,
        cheap_suffices=has[8],
    )


class Truth(Struct, frozen=True, kw_only=True):
    """The truth file.

    `parameters` and `sums` map a section's id to findings and their true values.
    """

    seed: int
    rows: int
    first_day: str
    days: int
    planted: Planted
    absent: list[str]
    parameters: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    sums: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
