"""A plain request as a provider wants it: written again, with the provider's own names.

Says the same as `encode_request` does of the same request.
"""

from __future__ import annotations

from msgspec.json import Encoder

from glasslipper.gateway.dialects.chat.plain import PlainRequest
from glasslipper.gateway.dialects.chat.wire import StreamOptions
from glasslipper.gateway.providers.table import Provider

_encoder = Encoder()
_WITH_USAGE = StreamOptions(include_usage=True)


def write_plain(ask: PlainRequest, *, provider: Provider, upstream_model: str) -> bytes | None:
    """Return the body for a provider, or `None` where it cannot be written; changes `ask`."""
    limit = ask.max_completion_tokens if ask.max_tokens is None else ask.max_tokens
    ask.max_tokens = ask.max_completion_tokens = None
    if limit is not None:
        if provider.max_tokens_field == "max_tokens":
            ask.max_tokens = limit
        else:
            ask.max_completion_tokens = limit
    ask.model = upstream_model
    ask.stream = ask.stream or None
    ask.stream_options = _WITH_USAGE if ask.stream and provider.takes_stream_options else None
    try:
        return _encoder.encode(ask)
    except UnicodeEncodeError:
        return None
