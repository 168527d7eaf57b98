"""What a stream on a lane has told so far: enough to record a plain end, or to hand over.

A plain end is words, or calls of tools that were offered as these want to be called, then why it
ended, then two numbers of tokens. Whatever else comes is for an `Exchange`, which takes over what
was kept here.
"""

from __future__ import annotations

from typing import Literal, cast

from glasslipper.gateway.providers.openai.plain import Said
from glasslipper.gateway.routing import ToolWatch
from glasslipper.kernel.events import Event, Finished, Spent, Started, TextDelta, ToolCallDelta
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.usage import Usage

MOST_EVENTS = 64
"""How many decoded events are kept; a stream of which more must be decoded is not plain."""

MOST_CALL_EVENTS = 256
"""The same where there are tools, whose calls are all decoded."""

_PLAIN = frozenset({Started, TextDelta, Finished, Spent})
_CALLS = _PLAIN | {ToolCallDelta}
_ENDS = frozenset({"stop", "length", "tool_calls"})


class Told:
    """What has come of one attempt: events that were decoded, and text that passed by."""

    __slots__ = ("attempted", "events", "first_token_ms", "passed_bytes", "size_bytes", "tools")

    def __init__(self, attempted: Attempted) -> None:
        """Begin with nothing."""
        self.attempted = attempted
        self.events: list[Event] = []
        self.first_token_ms: float | None = None
        self.passed_bytes = 0
        self.size_bytes = 0
        self.tools: ToolWatch | None = None

    @property
    def calls(self) -> int:
        """How many tools have been called."""
        return 0 if self.tools is None else self.tools.calls

    def takes(self, events: list[Event]) -> bool:
        """Tell whether this can take more events in."""
        plain, most = (_PLAIN, MOST_EVENTS) if self.tools is None else (_CALLS, MOST_CALL_EVENTS)
        few = len(self.events) + len(events) <= most
        return few and all(type(event) in plain for event in events)

    def add(self, events: list[Event]) -> None:
        """Take events in."""
        self.events += events
        for event in events:
            if type(event) is TextDelta:
                self.size_bytes += len(event.text.encode("utf-8", "surrogatepass"))
            elif type(event) is ToolCallDelta and self.tools is not None:
                self.size_bytes += len(event.arguments.encode()) + len(event.name or "")
                self.tools.add(event)

    def pass_by(self, size_bytes: int) -> None:
        """Count text that passed by."""
        self.passed_bytes += size_bytes
        self.size_bytes += size_bytes

    def plain_end(self) -> Said | None:
        """Return how the stream ended, without its words, if that was plain."""
        usage, finished, upstream_id = self.attempted.usage, None, None
        for event in self.events:
            match event:
                case Started() if event.service_tier is not None or event.dialect is not None:
                    return None
                case Started():
                    upstream_id = event.upstream_id
                case Finished():
                    finished = event
                case _:
                    pass
        if finished is None or finished.reason not in _ENDS:
            return None
        if self.calls and self.tools is not None and self.tools.fault() is not None:
            return None
        if finished.native is None or finished.stop is not None or finished.more:
            return None
        if usage is None or self.attempted.details is not None or not _is_plain(usage):
            return None
        return Said(
            text="",
            finish=cast('Literal["stop", "length", "tool_calls"]', finished.reason),
            native=finished.native,
            prompt=usage.input,
            completion=usage.output,
            upstream_id=upstream_id,
        )


def _is_plain(usage: Usage) -> bool:
    return usage == Usage(input=usage.input, output=usage.output, requests=1)
