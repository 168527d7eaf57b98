"""One block of a Messages request, read by its type.

A type that has no meaning here is Anthropic's own: such a block is kept as it stands, with what
others can read of it. Errors name the place in the whole body.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec import DecodeError, Raw
from msgspec.json import Decoder

from glasslipper.gateway.dialects.body import parse
from glasslipper.gateway.dialects.messages import wire
from glasslipper.gateway.dialects.messages.kinds import DIALECT
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.messages import AsidePart, Need

T = TypeVar("T")

_kinds = Decoder(wire.Kind)
_blocks: Decoder[wire.Block] = Decoder(wire.Block)
_found = Decoder(wire.SearchResult)

SERVER_SIDE = ("_tool_use", "_tool_result")
"""How the types end that tell of tools which Anthropic ran itself."""


def parsed(raw: Raw, decoder: Decoder[T], path: str) -> T:
    """Return what a decoder makes of the value at a JSON path.

    Raises:
        BadJSON: It is not in UTF-8.
        InvalidRequest: It has another shape; `param` is the path from the top.
    """
    try:
        return decoder.decode(raw)
    except (DecodeError, RecursionError):
        pass  # `parse` puts it into words
    try:
        return parse(bytes(raw), decoder)
    except InvalidRequest as error:
        if error.param is None:
            raise
        inner = f"{path}{error.param.removeprefix('$')}"
        words = error.message.replace(f"`{error.param}`", f"`{inner}`", 1)
        raise type(error)(words, param=inner) from None


def block_of(raw: Raw, path: str) -> wire.Block | AsidePart:
    """Return the block at a JSON path.

    Raises:
        BadJSON: It is not in UTF-8.
        InvalidRequest: It is no block.
    """
    try:
        return _blocks.decode(raw)
    except (DecodeError, RecursionError):
        kind = parsed(raw, _kinds, path)
    if kind.type in wire.TYPES and _has_known_source(kind):
        return parsed(raw, _blocks, path)
    return AsidePart(text=_readable(kind, raw, path), dialect=DIALECT, raw=raw.copy())


def need_of(part: AsidePart, path: str) -> Need | None:
    """Return why only Anthropic may be told of a block, unless others can do without it.

    They can where it tells of a tool that ran long ago, or where it holds words.
    """
    kind = _kinds.decode(part.raw)
    if part.text or kind.type.endswith(SERVER_SIDE):
        return None
    source = _source(kind)
    what = f"{kind.type}.{source}" if source else kind.type
    return Need(dialect=DIALECT, path=f"{path}.type", what=what)


def _source(kind: wire.Kind) -> str | None:
    try:
        return _kinds.decode(kind.source).type
    except (DecodeError, UnicodeDecodeError):
        return None


def _has_known_source(kind: wire.Kind) -> bool:
    source = _source(kind)
    if source is None or kind.type not in ("document", "image"):
        return True
    return source in wire.SOURCES - ({"file", "text"} if kind.type == "image" else set())


def _readable(kind: wire.Kind, raw: Raw, path: str) -> str:
    """Return what everybody can read of a block that is Anthropic's own."""
    if kind.type != "search_result":
        return ""
    found = parsed(raw, _found, path)
    return "\n".join([found.title, found.source, *(part.text for part in found.content)])
