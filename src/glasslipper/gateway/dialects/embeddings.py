"""The embeddings dialect, OpenAI's: what is asked, and the vectors in JSON or base64.

Texts only: token arrays would need the tokenizer of the model, which a gateway does not have.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct, field
from msgspec.json import Decoder

from glasslipper.gateway.dialects.body import invalid, parse, unknown
from glasslipper.gateway.dialects.chat.answer import CostDetails, cost_details
from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.kernel.errors import Unsupported
from glasslipper.kernel.money import usd

Encoding = Literal["float", "base64"]
MAX_TEXTS = 2048


class EmbeddingsRequest(Struct, frozen=True, kw_only=True):
    """A wish for one vector for each text. `extra` is what nobody here understands, as raw JSON."""

    model: str
    texts: tuple[str, ...]
    dimensions: int | None = None
    encoding: Encoding = "float"
    user: str | None = None
    extra: dict[str, Raw] = field(default_factory=dict[str, Raw])


class EmbeddingsBody(Struct, frozen=True, kw_only=True):
    """The body of a request."""

    model: Annotated[str, Meta(min_length=1)]
    input: str | Annotated[list[str | int | list[int]], Meta(min_length=1, max_length=MAX_TEXTS)]
    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    encoding_format: Encoding | None = None
    user: str | None = None


class _Vector(Struct):
    index: int
    embedding: list[float] | str
    object: str = "embedding"


class _Usage(Struct):
    prompt_tokens: int
    total_tokens: int
    cost: float
    cost_nanousd: int
    cost_details: CostDetails | None
    is_byok: bool


class EmbeddingsAnswer(Struct):
    """The body of an answer."""

    id: str
    model: str
    provider: str
    data: list[_Vector]
    usage: _Usage
    object: str = "list"


_decoder = Decoder(EmbeddingsBody)
_encoder = msgspec.json.Encoder()
_UNDERSTOOD = frozenset(EmbeddingsBody.__struct_fields__)


def decode(body: bytes) -> EmbeddingsRequest:
    """Return the request that an embeddings body makes.

    Raises:
        BadJSON: The body is not JSON in UTF-8.
        Unsupported: The input is tokens instead of text.
        InvalidRequest: A member has the wrong type or value; `param` is its JSON path.
    """
    ask = parse(body, _decoder)
    extra = unknown(body, _UNDERSTOOD)
    return EmbeddingsRequest(
        model=ask.model,
        texts=_texts(ask.input),
        dimensions=ask.dimensions,
        encoding=ask.encoding_format or "float",
        user=ask.user,
        extra=extra,
    )


def _texts(given: str | list[str | int | list[int]]) -> tuple[str, ...]:
    if isinstance(given, str):
        if not given:
            raise invalid("$.input", "must not be empty")
        return (given,)
    texts: list[str] = []
    for index, text in enumerate(given):
        if not isinstance(text, str):
            raise Unsupported("`$.input`: tokens are not accepted, only text.", param="$.input")
        if not text:
            raise invalid(f"$.input[{index}]", "must not be empty")
        texts.append(text)
    return tuple(texts)


def encode(
    vectors: Sequence[Sequence[float]], *, head: Head, bill: Bill, encoding: Encoding
) -> bytes:
    """Return the JSON body with one embedding for each vector, in order.

    `base64` holds each vector as little-endian 32-bit floats.
    """
    write = _base64 if encoding == "base64" else _floats
    tokens = bill.usage.prompt_tokens
    answer = EmbeddingsAnswer(
        id=head.id,
        model=head.model,
        provider=head.provider,
        data=[_Vector(index, write(vector)) for index, vector in enumerate(vectors)],
        usage=_Usage(
            prompt_tokens=tokens,
            total_tokens=tokens,
            cost=usd(bill.cost_nanousd),
            cost_nanousd=bill.cost_nanousd,
            cost_details=cost_details(bill),
            is_byok=bill.is_byok,
        ),
    )
    return _encoder.encode(answer)


def _floats(vector: Sequence[float]) -> list[float]:
    return [float(value) for value in vector]


def _base64(vector: Sequence[float]) -> str:
    values = array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return b64encode(values.tobytes()).decode("ascii")
