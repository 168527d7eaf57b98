"""OpenAI's Responses dialect, with OpenRouter's extras: its whole public face.

`decode` reads a request, `encode_answer` writes a whole answer, `EventEncoder` writes a stream
event by event, `encode_error` an error. Between them, `needs` says which earlier responses a
request continues, `resume` puts them in, and `keep` says what to store of this one; `Kept.encode`
and `restore` are the way into a store and back. The parts lie in the modules beside.
"""

from __future__ import annotations

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.responses.answer import encode_answer, encode_error
from glasslipper.gateway.dialects.responses.echo import Echo
from glasslipper.gateway.dialects.responses.ids import response_id
from glasslipper.gateway.dialects.responses.request import Ask, decode
from glasslipper.gateway.dialects.responses.state import Kept, keep, needs, restore, resume
from glasslipper.gateway.dialects.responses.stream import EventEncoder

__all__ = [
    "Ask",
    "Bill",
    "Echo",
    "EventEncoder",
    "Head",
    "Kept",
    "decode",
    "encode_answer",
    "encode_error",
    "keep",
    "needs",
    "response_id",
    "restore",
    "resume",
]
