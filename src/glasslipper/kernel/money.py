"""Money is an integer number of nano-US-dollars, and prices are nano-US-dollars per million units.

One nano-dollar is 1e-9 USD, so a price of 0.15 USD per million tokens is the integer
150_000_000, and an amount is the exact sum over usage classes, divided once and rounded up.
No float ever holds money here; floats appear only at the edges, for people.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from operator import attrgetter
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from glasslipper.kernel.usage import Usage

NANO = 1_000_000_000
"""Nano-dollars in a dollar."""

PER = 1_000_000
"""Units that one price buys."""


class Price(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What each usage class costs, in nano-USD per million units.

    A class that is `None` falls back to the class it is a kind of: a cached read to `input`,
    a write for an hour to one for five minutes, reasoning to `output`, and so on. `requests`,
    `searches` and `cpu_us` fall back to free.
    """

    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    input_audio: int | None = None
    input_image: int | None = None
    reasoning: int | None = None
    output_audio: int | None = None
    output_image: int | None = None
    requests: int = 0
    searches: int = 0
    cpu_us: int = 0

    def rate(self, usage_class: str) -> int:
        """Return the nano-USD per million units of one usage class, fallbacks applied."""
        own: int | None = getattr(self, usage_class)
        if own is not None:
            return own
        if usage_class == "cache_write_1h" and self.cache_write is not None:
            return self.cache_write
        return self.input if usage_class in INPUT_CLASSES else self.output


INPUT_CLASSES = (
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "input_image",
)
OUTPUT_CLASSES = ("output", "reasoning", "output_audio", "output_image")
OTHER_CLASSES = ("requests", "searches", "cpu_us")
USAGE_CLASSES = INPUT_CLASSES + OUTPUT_CLASSES + OTHER_CLASSES

FREE = Price(input=0, output=0)
"""The price of what costs nothing."""


def amount_nanousd(usage: Usage, price: Price) -> int:
    """Return what `usage` costs at `price`, in nano-USD, rounded up once.

    >>> from glasslipper.kernel.usage import Usage
    >>> amount_nanousd(Usage(input=1000, output=1), Price(input=150_000_000, output=600_000_000))
    150600
    """
    total = 0
    for usage_class, units in zip(USAGE_CLASSES, _units_of(usage), strict=True):
        if units:
            total += units * price.rate(usage_class)
    return -(-total // PER)


def split_nanousd(usage: Usage, price: Price) -> tuple[int, int]:
    """Return what went in and everything else cost, in nano-USD; together the whole amount.

    >>> from glasslipper.kernel.usage import Usage
    >>> split_nanousd(Usage(input=1000, output=1), Price(input=150_000_000, output=600_000_000))
    (150000, 600)
    """
    went_in = 0
    for usage_class, units in zip(INPUT_CLASSES, _prompt_of(usage), strict=True):
        if units:
            went_in += units * price.rate(usage_class)
    prompt = went_in // PER
    return prompt, amount_nanousd(usage, price) - prompt


_units_of = attrgetter(*USAGE_CLASSES)
_prompt_of = attrgetter(*INPUT_CLASSES)


def nanousd(usd: str | int | float | Decimal) -> int:
    """Return a number of dollars, as a person writes it, in nano-USD, rounded up.

    Raises:
        ValueError: The text is not a finite number.

    >>> nanousd("0.10"), nanousd(5)
    (100000000, 5000000000)
    """
    try:
        value = Decimal(str(usd))
        return int((value * NANO).to_integral_value(rounding=ROUND_CEILING))
    except (ArithmeticError, ValueError) as error:
        raise ValueError(f"not an amount of dollars: {usd!r}") from error


def usd(amount: int) -> float:
    """Return nano-USD as dollars, for display and for wire formats that want a float.

    >>> usd(150600)
    0.0001506
    """
    return amount / NANO


def usd_text(amount: int) -> str:
    """Return nano-USD as exact text with a dollar sign and at least two decimals.

    >>> usd_text(5_000_000_000), usd_text(150_600), usd_text(-1)
    ('$5.00', '$0.0001506', '-$0.000000001')
    """
    whole, rest = divmod(abs(amount), NANO)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount < 0 else ''}${whole}.{decimals}"
