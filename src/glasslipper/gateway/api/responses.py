"""OpenAI's Responses: `/responses`, whole, streamed and stateful.

A response is kept, unless the request says `store: false`, so that a later request may continue
it; only the key that made it can.
"""

from __future__ import annotations

import msgspec

from glasslipper.gateway.answering import Encoder, Heard, answer
from glasslipper.gateway.api.keys import admit
from glasslipper.gateway.api.shapes import ResponseDeleted
from glasslipper.gateway.dialects import responses as dialect
from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.reading import read_body
from glasslipper.kernel.errors import NotFound
from glasslipper.kernel.events import Answer

LEFT_OUT = b"x-tools-left-out"
"""The header that names the types of tools that cannot be had here."""

MOST_CONTINUED = 32
"""How many earlier responses one request may name."""


class _Speaker:
    """Speaks Responses, and remembers the response object that was told."""

    def __init__(self, echo: dialect.Echo) -> None:
        self._echo = echo
        self._head: Head | None = None
        self._whole = b""
        self._encoder: dialect.EventEncoder | None = None

    def whole(self, answer: Answer, head: Head, bill: Bill) -> bytes:
        self._head = head
        self._whole = dialect.encode_answer(answer, head, bill, self._echo)
        return self._whole

    def stream(self, head: Head) -> Encoder:
        self._head = head
        self._encoder = dialect.EventEncoder(head, self._echo)
        return self._encoder

    @property
    def told(self) -> tuple[str, bytes] | None:
        """The id and body of the response, once it is whole."""
        body = self._encoder.response if self._encoder is not None else self._whole
        if self._head is None or not body:
            return None
        return dialect.response_id(self._head.id), body


async def create(house: House, http: Http) -> None:
    """Answer `POST /responses`."""
    caller = admit(house, http)
    body = await read_body(house, http)
    asked = dialect.decode(body)
    kept = {
        name: dialect.restore(found)
        for name in dialect.needs(asked)[:MOST_CONTINUED]
        if (found := house.shelf.find(name, caller.key.id)) is not None
    }
    asked = dialect.resume(asked, kept)
    speaker = _Speaker(asked.echo)

    async def keep() -> None:
        told = speaker.told
        if told is not None and asked.echo.store:
            name, response = told
            await house.shelf.put(name, caller.key.id, dialect.keep(asked, response).encode())

    heard = Heard(
        caller=caller,
        request=asked.request,
        body=body,
        dialect="responses",
        speaker=speaker,
        before_end=keep,
        headers=[(LEFT_OUT, ", ".join(asked.tools_left_out).encode())]
        if asked.tools_left_out
        else (),
    )
    await answer(house, http, heard)


async def show(house: House, http: Http, name: str) -> None:
    """Answer `GET /responses/{id}`."""
    caller = admit(house, http)
    found = house.shelf.find(name, caller.key.id)
    if found is None:
        raise NotFound(f"There is no response {name!r} of this key.")
    await http.reply(200, bytes(dialect.restore(found).response))


async def delete(house: House, http: Http, name: str) -> None:
    """Answer `DELETE /responses/{id}`."""
    caller = admit(house, http)
    if not await house.shelf.remove(name, caller.key.id):
        raise NotFound(f"There is no response {name!r} of this key.")
    gone = ResponseDeleted(id=name, object="response", deleted=True)
    await http.reply(200, msgspec.json.encode(gone))
