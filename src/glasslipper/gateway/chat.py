"""The chat-completions and embeddings endpoints."""

from __future__ import annotations

from glasslipper.gateway.answering import Heard, answer, caption_of
from glasslipper.gateway.dialects import chat as dialect
from glasslipper.gateway.dialects import embeddings
from glasslipper.gateway.dialects.envelope import Bill
from glasslipper.gateway.embedding import embed
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.reading import read_body


class _Speaker:
    """Speaks chat completions."""

    whole = staticmethod(dialect.encode_answer)
    stream = dialect.ChunkEncoder


_SPEAKER = _Speaker()


async def completions(house: House, http: Http) -> None:
    """Answer `POST /chat/completions`."""
    caller = house.gatekeeper.admit(http.header(b"authorization"))
    body = await read_body(house, http)
    request = dialect.decode(body)
    heard = Heard(caller=caller, request=request, body=body, dialect="chat", speaker=_SPEAKER)
    await answer(house, http, heard)


async def embeddings_endpoint(house: House, http: Http) -> None:
    """Answer `POST /embeddings`."""
    caller = house.gatekeeper.admit(http.header(b"authorization"))
    request = embeddings.decode(await read_body(house, http))
    made = await embed(
        house.desk,
        caller,
        request,
        offered=house.offer.find(request.model),
        caption=caption_of(http, "embeddings"),
    )
    bill = Bill(
        usage=made.outcome.usage,
        cost_nanousd=made.outcome.charged_nanousd,
        upstream_nanousd=made.outcome.billed_nanousd,
    )
    body = embeddings.encode(made.vectors, head=made.head, bill=bill, encoding=request.encoding)
    await http.reply(200, body, [(b"x-generation-id", made.head.id.encode())])
