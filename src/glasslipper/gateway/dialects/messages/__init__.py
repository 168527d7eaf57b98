"""The Messages dialect, Anthropic's with OpenRouter's extras: its whole public face.

`decode` reads a request, `encode_answer` writes a whole answer, `EventEncoder` writes a stream
event by event, `encode_error` tells of an error; `count_tokens` and `encode_count` read and
answer a request to count. The parts lie in the modules beside.
"""

from __future__ import annotations

from glasslipper.gateway.dialects.messages.answer import encode_answer, encode_count
from glasslipper.gateway.dialects.messages.errors import encode_error
from glasslipper.gateway.dialects.messages.request import count_tokens, decode
from glasslipper.gateway.dialects.messages.stream import PING, EventEncoder

__all__ = [
    "PING",
    "EventEncoder",
    "count_tokens",
    "decode",
    "encode_answer",
    "encode_count",
    "encode_error",
]
