"""What local models cost: the CPU time that they take, at what this machine's CPU costs.

The amount is known only afterwards; beforehand a hold needs a ceiling per token, which is the
measured or guessed time per token with a generous margin.
"""

from __future__ import annotations

from msgspec import Struct

from glasslipper.kernel.money import NANO, Price, nanousd

MARGIN = 8
"""How much slower than measured a token may be, on a busy or an old machine."""

BYTES_PER_CPU_S = 6_000_000_000
"""Bytes of weights that a CPU second reads when nobody has measured the model."""


class LocalPrice(Struct, frozen=True, kw_only=True):
    """The price of a local model, and the ceiling for holds on it."""

    price: Price
    ceiling: Price


def local_price(
    cpu_hour_usd: str,
    *,
    prompt_tokens_per_cpu_s: float | None,
    output_tokens_per_cpu_s: float | None,
    size_bytes: int,
) -> LocalPrice:
    """Return the price of a model of this speed, or else of this size."""
    per_second = -(-nanousd(cpu_hour_usd) // 3600)
    guess = max(BYTES_PER_CPU_S / max(size_bytes, 1), 0.1)
    return LocalPrice(
        price=Price(input=0, output=0, cpu_us=per_second),
        ceiling=Price(
            input=_per_million(per_second, prompt_tokens_per_cpu_s or guess),
            output=_per_million(per_second, output_tokens_per_cpu_s or guess),
            requests=per_second * 1_000_000,
        ),
    )


def _per_million(per_second_nanousd: int, tokens_per_cpu_s: float) -> int:
    return int(per_second_nanousd * 1_000_000 * MARGIN / max(tokens_per_cpu_s, NANO**-1)) + 1
