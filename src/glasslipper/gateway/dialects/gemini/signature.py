"""Proofs of thinking in the one member that Gemini clients hand back: `thoughtSignature`.

Gemini's own signatures travel as they are. Another model's signature or encrypted thinking
travels sealed: its parts as JSON behind a mark, in base64, which clients carry without looking
inside. So a conversation held with any model can go on through this dialect. A seal hides
nothing and proves nothing: what it brings is worth as much as any other word of a client.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.json import Decoder

from glasslipper.gateway.dialects.gemini.bytes import require_base64, standard_base64
from glasslipper.kernel.events import ReasoningDelta
from glasslipper.kernel.messages import ReasoningPart

FORMAT = "google-gemini-v1"
"""The format of what Gemini itself signed."""

_MARK = b"glasslipper-thought-1:"


class _Sealed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    kind: Literal["text", "summary"] = "text"
    signature: str | None = None
    encrypted: str | None = None
    format: str | None = None
    id: str | None = None


_sealed = Decoder(_Sealed)
_encoder = msgspec.json.Encoder()


def is_bare(thought: ReasoningPart | ReasoningDelta) -> bool:
    """Return whether it is Gemini's signature of words or of a call, rather than thinking."""
    return thought.encrypted is not None and _geminis(thought, thought.encrypted) is not None


def write_signature(thought: ReasoningPart | ReasoningDelta) -> str | None:
    """Return the `thoughtSignature` that carries what is more than text, or `None`."""
    proof = thought.signature or thought.encrypted
    if proof is None:
        return None
    own = _geminis(thought, proof)
    if own is not None and not (thought.signature and thought.encrypted):
        return own
    sealed = _Sealed(
        kind=thought.kind,
        signature=thought.signature,
        encrypted=thought.encrypted,
        format=thought.format,
        id=thought.id,
    )
    return b64encode(_MARK + _encoder.encode(sealed)).decode("ascii")


def read_signature(
    signature: str, path: str, *, thought: str | None = None, call_id: str | None = None
) -> ReasoningPart:
    """Return what a `thoughtSignature` says of a thought, of a call, or of neither: of words.

    Raises:
        InvalidRequest: What stands at the JSON path is not base64.
    """
    raw = b64decode(require_base64(signature, path))
    if raw.startswith(_MARK):
        try:
            sealed = _sealed.decode(raw[len(_MARK) :])
        except (msgspec.DecodeError, UnicodeDecodeError):
            sealed = None
        if sealed is not None:
            return ReasoningPart(
                text=thought or "",
                kind=sealed.kind,
                signature=sealed.signature,
                encrypted=sealed.encrypted,
                format=sealed.format,
                id=sealed.id,
            )
    if thought is not None:
        return ReasoningPart(text=thought, signature=signature, format=FORMAT)
    return ReasoningPart(encrypted=signature, format=FORMAT, id=call_id)


def _geminis(thought: ReasoningPart | ReasoningDelta, proof: str) -> str | None:
    """Return a proof as Gemini's clients read it, if Gemini made it."""
    return standard_base64(proof) if thought.format == FORMAT else None
