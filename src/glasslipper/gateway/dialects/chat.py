"""The chat-completions dialect, OpenAI's with OpenRouter's extras: its whole public face.

`decode` reads a request, `encode_answer` writes a whole answer, `ChunkEncoder` writes a stream
frame by frame. The parts lie in `chat_wire`, `chat_request`, `chat_turns`, `chat_answer` and
`chat_stream`.
"""

from __future__ import annotations

from glasslipper.gateway.dialects.chat_answer import encode_answer
from glasslipper.gateway.dialects.chat_request import decode
from glasslipper.gateway.dialects.chat_stream import ChunkEncoder
from glasslipper.gateway.dialects.envelope import Bill, Head

__all__ = ["Bill", "ChunkEncoder", "Head", "decode", "encode_answer"]
