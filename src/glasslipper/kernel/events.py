"""What comes back, piece by piece: the events of one attempt, in the order they happen.

A well-formed stream is any number of deltas, then `Finished`, then at most one `Spent`; a
stream that ends without `Finished` broke off. `fold` turns the pieces into the whole answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Raw, Struct, field, structs

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
    """The upstream accepted: the model it says it runs and its own id for the call.

    `dialect` is the one in which it speaks, where that has words that others lack.
    """

    model: str | None = None
    upstream_id: str | None = None
    service_tier: str | None = None
    dialect: str | None = None


class TextDelta(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="text"):
    """Some words of the answer. Deltas with the same `index` are one passage."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    index: int = 0


class Citation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A source that words rest on, and what it says there.

    `start` and `end` count characters of all words of the answer, where the provider tells them.
    `raw` is the JSON that stands for it in `dialect`.
    """

    dialect: str
    raw: Raw
    url: str | None = None
    title: str | None = None
    text: str | None = None
    start: int | None = None
    end: int | None = None


class Cited(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="cited"):
    """The passage at `index` rests on a source."""

    citation: Citation
    index: int = 0


class Aside(Struct, frozen=True, kw_only=True, tag="aside"):
    """Something that only one dialect has words for: `raw` is the JSON that stands for it there.

    Whoever speaks another dialect leaves it out.
    """

    dialect: str
    raw: Raw


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
    """Part of the tool call at `index`; `id` and `name` come with its first delta.

    So does `more`: members that the upstream's dialect has and others lack, as raw JSON by name.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    more: Mapping[str, Raw] = field(default_factory=dict[str, Raw])


class Finished(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="finished"):
    """The answer is whole, for this reason; `native` is the provider's own word.

    `stop` is the sequence that stopped it, where the provider tells. `more` are members of the
    whole answer that the upstream's dialect has and others lack, as raw JSON by name.
    """

    reason: FinishReason
    native: str | None = None
    stop: str | None = None
    more: Mapping[str, Raw] = field(default_factory=dict[str, Raw])


class Spent(Struct, frozen=True, kw_only=True, tag="spent"):
    """What the attempt consumed."""

    usage: Usage


Event = (
    Started
    | TextDelta
    | Cited
    | ReasoningDelta
    | RefusalDelta
    | ToolCallDelta
    | Aside
    | Finished
    | Spent
)


class Passage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Words of an answer that belong together, and the sources that they rest on."""

    text: str
    citations: tuple[Citation, ...] = ()


class Called(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool call of an answer, and what else the upstream's dialect says of it."""

    call: ToolCall
    more: Mapping[str, Raw] = field(default_factory=dict[str, Raw])


