"""What the end of an attempt says about the endpoint, and where the request may go next.

What the client caused never counts against an endpoint. A stream is judged at its end: one that
broke off is a failure, although it began with 200.
"""

from __future__ import annotations

from enum import Enum, StrEnum

from glasslipper.kernel.errors import (
    ContextTooLong,
    EngineBusy,
    GlasslipperError,
    NoEndpointLeft,
    Unsupported,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
)

CLIENT_CAUSED = frozenset({400, 403, 413, 422, 451, 499})
"""HTTP statuses that say nothing about the endpoint."""

LOCKED_OUT = frozenset({401, 402})
"""HTTP statuses that say that the key, not the endpoint, is refused."""

_SAME_ANYWHERE = frozenset({400, 413, 422})
_MODERATED = frozenset({403, 451})


class Verdict(StrEnum):
    """What the end of an attempt says about the endpoint."""

    GOOD = "good"
    FAILED = "failed"
    BUSY = "busy"
    LOCKED = "locked"
    NEUTRAL = "neutral"


class Next(Enum):
    """Who may serve a request that somebody failed to serve."""

    NOBODY = 0
    ANYBODY = 1
    LARGER_CONTEXT = 2
    OTHER_MODEL = 3


def verdict(error: GlasslipperError | None) -> Verdict:
    """Return what an attempt that ended with `error` says about the endpoint."""
    match error:
        case None:
            return Verdict.GOOD
        case UpstreamRateLimited() | EngineBusy():
            return Verdict.BUSY
        case UpstreamRefused():
            return _verdict_of_status(error.upstream_status)
        case UpstreamFailed():
            return Verdict.FAILED
        case _:
            return Verdict.NEUTRAL


def _verdict_of_status(status: int) -> Verdict:
    if status in CLIENT_CAUSED:
        return Verdict.NEUTRAL
    # A 429 that is not a call for a pause says that the account's quota is used up.
    if status in LOCKED_OUT or status == 429:
        return Verdict.LOCKED
    return Verdict.FAILED


def whither(error: GlasslipperError) -> Next:
    """Return who may serve the request after `error`."""
    match error:
        case ContextTooLong():
            return Next.LARGER_CONTEXT
        case Unsupported():
            return Next.ANYBODY
        case UpstreamRefused(upstream_status=status):
            if status in _SAME_ANYWHERE:
                return Next.NOBODY
            return Next.OTHER_MODEL if status in _MODERATED else Next.ANYBODY
        case NoEndpointLeft():
            return Next.NOBODY
        case UpstreamFailed():
            return Next.ANYBODY
        case _:
            return Next.NOBODY


def costs_a_retry(error: GlasslipperError) -> bool:
    """Tell whether going on after `error` burdens anybody; what was never sent does not."""
    return not isinstance(error, Unsupported)
