"""A part of the thinking as one opaque text, which a client keeps and sends back unread.

The Responses format has one place for what a provider needs to see again, `encrypted_content`.
What does not fit there as it is, such as a signature or whose reasoning it is, is packed into
that place together with the words that it proves. Nothing here is secret: the seal keeps things
together, it hides nothing and proves nothing.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
from msgspec import DecodeError
from msgspec.json import Decoder

from glasslipper.kernel.messages import ReasoningPart

MARK = "glasslipper:"
"""What a packed text begins with; anything else is a provider's own."""

_decoder = Decoder(ReasoningPart)


def seal(part: ReasoningPart) -> str | None:
    """Return the text that stands for a part, or nothing where its words say it all."""
    if part.signature is None and part.format is None and part.id is None:
        return part.encrypted
    return MARK + urlsafe_b64encode(msgspec.json.encode(part)).decode()


def unseal(text: str) -> ReasoningPart | None:
    """Return the part that was packed into a text, or nothing if the text is a provider's own.

    Raises:
        ValueError: The text bears our mark and was changed.
    """
    if not text.startswith(MARK):
        return None
    try:
        return _decoder.decode(urlsafe_b64decode(text.removeprefix(MARK)))
    except (binascii.Error, DecodeError, UnicodeError, ValueError, RecursionError) as error:
        raise ValueError(f"is not what was given out ({error})") from None