Said = Passage | ReasoningPart | Called | Aside


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole answer. `finish` is `None` when the stream broke off.

    `order` holds all that was said in the order in which it began, where that tells more than
    that thinking came before words, and words before calls. `dialect`, `stop` and `more` are
    those of `Started` and `Finished`.
    """

    model: str | None = None
    upstream_id: str | None = None
    service_tier: str | None = None
    dialect: str | None = None
    text: str = ""
    reasoning: tuple[ReasoningPart, ...] = ()
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish: FinishReason | None = None
    native_finish: str | None = None
    usage: Usage | None = None
    stop: str | None = None
    more: Mapping[str, Raw] = field(default_factory=dict[str, Raw])
    order: tuple[Said, ...] = ()

    @property
    def citations(self) -> tuple[Citation, ...]:
        """The sources that the words rest on, each with the place of the words that do."""
        found: list[Citation] = []
        start = 0
        for said in self.order:
            if isinstance(said, Passage):
                end = start + len(said.text)
                found += [placed(citation, start, end) for citation in said.citations]
                start = end
        return tuple(found)

    @property
    def reasoning_text(self) -> str:
        """All words of the thinking, joined."""
        return "".join(part.text for part in self.reasoning)


_Place = tuple[int, int, str]
_THOUGHT, _WORDS, _CALL, _ASIDE = range(4)


def placed(citation: Citation, start: int, end: int) -> Citation:
    """Return a citation that knows which characters rest on it: these, unless it says."""
    if citation.start is not None:
        return citation
    return structs.replace(citation, start=start, end=end)


class Folder:
    """Gathers events into an `Answer`, one at a time."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._finished: Finished | None = None
        self._usage: Usage | None = None
        self._text: list[str] = []
        self._order: dict[_Place, None] = {}
        self._passages: dict[int, list[str]] = {}
        self._cited: dict[int, list[Citation]] = {}
        self._asides: list[Aside] = []
        self._more: dict[int, Mapping[str, Raw]] = {}
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
                if event.text:
                    self._order[_WORDS, event.index, ""] = None
                    self._passages.setdefault(event.index, []).append(event.text)
            case ReasoningDelta():
                self._order[_THOUGHT, event.index, event.kind] = None
                self._reasoning.setdefault((event.index, event.kind), []).append(event)
            case Cited():
                self._order[_WORDS, event.index, ""] = None
                self._cited.setdefault(event.index, []).append(event.citation)
            case Aside():
                self._order[_ASIDE, len(self._asides), ""] = None
                self._asides.append(event)
            case RefusalDelta():
                self._refusal.append(event.text)
            case ToolCallDelta():
                self._add_call(event)
            case _:
                self._add_frame(event)

    def _add_frame(self, event: Started | Finished | Spent) -> None:
        match event:
            case Started():
                self._started = event
            case Finished():
                self._finished = event
            case Spent():
                self._usage = event.usage

    def _add_call(self, delta: ToolCallDelta) -> None:
        self._order[_CALL, delta.index, ""] = None
        if delta.more:
            self._more[delta.index] = delta.more
        call_id, name, pieces = self._calls.get(delta.index, ("", "", []))
        pieces.append(delta.arguments)
        self._calls[delta.index] = (delta.id or call_id, delta.name or name, pieces)

    def answer(self) -> Answer:
        """Return what has been gathered so far."""
        calls = {
            index: ToolCall(id=call_id, name=name, arguments="".join(pieces))
            for index, (call_id, name, pieces) in sorted(self._calls.items())
        }
        thoughts = {at: _thought(deltas) for at, deltas in self._reasoning.items()}
        started, finished = self._started or Started(), self._finished
        return Answer(
            model=started.model,
            upstream_id=started.upstream_id,
            service_tier=started.service_tier,
            dialect=started.dialect,
            stop=finished.stop if finished else None,
            more=finished.more if finished else {},
            order=() if self._is_plain else self._in_order(calls, thoughts),
            finish=finished.reason if finished else None,
            native_finish=finished.native if finished else None,
            usage=self._usage,
            text="".join(self._text),
            reasoning=tuple(thoughts.values()),
            refusal="".join(self._refusal),
            logprobs=tuple(self._logprobs),
            tool_calls=tuple(calls.values()),
        )

    @property
    def _is_plain(self) -> bool:
        """Whether the order is the usual one, of what every dialect has words for."""
        if self._asides or self._cited or self._more or len(self._passages) > 1:
            return False
        kinds = [kind for kind, _, _ in self._order]
        return kinds == sorted(kinds)

    def _in_order(
        self,
        calls: Mapping[int, ToolCall],
        thoughts: Mapping[tuple[int, str], ReasoningPart],
    ) -> tuple[Said, ...]:
        said: list[Said] = []
        for kind, index, name in self._order:
            if kind == _THOUGHT:
                said.append(thoughts[index, name])
            elif kind == _CALL:
                said.append(Called(call=calls[index], more=self._more.get(index, {})))
            elif kind == _ASIDE:
                said.append(self._asides[index])
            else:
                words = "".join(self._passages.get(index, ()))
                said.append(Passage(text=words, citations=tuple(self._cited.get(index, ()))))
        return tuple(said)


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
