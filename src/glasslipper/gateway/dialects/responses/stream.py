"""A stream as a client of the Responses API reads it.

Words and thinking come one item after another: an item ends where one of another kind begins.
Tool calls stay open to the end, because their pieces may come in any order. Whatever the events,
items begin before they grow and end once, and the last event tells the whole response. An answer
that broke off ends its items nowhere: its last event is the failure.

The common event, some words of text, costs one JSON encoding of those words.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Raw

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.responses import events as told
from glasslipper.gateway.dialects.responses.echo import Echo
from glasslipper.gateway.dialects.responses.growing import (
    Growing,
    GrowingCall,
    GrowingMessage,
    GrowingThought,
)
from glasslipper.gateway.dialects.responses.ids import item_id
from glasslipper.gateway.dialects.responses.object import ResponseObject, status_of
from glasslipper.gateway.dialects.responses.output import OutputItem, OutputText, kind_of
from glasslipper.gateway.dialects.responses.wire import Status
from glasslipper.kernel.clock import Clock, SystemClock
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.events import (
    Cited,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)
from glasslipper.kernel.finish import FinishReason

Item = TypeVar("Item", GrowingMessage, GrowingThought, GrowingCall)

_encoder = msgspec.json.Encoder()
_ENDS = {"completed": told.Completed, "incomplete": told.Incomplete, "failed": told.Failed}


class EventEncoder:
    """Writes the events of one stream, in order.

    `response` is the body of the whole response once the stream has ended, well or badly.
    """

    def __init__(self, head: Head, echo: Echo, *, clock: Clock | None = None) -> None:
        """Write for the response of `head`, which repeats `echo`."""
        self.response = b""
        self._id = head.id
        self._object = ResponseObject(head, echo)
        self._shows_thoughts = echo.shows_thoughts
        self._origins = echo.origins
        self._clock = clock or SystemClock()
        self._number = 0
        self._frames: list[bytes] = []
        self._items: list[Growing] = []
        self._whole: dict[int, OutputItem] = {}
        self._open: GrowingMessage | GrowingThought | None = None
        self._calls: dict[int, GrowingCall] = {}
        self._before_words = b""
        self._finish: FinishReason | None = None

    def encode(self, event: Event) -> bytes:
        """Return the frames of an event, or nothing where it has none."""
        if type(event) is TextDelta and self._before_words and not event.logprobs:
            return self._more_words(event.text)
        self._begin()
        self._take(event)
        return self._flush()

    def finish(self, bill: Bill | None) -> bytes:
        """Return the last frames: the ends of the items, the whole response, the end mark."""
        self._begin()
        if not self._items:
            self._tell(*self._message().turn_to(OutputText))
        status = status_of(self._finish)
        of_items: Status = "completed" if status == "completed" else "incomplete"
        self._close(of_items)
        for call in self._calls.values():
            self._end(call, of_items)
        completed_s = self._clock.now_ms() // 1000
        self.response = self._object.ended(
            self._finish, self._output(), bill, completed_s=completed_s
        )
        self._tell(_ENDS[status](response=Raw(self.response)))
        return self._flush() + told.DONE

    def error(self, error: GlasslipperError) -> bytes:
        """Return the last frames of an answer that broke off: why, and what there was of it."""
        self._begin()
        self.response = self._object.failed(error, self._output())
        self._tell(told.Failed(response=Raw(self.response)))
        return self._flush() + told.DONE

    def _begin(self) -> None:
        if not self._number:
            body = Raw(self._object.begun())
            self._tell(told.Created(response=body), told.InProgress(response=body))

    def _take(self, event: Event) -> None:
        match event:
            case TextDelta() if event.text or event.logprobs:
                self._say(event)
            case Cited():
                self._tell(*self._message().cite(event))
            case RefusalDelta() if event.text:
                self._tell(*self._message().refuse(event))
                self._before_words = b""
            case ReasoningDelta() if self._shows_thoughts:
                self._tell(*self._thought(event).think(event))
            case ToolCallDelta():
                self._tell(*self._call(event).call(event))
            case Started():
                self._object.service_tier = event.service_tier
            case Finished():
                self._finish = event.reason
            case _:
                pass

    def _say(self, event: TextDelta) -> None:
        message = self._message()
        self._tell(*message.say(event))
        if self._before_words:
            return
        words = told.TextDelta(**message.at(), delta="")
        # The number and the words come last, so that everything before them stays the same.
        start, _, _ = told.frame_of(words).partition(b'"sequence_number":')
        middle = _encoder.encode({"logprobs": [], **message.at()})[1:-1]
        self._before_words = start + middle + b',"sequence_number":'

    def _more_words(self, text: str) -> bytes:
        if isinstance(self._open, GrowingMessage):
            self._open.note_words(text)
        number, self._number = self._number, self._number + 1
        return b'%b%d,"delta":%b}\n\n' % (self._before_words, number, _encoder.encode(text))

    def _message(self) -> GrowingMessage:
        if isinstance(self._open, GrowingMessage):
            return self._open
        self._close("completed")
        self._open = self._start(GrowingMessage(self._name("msg"), len(self._items)))
        return self._open

    def _thought(self, event: ReasoningDelta) -> GrowingThought:
        if isinstance(self._open, GrowingThought) and self._open.takes(event):
            return self._open
        self._close("completed")
        self._open = self._start(GrowingThought(self._name("rs"), len(self._items), event))
        return self._open

    def _call(self, event: ToolCallDelta) -> GrowingCall:
        call = self._calls.get(event.index)
        if call is None:
            self._close("completed")
            origin = self._origins.get(event.name or "")
            name = self._name(kind_of(origin))
            call = self._start(GrowingCall(name, len(self._items), event, origin))
            self._calls[event.index] = call
        return call

    def _name(self, kind: str) -> str:
        return item_id(kind, self._id, len(self._items))

    def _start(self, item: Item) -> Item:
        self._items.append(item)
        begun = item.item("in_progress")
        self._tell(told.ItemAdded(output_index=item.place, item=begun))
        return item

    def _close(self, status: Status) -> None:
        """End the words or the thinking that are open."""
        if self._open is not None:
            self._end(self._open, status)
            self._open, self._before_words = None, b""

    def _end(self, item: Growing, status: Status) -> None:
        self._tell(*item.end())
        whole = self._whole[item.place] = item.item(status)
        self._tell(told.ItemDone(output_index=item.place, item=whole))

    def _output(self) -> list[OutputItem]:
        return [self._whole.get(item.place) or item.item("incomplete") for item in self._items]

    def _tell(self, *events: told.Numbered) -> None:
        for event in events:
            event.sequence_number = self._number
            self._number += 1
            self._frames.append(told.frame_of(event))

    def _flush(self) -> bytes:
        frames, self._frames = self._frames, []
        return b"".join(frames)
