"""Local models as a `kernel.ports.Caller`, with no gateway between: for benches and tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from glasslipper.kernel.events import Event
from glasslipper.kernel.ids import new_id
from glasslipper.kernel.messages import Request
from glasslipper.kernel.ports import Attempted, Playable, Receipt
from glasslipper.local import LocalModels

NANOUSD_PER_CPU_S = 11_112
"""Four cents an hour, as the gateway charges."""

_TOKENS_PER_CPU_S = {"local/smol": 62, "local/coder-0.5b": 22, "local/coder-1.5b": 9}


class LocalCaller:
    """Calls the models that it is given, and charges CPU time."""

    owner = "bench"

    def __init__(self, local: LocalModels, models: Sequence[str]) -> None:
        self._local = local
        self._models = models

    def models(self, request: Request) -> Sequence[Playable]:
        """Return the models, the cheapest first."""
        del request
        found = [self._playable(model) for model in self._models]
        return sorted(found, key=lambda one: one.output)

    def within(self, request: Request, nanousd: int | None) -> tuple[Request, int]:
        """Return the request as it is: benches set no bound."""
        return request, 0 if nanousd is None else nanousd

    async def call(
        self,
        request: Request,
        *,
        ceiling_nanousd: int | None,
        receipt: Receipt,
        labels: Mapping[str, str],
    ) -> AsyncIterator[Event]:
        """Run the model."""
        del ceiling_nanousd, labels
        receipt.generation_id, receipt.model = new_id("gen"), request.model
        attempt = Attempted(id=receipt.generation_id, request=request, upstream_model=request.model)
        try:
            async for event in self._local.send(attempt):
                yield event
        finally:
            if attempt.usage is not None:
                receipt.usage = attempt.usage
                cost = attempt.usage.cpu_us * NANOUSD_PER_CPU_S // 1_000_000
                receipt.charged_nanousd = receipt.billed_nanousd = cost

    def _playable(self, model: str) -> Playable:
        speed = _TOKENS_PER_CPU_S[model]
        rate = NANOUSD_PER_CPU_S * 1_000_000 // speed
        return Playable(model=model, input=rate // 3, output=rate, cached=rate // 3, is_local=True)
