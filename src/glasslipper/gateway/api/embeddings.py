"""OpenAI's `/embeddings`."""

from __future__ import annotations

from glasslipper.gateway.answering import bill_of_outcome, caption_of
from glasslipper.gateway.api.keys import admit
from glasslipper.gateway.dialects import embeddings as dialect
from glasslipper.gateway.embedding import embed
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.reading import read_body


async def embeddings(house: House, http: Http) -> None:
    """Answer `POST /embeddings`."""
    caller = admit(house, http)
    request = dialect.decode(await read_body(house, http))
    made = await embed(
        house.desk,
        caller,
        request,
        offered=house.offer.find(request.model),
        caption=caption_of(http, "embeddings"),
    )
    bill = bill_of_outcome(made.outcome)
    body = dialect.encode(made.vectors, head=made.head, bill=bill, encoding=request.encoding)
    await http.reply(200, body, [(b"x-generation-id", made.head.id.encode())])
