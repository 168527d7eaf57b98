"""What is offered: models, their endpoints and who serves them.

The shapes are OpenRouter's, which hold OpenAI's.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from glasslipper.gateway.api.offered import (
    Architecture,
    Card,
    DefaultParameters,
    Endpoints,
    EndpointsAnswer,
    EndpointShown,
    ModelLinks,
    ModelsAnswer,
    ModelShown,
    PageLinks,
    Percentiles,
    Pricing,
    ProvidersAnswer,
    ProviderShown,
    ToolChoices,
    TopProvider,
)
from glasslipper.gateway.api.priced import pricing_of
from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.parameters import taken
from glasslipper.gateway.providers.table import provider
from glasslipper.gateway.routing.health import Spread
from glasslipper.local import MODELS

_encode = msgspec.json.Encoder().encode

_MODALITIES = {"pdf": "file"}
"""OpenRouter's words for kinds of content, where they differ from ours."""

UP, DOWN = "good", "failed"


async def listing(house: House, http: Http) -> None:
    """Answer `GET /models`, with or without a key."""
    data = describe_all(house)
    answer = ModelsAnswer(
        object="list", data=data, total_count=len(data), links=PageLinks(next=None)
    )
    await http.reply(200, _encode(answer))


async def one(house: House, http: Http, path: str) -> None:
    """Answer `GET /models/{author}/{slug}` and `GET /models/{author}/{slug}/endpoints`."""
    now_ms = house.clock.now_ms()
    model = path.removesuffix("/endpoints")
    if (card := _cards(house).get(model)) is not None:
        await http.reply(200, _encode(_conducted(model, card)))
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
        description=described.description,
        architecture=msgspec.structs.replace(described.architecture, tokenizer=None),
        endpoints=[_endpoint(house, one, now_ms) for one in endpoints],
    )
    await http.reply(200, _encode(EndpointsAnswer(data)))


def _endpoint(house: House, endpoint: Endpoint, now_ms: int) -> EndpointShown:
    pricing, source = pricing_of(endpoint, now_ms)
    parameters = [] if endpoint.embeds_only else taken(endpoint.lacks)
    calls = "tool_choice" in parameters
    uptime, latency, throughput = _health(house, endpoint)
    return EndpointShown(
        name=f"{endpoint.provider} | {endpoint.model}",
        tag=endpoint.provider,
        id=endpoint.id,
        model_id=endpoint.model,
        model_name=endpoint.name or endpoint.model,
        provider_name=endpoint.provider,
        context_length=endpoint.context_tokens or 0,
        max_completion_tokens=endpoint.max_output_tokens,
        max_prompt_tokens=None,
        pricing=pricing,
        price_source=source,
        quantization=endpoint.quantization,
        service_tier=None,
        supported_parameters=parameters,
        supports_tool_choice=ToolChoices(calls, calls, calls, calls),
        supports_implicit_caching=_caches_unasked(endpoint),
        supports_diarization=False,
        native_tools={},
        status=0,
        uptime_last_5m=uptime,
        uptime_last_30m=None,
        uptime_last_1d=None,
        latency_last_5m=latency,
        latency_last_30m=None,
        throughput_last_5m=throughput,
        throughput_last_30m=None,
        local=endpoint.is_local,
    )


def _caches_unasked(endpoint: Endpoint) -> bool:
    """Tell whether a prompt that comes again is cheaper without having been marked."""
    row = provider(endpoint.provider)
    return endpoint.is_local or (row is not None and row.caches_unasked)


def _health(
    house: House, endpoint: Endpoint
) -> tuple[float | None, Percentiles | None, Percentiles | None]:
    health = house.desk.router.health(endpoint.id)
    if health is None:
        return None, None, None
    now_ms = house.clock.ticks_ms()
    ends = health.ends(now_ms)
    up, judged = ends.get(UP, 0), ends.get(UP, 0) + ends.get(DOWN, 0)
    return (
        100 * up / judged if judged else None,
        _percentiles(health.latency_ms(now_ms)),
        _percentiles(health.tokens_per_s(now_ms)),
    )


