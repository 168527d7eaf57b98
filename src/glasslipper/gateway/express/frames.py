"""The frames of a stream that differ only in a few words, told apart by their edges.

A provider's frames of text are all alike around the text. The edges are learned from one frame
that was decoded; from then on a frame between the same edges needs no decoding, if what stands
between them is text without anything to unescape.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from glasslipper.kernel.events import Event, TextDelta

_is_plain_ascii = re.compile(rb"[ !#-\[\]-~]*").fullmatch

_OTHER = "glasslipper"
_FIELD = b"data: "
_START = b'data: {"'
_BETWEEN = b"\n\n"
_MOST_LESSONS = 8
"""How often a stream whose frames change their edges is given another chance."""


class Edges:
    """What stands before and after the words of a frame, once it is known."""

    __slots__ = ("_after", "_before", "_lessons_left")

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._lessons_left = _MOST_LESSONS

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

    @property
    def are_known(self) -> bool:
        """Whether some have been learned."""
        return bool(self._before)

    def learn(self, data: bytes, read: Callable[[bytes], list[Event]]) -> None:
        """Learn the edges of the first frame of text in `data`.

        `data` is whole frames that were decoded without a fault, and that the edges known so far
        do not fit; `read` decodes another frame.
        """
        if self._lessons_left:
            self._lessons_left -= 1
            for frame in data.split(_BETWEEN)[:-1]:
                if self._learn(frame, read):
                    break

    def _learn(self, frame: bytes, read: Callable[[bytes], list[Event]]) -> bool:
        if not frame.startswith(_START) or not frame.endswith(b"}") or b"\n" in frame:
            return False
        match read(frame.removeprefix(_FIELD)):
            case [TextDelta(text=text, logprobs=())] if text:
                pass
            case _:
                return False
        words = text.encode()
        quoted = b'"%b"' % words
        if not _is_simple(words) or frame.count(quoted) != 1:
            return False
        before, _, after = frame.partition(quoted)
        other = before.removeprefix(_FIELD) + b'"%b"' % _OTHER.encode() + after
        if read(other) != [TextDelta(text=_OTHER)]:
            return False
        self._before, self._after = before + b'"', b'"' + after + _BETWEEN
        return True


def _is_simple(words: bytes) -> bool:
    """Tell whether words stand in JSON as they are: printable, with nothing escaped."""
    if _is_plain_ascii(words):
        return True
    if b'"' in words or b"\\" in words:
        return False
    try:
        return words.decode().isprintable()
    except UnicodeDecodeError:
        return False
