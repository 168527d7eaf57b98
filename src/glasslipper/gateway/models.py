"""What is offered: models, their endpoints and who serves them.

The shapes are OpenRouter's, which hold OpenAI's.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.providers.table import provider
from glasslipper.gateway.shapes import (
    Architecture,
    Endpoints,
    EndpointsAnswer,
    EndpointShown,
    ModelsAnswer,
    ModelShown,
    Pricing,
    ProvidersAnswer,
    ProviderShown,
    TopProvider,
)
from glasslipper.kernel.money import NANO, PER, Price

_encode = msgspec.json.Encoder().encode


async def listing(house: House, http: Http) -> None:
    """Answer `GET /models`, with or without a key."""
    await http.reply(200, _encode(ModelsAnswer(object="list", data=describe_all(house))))


async def one(house: House, http: Http, path: str) -> None:
    """Answer `GET /models/{author}/{slug}` and `GET /models/{author}/{slug}/endpoints`."""
    now_ms = house.clock.now_ms()
    model = path.removesuffix("/endpoints")
    cards = _cards(house)
    if model in cards:
        await http.reply(200, _encode(_conducted(model, cards[model])))
        return
    endpoints = house.offer.find(model)
    described = _describe(model, endpoints, now_ms)
    if model == path:
        await http.reply(200, _encode(described))
        return
    data = Endpoints(
        id=model,
        name=described.name,
        created=described.created,
        description="",
        architecture=described.architecture,
        endpoints=[_endpoint(one, now_ms) for one in endpoints],
    )
    await http.reply(200, _encode(EndpointsAnswer(data)))


def _endpoint(endpoint: Endpoint, now_ms: int) -> EndpointShown:
    row = endpoint.pricing.row(now_ms, 0)
    return EndpointShown(
        name=f"{endpoint.provider} | {endpoint.model}",
        tag=endpoint.provider,
        id=endpoint.id,
        model_name=endpoint.name or endpoint.model,
        provider_name=endpoint.provider,
        context_length=endpoint.context_tokens,
        max_completion_tokens=endpoint.max_output_tokens,
        pricing=None if row is None else _pricing(row.price),
        price_source=None if row is None else f"{row.source}, {row.as_of}",
        local=endpoint.is_local,
    )


async def providers(house: House, http: Http) -> None:
    """Answer `GET /providers`: who serves any of the models that are offered."""
    slugs = sorted({endpoint.provider for _, endpoints in house.offer for endpoint in endpoints})
    data = [
        ProviderShown(slug, known.name if (known := provider(slug)) else slug) for slug in slugs
    ]
    await http.reply(200, _encode(ProvidersAnswer(data)))


def describe_all(house: House) -> list[ModelShown]:
    """Return every model that is offered."""
    now_ms = house.clock.now_ms()
    offered = [_describe(model, endpoints, now_ms) for model, endpoints in sorted(house.offer)]
    cards = _cards(house)
    return [*offered, *(_conducted(model, card) for model, card in cards.items())]


def _cards(house: House) -> Mapping[str, Mapping[str, object]]:
    return {} if house.conducting is None else house.conducting.cards()


def _conducted(model: str, card: Mapping[str, object]) -> ModelShown:
    """Return a name that stands for many models, with the card of the policy behind it."""
    return ModelShown(
        id=model,
        canonical_slug=model,
        object="model",
        owned_by=model.partition("/")[0],
        name=str(card.get("policy", model)),
        created=0,
        context_length=None,
        architecture=Architecture(
            modality="text->text", input_modalities=["text"], output_modalities=["text"]
        ),
        top_provider=TopProvider(
            context_length=None, max_completion_tokens=None, is_moderated=False
        ),
        pricing=None,
        price_source=None,
        endpoints=[],
        local=False,
        policy=card,
    )


def _describe(model: str, endpoints: list[Endpoint], now_ms: int) -> ModelShown:
    first = endpoints[0]
    row = first.pricing.row(now_ms, 0)
    return ModelShown(
        id=model,
        canonical_slug=model,
        object="model",
        owned_by=model.partition("/")[0],
        name=first.name or model,
        created=first.created_s,
        context_length=first.context_tokens,
        architecture=Architecture(
            modality="text->embeddings" if first.embeds_only else "text->text",
            input_modalities=["text"],
            output_modalities=["embeddings" if first.embeds_only else "text"],
        ),
        top_provider=TopProvider(
            context_length=first.context_tokens,
            max_completion_tokens=first.max_output_tokens,
            is_moderated=False,
        ),
        pricing=None if row is None else _pricing(row.price),
        price_source=None if row is None else f"{row.source}, {row.as_of}",
        endpoints=[endpoint.id for endpoint in endpoints],
        local=first.is_local,
    )


def _pricing(price: Price) -> Pricing:
    return Pricing(
        prompt=_per_unit(price.input),
        completion=_per_unit(price.output),
        request=_per_unit(price.requests),
        input_cache_read=_per_unit(price.rate("cache_read")),
        input_cache_write=_per_unit(price.rate("cache_write")),
        cpu_second=_per_unit(price.cpu_us * PER) if price.cpu_us else UNSET,
    )


def _per_unit(nanousd_per_million: int) -> str:
    whole, rest = divmod(nanousd_per_million, NANO * PER)
    return f"{whole}.{rest:015d}".rstrip("0").rstrip(".")
