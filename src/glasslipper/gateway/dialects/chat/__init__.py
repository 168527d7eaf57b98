"""The chat-completions dialect, OpenAI's with OpenRouter's extras: its whole public face.

`decode` reads a request, `encode_answer` writes a whole answer, `ChunkEncoder` writes a stream
frame by frame. The parts lie in the modules beside.
"""

from __future__ import annotations

from glasslipper.gateway.dialects.chat.answer import encode_answer
from glasslipper.gateway.dialects.chat.request import decode
from glasslipper.gateway.dialects.chat.stream import ChunkEncoder
from glasslipper.gateway.dialects.envelope import Bill, Head

__all__ = ["Bill", "ChunkEncoder", "Head", "decode", "encode_answer"]
