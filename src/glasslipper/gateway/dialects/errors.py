"""The error object of the chat and embeddings dialects: OpenAI's, with OpenRouter's metadata.

`code` is our slug, which never changes; `type` is a word of OpenAI's vocabulary and
`metadata.error_type` one of OpenRouter's. Decides the HTTP status and headers, sends nothing.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Struct, UnsetType

from glasslipper.kernel.errors import (
    BudgetExhausted,
    ContextTooLong,
    Draining,
    EngineBusy,
    GlasslipperError,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    PayloadTooLarge,
    PriceUnknown,
    SlowBody,
    StoreFailed,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from glasslipper.kernel.money import usd

_WORDS: dict[type[GlasslipperError], tuple[str, str]] = {
    GlasslipperError: ("server_error", "server"),
    InvalidRequest: ("invalid_request_error", "invalid_request"),
    PayloadTooLarge: ("invalid_request_error", "payload_too_large"),
    SlowBody: ("invalid_request_error", "timeout"),
    ContextTooLong: ("invalid_request_error", "context_length_exceeded"),
    NotAuthenticated: ("authentication_error", "authentication"),
    NotPermitted: ("permission_error", "permission_denied"),
    NotFound: ("invalid_request_error", "not_found"),
    BudgetExhausted: ("insufficient_quota", "payment_required"),
    PriceUnknown: ("insufficient_quota", "payment_required"),
    UpstreamFailed: ("server_error", "provider_unavailable"),
    UpstreamRateLimited: ("rate_limit_error", "rate_limit_exceeded"),
    UpstreamTimeout: ("server_error", "timeout"),
    EngineBusy: ("rate_limit_error", "provider_overloaded"),
    StoreFailed: ("server_error", "server"),
    Draining: ("server_error", "server"),
}
"""The words of OpenAI and OpenRouter for each class; a kind without its own has its parent's."""

_CLIENTS_FAULT = frozenset({400, 404, 413, 415, 422})
"""Statuses of a provider which say that the request itself is at fault."""

_LASTING = frozenset({401, 402, 403})
"""Statuses of a provider about our key there: asking again at once cannot help."""


class Metadata(Struct, omit_defaults=True):
    """What OpenRouter's clients look for beside the OpenAI members."""

    hint: str
    error_type: str
    upstream_status: int | UnsetType = UNSET
    retry_after_s: int | UnsetType = UNSET
    left_nanousd: int | UnsetType = UNSET
    left_usd: float | UnsetType = UNSET


class ErrorObject(Struct):
    """The value of the member `error`."""

    message: str
    type: str
    param: str | None
    code: str
    metadata: Metadata


class ErrorBody(Struct):
    """The body that tells of an error."""

    error: ErrorObject


_encoder = msgspec.json.Encoder()


def encode_error(error: GlasslipperError) -> bytes:
    """Return the JSON body that tells a client of an error."""
    return _encoder.encode(ErrorBody(error_object(error)))


def error_status(error: GlasslipperError) -> int:
    """Return the HTTP status for an error.

    It is the error's own, but where a provider says that the request is at fault the client is
    told 400, so that it does not try the same again.
    """
    return 400 if _is_clients_fault(error) else error.status


def error_headers(error: GlasslipperError) -> dict[str, str]:
    """Return the headers that go with an error: how to ask again, and whether to."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, NotAuthenticated):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, UpstreamRefused) and error.upstream_status in _LASTING:
        headers["x-should-retry"] = "false"
    return headers


def error_object(error: GlasslipperError) -> ErrorObject:
    """Return the error as the object that bodies and stream frames carry."""
    openai, openrouter = _words(error)
    metadata = Metadata(hint=error.hint, error_type=openrouter)
    if isinstance(error, UpstreamRefused):
        metadata.upstream_status = error.upstream_status
    if error.retry_after_s is not None:
        metadata.retry_after_s = error.retry_after_s
    if isinstance(error, BudgetExhausted):
        metadata.left_nanousd = error.left_nanousd
        metadata.left_usd = usd(error.left_nanousd)
    return ErrorObject(
        message=f"{error.message} {error.hint}".strip(),
        type=openai,
        param=error.param,
        code=error.slug,
        metadata=metadata,
    )


def _is_clients_fault(error: GlasslipperError) -> bool:
    return isinstance(error, UpstreamRefused) and error.upstream_status in _CLIENTS_FAULT


def _words(error: GlasslipperError) -> tuple[str, str]:
    if _is_clients_fault(error):
        return _WORDS[InvalidRequest]
    for kind in type(error).__mro__:
        words = _WORDS.get(kind)
        if words:
            return words
    return _WORDS[GlasslipperError]
