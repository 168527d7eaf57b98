"""The two spellings of Google's JSON, `systemInstruction` and `system_instruction`, made one.

Google takes both, even mixed. Only members that the wire types know are respelled, and never
inside what belongs to the client: arguments, results, schemas. Those keep their bytes.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from glasslipper.gateway.dialects.body import invalid, parse
from glasslipper.gateway.dialects.gemini.wire import STRUCTS, member

MAX_LEVELS = 16
"""How deep members that need respelling may lie; the known types need fewer."""

_CAMEL = {name: member(name) for kind in STRUCTS for name in kind.__struct_fields__ if "_" in name}
_FREE = frozenset(
    {
        "args",
        "labels",
        "parameters",
        "parametersJsonSchema",
        "response",
        "responseJsonSchema",
        "responseSchema",
    }
)
_SNAKE = re.compile(b'"(?:' + "|".join(sorted(_CAMEL)).encode() + rb')"\s*:')
_members: Decoder[dict[str, Raw]] = Decoder(dict[str, Raw])
_items: Decoder[list[Raw]] = Decoder(list[Raw])
_encoder = msgspec.json.Encoder()


def respelled(body: bytes) -> bytes:
    """Return a body with every known member in camel case; most bodies are so already.

    Raises:
        BadJSON: The body is not JSON.
        InvalidRequest: A member stands there twice, once in each spelling.
    """
    if _SNAKE.search(body) is None:
        return body
    return _respelled(body, level=0)


def _respelled(json: bytes, *, level: int) -> bytes:
    first = json.lstrip()[:1]
    if level > MAX_LEVELS or first not in (b"{", b"["):
        return json
    if first == b"[":
        items = parse(json, _items)
        return _encoder.encode([Raw(_respelled(bytes(item), level=level + 1)) for item in items])
    members: dict[str, Raw] = {}
    for given, value in parse(json, _members).items():
        name = _CAMEL.get(given, given)
        if name in members:
            raise invalid(f"$.{name}", "stands there twice, in two spellings")
        if name in _FREE:
            members[name] = value
        else:
            members[name] = Raw(_respelled(bytes(value), level=level + 1))
    return _encoder.encode(members)
