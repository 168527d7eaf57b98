"""What of an answer has been passed on: its bytes, its tool calls, and how it ended.

Whoever relays counts an event here before it is handed out. Knows no wire format, no money and
nothing of what came before the answer began.
"""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.gateway.routing import ToolWatch
from glasslipper.kernel.events import (
    Aside,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from glasslipper.kernel.messages import Tool


class Relayed:
    """The counts of one exchange; `tools` watches its calls, where any tool was offered."""

    __slots__ = ("finished", "size_bytes", "tools")

    def __init__(self, tools: Sequence[Tool]) -> None:
        """Begin with nothing; `tools` are those that the model may call."""
        self.size_bytes = 0
        self.finished: Finished | None = None
        self.tools = ToolWatch(tools) if tools else None

    def count(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case TextDelta() | ReasoningDelta() | RefusalDelta():
                self.size_bytes += len(event.text.encode("utf-8", "surrogatepass"))
            case ToolCallDelta():
                self.size_bytes += len(event.arguments.encode()) + len(event.name or "")
                if self.tools is not None:
                    self.tools.add(event)
            case Aside():
                self.size_bytes += 1  # something came; how many tokens it was nobody knows
            case Finished():
                self.finished = event
            case _:
                pass
