"""`embedContent` and `batchEmbedContents`: which texts are to become vectors, and the vectors.

Texts only. The task and title that Google's models take are passed on as raw JSON where all
texts of a batch share them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from glasslipper.gateway.dialects.body import invalid, parse, unknown
from glasslipper.gateway.dialects.embeddings import EmbeddingsRequest
from glasslipper.gateway.dialects.envelope import Bill
from glasslipper.gateway.dialects.gemini import wire
from glasslipper.gateway.dialects.gemini.request import checked
from glasslipper.gateway.dialects.gemini.turns import parts_of
from glasslipper.kernel.errors import Unsupported
from glasslipper.kernel.money import usd

_one = Decoder(wire.EmbedRequest)
_batch = Decoder(wire.BatchEmbedRequest)
_raw: Decoder[dict[str, Raw]] = Decoder(dict[str, Raw])
_raws: Decoder[list[Raw]] = Decoder(list[Raw])
_encoder = msgspec.json.Encoder()
_UNDERSTOOD = frozenset({"content", "model", "outputDimensionality"})


def decode_embed(body: bytes, *, model: str, batch: bool) -> EmbeddingsRequest:
    """Return the request that an `embedContent` body makes, or with `batch` the other's.

    Raises:
        BadJSON: The body is not JSON in UTF-8.
        Unsupported: A content is more than text, or the texts of a batch want different things.
        InvalidRequest: A member has the wrong type or value; `param` is its JSON path.
    """
    body = checked(body)
    if batch:
        asks = parse(body, _batch).requests
        bodies = [bytes(each) for each in _raws.decode(_raw.decode(body)["requests"])]
        paths = [f"$.requests[{index}]" for index in range(len(asks))]
    else:
        asks, bodies, paths = [parse(body, _one)], [body], ["$"]
    texts = [_text(ask.content, path) for ask, path in zip(asks, paths, strict=True)]
    wishes = [unknown(each, _UNDERSTOOD) for each in bodies]
    told = [{name: bytes(raw) for name, raw in wish.items()} for wish in wishes]
    for ask, wish, path in zip(asks, told, paths, strict=True):
        if ask.output_dimensionality != asks[0].output_dimensionality or wish != told[0]:
            raise Unsupported(
                f"`{path}`: all texts of a batch must want the same.",
                param=path,
                hint="Send what differs in requests of their own.",
            )
    return EmbeddingsRequest(
        model=model.removeprefix("models/"),
        texts=tuple(texts),
        dimensions=asks[0].output_dimensionality,
        extra=wishes[0],
    )


def _text(content: wire.Content, path: str) -> str:
    words: list[str] = []
    for index, part in enumerate(parts_of(content, f"{path}.content")):
        if part.text is None:
            where = f"{path}.content.parts[{index}]"
            raise Unsupported(f"`{where}`: only text can be embedded.", param=where)
        words.append(part.text)
    text = "".join(words)
    if not text:
        raise invalid(f"{path}.content", "must not be empty")
    return text


def encode_embed(vectors: Sequence[Sequence[float]], *, bill: Bill, batch: bool) -> bytes:
    """Return the JSON body with the vector of one text, or with `batch` one for each, in order."""
    values = [{"values": [float(value) for value in vector]} for vector in vectors]
    tokens = bill.usage.prompt_tokens
    usage = {
        "promptTokenCount": tokens,
        "totalTokenCount": tokens,
        "cost": usd(bill.cost_nanousd),
        "costNanousd": bill.cost_nanousd,
    }
    body = {"embeddings": values} if batch else {"embedding": values[0]}
    return _encoder.encode({**body, "usageMetadata": usage})
