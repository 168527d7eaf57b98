"""Anthropic's Messages: `/messages` and `/messages/count_tokens`."""

from __future__ import annotations

from glasslipper.gateway.answering import Encoder, Heard, answer
from glasslipper.gateway.api.keys import admit
from glasslipper.gateway.counting import count_tokens
from glasslipper.gateway.dialects import messages as dialect
from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.reading import read_body
from glasslipper.kernel.events import Answer


class _Speaker:
    """Speaks Messages; an answer that was stopped names the stop sequence."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops

    def whole(self, answer: Answer, head: Head, bill: Bill) -> bytes:
        return dialect.encode_answer(answer, head, bill, stops=self._stops)

    def stream(self, head: Head) -> Encoder:
        return dialect.EventEncoder(head, stops=self._stops)


async def messages(house: House, http: Http) -> None:
    """Answer `POST /messages`."""
    caller = admit(house, http)
    body = await read_body(house, http)
    request = dialect.decode(body, betas=http.header(b"anthropic-beta"))
    heard = Heard(
        caller=caller,
        request=request,
        body=body,
        dialect="messages",
        speaker=_Speaker(request.sampling.stop),
    )
    await answer(house, http, heard)


async def count(house: House, http: Http) -> None:
    """Answer `POST /messages/count_tokens`."""
    admit(house, http)
    request = dialect.count_tokens(
        await read_body(house, http), betas=http.header(b"anthropic-beta")
    )
    tokens = await count_tokens(house, request)
    await http.reply(200, dialect.encode_count(tokens))
