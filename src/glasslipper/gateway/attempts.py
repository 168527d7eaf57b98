"""The attempts of one exchange: whom it asked, how far each came, how it ended, what it cost.

The last attempt is the one that serves; what was billed for those before it is owed all the
same. The router is told how each of them ended. Asks nobody, chooses nobody, records nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from msgspec import structs

from glasslipper.gateway.desk import Desk, Outcome
from glasslipper.gateway.ending import slug_of
from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.relayed import Relayed
from glasslipper.gateway.routing import Result
from glasslipper.kernel.errors import GlasslipperError, StreamBroken, UpstreamRefused
from glasslipper.kernel.events import Event, Started
from glasslipper.kernel.finish import Status
from glasslipper.kernel.messages import Request
from glasslipper.kernel.money import amount_nanousd
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.record import Attempt, PriceRow
from glasslipper.kernel.usage import Usage
from glasslipper.ledger.write.purse import BudgetHold

BYTES_PER_TOKEN = 4
"""What a token is taken to be when nobody counted them and the exchange did end."""

MOST_BILLED_NANOUSD = 10**15
"""A million dollars: no provider that claims more for one call is believed."""

_log = logging.getLogger(__name__)


class Try:
    """One attempt: what was asked of which endpoint, and how far it came."""

    def __init__(
        self, endpoint: Endpoint, attempted: Attempted, row: PriceRow | None, *, began_ms: float
    ) -> None:
        self.endpoint = endpoint
        self.attempted = attempted
        self.row = row
        self.events: AsyncGenerator[Event] | None = None
        self.started = Started()
        self.began_ms = began_ms
        self.first_token_ms: float | None = None

    async def closed(self, name: str) -> asyncio.CancelledError | None:
        """Close the upstream; whatever happens there, the exchange `name` must be recorded."""
        if self.events is None:
            return None
        try:
            await self.events.aclose()
        except asyncio.CancelledError as cancelled:
            return cancelled
        except Exception:  # noqa: BLE001 - logged; the record comes first
            _log.exception("closing the upstream of %s failed", name)
        return None


class Attempts:
    """All attempts of an exchange, in order; `current` is the one under way, or that served.

    `records` are what the ledger keeps of them.
    """

    def __init__(self, desk: Desk, relayed: Relayed, *, owner: str, input_units: int) -> None:
        """Keep them for the key `owner`; at most `input_units` tokens go in."""
        self.records: list[Attempt] = []
        self.current: Try | None = None
        self._desk = desk
        self._relayed = relayed
        self._owner = owner
        self._input_units = input_units
        self._wasted_nanousd = 0
        self._uncharged_nanousd = 0

    def __len__(self) -> int:
        """Return how many upstreams have been called."""
        return len(self.records)

    @property
    def under_way(self) -> Try:
        """The attempt that is under way."""
        if self.current is None:
            raise RuntimeError("no attempt is under way")
        return self.current

    def open(
        self, attempted: Attempted, endpoint: Endpoint, row: PriceRow | None, *, started_ms: int
    ) -> Try:
        """Write down that an endpoint is being asked, since the Unix time `started_ms`."""
        self.records.append(
            Attempt(
                id=attempted.id,
                endpoint=endpoint.id,
                provider=endpoint.provider,
                model=endpoint.upstream_model,
                started_ms=started_ms,
                status="unknown",
            )
        )
        began_ms = self._desk.clock.ticks_ms()
        self.current = Try(endpoint, attempted, row, began_ms=began_ms)
        return self.current

    async def give_up(
        self,
        error: GlasslipperError,
        request: Request,
        *,
        created_ms: int,
        first_token_ms: int | None,
    ) -> None:
        """End the attempt under way with an error, before anything of it was passed on."""
        current = self.current
        if current is None:
            return
        if current.events is not None:
            await current.events.aclose()
        known = current.attempted.usage
        billed = self._bill(known, created_ms) if known else 0
        self._end("error", error, request, first_token_ms=first_token_ms, billed=billed)
        self._wasted_nanousd += billed
        self._uncharged_nanousd += billed if current.endpoint.uncharged else 0
        current.attempted.usage = None

    def end(
        self,
        status: Status,
        error: BaseException | None,
        request: Request,
        *,
        first_token_ms: int | None,
        outcome: Outcome,
    ) -> None:
        """End the last attempt, if nothing has ended it yet, as the exchange ended."""
        if self.records and self.records[-1].status == "unknown":
            billed = outcome.billed_nanousd - self._wasted_nanousd
            self._end(status, error, request, first_token_ms=first_token_ms, billed=billed)

    def _end(
        self,
        status: Status,
        error: BaseException | None,
        request: Request,
        *,
        first_token_ms: int | None,
        billed: int,
    ) -> None:
        last, current = self.records[-1], self.current
        self.records[-1] = structs.replace(
            last,
            status=status,
            duration_ms=self._desk.clock.now_ms() - last.started_ms,
            first_token_ms=first_token_ms,
            http_status=error.upstream_status if isinstance(error, UpstreamRefused) else None,
            error=slug_of(error),
            upstream_id=current.started.upstream_id if current else None,
            billed_nanousd=billed,
        )
        if current is not None:
            self._report(current, status, error, request)

    def _report(
        self, current: Try, status: Status, error: BaseException | None, request: Request
    ) -> None:
        """Tell the router how an attempt ended; what was nobody's fault says nothing."""
        finished, tools = self._relayed.finished, self._relayed.tools
        fault = error if isinstance(error, GlasslipperError) else None
        if fault is None and finished is not None and finished.reason == "error":
            fault = StreamBroken(f"{current.endpoint.provider} says that the answer failed.")
        usage = current.attempted.usage
        result = Result(
            error=fault,
            cancelled=status == "cancelled" or (error is not None and fault is None),
            streamed=request.stream,
            first_token_ms=current.first_token_ms,
            duration_ms=self._desk.clock.ticks_ms() - current.began_ms,
            usage=self._usage(status) if usage is None and status == "ok" else usage,
            with_tools=tools is not None or self._relayed.form is not None,
            tool_fault=(tools.fault() if tools is not None else None) or self._relayed.form_fault,
        )
        self._desk.router.report(current.endpoint, result, request=request, owner=self._owner)

    # what they cost

    def outcome(self, status: Status, hold: BudgetHold, *, created_ms: int, name: str) -> Outcome:
        """Return what the exchange `name` used and cost, now that it ended; charge what is held."""
        usage = self._usage(status)
        last = self._bill(usage, created_ms)
        billed = last + self._wasted_nanousd
        owed = billed - self._uncharged_nanousd
        current = self.current
        if current is not None and current.endpoint.uncharged:
            owed -= last
        charged = min(owed, hold.nanousd) if hold.limited else owed
        if charged < owed:
            _log.warning("%s was billed %d nano-USD above its hold", name, owed - charged)
        row = current.row if current else None
        return Outcome(
            usage=usage,
            charged_nanousd=charged,
            billed_nanousd=billed,
            is_byok=current is not None and current.endpoint.is_byok,
            price=row.price if row else None,
            details=current.attempted.details if current else None,
        )

    def _bill(self, usage: Usage, created_ms: int) -> int:
        if usage.reported_nanousd is not None:
            return min(usage.reported_nanousd, MOST_BILLED_NANOUSD)
        current = self.current
        if current is None:
            return 0
        row = current.row = current.endpoint.pricing.row(
            created_ms, usage.prompt_tokens, service_tier=current.started.service_tier
        )
        return min(amount_nanousd(usage, row.price), MOST_BILLED_NANOUSD) if row else 0

    def _usage(self, status: Status) -> Usage:
        """Return what the upstream told, or else an estimate of what was relayed."""
        known = self.current.attempted.usage if self.current else None
        if known is not None:
            return known
        if status == "error" or self.current is None:
            return Usage()
        return Usage(
            input=-(-self._input_units // BYTES_PER_TOKEN),
            output=-(-self._relayed.size_bytes // BYTES_PER_TOKEN),
            requests=1,
        )
