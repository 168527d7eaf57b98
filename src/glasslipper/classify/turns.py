"""What of a request is looked at: the user's own words, never the system prompt.

A system prompt says how the application wants its answers ("act as …") and would count every
request of a support bot as roleplay. The newest user turn says most; the turns before it are
taken in while there is room. Long turns keep their beginning and their end, where people put what
they want.
"""

from __future__ import annotations

from collections.abc import Sequence

from glasslipper.kernel.messages import Message

MOST_CHARACTERS = 700
"""Of all words that are looked at, so that a label costs the same whatever the prompt."""

_END_CHARACTERS = 250
_TURNS = 4
_ENOUGH_CHARACTERS = 200


def users_words(messages: Sequence[Message]) -> str:
    """Return the user's newest words, oldest first; empty where the user said nothing.

    Earlier turns are added only while there is little to go by, as in "now shorter, please".
    """
    kept: list[str] = []
    length = 0
    for message in reversed(messages):
        if message.role != "user":
            continue
        text = message.text.strip()
        if text:
            kept.append(text)
            length += len(text)
        if length >= _ENOUGH_CHARACTERS or len(kept) == _TURNS:
            break
    return cut("\n\n".join(reversed(kept)))


def cut(text: str) -> str:
    """Return the text, or its beginning and end where it is long; halves of characters go."""
    if len(text) > MOST_CHARACTERS:
        text = f"{text[: MOST_CHARACTERS - _END_CHARACTERS]}\n{text[-_END_CHARACTERS:]}"
    return text if text.isascii() else text.encode("utf-8", "ignore").decode("utf-8")
