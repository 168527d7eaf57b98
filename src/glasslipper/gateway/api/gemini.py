"""Google's Gemini: `/v1beta/models/{model}:{verb}`."""

from __future__ import annotations

from glasslipper.gateway.answering import Encoder, Heard, answer, bill_of_outcome, caption_of
from glasslipper.gateway.api.keys import admit
from glasslipper.gateway.auth import Caller
from glasslipper.gateway.counting import count_tokens
from glasslipper.gateway.dialects import gemini as dialect
from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.embedding import embed
from glasslipper.gateway.house import House
from glasslipper.gateway.http import EVENTS, JSON, Http
from glasslipper.gateway.reading import read_body
from glasslipper.kernel.errors import NotFound
from glasslipper.kernel.events import Answer


class _Speaker:
    """Speaks Gemini, in server-sent events or as one JSON array."""

    def __init__(self, *, shows_thoughts: bool, as_array: bool) -> None:
        self._shows_thoughts = shows_thoughts
        self._as_array = as_array

    def whole(self, answer: Answer, head: Head, bill: Bill) -> bytes:
        return dialect.encode_answer(answer, head, bill, shows_thoughts=self._shows_thoughts)

    def stream(self, head: Head) -> Encoder:
        return dialect.ChunkEncoder(
            head, as_array=self._as_array, shows_thoughts=self._shows_thoughts
        )


async def call(house: House, http: Http, path: str) -> None:
    """Answer `POST /models/{model}:{verb}`."""
    caller = admit(house, http)
    model, _, verb = path.rpartition(":")
    body = await read_body(house, http)
    match verb:
        case "generateContent" | "streamGenerateContent":
            await _generate(house, http, caller, model, body)
        case "countTokens":
            request = dialect.decode_count(body, model=model)
            tokens = await count_tokens(house, request)
            await http.reply(200, dialect.encode_count(tokens))
        case "embedContent" | "batchEmbedContents":
            await _embed(house, http, caller, model, body)
        case _:
            raise NotFound(f"A model cannot be asked to {verb or path!r}.")


async def _generate(house: House, http: Http, caller: Caller, model: str, body: bytes) -> None:
    stream = ":stream" in http.path
    as_array = stream and http.query.get("alt") != "sse"
    request = dialect.decode(body, model=model, stream=stream)
    speaker = _Speaker(shows_thoughts=dialect.shows_thoughts(request), as_array=as_array)
    heard = Heard(
        caller=caller,
        request=request,
        body=body,
        dialect="gemini",
        speaker=speaker,
        kind=JSON if as_array else EVENTS,
    )
    await answer(house, http, heard)


async def _embed(house: House, http: Http, caller: Caller, model: str, body: bytes) -> None:
    batch = http.path.endswith("batchEmbedContents")
    request = dialect.decode_embed(body, model=model, batch=batch)
    made = await embed(
        house.desk,
        caller,
        request,
        offered=house.offer.find(model),
        caption=caption_of(http, "embeddings"),
    )
    bill = bill_of_outcome(made.outcome)
    body = dialect.encode_embed(made.vectors, bill=bill, batch=batch)
    await http.reply(200, body, [(b"x-generation-id", made.head.id.encode())])
