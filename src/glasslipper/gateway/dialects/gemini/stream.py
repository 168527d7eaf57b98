"""A stream as a Gemini client reads it: each piece of the answer is a small answer.

Function calls come whole, so their pieces are kept until the answer is finished. Why it finished
stands in the last piece, with the usage, where clients look for both together.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.gemini.answer import (
    Candidate,
    Content,
    Part,
    Response,
    call_parts,
    citation_metadata,
    ending,
    logprobs_result,
    usage_metadata,
)
from glasslipper.gateway.dialects.gemini.error import encode_error
from glasslipper.gateway.dialects.gemini.signature import is_bare, write_signature
from glasslipper.gateway.dialects.gemini.turns import DIALECT
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.events import (
    Aside,
    Citation,
    Cited,
    Event,
    Finished,
    Folder,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    placed,
)

_encoder = msgspec.json.Encoder()
_BEFORE_TEXT = b'{"candidates":[{"content":{"parts":[{"text":'
_AFTER_TEXT = b'}],"role":"model"},"index":0}],'


class ChunkEncoder:
    """Writes the pieces of one stream, in order: as events, or as the items of one array."""

    def __init__(self, head: Head, *, as_array: bool = False, shows_thoughts: bool = True) -> None:
        """Prepare the stream of `head`.

        `as_array` is for clients that did not ask for `alt=sse`. Whoever did not ask for the
        thoughts is not shown them, but still Gemini's signatures of words and calls.
        """
        self._head = head
        self._as_array = as_array
        self._shows_thoughts = shows_thoughts
        self._separator = b"["
        self._calls = Folder()
        self._signatures: dict[str, str] = {}
        self._end: Finished | None = None
        self._is_own = False
        self._words = 0
        self._cited: list[Citation] = []
        opening = Response(head.model, head.id, head.provider)
        self._closing = _AFTER_TEXT + _encoder.encode(opening)[1:]

    def encode(self, event: Event) -> bytes:
        """Return the piece of an event, or nothing where the event has none of its own."""
        match event:
            case TextDelta(text=text, logprobs=()):
                self._words += len(text)
                return self._frame(_BEFORE_TEXT + _encoder.encode(text) + self._closing)
            case TextDelta(text=text, logprobs=tokens):
                self._words += len(text)
                candidate = Candidate(Content([]), logprobs_result=logprobs_result(tokens))
                return self._part(Part(text=text), candidate)
            case RefusalDelta(text=text):
                return self._part(Part(text=text))
            case ReasoningDelta():
                return self._thought(event)
            case ToolCallDelta():
                self._calls.add(event)
            case Cited():
                self._cited.append(placed(event.citation, 0, self._words))
            case Aside() if event.dialect == DIALECT:
                return self._part(event.raw)
            case Started():
                self._is_own = event.dialect == DIALECT
            case Finished():
                self._end = event
            case _:
                pass
        return b""

    def finish(self, bill: Bill | None) -> bytes:
        """Return the last piece: the calls, why the answer ended and, with a bill, the usage."""
        calls, malformed = call_parts(self._calls.answer().tool_calls, self._signatures)
        head = self._head
        body = Response(head.model, head.id, head.provider)
        if self._end is not None:
            candidate = ending(self._end.reason, self._end.native, malformed, is_own=self._is_own)
            candidate.citation_metadata = citation_metadata(self._cited)
            if self._is_own:
                candidate.tell(self._end.more)
                body.prompt_feedback = self._end.more.get("promptFeedback", UNSET)
            loose = [Part(text="", thought_signature=each) for each in self._signatures.values()]
            candidate.content.parts = [*loose, *calls] or [Part(text="")]
            body.candidates = [candidate]
        if bill is not None:
            body.usage_metadata = usage_metadata(bill)
        return self._frame(_encoder.encode(body)) + (b"]" if self._as_array else b"")

    def error(self, error: GlasslipperError) -> bytes:
        """Return the piece that says why the stream ends here; nothing follows it."""
        return self._frame(encode_error(error)) + (b"]" if self._as_array else b"")

    def _thought(self, event: ReasoningDelta) -> bytes:
        signature = write_signature(event)
        if is_bare(event):
            if signature and event.id:
                self._signatures[event.id] = signature
                return b""
            return self._part(Part(text="", thought_signature=signature or UNSET))
        if not self._shows_thoughts or not (event.text or signature):
            return b""
        return self._part(Part(text=event.text, thought=True, thought_signature=signature or UNSET))

    def _part(self, part: Part | Raw, candidate: Candidate | None = None) -> bytes:
        candidate = candidate or Candidate(Content([]))
        candidate.content.parts = [part]
        head = self._head
        return self._frame(
            _encoder.encode(Response(head.model, head.id, head.provider, [candidate]))
        )

    def _frame(self, json: bytes) -> bytes:
        if not self._as_array:
            return b"data: " + json + b"\n\n"
        separator, self._separator = self._separator, b",\n"
        return separator + json
