"""What events and errors mean for an exchange: when it has begun to answer, and how it ended."""

from __future__ import annotations

import asyncio

from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.events import (
    Aside,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from glasslipper.kernel.finish import Status


def is_semantic(event: Event) -> bool:
    """Tell whether an event says something, so that the client may hear of the answer."""
    match event:
        case TextDelta() | ReasoningDelta() | RefusalDelta():
            return bool(event.text)
        case ToolCallDelta() | Aside() | Finished():
            return True
        case _:
            return False


def is_refusal(event: Event) -> bool:
    """Tell whether an event says that the model declined to answer."""
    if isinstance(event, Finished):
        return event.reason == "content_filter"
    return isinstance(event, RefusalDelta)


def status_of(error: BaseException | None, relayed_bytes: int) -> Status:
    """Return how an exchange ended that `error` ended; `None`: the client left."""
    if error is None or isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "cancelled"
    return "truncated" if relayed_bytes else "error"


def slug_of(error: BaseException | None) -> str | None:
    """Return the slug of an error, as records name it."""
    if error is None:
        return None
    if isinstance(error, GlasslipperError):
        return error.slug
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "internal_error"
