"""The legacy completions dialect, OpenAI's oldest: its whole public face.

A prompt is asked as one message of the user, so that every model can answer it. `decode` reads a
request, `encode_answer` writes a whole answer, `ChunkEncoder` writes a stream frame by frame.
"""

from __future__ import annotations

from glasslipper.gateway.dialects.completions.answer import ChunkEncoder, encode_answer
from glasslipper.gateway.dialects.completions.request import decode
from glasslipper.gateway.dialects.envelope import Bill, Head

__all__ = ["Bill", "ChunkEncoder", "Head", "decode", "encode_answer"]
