"""The suffixes of a model's name that are wishes: `a/b:nitro` is `a/b`, fast.

A suffix that is no known wish is part of the name, as in `llama3:8b`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from glasslipper.gateway.endpoints import Endpoint, Offer
from glasslipper.kernel.errors import ModelUnknown, Unsupported
from glasslipper.kernel.messages import Need, Reasoning, Request

VARIANTS = frozenset({"free", "nitro", "floor", "exacto", "thinking"})
"""`free` costs nothing, `nitro` sorts by throughput, `floor` by price, `exacto` by the quality of
tool calls; `thinking` asks the model to think."""


_WHOSE = {"messages": "Anthropic", "gemini": "Google", "chat": "a provider like OpenAI"}
"""Whom a dialect is spoken to."""


def split_variant(model: str) -> tuple[str, frozenset[str]]:
    """Return a model's own name and the wishes that hang on it.

    >>> split_variant("a/b:nitro")
    ('a/b', frozenset({'nitro'}))
    >>> split_variant("llama3:8b")
    ('llama3:8b', frozenset())
    """
    wishes = set[str]()
    while True:
        name, colon, suffix = model.rpartition(":")
        if not (colon and name and suffix in VARIANTS):
            return model, frozenset(wishes)
        wishes.add(suffix)
        model = name


def choices(offer: Offer, request: Request) -> Sequence[Endpoint]:
    """Return the endpoints of every model that a request names; of its own first.

    A name with a wish means a model of that very name, or else the one that is so wished for.
    Unknown fallbacks are passed over.

    Raises:
        ModelUnknown: None of them is offered.
        Unsupported: The request holds what none of them understands.
    """
    if not request.models and ":" not in request.model:
        found = offer.find(request.model)
        return found if request.needs is None else _who_understand(found, request.needs)
    by_id: dict[str, Endpoint] = {}
    for name in (request.model, *request.models):
        for endpoint in _find(offer, name):
            by_id.setdefault(endpoint.id, endpoint)
    found = list(by_id.values()) or offer.find(request.model)
    return found if request.needs is None else _who_understand(found, request.needs)


def _who_understand(found: Sequence[Endpoint], need: Need) -> Sequence[Endpoint]:
    left = [
        endpoint
        for endpoint in found
        if endpoint.dialect == need.dialect and need.provider in (None, endpoint.provider)
    ]
    if not left:
        whose = need.provider or _WHOSE.get(need.dialect, need.dialect)
        raise Unsupported(
            f"`{need.path}`: `{need.what}` can be said to {whose} only, and nobody there serves"
            f" {found[0].model}.",
            param=need.path,
            hint=f"Ask for a model that {whose} serves, or leave it out.",
        )
    return left


def _find(offer: Offer, name: str) -> Sequence[Endpoint]:
    for spelling in (name, split_variant(name)[0]):
        try:
            return offer.find(spelling)
        except ModelUnknown:
            continue
    return ()


def with_thinking(request: Request) -> Request:
    """Return the request, asking the model to think if its name wishes so."""
    if ":" not in request.model or request.reasoning is not None:
        return request
    if "thinking" not in split_variant(request.model)[1]:
        return request
    return structs.replace(request, reasoning=Reasoning(enabled=True))
