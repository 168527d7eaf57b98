"""What of an answer has been passed on: its bytes, its tool calls, its shape, and how it ended.

Whoever relays counts an event here before it is handed out. Knows no wire format, no money and
nothing of what came before the answer began.
"""

from __future__ import annotations

from glasslipper.gateway.routing import FormFault, FormWatch, ToolWatch
from glasslipper.kernel.events import (
    Aside,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from glasslipper.kernel.messages import Request


class Relayed:
    """The counts of one exchange.

    `tools` watches its calls, where any tool was offered, `form` its words, where they are to be
    JSON.
    """

    __slots__ = ("finished", "form", "size_bytes", "tools")

    def __init__(self, request: Request) -> None:
        """Begin with nothing of the answer to `request`."""
        wanted = request.response_format
        self.size_bytes = 0
        self.finished: Finished | None = None
        tools, hosted = request.tools, request.hosted
        self.tools = ToolWatch(tools, hosted) if tools or hosted else None
        self.form = FormWatch(wanted) if wanted.kind != "text" else None

    @property
    def form_fault(self) -> FormFault | None:
        """What is wrong with words that were to be JSON and came to their end."""
        if self.form is None or self.finished is None or self.finished.reason != "stop":
            return None
        return self.form.fault()

    def count(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case TextDelta() | ReasoningDelta() | RefusalDelta():
                self.size_bytes += len(event.text.encode("utf-8", "surrogatepass"))
                if self.form is not None:
                    self._watch(event)
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

    def _watch(self, event: TextDelta | ReasoningDelta | RefusalDelta) -> None:
        if isinstance(event, RefusalDelta):
            self.form = None  # whoever refuses need not keep to a shape
        elif isinstance(event, TextDelta) and self.form is not None:
            self.form.add(event.text)
