"""What a client wants of its endpoints: OpenRouter's `provider` object and a model's suffixes.

Some wishes rule endpoints out, and then say so in words; others only put them later; others fix
the order. A fact about an endpoint that nobody states counts against it where data is concerned,
and for it where abilities are. Caps on the price of pictures and sounds rule nobody out, for no
endpoint here sells those by the piece.

Source: OpenRouter's documentation of provider routing, as of November 2026.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from glasslipper.gateway.dialects.chat.wire import Percentiles, ProviderWishes, Sort
from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.routing.variants import split_variant
from glasslipper.kernel.errors import InvalidRequest, Unsupported
from glasslipper.kernel.messages import Request
from glasslipper.kernel.money import NANO, PER, Price

By = Literal["price", "throughput", "latency", "quality"]

TIERS = frozenset({"flex", "priority"})
"""Variants of a provider that a base slug does not mean: they must be named."""

_decoder = msgspec.json.Decoder(ProviderWishes)
_BY_VARIANT: dict[str, By] = {"nitro": "throughput", "floor": "price", "exacto": "quality"}


class Bounds(Struct, frozen=True):
    """The least or most that each percentile may be: p50, p75, p90 and p99."""

    values: tuple[float | None, ...]

    def allow_at_least(self, found: tuple[float, ...]) -> bool:
        """Tell whether no percentile is below its bound."""
        return all(
            bound is None or value >= bound for bound, value in zip(self.values, found, strict=True)
        )

    def allow_at_most(self, found: tuple[float, ...]) -> bool:
        """Tell whether no percentile is above its bound."""
        return all(
            bound is None or value <= bound for bound, value in zip(self.values, found, strict=True)
        )


class Wishes(Struct, frozen=True, kw_only=True):
    """What a request wants of its endpoints.

    Attributes:
        order: Slugs of providers to try first, in this order.
        only: Slugs of the providers that may serve; `None`: all.
        ignore: Slugs of those that may not.
        fallbacks: Whether somebody else may serve when the first choice fails.
        needs: The parameters that an endpoint has to know, if it has to know them all.
        prefers: Those that it had better know.
        private: It may neither learn from the data nor pass it on.
        unkept: It may keep no data at all.
        quantizations: Those that may serve; empty: all.
        by: What to sort by, instead of drawing.
        across_models: Rank the endpoints of all models together.
        least_tokens_per_s: Whoever is slower is tried later.
        most_latency_s: Whoever is later to begin is tried later.
        most_prompt_nanousd: Per million tokens.
        most_completion_nanousd: Per million tokens.
        most_request_nanousd: Per request.
    """

    order: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    fallbacks: bool = True
    needs: frozenset[str] = frozenset()
    prefers: frozenset[str] = frozenset()
    private: bool = False
    unkept: bool = False
    quantizations: frozenset[str] = frozenset()
    by: By | None = None
    across_models: bool = False
    least_tokens_per_s: Bounds | None = None
    most_latency_s: Bounds | None = None
    most_prompt_nanousd: int | None = None
    most_completion_nanousd: int | None = None
    most_request_nanousd: int | None = None

    @property
    def says_anything(self) -> bool:
        """Whether there are any wishes."""
        return self is not NONE

    @property
    def caps_price(self) -> bool:
        """Whether any price is capped."""
        caps = (self.most_prompt_nanousd, self.most_completion_nanousd, self.most_request_nanousd)
        return any(cap is not None for cap in caps)

    def objection(self, endpoint: Endpoint) -> str | None:
        """Return why the endpoint may not serve, prices apart, or `None`."""
        if self.only is not None and not _among(endpoint, self.only):
            return "not among the providers that the request allows"
        if _among(endpoint, self.ignore):
            return "ignored by the request"
        if self.order and not self.fallbacks and not _among(endpoint, self.order):
            return "not in the request's order, which allows no fallbacks"
        if self.quantizations and endpoint.quantization not in self.quantizations:
            return f"quantization {endpoint.quantization} is not among those asked for"
        if self.private and not endpoint.is_local and endpoint.learns_from_data is not False:
            return "may collect data"
        if self.unkept and not endpoint.is_local and endpoint.keeps_data is not False:
            return "may keep data"
        lacking = self.needs & endpoint.lacks
        return f"does not know {', '.join(sorted(lacking))}" if lacking else None

    def price_objection(self, price: Price | None) -> str | None:
        """Return why the price is too high, or `None`."""
        if price is None:
            return "its price is unknown, and the request caps it"
        caps = (
            ("prompt", price.input, self.most_prompt_nanousd),
            ("completion", price.output, self.most_completion_nanousd),
            ("request", price.requests / PER, self.most_request_nanousd),
        )
        for name, asked, cap in caps:
            if cap is not None and asked > cap:
                return f"its {name} price of ${asked / NANO:g} is above the cap of ${cap / NANO:g}"
        return None

    def place(self, endpoint: Endpoint) -> int:
        """Return where in `order` the endpoint stands; behind all, if it is not named."""
        for position, slug in enumerate(self.order):
            if matches(slug, endpoint):
                return position
        return len(self.order)


NONE = Wishes()
"""No wishes."""


def read_wishes(request: Request) -> Wishes:
    """Return what the request's `provider` object says.

    Raises:
        InvalidRequest: It is not what it should be.
        Unsupported: It asks for what nobody here knows.
    """
    raw = request.extra.get("provider")
    prefers = soft_needs(request)
    if raw is None:
        return NONE if not prefers else Wishes(prefers=prefers)
    told = _decode(raw)
    if told.enforce_distillable_text:
        raise Unsupported(
            "Which models may be distilled is not known here.",
            param="$.provider.enforce_distillable_text",
        )
    sort = told.sort if isinstance(told.sort, Sort) else Sort(by=told.sort)
    cap = told.max_price
    return Wishes(
        order=_slugs(told.order),
        only=None if told.only is None else _slugs(told.only),
        ignore=_slugs(told.ignore),
        fallbacks=told.allow_fallbacks is not False,
        needs=parameters(request) if told.require_parameters else frozenset(),
        prefers=prefers,
        private=told.data_collection == "deny",
        unkept=bool(told.zdr),
        quantizations=frozenset(one.lower() for one in told.quantizations or ()),
        by=sort.by,
        across_models=sort.partition == "none",
        least_tokens_per_s=_bounds(told.preferred_min_throughput),
        most_latency_s=_bounds(told.preferred_max_latency),
        most_prompt_nanousd=_cap(cap and cap.prompt, "prompt"),
        most_completion_nanousd=_cap(cap and cap.completion, "completion"),
        most_request_nanousd=_cap(cap and cap.request, "request"),
    )


def with_variants(wishes: Wishes, variants: frozenset[str]) -> Wishes:
    """Return the wishes with those of a model's suffixes; an explicit sort is stronger."""
    by = wishes.by or next((_BY_VARIANT[one] for one in _BY_VARIANT if one in variants), None)
    if "free" not in variants:
        return wishes if by == wishes.by else msgspec.structs.replace(wishes, by=by)
    return msgspec.structs.replace(
        wishes, by=by, most_prompt_nanousd=0, most_completion_nanousd=0, most_request_nanousd=0
    )


