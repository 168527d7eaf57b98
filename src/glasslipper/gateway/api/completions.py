"""OpenAI's legacy `/completions`."""

from __future__ import annotations

from glasslipper.gateway.answering import Heard, answer
from glasslipper.gateway.api.keys import admit
from glasslipper.gateway.api.speaking import ChunkSpeaker
from glasslipper.gateway.dialects import completions as dialect
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.reading import read_body


async def completions(house: House, http: Http) -> None:
    """Answer `POST /completions`."""
    caller = admit(house, http)
    body = await read_body(house, http)
    request = dialect.decode(body)
    speaker = ChunkSpeaker(dialect.encode_answer, dialect.ChunkEncoder, request)
    heard = Heard(caller=caller, request=request, body=body, dialect="completions", speaker=speaker)
    await answer(house, http, heard)
