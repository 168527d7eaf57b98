"""A speaker for the dialects whose answers depend only on whether thoughts are shown."""

from __future__ import annotations

from typing import Protocol

from glasslipper.gateway.answering import Encoder
from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.kernel.events import Answer
from glasslipper.kernel.messages import Request


class _Whole(Protocol):
    def __call__(
        self, answer: Answer, head: Head, bill: Bill | None, *, shows_thoughts: bool
    ) -> bytes: ...


class _Stream(Protocol):
    def __call__(self, head: Head, *, shows_thoughts: bool) -> Encoder: ...


class ChunkSpeaker:
    """Speaks a dialect by its two functions."""

    __slots__ = ("_shows_thoughts", "_stream", "_whole")

    def __init__(self, whole: _Whole, stream: _Stream, request: Request) -> None:
        """Speak to the client that made `request`."""
        self._whole = whole
        self._stream = stream
        self._shows_thoughts = request.reasoning is None or not request.reasoning.exclude

    def whole(self, answer: Answer, head: Head, bill: Bill) -> bytes:
        """Return the body of a whole answer."""
        return self._whole(answer, head, bill, shows_thoughts=self._shows_thoughts)

    def stream(self, head: Head) -> Encoder:
        """Return the encoder of a streamed answer."""
        return self._stream(head, shows_thoughts=self._shows_thoughts)
