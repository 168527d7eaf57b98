"""`countTokens`: the question, read as the request whose tokens are to be counted; the answer.

Who counts, and how exactly, is not known here.
"""

from __future__ import annotations

import msgspec
from msgspec.json import Decoder

from glasslipper.gateway.dialects.body import invalid, parse
from glasslipper.gateway.dialects.gemini import wire
from glasslipper.gateway.dialects.gemini.request import checked, decode
from glasslipper.gateway.dialects.gemini.turns import messages_of
from glasslipper.kernel.messages import Request

_decoder = Decoder(wire.CountRequest)
_encoder = msgspec.json.Encoder()


def decode_count(body: bytes, *, model: str) -> Request:
    """Return the request whose tokens a `countTokens` body asks for.

    Raises:
        BadJSON: The body is not JSON in UTF-8.
        Unsupported: It holds what the gateway cannot express; `param` names it.
        InvalidRequest: A member has the wrong type or value; `param` is its JSON path, which
            starts at the inner request where there is one.
    """
    ask = parse(checked(body), _decoder)
    whole = bytes(ask.generate_content_request)
    if whole not in (b"", b"null"):
        return decode(whole, model=model, stream=False)
    contents = [ask.contents] if isinstance(ask.contents, wire.Content) else ask.contents
    if not contents:
        raise invalid("$.contents", "is required")
    messages = messages_of(None, contents, path="$.contents")
    return Request(model=model.removeprefix("models/"), messages=messages)


def encode_count(tokens: int, *, cached_tokens: int = 0) -> bytes:
    """Return the body that tells how many tokens there are, and how many a cache holds."""
    body = {"totalTokens": tokens}
    if cached_tokens:
        body["cachedContentTokenCount"] = cached_tokens
    return _encoder.encode(body)
