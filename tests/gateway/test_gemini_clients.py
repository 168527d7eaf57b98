"""Google's own client against our dialect: what it sends we read, what we write it reads."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
from google import genai
from google.genai import errors, types
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.gateway.dialects.embeddings import EmbeddingsRequest
from glasslipper.gateway.dialects.gemini import (
    Bill,
    ChunkEncoder,
    Head,
    decode,
    decode_count,
    decode_embed,
    encode_answer,
    encode_count,
    encode_embed,
    encode_error,
    shows_thoughts,
)
from glasslipper.kernel.errors import EngineBusy, GlasslipperError, StreamBroken
from glasslipper.kernel.events import (
    Answer,
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    fold,
)
from glasslipper.kernel.finish import FinishReason
from glasslipper.kernel.messages import (
    ImagePart,
    Message,
    Reasoning,
    ReasoningPart,
    Request,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from glasslipper.kernel.usage import Usage

WAIT_S = 30
HEAD = Head(id="gen-1", model="google/gemini-3-flash", created_s=1, provider="google")
BILL = Bill(usage=Usage(input=5, cache_read=3, output=2, reasoning=4), cost_nanousd=1_500)
GOOGLE, ANTHROPIC = "google-gemini-v1", "anthropic-claude-v1"

T = TypeVar("T")
Script = list[Event] | GlasslipperError


class Served:
    """A server that speaks the dialect: it gives scripted answers and keeps what it was asked."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.requests: list[Request | EmbeddingsRequest] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
            body = await reader.readexactly(int(fields["content-length"]))
            target = head.split(" ", 2)[1]
            status, kind, reply = self.answer(target, body)
            writer.write(
                f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n".encode()
            )
            writer.write(reply)
            await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def answer(self, target: str, body: bytes) -> tuple[int, str, bytes]:
        path, _, query = target.partition("?")
        model, _, verb = path.rpartition("/models/")[2].partition(":")
        if verb == "countTokens":
            self.requests.append(decode_count(body, model=model))
            return 200, "application/json", encode_count(7)
        if verb == "batchEmbedContents":
            wish = decode_embed(body, model=model, batch=True)
            self.requests.append(wish)
            return (
                200,
                "application/json",
                encode_embed([[1.0, 0.5]] * len(wish.texts), bill=BILL, batch=True),
            )
        streams = verb == "streamGenerateContent"
        request = decode(body, model=model, stream=streams)
        self.requests.append(request)
        script = self.scripts.pop(0)
        if isinstance(script, GlasslipperError):
            return script.status, "application/json", encode_error(script)
        shows = shows_thoughts(request)
        if not streams:
            whole = encode_answer(fold(script), HEAD, BILL, shows_thoughts=shows)
            return 200, "application/json", whole
        encoder = ChunkEncoder(HEAD, as_array="alt=sse" not in query, shows_thoughts=shows)
        written = b"".join(map(encoder.encode, script))
        if isinstance(script[-1], Finished):
            return 200, "text/event-stream", written + encoder.finish(BILL)
        return 200, "text/event-stream", written + encoder.error(StreamBroken("It broke."))


@contextlib.asynccontextmanager
async def client_of(served: Served) -> AsyncIterator[genai.Client]:
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{port}")
    client = genai.Client(api_key="k", vertexai=False, http_options=options)
    try:
        yield client
    finally:
        client.close()
        await client.aio.aclose()
        server.close()
        await server.wait_closed()


def using(served: Served, use: Callable[[genai.Client], T]) -> T:
    """Use the client as its users mostly do: without asyncio, in a thread of its own."""

    async def run() -> T:
        async with client_of(served) as client:
            return await asyncio.to_thread(use, client)

    return asyncio.run(asyncio.wait_for(run(), WAIT_S))


HELLO: list[Event] = [
    ReasoningDelta(text="Hm", format=GOOGLE),
    TextDelta(text="Hello "),
    TextDelta(text="wörld"),
    Finished(reason="stop"),
]


def test_a_whole_answer_is_read_with_usage_and_without_unwanted_thoughts() -> None:
    served = Served(HELLO, HELLO)

    def use(client: genai.Client) -> list[types.GenerateContentResponse]:
        thinking = types.ThinkingConfig(
            include_thoughts=True, thinking_level=types.ThinkingLevel.LOW
        )
        config = types.GenerateContentConfig(
            system_instruction="Be.",
            temperature=0.5,
            top_k=40,
            max_output_tokens=9,
            stop_sequences=["x"],
            thinking_config=thinking,
            safety_settings=[
                types.SafetySetting(
                    category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                    threshold=types.HarmBlockThreshold.BLOCK_NONE,
                )
            ],
        )
        return [
            client.models.generate_content(model="gemini-3-flash", contents="Hi"),
            client.models.generate_content(model="gemini-3-flash", contents="Hi", config=config),
        ]

    plain, thinking = using(served, use)
    assert plain.text == thinking.text == "Hello wörld"
    assert (plain.response_id, plain.model_version) == ("gen-1", "google/gemini-3-flash")
    assert plain.usage_metadata is not None
    assert plain.usage_metadata.prompt_token_count == 8
    assert plain.usage_metadata.cached_content_token_count == 3
    assert plain.usage_metadata.thoughts_token_count == 4
    assert plain.candidates is not None
    assert plain.candidates[0].finish_reason is types.FinishReason.STOP
    assert [part.thought for part in plain.parts or ()] == [None]
    assert [part.thought for part in thinking.parts or ()] == [True, None]
    first, second = served.requests
    assert first == Request(
        model="gemini-3-flash",
        messages=(Message(role="user", parts=(TextPart(text="Hi"),)),),
    )
    assert isinstance(second, Request)
    assert second.messages[0] == Message(role="system", parts=(TextPart(text="Be."),))
    assert second.sampling.top_k == 40
    assert second.reasoning == Reasoning(effort="low")
    assert json.loads(bytes(second.extra["safetySettings"])) == [
        {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}
    ]