def _percentiles(spread: Spread | None) -> Percentiles | None:
    return None if spread is None else Percentiles(*spread)


async def providers(house: House, http: Http) -> None:
    """Answer `GET /providers`: who serves any of the models that are offered."""
    slugs = sorted({endpoint.provider for _, endpoints in house.offer for endpoint in endpoints})
    data = [
        ProviderShown(slug=slug, name=known.name if (known := provider(slug)) else slug)
        for slug in slugs
    ]
    await http.reply(200, _encode(ProvidersAnswer(data)))


def describe_all(house: House) -> list[ModelShown]:
    """Return every model that is offered."""
    now_ms = house.clock.now_ms()
    offered = [_describe(model, endpoints, now_ms) for model, endpoints in sorted(house.offer)]
    return [*offered, *(_conducted(model, card) for model, card in _cards(house).items())]


def _cards(house: House) -> Mapping[str, Card]:
    return {} if house.conducting is None else house.conducting.cards()


def _conducted(model: str, card: Card) -> ModelShown:
    """Return a name that stands for many models, with the card of the policy behind it."""
    return ModelShown(
        id=model,
        canonical_slug=model,
        object="model",
        owned_by=model.partition("/")[0],
        name=str(card.get("policy", model)),
        created=0,
        description="Chooses which model takes the next step, and when to stop.",
        context_length=None,
        architecture=Architecture(
            modality="text->text", input_modalities=["text"], output_modalities=["text"]
        ),
        top_provider=TopProvider(
            context_length=None, max_completion_tokens=None, is_moderated=False
        ),
        pricing=Pricing(prompt="-1", completion="-1"),
        price_source=None,
        supported_parameters=taken(frozenset()),
        default_parameters=None,
        per_request_limits=None,
        supported_voices=None,
        links=ModelLinks(details=f"/api/v1/models/{model}/endpoints"),
        endpoints=[],
        local=False,
        policy=card,
    )


def _describe(model: str, endpoints: list[Endpoint], now_ms: int) -> ModelShown:
    first = endpoints[0]
    pricing, source = pricing_of(first, now_ms)
    lacked = {name for name in first.lacks if all(name in other.lacks for other in endpoints)}
    return ModelShown(
        id=model,
        canonical_slug=model,
        object="model",
        owned_by=model.partition("/")[0],
        name=first.name or model,
        created=first.created_s,
        description="",
        context_length=first.context_tokens,
        architecture=_architecture(first),
        top_provider=TopProvider(
            context_length=first.context_tokens,
            max_completion_tokens=first.max_output_tokens,
            is_moderated=False,
        ),
        pricing=pricing,
        price_source=source,
        supported_parameters=[] if first.embeds_only else taken(lacked),
        default_parameters=_recommended(model),
        per_request_limits=None,
        supported_voices=None,
        links=ModelLinks(details=f"/api/v1/models/{model}/endpoints"),
        endpoints=[endpoint.id for endpoint in endpoints],
        local=first.is_local,
    )


def _architecture(endpoint: Endpoint) -> Architecture:
    inputs = [_MODALITIES.get(kind, kind) for kind in endpoint.inputs or ("text",)]
    outputs = [_MODALITIES.get(kind, kind) for kind in endpoint.outputs or ("text",)]
    if endpoint.embeds_only:
        outputs = ["embeddings"]
    return Architecture(
        modality=f"{'+'.join(inputs)}->{'+'.join(outputs)}",
        input_modalities=inputs,
        output_modalities=outputs,
    )


def _recommended(model: str) -> DefaultParameters | None:
    """Return what the makers of a local model recommend; of others nobody here knows."""
    known = MODELS.get(model)
    if known is None:
        return None
    return DefaultParameters(
        temperature=known.sampling.temperature,
        top_p=known.sampling.top_p,
        top_k=known.sampling.top_k,
    )
