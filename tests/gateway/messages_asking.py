"""Requests and answers in Anthropic's words, made short for tests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.messages import (
    EventEncoder,
    decode,
)
from glasslipper.kernel.errors import (
    InvalidRequest,
)
from glasslipper.kernel.events import (
    Event,
)
from glasslipper.kernel.messages import (
    Message,
)
from glasslipper.kernel.usage import Usage

HEAD = Head(id="gen-01", model="maker/model", created_s=1_790_000_000, provider="local")
BILL = Bill(
    usage=Usage(input=3, cache_read=7, cache_write=2, cache_write_1h=1, output=4, reasoning=5),
    cost_nanousd=150_600,
    upstream_nanousd=100_000,
)
FUNCTION = {"name": "f", "input_schema": {"type": "object"}}


def ask(**members: object) -> bytes:
    body = {
        "model": "maker/model",
        "max_tokens": 9000,
        "messages": [{"role": "user", "content": "Hi"}],
    } | members
    return json.dumps(body).encode()


def turns(*messages: object) -> tuple[Message, ...]:
    return decode(ask(messages=messages)).messages


def user(*blocks: object) -> tuple[Message, ...]:
    return turns({"role": "user", "content": blocks})


def assistant(*blocks: object) -> Message:
    (message,) = turns({"role": "assistant", "content": blocks})
    return message


def refused(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decode(body)
    return caught.value


def frames(*events: Event, bill: Bill | None = BILL, stops: tuple[str, ...] = ()) -> list[Any]:
    """The data of every frame, whose event name must be its type."""
    encoder = EventEncoder(HEAD, stops=stops)
    wire = b"".join(map(encoder.encode, events)) + encoder.finish(bill)
    return list(map(data_of, wire.decode().split("\n\n")[:-1]))


def data_of(frame: str) -> Any:
    name, data = frame.split("\n")
    told = json.loads(data.removeprefix("data: "))
    assert name == f"event: {told['type']}"
    return told


def content(told: list[Any]) -> list[Any]:
    """What a client makes of the frames; fails where they break the grammar."""
    blocks: list[Any] = []
    open_at: set[int] = set()
    for frame in told:
        match frame["type"]:
            case "content_block_start":
                assert frame["index"] == len(blocks)
                blocks.append(frame["content_block"] | {"json": ""})
                open_at.add(frame["index"])
            case "content_block_stop":
                open_at.remove(frame["index"])
            case "content_block_delta":
                assert frame["index"] in open_at
                grow(blocks[frame["index"]], frame["delta"])
            case _:
                pass
    assert not open_at
    for block in blocks:
        text = block.pop("json")
        if block["type"] == "tool_use" and text:
            block["input"] = json.loads(text)
    return blocks


def grow(block: Any, delta: Any) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            block["json"] += delta["partial_json"]
        case other:
            pytest.fail(f"an unknown delta: {other}")
