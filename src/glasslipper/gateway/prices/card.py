"""What is known about a model at a provider: names, limits, abilities and prices.

A fact that nobody states is `None`, which is not the same as no.
"""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from glasslipper.gateway.prices.tariff import Tariff


class ModelCard(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A model at a provider.

    Attributes:
        id: What clients ask for, `author/slug`.
        upstream: What the provider calls it.
        aliases: Other names that the provider takes for it.
        name: What people call it.
        context_tokens: How much fits into prompt and answer together.
        max_output_tokens: How long an answer can be.
        released: The day of its release, `2025-04-14`; of some only the month is known.
        inputs: What it reads: `text`, `image`, `audio`, `video`, `pdf`.
        outputs: What it makes: `text`, `image`, `audio`, `video`.
        tools: Whether it calls tools.
        structured_output: Whether it keeps to a JSON schema.
        reasoning: Whether it thinks before it answers.
        embeds: It makes vectors instead of answers.
        retiring: The provider is about to switch it off, or has done so.
        tariff: What it costs, if anybody says so.
    """

    id: str
    upstream: str
    aliases: tuple[str, ...] = ()
    name: str = ""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    released: str | None = None
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    tools: bool | None = None
    structured_output: bool | None = None
    reasoning: bool | None = None
    embeds: bool = False
    retiring: bool = False
    tariff: Tariff | None = None

    @property
    def vision(self) -> bool | None:
        """Whether it sees pictures."""
        return None if self.inputs is None else "image" in self.inputs

    @property
    def released_s(self) -> int:
        """The Unix time of its release in seconds; 0 if nobody knows."""
        if self.released is None:
            return 0
        day = self.released if len(self.released) > 7 else f"{self.released}-01"
        return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())
