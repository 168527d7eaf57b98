"""Usage counts what one call consumed, in classes that never overlap.

Providers disagree on whether cached tokens are part of the prompt count and whether
reasoning is part of the completion count; a codec resolves that once, on the way in, so that
everything behind it can simply add. Knows no prices.
"""

from __future__ import annotations

from operator import attrgetter

from msgspec import Struct, structs

from glasslipper.kernel.money import INPUT_CLASSES, OUTPUT_CLASSES, USAGE_CLASSES

_went_in = attrgetter(*INPUT_CLASSES)
_came_out = attrgetter(*OUTPUT_CLASSES)


MOST_UNITS = 1_000_000_000
"""No provider that counts more of one class for one call is believed.

Thousands of millions of such calls still sum up to an integer of 64 bits.
"""


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Units consumed per class: tokens, except where the name says otherwise.

    `input` counts only what was neither read from nor written to a cache and is not media;
    `output` excludes `reasoning`. `cpu_us` is CPU microseconds of a local model.
    `reported_nanousd` is the cost that the provider itself stated, if it did.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    input_image: int = 0
    output: int = 0
    reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    requests: int = 0
    searches: int = 0
    cpu_us: int = 0
    reported_nanousd: int | None = None

    @property
    def prompt_tokens(self) -> int:
        """Tokens that went in, of every class."""
        return sum(_went_in(self))

    @property
    def completion_tokens(self) -> int:
        """Tokens that came out, of every class."""
        return sum(_came_out(self))

    def __add__(self, other: Usage) -> Usage:
        """Return the units of both; a reported cost survives only if both report one."""
        mine, theirs = self.reported_nanousd, other.reported_nanousd
        reported = None if mine is None or theirs is None else mine + theirs
        units = {name: getattr(self, name) + getattr(other, name) for name in USAGE_CLASSES}
        return structs.replace(Usage(**units), reported_nanousd=reported)
