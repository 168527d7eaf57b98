from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from glasslipper.gateway.dialects.embeddings import EmbeddingsRequest, decode, encode
from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.kernel.errors import BadJSON, InvalidRequest, Unsupported
from glasslipper.kernel.usage import Usage

HEAD = Head(id="gen-02", model="maker/embed", created_s=0, provider="local")
BILL = Bill(usage=Usage(input=12), cost_nanousd=240)


def ask(**members: object) -> bytes:
    return json.dumps({"model": "maker/embed", "input": "Hi"} | members).encode()


def test_one_text_and_many_are_the_same_kind_of_request() -> None:
    assert decode(ask()) == EmbeddingsRequest(model="maker/embed", texts=("Hi",))
    request = decode(ask(input=["a", "b"], dimensions=64, encoding_format="base64", user="me"))
    assert request == EmbeddingsRequest(
        model="maker/embed", texts=("a", "b"), dimensions=64, encoding="base64", user="me"
    )


def test_unknown_members_travel_on() -> None:
    assert bytes(decode(ask(provider={"order": []})).extra["provider"]) == b'{"order": []}'


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]], ["a", 5]])
def test_tokens_are_refused(tokens: list[Any]) -> None:
    with pytest.raises(Unsupported) as caught:
        decode(ask(input=tokens))
    assert caught.value.param == "$.input"


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"model": None}, "$.model"),
        ({"model": ""}, "$.model"),
        ({"input": None}, "$.input"),
        ({"input": ""}, "$.input"),
        ({"input": []}, "$.input"),
        ({"input": ["a", ""]}, "$.input[1]"),
        ({"input": ["a", {}]}, "$.input[1]"),
        ({"input": ["a"] * 2049}, "$.input"),
        ({"dimensions": 0}, "$.dimensions"),
        ({"encoding_format": "hex"}, "$.encoding_format"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(members: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(ask(**members))
    assert caught.value.param == path


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(BadJSON):
        decode(b"{")


def test_vectors_are_written_in_order_with_usage_and_cost() -> None:
    body = json.loads(encode([[0.5, -1.0], [0.25, 2.0]], head=HEAD, bill=BILL, encoding="float"))
    CreateEmbeddingResponse.model_validate(body, strict=True)
    assert body["object"] == "list"
    assert [(row["index"], row["embedding"]) for row in body["data"]] == [
        (0, [0.5, -1.0]),
        (1, [0.25, 2.0]),
    ]
    assert body["usage"] == {
        "prompt_tokens": 12,
        "total_tokens": 12,
        "cost": 2.4e-07,
        "cost_nanousd": 240,
        "cost_details": None,
        "is_byok": False,
    }


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9))
@settings(deadline=None)
def test_base64_holds_little_endian_32_bit_floats(vector: list[float]) -> None:
    body = json.loads(encode([vector], head=HEAD, bill=BILL, encoding="base64"))
    packed = base64.b64decode(body["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(vector)}f", packed)) == vector
