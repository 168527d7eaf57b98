"""The error object of the Gemini dialect: Google's status, with details in Google's types.

`ErrorInfo` carries our slug, which never changes, and the hint; `BadRequest` the JSON path at
fault; `RetryInfo` how long to wait.
"""

from __future__ import annotations

import msgspec

from glasslipper.gateway.dialects.errors import error_status
from glasslipper.kernel.errors import (
    BudgetExhausted,
    GlasslipperError,
    PriceUnknown,
    UpstreamRefused,
)

DOMAIN = "glasslipper"

_TYPE = "type.googleapis.com/google.rpc."
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_encoder = msgspec.json.Encoder()


def encode_error(error: GlasslipperError) -> bytes:
    """Return the JSON body that tells a client of an error; its `code` is the HTTP status."""
    code = error_status(error)
    status = _STATUS.get(code, "UNKNOWN")
    if isinstance(error, PriceUnknown):
        status = "FAILED_PRECONDITION"
    body = {
        "code": code,
        "message": f"{error.message} {error.hint}".strip(),
        "status": status,
        "details": _details(error),
    }
    return _encoder.encode({"error": body})


def _details(error: GlasslipperError) -> list[dict[str, object]]:
    metadata = {"slug": error.slug, "hint": error.hint}
    if isinstance(error, UpstreamRefused):
        metadata["upstream_status"] = str(error.upstream_status)
    if isinstance(error, BudgetExhausted):
        metadata["left_nanousd"] = str(error.left_nanousd)
    details: list[dict[str, object]] = [
        {
            "@type": f"{_TYPE}ErrorInfo",
            "reason": error.slug.upper(),
            "domain": DOMAIN,
            "metadata": metadata,
        }
    ]
    if error.param is not None:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{error.retry_after_s}s"})
    return details
