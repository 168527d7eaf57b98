"""What comes back, piece by piece: the events of one attempt, in the order they happen.

A well-formed stream is any number of deltas, then `Finished`, then at most one `Spent`; a
stream that ends without `Finished` broke off. `fold` turns the pieces into the whole answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from glasslipper.kernel.finish import FinishReason
from glasslipper.kernel.messages import ReasoningPart, ToolCall
from glasslipper.kernel.usage import Usage


class TokenLogprob(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One output token with its natural-log probability and the likeliest alternatives."""

    token: str
    logprob: float
    raw: tuple[int, ...] | None = None
    top: tuple[TokenLogprob, ...] = ()


class Started(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="started"):
    """The upstream accepted: the model it says it runs and its own id for the call."""

    model: str | None = None
    upstream_id: str | None = None
    service_tier: str | None = None


class TextDelta(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="text"):
    """Some words of the answer."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


class ReasoningDelta(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="reasoning"):
    """Some of the thinking.

    Deltas with the same `index` are one part; its signature or encrypted form comes whole, with
    any of them. The other fields are those of `ReasoningPart`.
    """

    text: str = ""
    kind: Literal["text", "summary"] = "text"
    signature: str | None = None
    encrypted: str | None = None
    format: str | None = None
    id: str | None = None
    index: int = 0


class RefusalDelta(Struct, frozen=True, kw_only=True, tag="refusal"):
    """Some words of a refusal."""

    text: str


class ToolCallDelta(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="tool_call"):
    """Part of the tool call at `index`; `id` and `name` come with its first delta."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class Finished(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="finished"):
    """The answer is whole, for this reason; `native` is the provider's own word."""

    reason: FinishReason
    native: str | None = None


class Spent(Struct, frozen=True, kw_only=True, tag="spent"):
    """What the attempt consumed."""

    usage: Usage


Event = Started | TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | Finished | Spent


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole answer. `finish` is `None` when the stream broke off."""

    model: str | None = None
    upstream_id: str | None = None
    service_tier: str | None = None
    text: str = ""
    reasoning: tuple[ReasoningPart, ...] = ()
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish: FinishReason | None = None
    native_finish: str | None = None
    usage: Usage | None = None

    @property
    def reasoning_text(self) -> str:
        """All words of the thinking, joined."""
        return "".join(part.text for part in self.reasoning)


class Folder:
    """Gathers events into an `Answer`, one at a time."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._finished: Finished | None = None
        self._usage: Usage | None = None
        self._text: list[str] = []
        self._reasoning: dict[tuple[int, str], list[ReasoningDelta]] = {}
        self._refusal: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._calls: dict[int, tuple[str, str, list[str]]] = {}

    def add(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case TextDelta():
                self._text.append(event.text)
                self._logprobs.extend(event.logprobs)
            case ReasoningDelta():
                self._reasoning.setdefault((event.index, event.kind), []).append(event)
            case RefusalDelta():
                self._refusal.append(event.text)
            case ToolCallDelta():
                self._add_call(event)
            case Started():
                self._started = event
            case Finished():
                self._finished = event
            case Spent():
                self._usage = event.usage

    def _add_call(self, delta: ToolCallDelta) -> None:
        call_id, name, pieces = self._calls.get(delta.index, ("", "", []))
        pieces.append(delta.arguments)
        self._calls[delta.index] = (delta.id or call_id, delta.name or name, pieces)

    def answer(self) -> Answer:
        """Return what has been gathered so far."""
        calls = (self._calls[index] for index in sorted(self._calls))
        started, finished = self._started or Started(), self._finished
        return Answer(
            model=started.model,
            upstream_id=started.upstream_id,
            service_tier=started.service_tier,
            finish=finished.reason if finished else None,
            native_finish=finished.native if finished else None,
            usage=self._usage,
            text="".join(self._text),
            reasoning=tuple(map(_thought, self._reasoning.values())) if self._reasoning else (),
            refusal="".join(self._refusal),
            logprobs=tuple(self._logprobs),
            tool_calls=tuple(
                ToolCall(id=call_id, name=name, arguments="".join(pieces))
                for call_id, name, pieces in calls
            ),
        )


def _thought(deltas: list[ReasoningDelta]) -> ReasoningPart:
    def last(name: str) -> str | None:
        told = [value for delta in deltas if (value := getattr(delta, name)) is not None]
        return told[-1] if told else None

    return ReasoningPart(
        text="".join(delta.text for delta in deltas),
        kind=deltas[0].kind,
        signature=last("signature"),
        encrypted=last("encrypted"),
        format=last("format"),
        id=last("id"),
    )


def fold(events: Iterable[Event]) -> Answer:
    """Return the whole answer that the events make up.

    >>> fold([TextDelta(text="Hel"), TextDelta(text="lo"), Finished(reason="stop")]).text
    'Hello'
    """
    folder = Folder()
    for event in events:
        folder.add(event)
    return folder.answer()
