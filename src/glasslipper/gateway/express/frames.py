"""The frames of a stream that differ only in a few words, told apart by their edges.

A provider's frames of text are all alike around the text. The edges are learned from one frame
that was decoded; from then on a frame between the same edges needs no decoding, if what stands
between them is text without anything to unescape.
"""

from __future__ import annotations

from collections.abc import Callable

from glasslipper.kernel.events import Event, TextDelta

_OTHER = "glasslipper"
_START, _END = b'data: {"', b"}\n\n"


class Edges:
    """What stands before and after the words of a frame, once it is known."""

    __slots__ = ("_after", "_before")

    def __init__(self) -> None:
        self._before = b""
        self._after = b""

    def words(self, data: bytes) -> list[bytes] | None:
        """Return the words of the frames in `data`, or `None` if they must be decoded."""
        before, after = self._before, self._after
        if not before or not data.startswith(before) or not data.endswith(after):
            return None
        middle = data[len(before) : -len(after)]
        if _is_simple(middle):
            return [middle]
        words = middle.split(after + before)
        return words if all(map(_is_simple, words)) else None

    def learn(self, data: bytes, events: list[Event], read: Callable[[bytes], list[Event]]) -> bool:
        """Learn the edges of one frame that said `events`; tell whether they are known.

        `read` decodes another frame.
        """
        if not self._before and len(events) == 1 and data.count(b"\n") == 2:
            self._learn(data, events[0], read)
        return bool(self._before)

    def _learn(self, data: bytes, event: Event, read: Callable[[bytes], list[Event]]) -> None:
        if not isinstance(event, TextDelta) or event.logprobs or not event.text:
            return
        words = event.text.encode()
        quoted = b'"%b"' % words
        if not _is_simple(words) or not (data.startswith(_START) and data.endswith(_END)):
            return
        if data.count(quoted) != 1:
            return
        before, _, after = data.partition(quoted)
        other = before[6:] + b'"%b"' % _OTHER.encode() + after[:-2]
        if read(other) == [TextDelta(text=_OTHER)]:
            self._before, self._after = before + b'"', b'"' + after


def _is_simple(words: bytes) -> bool:
    """Tell whether words stand in JSON as they are: printable, with nothing escaped."""
    if b'"' in words or b"\\" in words:
        return False
    try:
        return words.decode().isprintable()
    except UnicodeDecodeError:
        return False
