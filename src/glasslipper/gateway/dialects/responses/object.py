"""The response object: what was asked, how it went, what came out, what it cost.

It is told at the beginning of a stream, at its end, and as the whole of an answer that is not
streamed. What is only repeated from the request is encoded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from glasslipper.gateway.dialects.envelope import Bill, Head, known_tier
from glasslipper.gateway.dialects.errors import Metadata, error_object
from glasslipper.gateway.dialects.responses.echo import Echo
from glasslipper.gateway.dialects.responses.ids import response_id
from glasslipper.gateway.dialects.responses.output import OutputItem
from glasslipper.kernel.errors import (
    GlasslipperError,
    InvalidRequest,
    UpstreamFailed,
)
from glasslipper.kernel.finish import FinishReason
from glasslipper.kernel.money import usd

ResponseStatus = Literal["completed", "failed", "in_progress", "incomplete"]


class InputDetails(Struct):
    """Of the input's tokens, how many are special."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(Struct):
    """Of the output's tokens, how many are special."""

    reasoning_tokens: int


class CostDetails(Struct):
    """What the provider charges, in USD: in all, for the input, and for everything else."""

    upstream_inference_cost: float
    upstream_inference_input_cost: float
    upstream_inference_output_cost: float


class UsageObject(Struct):
    """Tokens and money, in OpenAI's words and OpenRouter's; costs in parts where they are known."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int
    cost: float
    cost_nanousd: int
    is_byok: bool
    cost_details: CostDetails | UnsetType = UNSET


class Incomplete(Struct):
    """Why a response is not whole."""

    reason: str


class Failure(Struct):
    """Why a response failed: `code` is one of OpenAI's words, `type` our slug."""

    code: str
    message: str
    type: str
    param: str | None
    metadata: Metadata | UnsetType = UNSET


class Outline(Struct, kw_only=True):
    """What of a response is not repeated from the request."""

    id: str
    created_at: int
    model: str
    provider: str
    status: ResponseStatus
    object: str = "response"
    completed_at: int | None = None
    service_tier: str = "auto"
    error: Failure | None = None
    incomplete_details: Incomplete | None = None
    output: Sequence[OutputItem] = ()
    usage: UsageObject | None = None


_encoder = msgspec.json.Encoder()

_INCOMPLETE: dict[FinishReason, str] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}

BROKEN = Failure(
    code="server_error",
    message="The provider ended the answer with an error.",
    type=UpstreamFailed.slug,
    param=None,
)
"""What is said of an answer whose own end is an error."""

_CODES = {"rate_limit_error": "rate_limit_exceeded", "invalid_request_error": "invalid_prompt"}


class ResponseObject:
    """Writes the object of one response, as often as it is told."""

    def __init__(self, head: Head, echo: Echo) -> None:
        """Prepare what stays the same of the response of `head`."""
        self._head = head
        self._echo = b"," + _encoder.encode(echo)[1:]
        self.service_tier: str | None = None

    def begun(self) -> bytes:
        """Return the object of a response that has not given anything yet."""
        return self._body(self._outline("in_progress"))

    def ended(
        self,
        finish: FinishReason | None,
        output: Sequence[OutputItem],
        bill: Bill | None,
        *,
        completed_s: int,
    ) -> bytes:
        """Return the object of a response whose answer ended, for whatever reason.

        `completed_s` is the Unix time in seconds.
        """
        outline = self._outline(status_of(finish))
        outline.service_tier = known_tier(self.service_tier) or "default"
        outline.output = output
        outline.usage = None if bill is None else usage_object(bill)
        if outline.status == "completed":
            outline.completed_at = completed_s
        elif finish in _INCOMPLETE:
            outline.incomplete_details = Incomplete(_INCOMPLETE[finish])
        else:
            outline.error = BROKEN
        return self._body(outline)

    def failed(self, error: GlasslipperError, output: Sequence[OutputItem]) -> bytes:
        """Return the object of a response that broke off with an error."""
        outline = self._outline("failed")
        outline.error = failure_of(error)
        outline.output = output
        return self._body(outline)

    def _outline(self, status: ResponseStatus) -> Outline:
        head = self._head
        return Outline(
            id=response_id(head.id),
            created_at=head.created_s,
            model=head.model,
            provider=head.provider,
            status=status,
        )

    def _body(self, outline: Outline) -> bytes:
        return _encoder.encode(outline)[:-1] + self._echo


def status_of(finish: FinishReason | None) -> ResponseStatus:
    """Return how a response ended whose answer ended for a reason, or for none."""
    if finish in ("stop", "tool_calls"):
        return "completed"
    return "incomplete" if finish in _INCOMPLETE else "failed"


def failure_of(error: GlasslipperError) -> Failure:
    """Return an error in the words that a response has for it."""
    told = error_object(error)
    code = _CODES.get(told.type, "server_error")
    if isinstance(error, InvalidRequest):
        code = "invalid_prompt"
    return Failure(code, told.message, error.slug, error.param, told.metadata)


def usage_object(bill: Bill) -> UsageObject:
    """Return the usage and cost of a bill in the words of this dialect."""
    usage = bill.usage
    given, taken = usage.prompt_tokens, usage.completion_tokens
    parts = bill.parts_nanousd
    return UsageObject(
        input_tokens=given,
        input_tokens_details=InputDetails(
            usage.cache_read, usage.cache_write + usage.cache_write_1h
        ),
        output_tokens=taken,
        output_tokens_details=OutputDetails(usage.reasoning),
        total_tokens=given + taken,
        cost=usd(bill.cost_nanousd),
        cost_nanousd=bill.cost_nanousd,
        is_byok=bill.is_byok,
        cost_details=CostDetails(usd(sum(parts)), *map(usd, parts)) if parts else UNSET,
    )
