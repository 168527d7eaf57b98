"""What is offered: every model, and the endpoints that can serve it.

An endpoint is a model at a provider, with its price and limits. Knows how to find one and how
much an exchange with it may cost; who runs it is behind `kernel.ports.Upstream`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, Protocol

from msgspec import Struct

from glasslipper.gateway.prices.tariff import Tariff
from glasslipper.kernel.errors import ModelUnknown
from glasslipper.kernel.messages import (
    AsidePart,
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    Request,
    Tool,
)
from glasslipper.kernel.money import INPUT_CLASSES, OUTPUT_CLASSES, PER, Price
from glasslipper.kernel.ports import Embedder, Upstream
from glasslipper.kernel.record import PriceRow

DEFAULT_OUTPUT_TOKENS = 16_384
"""The most that an answer is taken to have where neither request nor endpoint says."""

MEDIA_TOKENS = 8_192
"""An upper bound of what one picture, sound or document by address counts as."""

HOSTED_TOKENS = 65_536
"""What a tool that the provider runs may bring into the prompt: nothing bounds it, this is much."""

TURN_TOKENS = 16
"""An upper bound of what a dialect adds around one message."""


class Pricing(Protocol):
    """What an endpoint costs, for a call begun at `when_ms` with so many prompt tokens.

    `service_tier` is the one that was asked for or given.
    """

    @property
    def tariff(self) -> Tariff | None:
        """Every price and when it applies, where there is more to tell than one row."""
        ...

    def row(
        self, when_ms: int, prompt_tokens: int, *, service_tier: str | None = None
    ) -> PriceRow | None:
        """Return the price row, or `None` if nobody knows."""
        ...

    def ceiling(
        self, when_ms: int, prompt_tokens: int, *, service_tier: str | None = None
    ) -> Price | None:
        """Return the dearest price that may turn out to apply, or `None`."""
        ...


class Endpoint(Struct, frozen=True, kw_only=True):
    """A model at a provider, with its price and its limits.

    `inputs` and `outputs` are the kinds of content that it reads and makes, where that is known:
    `text`, `image`, `audio`, `video`, `pdf`. `lacks` names the parameters that it is known not to
    take, in OpenRouter's words. Endpoints with the same `key_id` share a key. What nobody states
    about the data is `None`. `byok` tells whether an account's own key may or must open it, if
    need be only the one called `byok_id`; one that has been opened so `is_byok`, and if it is
    also `uncharged`, no budget pays for it. `source` tells whether somebody told of it or it was
    found running. `dialect` is the language in which it is asked; a local engine has none.
    """

    id: str
    model: str
    provider: str
    upstream_model: str
    upstream: Upstream
    pricing: Pricing
    name: str = ""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    created_s: int = 0
    embedder: Embedder | None = None
    embeds_only: bool = False
    is_local: bool = False
    count: Callable[[Request], Awaitable[int]] | None = None
    key_id: str = ""
    quantization: str = "unknown"
    lacks: frozenset[str] = frozenset()
    learns_from_data: bool | None = None
    keeps_data: bool | None = None
    byok: Literal["never", "may", "must"] = "never"
    byok_id: str | None = None
    is_byok: bool = False
    uncharged: bool = False
    source: Literal["told", "found"] = "told"
    dialect: str = ""

    def output_ceiling(self, request: Request) -> int:
        """Return the most tokens that the answer may have."""
        return self.output_bound(request.sampling.max_tokens)

    def output_bound(self, max_tokens: int | None) -> int:
        """Return the most tokens of an answer to a request with this limit."""
        most = self.max_output_tokens
        if max_tokens is not None:
            return max_tokens if most is None or max_tokens <= most else most
        if most is not None:
            return most
        return min(self.context_tokens or DEFAULT_OUTPUT_TOKENS, DEFAULT_OUTPUT_TOKENS)


class Offer:
    """The models that are offered now."""

    def __init__(self) -> None:
        self._models: dict[str, list[Endpoint]] = {}

    def add(self, endpoint: Endpoint) -> None:
        """Offer an endpoint, in place of one with the same id."""
        others = [
            other for other in self._models.get(endpoint.model, []) if other.id != endpoint.id
        ]
        self._models[endpoint.model] = [*others, endpoint]

    def discard(self, is_meant: Callable[[Endpoint], bool]) -> None:
        """Offer the endpoints no more of which `is_meant` says so."""
        for model, endpoints in list(self._models.items()):
            left = [endpoint for endpoint in endpoints if not is_meant(endpoint)]
            if not left:
                del self._models[model]
            elif len(left) < len(endpoints):
                self._models[model] = left

    def find(self, model: str) -> list[Endpoint]:
        """Return the endpoints of a model.

        Raises:
            ModelUnknown: It is not offered.
        """
        found = self._models.get(model)
        if not found:
            raise ModelUnknown(f"There is no model {model!r}.", param="$.model")
        return found

    def is_current(self, model: str, endpoints: Sequence[Endpoint]) -> bool:
        """Tell whether what `find` once returned is still what it returns."""
        return self._models.get(model) is endpoints

    def __iter__(self) -> Iterator[tuple[str, list[Endpoint]]]:
        """Yield each model with its endpoints."""
        yield from list(self._models.items())


def input_ceiling(request: Request) -> int:
    """Return an upper bound of the prompt's tokens: no tokeniser makes more tokens than bytes."""
    total = sum(_message_bytes(message) + TURN_TOKENS for message in request.messages)
    total += tools_ceiling(request.tools)
    total += HOSTED_TOKENS * len(request.hosted)
    if request.response_format.schema is not None:
        total += len(str(request.response_format.schema).encode())
    return total + TURN_TOKENS


def tools_ceiling(tools: Sequence[Tool]) -> int:
    """Return the same of the tools that are offered."""
    total = 4 * TURN_TOKENS * len(tools)
    for tool in tools:
        total += len(tool.name) + len(tool.description.encode())
        total += len(str(tool.parameters).encode())
    return total


def _message_bytes(message: Message) -> int:
    total = 0
    for part in message.parts:
        match part:
            case ImagePart() | AudioPart() | FilePart():
                total += MEDIA_TOKENS
            case ReasoningPart():
                total += len(part.text.encode()) + len(part.encrypted or "")
            case AsidePart():
                total += len(part.raw) + len(part.text.encode())
            case _:
                total += len(part.text.encode())
    for call in message.tool_calls:
        total += len(call.name) + len(call.arguments.encode()) + TURN_TOKENS
    return total


def cost_ceiling(price: Price, *, input_units: int, output_units: int) -> int:
    """Return the most, in nano-USD, that so many tokens may cost, whatever their class."""
    dearest_in, dearest_out, each = dearest_rates(price)
    return -(-(input_units * dearest_in + output_units * dearest_out + each) // PER)


@lru_cache(maxsize=4096)
def dearest_rates(price: Price) -> tuple[int, int, int]:
    """Return the dearest rate of what goes in, of what comes out, and of a request."""
    dearest_in = max(map(price.rate, INPUT_CLASSES))
    return dearest_in, max(map(price.rate, OUTPUT_CLASSES)), price.requests


def output_within(price: Price, *, input_units: int, nanousd: int) -> int:
    """Return how many tokens of answer an amount still pays for, after the prompt."""
    left = nanousd - cost_ceiling(price, input_units=input_units, output_units=0)
    rate = max(map(price.rate, OUTPUT_CLASSES))
    return max(left * PER // rate, 0) if rate else DEFAULT_OUTPUT_TOKENS
