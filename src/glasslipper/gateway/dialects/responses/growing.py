"""Output items while they grow: each yields the events of its pieces and of its end.

An item takes more of its own kind until it is ended. Which items are open, and where their events
stand in the stream, is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator

from glasslipper.gateway.dialects.responses import events
from glasslipper.gateway.dialects.responses.output import (
    CallItem,
    Chosen,
    MessageItem,
    OutputRefusal,
    OutputText,
    ReasoningItem,
    ReasoningText,
    SummaryText,
    TextCallItem,
    UrlCitation,
    call_item,
    logprob_list,
    reasoning_item,
    url_citation,
)
from glasslipper.gateway.dialects.responses.tools import Origin, text_of
from glasslipper.gateway.dialects.responses.wire import Status
from glasslipper.kernel.events import (
    Cited,
    Folder,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    placed,
)
from glasslipper.kernel.messages import ReasoningPart, ToolCall

Events = Iterator[events.Numbered]


class GrowingMessage:
    """What the model says: parts of words and of refusals, one after another."""

    def __init__(self, name: str, place: int) -> None:
        """Begin the item `name` at a place of the output."""
        self.name = name
        self.place = place
        self._parts: list[OutputText | OutputRefusal] = []
        self._words: list[str] = []
        self._logprobs: list[Chosen] = []
        self._cited: list[UrlCitation] = []
        self._before = 0
        self._kind: type[OutputText | OutputRefusal] | None = None

    def item(self, status: Status) -> MessageItem:
        """Return the message as far as it has grown."""
        return MessageItem(self.name, status, [*self._parts, *self._current()])

    def say(self, delta: TextDelta) -> Events:
        """Yield the events of some words."""
        yield from self.turn_to(OutputText)
        logprobs = logprob_list(delta.logprobs)
        self._logprobs.extend(logprobs)
        self._words.append(delta.text)
        yield events.TextDelta(**self.at(), delta=delta.text, logprobs=logprobs)

    def note_words(self, text: str) -> None:
        """Take in some words whose event is written elsewhere."""
        self._words.append(text)

    def cite(self, event: Cited) -> Events:
        """Yield the event of a source; one that is no page has none."""
        yield from self.turn_to(OutputText)
        end = self._before + sum(map(len, self._words))
        page = url_citation(placed(event.citation, self._before, end))
        if page is not None:
            yield events.Annotated(**self.at(), annotation_index=len(self._cited), annotation=page)
            self._cited.append(page)

    def refuse(self, delta: RefusalDelta) -> Events:
        """Yield the events of some words of a refusal."""
        yield from self.turn_to(OutputRefusal)
        self._words.append(delta.text)
        yield events.RefusalDelta(**self.at(), delta=delta.text)

    def turn_to(self, kind: type[OutputText | OutputRefusal]) -> Events:
        """Yield what makes a part of a kind the open one."""
        if self._kind is kind:
            return
        yield from self.end()
        self._kind = kind
        yield events.PartAdded(**self.at(), part=kind(""))

    def end(self) -> Events:
        """Yield the end of the part that is open."""
        for part in self._current():
            if isinstance(part, OutputText):
                yield events.TextDone(**self.at(), text=part.text, logprobs=part.logprobs)
            else:
                yield events.RefusalDone(**self.at(), refusal=part.refusal)
            yield events.PartDone(**self.at(), part=part)
            self._parts.append(part)
        self._before += sum(map(len, self._words))
        self._words, self._logprobs, self._cited, self._kind = [], [], [], None

    def at(self) -> events.AtPart:
        """Return where the open part is."""
        return {
            "output_index": self.place,
            "item_id": self.name,
            "content_index": len(self._parts),
        }

    def _current(self) -> list[OutputText | OutputRefusal]:
        words = "".join(self._words)
        if self._kind is OutputText:
            return [OutputText(words, self._cited, self._logprobs)]
        return [OutputRefusal(words)] if self._kind is OutputRefusal else []


class GrowingThought:
    """One part of the thinking: its words, and what proves or hides them."""

    def __init__(self, name: str, place: int, first: ReasoningDelta) -> None:
        """Begin the item `name` at a place of the output, for the part that `first` is of."""
        self.name = name
        self.place = place
        self._part = (first.index, first.kind)
        self._gathered = Folder()
        self._has_words = False

    def takes(self, delta: ReasoningDelta) -> bool:
        """Tell whether a delta is of this part."""
        return (delta.index, delta.kind) == self._part

    def item(self, status: Status) -> ReasoningItem:
        """Return the thinking as far as it has grown."""
        parts = self._gathered.answer().reasoning or (ReasoningPart(),)
        return reasoning_item(self.name, parts[0], status=status)

    def think(self, delta: ReasoningDelta) -> Events:
        """Yield the events of some thinking; what has no words has none."""
        self._gathered.add(delta)
        if not delta.text:
            return
        begins, self._has_words = not self._has_words, True
        if delta.kind == "summary":
            if begins:
                yield events.SummaryAdded(**self._at_summary(), part=SummaryText(""))
            yield events.SummaryDelta(**self._at_summary(), delta=delta.text)
        else:
            if begins:
                yield events.PartAdded(**self._at_text(), part=ReasoningText(""))
            yield events.ThoughtDelta(**self._at_text(), delta=delta.text)

    def end(self) -> Events:
        """Yield the end of the words, if there were any."""
        if not self._has_words:
            return
        text = self._gathered.answer().reasoning_text
        if self._part[1] == "summary":
            yield events.SummaryTextDone(**self._at_summary(), text=text)
            yield events.SummaryDone(**self._at_summary(), part=SummaryText(text))
        else:
            yield events.ThoughtDone(**self._at_text(), text=text)
            yield events.PartDone(**self._at_text(), part=ReasoningText(text))

    def _at_summary(self) -> events.AtSummary:
        return {"output_index": self.place, "item_id": self.name, "summary_index": 0}

    def _at_text(self) -> events.AtPart:
        return {"output_index": self.place, "item_id": self.name, "content_index": 0}


class GrowingCall:
    """A tool call whose arguments are coming."""

    def __init__(self, name: str, place: int, first: ToolCallDelta, origin: Origin | None) -> None:
        """Begin the item `name` at a place of the output, for the call that `first` is of.

        `origin` is what the function was, where the client knows it in another form.
        """
        self.name = name
        self.place = place
        self._origin = origin
        self._call_id = first.id
        self._function = first.name
        self._arguments: list[str] = []

    def item(self, status: Status) -> CallItem | TextCallItem:
        """Return the call as far as it has grown; one that was given no id has its item's."""
        call = ToolCall(
            id=self._call_id or self.name,
            name=self._function or "",
            arguments="".join(self._arguments),
        )
        return call_item(self.name, call, self._origin, status=status)

    def call(self, delta: ToolCallDelta) -> Events:
        """Yield the events of some arguments."""
        self._call_id = self._call_id or delta.id
        self._function = self._function or delta.name
        if delta.arguments:
            self._arguments.append(delta.arguments)
            if not self._takes_text:
                yield events.ArgumentsDelta(**self._at(), delta=delta.arguments)

    def end(self) -> Events:
        """Yield the end of the arguments; text for a tool is told once it is whole."""
        arguments = "".join(self._arguments)
        if not self._takes_text:
            yield events.ArgumentsDone(**self._at(), arguments=arguments)
            return
        text = text_of(arguments)
        yield events.InputDelta(**self._at(), delta=text)
        yield events.InputDone(**self._at(), input=text)

    @property
    def _takes_text(self) -> bool:
        return self._origin is not None and self._origin.kind == "custom"

    def _at(self) -> events.AtItem:
        return {"output_index": self.place, "item_id": self.name}


Growing = GrowingMessage | GrowingThought | GrowingCall
