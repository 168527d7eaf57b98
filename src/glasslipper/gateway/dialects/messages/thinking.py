"""Thinking blocks for models of any maker: whose thinking it is must survive a turn at the client.

A Messages client keeps a thinking block's `signature`, or a redacted block's `data`, and sends it
back untouched. What Anthropic's models signed stands there plainly. What other models need to see
again, and that it is theirs, is packed into the same member behind a mark of ours.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Literal

import msgspec
from msgspec import Struct

from glasslipper.gateway.dialects.messages.kinds import FORMAT
from glasslipper.kernel.messages import ReasoningPart

_MARK = "glasslipper.1."
"""Anthropic's signatures are base64, which has no full stop."""


class _Packed(Struct, array_like=True, frozen=True):
    format: str | None
    id: str | None
    kind: Literal["text", "summary"]
    signature: str | None
    encrypted: str | None


_packed = msgspec.json.Decoder(_Packed)


def seal(part: ReasoningPart) -> str:
    """Return what stands in the `signature` or `data` of the block for a part; may be empty."""
    plain = part.encrypted if part.encrypted is not None else part.signature
    is_single = part.encrypted is None or (part.signature is None and not part.text)
    if part.format == FORMAT and plain and is_single and part.id is None and part.kind == "text":
        return plain
    if plain is None and part.id is None and part.kind == "text":
        return ""
    packed = _Packed(part.format, part.id, part.kind, part.signature, part.encrypted)
    return _MARK + urlsafe_b64encode(msgspec.json.encode(packed)).decode("ascii")


def of_thinking(text: str, signature: str) -> ReasoningPart:
    """Return the part that a thinking block holds."""
    if not signature:
        return ReasoningPart(text=text)
    return _unsealed(signature, text) or ReasoningPart(
        text=text, signature=signature, format=FORMAT
    )


def of_redacted(data: str) -> ReasoningPart:
    """Return the part that a redacted block holds."""
    return _unsealed(data, "") or ReasoningPart(encrypted=data, format=FORMAT)


def _unsealed(sealed: str, text: str) -> ReasoningPart | None:
    if not sealed.startswith(_MARK):
        return None
    try:
        packed = _packed.decode(urlsafe_b64decode(sealed.removeprefix(_MARK)))
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None
    return ReasoningPart(
        text=text,
        kind=packed.kind,
        signature=packed.signature,
        encrypted=packed.encrypted,
        format=packed.format,
        id=packed.id,
    )
