"""The error object of the Messages dialect: Anthropic's, with our slug and hint beside it.

`type` is a word of Anthropic's vocabulary, `error_type` one of OpenRouter's, `code` our slug,
which never changes. Status and headers are those of every dialect; see `errors`.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from glasslipper.gateway.dialects.errors import Metadata, error_object, error_status
from glasslipper.kernel.errors import (
    GlasslipperError,
    UpstreamRefused,
)

_TYPES: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}

_OVERLOADED = 529


class ErrorObject(Struct):
    """The value of the member `error`."""

    type: str
    message: str
    code: str
    error_type: str
    param: str | None
    metadata: Metadata


class ErrorBody(Struct):
    """The body of an error, and the data of the event that tells it."""

    error: ErrorObject
    request_id: str | None = None
    type: str = field(default="error")


_encoder = msgspec.json.Encoder()


def encode_error(error: GlasslipperError, *, request_id: str | None = None) -> bytes:
    """Return the JSON body that tells a client of an error; `request_id` is the generation's."""
    told = error_object(error)
    return _encoder.encode(
        ErrorBody(
            error=ErrorObject(
                type=error_type(error),
                message=told.message,
                code=told.code,
                error_type=told.metadata.error_type,
                param=told.param,
                metadata=told.metadata,
            ),
            request_id=request_id,
        )
    )


def error_type(error: GlasslipperError) -> str:
    """Return Anthropic's word for an error."""
    if isinstance(error, UpstreamRefused) and error.upstream_status == _OVERLOADED:
        return "overloaded_error"
    return _TYPES.get(error_status(error), "api_error")
