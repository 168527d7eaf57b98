"""What our Gemini dialect writes the codec reads, and the other way round."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterable
from typing import Any

from gemini_peer import GOOGLE, HI_STREAM, KEY, MODEL, USAGE, assistant, piece, user
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from glasslipper.gateway.dialects.gemini import ChunkEncoder, Head, decode, encode_answer
from glasslipper.gateway.providers.gemini import BASE_URL
from glasslipper.gateway.providers.gemini.answer import Reading
from glasslipper.gateway.providers.gemini.refusal import Refusals
from glasslipper.gateway.providers.gemini.request import encode_request
from glasslipper.kernel.errors import (
    ContextTooLong,
    UpstreamFailed,
)
from glasslipper.kernel.events import (
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    fold,
)
from glasslipper.kernel.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Reasoning,
    ReasoningPart,
    Request,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from glasslipper.kernel.ports import Attempted

WORDS = st.text(min_size=1, max_size=5)
B64 = st.binary(min_size=1, max_size=9).map(lambda raw: base64.b64encode(raw).decode())
OBJECT = st.dictionaries(WORDS, st.integers(-9, 9) | WORDS | st.none(), max_size=2)
ARGUMENTS = OBJECT.map(json.dumps)
PICTURE = B64.map(lambda data: ImagePart(url=f"data:image/png;base64,{data}"))
SOUND = B64.map(lambda data: AudioPart(data=data, format="wav"))
PAPER = B64.map(lambda data: FilePart(url=f"data:application/pdf;base64,{data}"))
TEXT = WORDS.map(lambda words: TextPart(text=words))
THOUGHT = st.builds(ReasoningPart, text=WORDS, signature=B64, format=st.just(GOOGLE))


@st.composite
def turns(draw: st.DrawFn) -> tuple[Message, ...]:
    """A conversation as the dialect would read it: alternating, with ids that are all different."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message(role="system", parts=(draw(TEXT),)))
    messages.append(user(*draw(st.lists(TEXT | PICTURE | SOUND | PAPER, min_size=1, max_size=3))))
    for turn in range(draw(st.integers(0, 2))):
        names = draw(st.lists(WORDS, max_size=2))
        calls = tuple(
            ToolCall(id=f"call-{turn}-{at}", name=name, arguments=draw(ARGUMENTS))
            for at, name in enumerate(names)
        )
        parts: list[Any] = [*draw(st.lists(THOUGHT, max_size=2)), draw(TEXT)]
        if draw(st.booleans()):
            parts.append(ReasoningPart(encrypted=draw(B64), format=GOOGLE))
        parts.extend(
            ReasoningPart(encrypted=draw(B64), format=GOOGLE, id=call.id) for call in calls[:1]
        )
        messages.append(assistant(*parts, calls=calls))
        messages.extend(
            Message(
                role="tool",
                parts=(draw(TEXT | ARGUMENTS.map(lambda text: TextPart(text=text))),),
                tool_call_id=call.id,
                name=call.name,
            )
            for call in draw(st.permutations(calls))
        )
        messages.append(user(draw(TEXT)))
    return tuple(messages)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    names = draw(st.lists(WORDS, max_size=3, unique=True))
    tools = tuple(
        Tool(name=name, description=draw(st.text(max_size=3)), parameters=draw(OBJECT))
        for name in names
    )
    choices = [ToolChoice(), ToolChoice(mode="none"), ToolChoice(mode="required")]
    choices.extend(ToolChoice(mode="required", name=name) for name in names)
    formats = [
        ResponseFormat(),
        ResponseFormat(kind="json_object"),
        ResponseFormat(kind="json_schema", schema=draw(OBJECT)),
    ]
    thinking = [
        None,
        Reasoning(effort="low", exclude=True),
        Reasoning(effort="high"),
        Reasoning(max_tokens=9),
    ]
    share = st.none() | st.floats(0, 1)
    return Request(
        model=MODEL,
        messages=draw(turns()),
        tools=tools,
        tool_choice=draw(st.sampled_from(choices)) if tools else ToolChoice(),
        response_format=draw(st.sampled_from(formats)),
        reasoning=draw(st.sampled_from(thinking)),
        service_tier=draw(st.sampled_from([None, "flex"])),
        sampling=Sampling(
            max_tokens=draw(st.none() | st.integers(1, 99)),
            temperature=draw(st.none() | st.floats(0, 2)),
            top_p=draw(share),
            top_k=draw(st.none() | st.integers(0, 99)),
            seed=draw(st.none() | st.integers(0, 2**31 - 1)),
            stop=tuple(draw(st.lists(WORDS, max_size=2))),
            frequency_penalty=draw(share),
            presence_penalty=draw(share),
            logprobs=True,
            top_logprobs=draw(st.none() | st.integers(0, 20)),
        ),
    )


