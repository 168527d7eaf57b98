"""What the chat dialect says beyond the kernel's words: a kind of message that keeps it."""

from __future__ import annotations

from glasslipper.kernel.messages import Message

DIALECT = "chat"
"""The name of this dialect."""


class AnnotatedMessage(Message, frozen=True, kw_only=True, omit_defaults=True):
    """An assistant's message with what OpenRouter noted about it, such as the text of a file.

    Sent back, it spares doing that work again.
    """

    annotations: tuple[object, ...] = ()
