"""The Gemini dialect, Google's `generateContent` and what belongs to it: its whole public face.

`decode` reads a request, `encode_answer` writes a whole answer, `ChunkEncoder` writes a stream as
server-sent events or as one JSON array, `encode_error` an error. `decode_count` and
`encode_count` are `countTokens`, `decode_embed` and `encode_embed` are `embedContent` and
`batchEmbedContents`. `shows_thoughts` says whether a request asked to see them. The model and the
wish to stream stand in the address, not in the body.
"""

from __future__ import annotations

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.gemini.answer import encode_answer
from glasslipper.gateway.dialects.gemini.count import decode_count, encode_count
from glasslipper.gateway.dialects.gemini.embed import decode_embed, encode_embed
from glasslipper.gateway.dialects.gemini.error import encode_error
from glasslipper.gateway.dialects.gemini.request import decode, shows_thoughts
from glasslipper.gateway.dialects.gemini.stream import ChunkEncoder

__all__ = [
    "Bill",
    "ChunkEncoder",
    "Head",
    "decode",
    "decode_count",
    "decode_embed",
    "encode_answer",
    "encode_count",
    "encode_embed",
    "encode_error",
    "shows_thoughts",
]
