"""Who is able to serve a request, by all that is stated of endpoints.

What nobody states is believed to be possible: a refusal costs less than a model that is never
asked. Knows nothing of health or money; see `routing` for these.
"""

from __future__ import annotations

from collections.abc import Mapping

from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.parameters import TOOLS
from glasslipper.gateway.routing.sight import price_now
from glasslipper.gateway.routing.wishes import Wishes
from glasslipper.kernel.messages import AudioPart, FilePart, ImagePart, Request

LETTERS_PER_TOKEN = 4

_KINDS: Mapping[type, str] = {ImagePart: "image", AudioPart: "audio", FilePart: "pdf"}


def reads(endpoint: Endpoint, request: Request) -> bool:
    """Tell whether an endpoint takes all kinds of content and the tools that a request brings."""
    if endpoint.embeds_only or (request.tools and not TOOLS.isdisjoint(endpoint.lacks)):
        return False
    kinds = {
        kind
        for message in request.messages
        for part in message.parts
        if (kind := _KINDS.get(type(part))) is not None
    }
    return endpoint.inputs is None or kinds <= set(endpoint.inputs)


def is_able(endpoint: Endpoint, request: Request, wishes: Wishes, *, now_ms: int) -> bool:
    """Tell whether an endpoint reads a request, holds it, answers it in words, and may do so.

    `wishes` are the request's, as `routing.wishes` reads them.
    """
    need = request.needs
    if need is not None and need.dialect != endpoint.dialect:
        return False
    if need is not None and need.provider not in (None, endpoint.provider):
        return False
    if not reads(endpoint, request) or wishes.prefers & endpoint.lacks:
        return False
    if endpoint.outputs is not None and "text" not in endpoint.outputs:
        return False
    tokens = sum(len(message.text) for message in request.messages) // LETTERS_PER_TOKEN
    if endpoint.context_tokens is not None and endpoint.context_tokens < tokens:
        return False
    if wishes.objection(endpoint) is not None:
        return False
    price = price_now(endpoint, now_ms, tokens) if wishes.caps_price else None
    return not wishes.caps_price or wishes.price_objection(price) is None
