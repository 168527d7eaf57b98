"""A whole answer as a client of the Responses API reads it, and the errors instead of one."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.errors import ErrorObject, error_object
from glasslipper.gateway.dialects.responses.echo import Echo
from glasslipper.gateway.dialects.responses.object import ResponseObject, status_of
from glasslipper.gateway.dialects.responses.output import output_of
from glasslipper.kernel.clock import Clock, SystemClock
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.events import Answer


class ErrorBody(Struct):
    """The body that tells of an error."""

    error: ErrorObject
    error_type: str


def encode_answer(
    answer: Answer, head: Head, bill: Bill | None, echo: Echo, *, clock: Clock | None = None
) -> bytes:
    """Return the JSON body of a whole answer; without a bill it says nothing of usage.

    An answer that was cut is `incomplete`, one that ended with an error `failed`.
    """
    written = ResponseObject(head, echo)
    written.service_tier = answer.service_tier
    is_whole = status_of(answer.finish) == "completed"
    output = output_of(
        answer,
        head.id,
        status="completed" if is_whole else "incomplete",
        shows_thoughts=echo.shows_thoughts,
        origins=echo.origins,
    )
    completed_s = (clock or SystemClock()).now_ms() // 1000
    return written.ended(answer.finish, output, bill, completed_s=completed_s)


def encode_error(error: GlasslipperError) -> bytes:
    """Return the JSON body that tells a client of an error: OpenAI's, with OpenRouter's word."""
    told = error_object(error)
    return msgspec.json.encode(ErrorBody(told, told.metadata.error_type))