def _decode(raw: Raw) -> ProviderWishes:
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        words = str(error)[:300]
        raise InvalidRequest(f"`$.provider`: {words}", param="$.provider") from None


def _slugs(named: list[str] | None) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in named or ())


def _bounds(wish: float | Percentiles | None) -> Bounds | None:
    if wish is None:
        return None
    if isinstance(wish, Percentiles):
        return Bounds((wish.p50, wish.p75, wish.p90, wish.p99))
    return Bounds((wish, None, None, None))


def _cap(usd: float | str | None, name: str) -> int | None:
    if usd is None:
        return None
    path = f"$.provider.max_price.{name}"
    try:
        value = float(usd)
    except ValueError:
        raise InvalidRequest(f"`{path}` is not an amount of dollars.", param=path) from None
    if math.isnan(value) or value < 0:
        raise InvalidRequest(f"`{path}` is not an amount of dollars.", param=path)
    return None if value > 1e9 else round(value * NANO)


def matches(slug: str, endpoint: Endpoint) -> bool:
    """Tell whether a slug means the endpoint: its provider, or one variant of it.

    A base slug means all variants of the provider but the tiers of service; behind the slash
    may also stand a quantization.
    """
    provider = endpoint.provider.lower()
    if slug == provider or slug == f"{provider}/{endpoint.quantization}":
        return True
    base, _, variant = provider.partition("/")
    return slug == base and variant not in TIERS


def _among(endpoint: Endpoint, slugs: tuple[str, ...]) -> bool:
    return any(matches(slug, endpoint) for slug in slugs)


def soft_needs(request: Request) -> frozenset[str]:
    """Return the parameters whose loss would spoil the answer: tools and its format."""
    if not request.tools and request.response_format.kind == "text":
        return frozenset()
    return parameters(request) & {"tools", "response_format", "structured_outputs"}


def parameters(request: Request) -> frozenset[str]:
    """Return the parameters that a request uses, in OpenRouter's words."""
    found = {
        name
        for name in request.sampling.__struct_fields__
        if getattr(request.sampling, name) not in (None, (), False)
    }
    told: Mapping[str, bool] = {
        "tools": bool(request.tools),
        "tool_choice": request.tool_choice.mode != "auto",
        "parallel_tool_calls": request.parallel_tool_calls is not None,
        "response_format": request.response_format.kind != "text",
        "structured_outputs": request.response_format.kind == "json_schema",
        "reasoning": wants_thinking(request),
    }
    return frozenset(found | {name for name, is_used in told.items() if is_used})


def wants_thinking(request: Request) -> bool:
    """Tell whether the model is asked to think."""
    return request.reasoning is not None or "thinking" in split_variant(request.model)[1]