@settings(max_examples=120, deadline=None)
@given(requests())
def test_what_this_codec_asks_the_dialect_understands(request: Request) -> None:
    wire = encode_request(request, upstream_model=MODEL, base_url=BASE_URL)
    again = decode(wire, model=MODEL, stream=False)
    assert again == request
    assert encode_request(again, upstream_model=MODEL, base_url=BASE_URL) == wire


def reading() -> tuple[Reading, Attempted]:
    attempt = Attempted(id="a", request=HI_STREAM, upstream_model=MODEL)
    return Reading(attempt, Refusals(KEY)), attempt


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]


HEAD = Head(id="gen-1", model="real", created_s=1, provider="p")


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    for index in range(draw(st.integers(0, 2))):
        pieces = draw(st.lists(WORDS, min_size=1, max_size=2))
        events.extend(ReasoningDelta(text=each, format=GOOGLE, index=index) for each in pieces)
        signature = draw(B64)
        events.append(ReasoningDelta(signature=signature, format=GOOGLE, index=index))
    events.extend(TextDelta(text=words) for words in draw(st.lists(WORDS, max_size=3)))
    for index in range(draw(st.integers(0, 2))):
        call_id, arguments = f"c{index}", draw(ARGUMENTS)
        half = len(arguments) // 2
        if draw(st.booleans()):
            signed = ReasoningDelta(encrypted=draw(B64), format=GOOGLE, id=call_id, index=9 + index)
            events.append(signed)
        events.append(ToolCallDelta(index=index, id=call_id, name=draw(WORDS)))
        events.append(ToolCallDelta(index=index, arguments=arguments[:half]))
        events.append(ToolCallDelta(index=index, arguments=arguments[half:]))
    has_calls = any(isinstance(event, ToolCallDelta) for event in events)
    events.append(Finished(reason="tool_calls" if has_calls else "stop", native="STOP"))
    return events


@settings(max_examples=120, deadline=None)
@given(streams(), st.lists(st.integers(0, 10_000), max_size=6))
def test_a_stream_of_the_dialect_is_read_back_however_it_is_cut(
    events: list[Event], places: list[int]
) -> None:
    encoder = ChunkEncoder(HEAD)
    written = b"".join(map(encoder.encode, events)) + encoder.finish(None)
    reader, _attempt = reading()
    read: list[Event] = []
    for data in cut(written, places):
        read.extend(reader.feed(data))
    read.extend(reader.end())
    expected = structs.replace(
        fold(events), model="real", upstream_id="gen-1", dialect="gemini", order=()
    )
    assert structs.replace(fold(read), order=()) == expected
    reader, _attempt = reading()
    answer = [*reader.take(encode_answer(expected, HEAD, None)), *reader.end()]
    assert structs.replace(fold(answer), order=()) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 10_000), max_size=4), st.binary(max_size=3), st.integers(0, 400))
def test_damage_on_the_way_is_never_more_than_a_failed_upstream(
    places: list[int], junk: bytes, at: int
) -> None:
    chunk = piece({"text": "é", "thought": True}, {"functionCall": {"name": "f"}}, finish="STOP")
    stream = b"data: " + json.dumps(chunk | {"usageMetadata": USAGE}).encode() + b"\n\n"
    at %= len(stream)
    damaged = stream[:at] + junk + stream[at + 1 :]
    reader, _attempt = reading()
    with contextlib.suppress(UpstreamFailed, ContextTooLong):
        for data in cut(damaged, places):
            _ = list(reader.feed(data))
        _ = reader.end()