def test_a_stream_is_read_piece_by_piece_and_asynchronously_too() -> None:
    served = Served(HELLO, HELLO)

    def use(client: genai.Client) -> list[types.GenerateContentResponse]:
        return list(client.models.generate_content_stream(model="m", contents="Hi"))

    async def run() -> list[types.GenerateContentResponse]:
        async with client_of(served) as client:
            stream = await client.aio.models.generate_content_stream(model="m", contents="Hi")
            return [chunk async for chunk in stream]

    for chunks in (using(served, use), asyncio.run(asyncio.wait_for(run(), WAIT_S))):
        assert "".join(chunk.text or "" for chunk in chunks) == "Hello wörld"
        last = chunks[-1]
        assert last.candidates is not None
        assert last.candidates[0].finish_reason is types.FinishReason.STOP
        assert last.usage_metadata is not None
        assert last.usage_metadata.total_token_count == 14


@pytest.mark.parametrize(
    ("thought", "model"),
    [
        (ReasoningDelta(encrypted="+/8=", format=GOOGLE, id="c1"), "gemini"),
        (ReasoningDelta(text="Hm", signature="EqQB+x/y==", format=ANTHROPIC), "claude"),
        (ReasoningDelta(encrypted="gAAA-", format="openai-responses-v1", id="rs_1"), "gpt"),
    ],
)
@pytest.mark.parametrize("streams", [True, False])
def test_a_tool_loop_of_any_model_brings_its_thinking_back(
    thought: ReasoningDelta, model: str, streams: bool
) -> None:
    calls: list[Event] = [
        thought,
        ToolCallDelta(index=0, id="c1", name="weather"),
        ToolCallDelta(index=0, arguments='{"city": '),
        ToolCallDelta(index=0, arguments='"Rome"}'),
        Finished(reason="tool_calls"),
    ]
    served = Served(calls, HELLO)

    def weather(city: str) -> str:
        """Tell the weather.

        Args:
            city: Where.
        """
        return f"sunny in {city}"

    def use(client: genai.Client) -> str:
        config = types.GenerateContentConfig(
            tools=[weather], thinking_config=types.ThinkingConfig(include_thoughts=True)
        )
        chat = client.chats.create(model=model, config=config)
        if streams:
            return "".join(chunk.text or "" for chunk in chat.send_message_stream("How is it?"))
        return chat.send_message("How is it?").text or ""

    assert using(served, use) == "Hello wörld"
    first, second = served.requests
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    (tool,) = first.tools
    assert (tool.name, tool.parameters["type"]) == ("weather", "object")
    assistant, result = second.messages[1:]
    assert assistant.tool_calls == (
        ToolCall(id="c1", name="weather", arguments='{"city": "Rome"}'),
    )
    (part,) = assistant.parts
    assert isinstance(part, ReasoningPart)
    sent = (part.text, part.format, part.id, part.kind)
    assert sent == (thought.text, thought.format, thought.id, thought.kind)
    alphabet = str.maketrans("-_", "+/") if thought.format == GOOGLE else {}
    proof = part.encrypted or part.signature or ""
    assert proof.translate(alphabet) == (thought.encrypted or thought.signature)
    assert result.role == "tool"
    assert (result.tool_call_id, result.name) == ("c1", "weather")
    assert json.loads(result.text) == {"result": "sunny in Rome"}


def test_pictures_schemas_and_choices_arrive_as_they_were_meant() -> None:
    served = Served([TextDelta(text='{"a": 1}'), Finished(reason="stop")])
    picture = b"\xff\xfe\xfd\xfc"

    def use(client: genai.Client) -> types.GenerateContentResponse:
        declared = types.FunctionDeclaration(
            name="f",
            parameters=types.Schema(
                type=types.Type.OBJECT,
                properties={"a": types.Schema(type=types.Type.STRING, nullable=True)},
            ),
        )
        calling = types.FunctionCallingConfig(
            mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["f"]
        )
        config = types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=[declared])],
            tool_config=types.ToolConfig(function_calling_config=calling),
            response_mime_type="application/json",
            response_schema={"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}},
        )
        data = types.Part.from_bytes(data=picture, mime_type="image/png")
        return client.models.generate_content(model="m", contents=["See", data], config=config)

    assert using(served, use).parsed == {"a": 1}
    (request,) = served.requests
    assert isinstance(request, Request)
    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    assert request.messages[0].parts == (TextPart(text="See"), ImagePart(url=url))
    schema = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}
    assert request.tools == (Tool(name="f", parameters=schema),)
    assert request.tool_choice == ToolChoice(mode="required", name="f")
    assert request.response_format.schema == {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
    }


