"""Requests and answers in Gemini's words, made short for tests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glasslipper.gateway.dialects.gemini import (
    Bill,
    ChunkEncoder,
    Head,
    decode,
    encode_answer,
)
from glasslipper.kernel.errors import (
    InvalidRequest,
)
from glasslipper.kernel.events import (
    Answer,
    Event,
)
from glasslipper.kernel.messages import (
    Message,
    Request,
)
from glasslipper.kernel.usage import Usage

GOOGLE = "google-gemini-v1"
SIGNATURE = "c2lnbmVkIGJ5IEdvb2dsZQ=="
HEAD = Head(id="gen-1", model="google/gemini-3-flash", created_s=1, provider="google")
BILL = Bill(
    usage=Usage(input=5, cache_read=3, output=2, reasoning=4),
    cost_nanousd=1_500,
    upstream_nanousd=1_200,
)
HI: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def ask(more: dict[str, Any] | None = None, *, stream: bool = False) -> Request:
    body = json.dumps(HI | (more or {})).encode()
    return decode(body, model="gemini-3-flash", stream=stream)


def talk(*contents: tuple[str, list[dict[str, Any]]]) -> tuple[Message, ...]:
    return ask({"contents": [{"role": role, "parts": parts} for role, parts in contents]}).messages


def refused(more: dict[str, Any]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        ask(more)
    return caught.value


def whole(answer: Answer, bill: Bill | None = BILL, **more: Any) -> dict[str, Any]:
    return json.loads(encode_answer(answer, HEAD, bill, **more))


def streamed(events: list[Event], *, as_array: bool = False) -> list[dict[str, Any]]:
    encoder = ChunkEncoder(HEAD, as_array=as_array)
    written = b"".join(map(encoder.encode, events)) + encoder.finish(BILL)
    if as_array:
        return json.loads(written)
    frames = written.decode().removesuffix("\n\n").split("\n\n")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def parts_of(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        part
        for chunk in chunks
        for candidate in chunk.get("candidates", ())
        for part in candidate["content"]["parts"]
    ]
