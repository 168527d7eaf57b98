"""Anthropic's own client against our dialect: what it says we read, what we say it understands."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.shared import ErrorResponse
from pydantic import TypeAdapter

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.errors import error_headers, error_status
from glasslipper.gateway.dialects.messages import (
    PING,
    EventEncoder,
    count_tokens,
    decode,
    encode_answer,
    encode_count,
    encode_error,
)
from glasslipper.gateway.dialects.messages.kinds import FORMAT, MessagesRequest
from glasslipper.kernel.errors import (
    BudgetExhausted,
    ContextTooLong,
    GlasslipperError,
    KeyUnknown,
    ModelUnknown,
    NotPermitted,
    StreamBroken,
    UpstreamRateLimited,
    UpstreamRefused,
)
from glasslipper.kernel.events import (
    Event,
    Finished,
    ReasoningDelta,
    Spent,
    Started,
    TextDelta,
    ToolCallDelta,
    fold,
)
from glasslipper.kernel.messages import Request
from glasslipper.kernel.usage import Usage

T = TypeVar("T")
WAIT_S = 20
HEAD = Head(id="gen-01", model="maker/model", created_s=1_790_000_000, provider="local")
USAGE = Usage(input=3, cache_read=7, cache_write=2, cache_write_1h=1, output=4, reasoning=5)
BILL = Bill(usage=USAGE, cost_nanousd=150_600)

EVENTS: tuple[Event, ...] = (
    Started(model="up", service_tier="standard"),
    ReasoningDelta(text="Let me ", format=FORMAT),
    ReasoningDelta(text="see", signature="c2ln", format=FORMAT),
    ReasoningDelta(encrypted="ZGF0YQ", format=FORMAT, index=1),
    ReasoningDelta(text="a summary", kind="summary", format="openai-responses-v1", index=2),
    ReasoningDelta(
        encrypted="ZW5j", kind="summary", format="openai-responses-v1", id="rs_1", index=2
    ),
    TextDelta(text="Höl"),
    TextDelta(text="lo\n"),
    ToolCallDelta(index=0, id="a", name="f"),
    ToolCallDelta(index=1, id="b", name="g", arguments='{"y"'),
    ToolCallDelta(index=0, arguments='{"x":1}'),
    ToolCallDelta(index=1, arguments=":2}"),
    Finished(reason="tool_calls", native="tool_use"),
    Spent(usage=USAGE),
)


@dataclass
class Gateway:
    """A server that reads every request with our dialect and answers with the given events."""

    events: Iterable[Event] = EVENTS
    error: GlasslipperError | None = None
    breaks: bool = False
    requests: list[Request] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(fields["content-length"]))
            writer.write(self.answer(head[0], body, betas=fields.get("anthropic-beta")))
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def answer(self, line: str, body: bytes, *, betas: str | None) -> bytes:
        if line.startswith("POST /v1/messages/count_tokens"):
            self.requests.append(count_tokens(body, betas=betas))
            return http(encode_count(7))
        try:
            request = decode(body, betas=betas)
            self.requests.append(request)
            if self.error is not None:
                raise self.error
        except GlasslipperError as error:
            more = "".join(f"{name}: {value}\r\n" for name, value in error_headers(error).items())
            told = encode_error(error, request_id="gen-01")
            return http(told, status=error_status(error), more=more)
        if not request.stream:
            return http(encode_answer(fold(self.events), HEAD, BILL, stops=request.sampling.stop))
        encoder = EventEncoder(HEAD, stops=request.sampling.stop)
        told = PING + b"".join(map(encoder.encode, self.events))
        told += encoder.error(StreamBroken("It broke.")) if self.breaks else encoder.finish(BILL)
        return http(told, kind="text/event-stream")


def http(
    body: bytes, *, status: int = 200, kind: str = "application/json", more: str = ""
) -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n{more}\r\n"
    return head.encode() + body


@contextlib.asynccontextmanager
async def client_of(gateway: Gateway) -> AsyncIterator[AsyncAnthropic]:
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with AsyncAnthropic(api_key="k", base_url=url, max_retries=0) as client:
            yield client
    finally:
        server.close()
        await server.wait_closed()


def ask(gateway: Gateway, use: Callable[[AsyncAnthropic], Awaitable[T]]) -> T:
    async def run() -> T:
        async with client_of(gateway) as client:
            return await use(client)

    return asyncio.run(asyncio.wait_for(run(), WAIT_S))


def asked(**members: Any) -> dict[str, Any]:
    return {
        "model": "maker/model",
        "max_tokens": 9000,
        "messages": [{"role": "user", "content": "Hi"}],
    } | members


async def streamed(client: AsyncAnthropic) -> Message:
    async with client.messages.stream(**asked()) as stream:
        return await stream.get_final_message()


def check(message: Message) -> None:
    blocks = [block.model_dump() for block in message.content]
    assert [block["type"] for block in blocks] == [
        "thinking",
        "redacted_thinking",
        "thinking",
        "text",
        "tool_use",
        "tool_use",
    ]
    assert (blocks[0]["thinking"], blocks[0]["signature"]) == ("Let me see", "c2ln")
    assert blocks[1]["data"] == "ZGF0YQ"
    assert blocks[2]["thinking"] == "a summary"
    assert blocks[3]["text"] == "Höllo\n"
    assert [block["input"] for block in blocks[4:]] == [{"x": 1}, {"y": 2}]
    assert message.stop_reason == "tool_use"
    assert message.usage.input_tokens == 3
    assert message.usage.cache_read_input_tokens == 7
    assert message.usage.cache_creation_input_tokens == 3
    assert message.usage.output_tokens == 9
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens == 5
    assert message.usage.service_tier == "standard"


def test_a_whole_answer_is_understood() -> None:
    check(ask(Gateway(), lambda client: client.messages.create(**asked())))


def test_a_stream_adds_up_to_the_same_message() -> None:
    check(ask(Gateway(), streamed))


def test_a_conversation_goes_on_with_what_the_client_made_of_the_answer() -> None:
    gateway = Gateway()

    async def talk(client: AsyncAnthropic) -> None:
        message = await streamed(client)
        results: list[Any] = [
            {"type": "tool_result", "tool_use_id": name, "content": "1"} for name in "ab"
        ]
        history: list[Any] = [
            {"role": "user", "content": "Hi"},
            message.to_param(),
            {"role": "user", "content": results},
        ]
        await client.messages.create(**asked(messages=history))

    ask(gateway, talk)
    turn = gateway.requests[1].messages[1]
    answer = fold(EVENTS)
    assert turn.parts[:-1] == answer.reasoning
    assert turn.text == answer.text
    assert [call.id for call in turn.tool_calls] == ["a", "b"]
    assert [json.loads(call.arguments) for call in turn.tool_calls] == [{"x": 1}, {"y": 2}]
    assert [message.role for message in gateway.requests[1].messages[2:]] == ["tool", "tool"]


def test_every_frame_has_the_shape_that_the_client_was_made_for() -> None:
    frame: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    encoder = EventEncoder(HEAD)
    wire = b"".join(map(encoder.encode, EVENTS)) + encoder.finish(BILL)
    for line in wire.decode().split("\n"):
        if line.startswith("data: "):
            frame.validate_json(line.removeprefix("data: "))
    Message.model_validate_json(encode_answer(fold(EVENTS), HEAD, BILL))


def test_betas_and_counting_are_understood() -> None:
    gateway = Gateway()

    async def use(client: AsyncAnthropic) -> int:
        await client.beta.messages.create(**asked(betas=["context-1m-2025-08-07"]))
        counted = await client.messages.count_tokens(
            model="m", messages=[{"role": "user", "content": "Hi"}]
        )
        return counted.input_tokens

    assert ask(gateway, use) == 7
    first = gateway.requests[0]
    assert isinstance(first, MessagesRequest)
    assert first.betas == ("context-1m-2025-08-07",)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ContextTooLong("x"), anthropic.BadRequestError),
        (KeyUnknown("x"), anthropic.AuthenticationError),
        (NotPermitted("x"), anthropic.PermissionDeniedError),
        (ModelUnknown("x"), anthropic.NotFoundError),
        (BudgetExhausted("x", left_nanousd=1), anthropic.APIStatusError),
        (UpstreamRateLimited("x", retry_after_s=3), anthropic.RateLimitError),
        (UpstreamRefused("x", upstream_status=529), anthropic.InternalServerError),
    ],
)
def test_errors_are_raised_as_the_clients_own(
    error: GlasslipperError, raised: type[anthropic.APIStatusError]
) -> None:
    with pytest.raises(raised) as caught:
        ask(Gateway(error=error), lambda client: client.messages.create(**asked()))
    told = ErrorResponse.model_validate(caught.value.body)
    assert error.hint in told.error.message
    assert told.request_id == "gen-01"


def test_a_stream_that_breaks_raises_in_the_client() -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(Gateway(events=EVENTS[:-2], breaks=True), streamed)
    assert "It broke." in str(caught.value)


def test_a_wrong_request_raises_in_the_client() -> None:
    wrong = asked(messages=[{"role": "user", "content": []}])
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(Gateway(), lambda client: client.messages.create(**wrong))
    assert "$.messages[0].content" in str(caught.value)