def test_an_error_is_raised_with_its_status_and_a_broken_stream_is_one() -> None:
    served = Served(EngineBusy("Full.", retry_after_s=7), HELLO[:2])

    def use(client: genai.Client) -> list[errors.APIError]:
        with pytest.raises(errors.ClientError) as busy:
            client.models.generate_content(model="m", contents="Hi")
        with pytest.raises(errors.ServerError) as broken:
            list(client.models.generate_content_stream(model="m", contents="Hi"))
        return [busy.value, broken.value]

    busy, broken = using(served, use)
    assert (busy.code, busy.status) == (429, "RESOURCE_EXHAUSTED")
    assert (busy.message or "").startswith("Full.")
    assert (broken.code, broken.status) == (502, "UNAVAILABLE")


def test_tokens_are_counted_and_texts_embedded() -> None:
    served = Served()

    def use(client: genai.Client) -> tuple[int | None, types.EmbedContentResponse]:
        counted = client.models.count_tokens(model="m", contents="Hi")
        config = types.EmbedContentConfig(output_dimensionality=2, task_type="RETRIEVAL_QUERY")
        embedded = client.models.embed_content(model="e", contents=["a", "b"], config=config)
        return counted.total_tokens, embedded

    tokens, embedded = using(served, use)
    assert tokens == 7
    assert [each.values for each in embedded.embeddings or ()] == [[1.0, 0.5], [1.0, 0.5]]
    wish = served.requests[1]
    assert isinstance(wish, EmbeddingsRequest)
    assert (wish.texts, wish.dimensions) == (("a", "b"), 2)


def only_googles(value: Any) -> Any:
    """Leave out the members that are ours; the rest must be Google's, to the letter."""
    ours = {"provider", "cost", "costNanousd", "costDetails", "isByok"}
    if isinstance(value, list):
        return [only_googles(each) for each in value]
    if isinstance(value, dict):
        return {name: only_googles(each) for name, each in value.items() if name not in ours}
    return value


TEXT = st.text(max_size=5)
PROOF = st.none() | st.text(min_size=1, max_size=9)
TOKENS = st.builds(TokenLogprob, token=TEXT, logprob=st.floats(max_value=0, allow_nan=False))
ANSWERS = st.builds(
    Answer,
    text=TEXT,
    refusal=TEXT,
    reasoning=st.lists(
        st.builds(
            ReasoningPart,
            text=TEXT,
            signature=PROOF,
            encrypted=PROOF,
            format=st.sampled_from([None, GOOGLE, ANTHROPIC]),
            id=st.none() | st.just("c"),
        ),
        max_size=3,
    ).map(tuple),
    tool_calls=st.lists(
        st.builds(
            ToolCall,
            id=st.sampled_from("cd"),
            name=TEXT,
            arguments=st.sampled_from(["{}", '{"a": [1e9, null]}', "", "[]", '{"a"', "x"]),
        ),
        max_size=2,
    ).map(tuple),
    logprobs=st.lists(TOKENS, max_size=2).map(tuple),
    finish=st.none() | st.sampled_from(["stop", "length", "content_filter", "error", "tool_calls"]),
    native_finish=st.none() | st.sampled_from([each.value for each in types.FinishReason]) | TEXT,
)


def events_of(answer: Answer) -> list[Event]:
    events: list[Event] = [
        ReasoningDelta(
            text=part.text,
            signature=part.signature,
            encrypted=part.encrypted,
            format=part.format,
            id=part.id,
            index=index,
        )
        for index, part in enumerate(answer.reasoning)
    ]
    events.append(TextDelta(text=answer.text, logprobs=answer.logprobs))
    for index, call in enumerate(answer.tool_calls):
        events.append(
            ToolCallDelta(index=index, id=call.id, name=call.name, arguments=call.arguments)
        )
    reason: FinishReason = answer.finish or "stop"
    return [*events, Finished(reason=reason, native=answer.native_finish)]


@settings(max_examples=150, deadline=None)
@given(ANSWERS)
def test_whatever_is_answered_has_googles_types(answer: Answer) -> None:
    bodies = [json.loads(encode_answer(answer, HEAD, BILL))]
    encoder = ChunkEncoder(HEAD, as_array=True)
    written = b"".join(map(encoder.encode, events_of(answer))) + encoder.finish(BILL)
    for body in [*bodies, *json.loads(written)]:
        types.GenerateContentResponse.model_validate(only_googles(body))
