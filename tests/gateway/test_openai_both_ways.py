from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, structs
from openai_peer import CUSTOM, HI

from glasslipper.gateway.dialects.chat import ChunkEncoder, Head, decode, encode_answer
from glasslipper.gateway.providers.openai.answer import Reading
from glasslipper.gateway.providers.openai.refusal import Refusals
from glasslipper.gateway.providers.openai.request import encode_request
from glasslipper.kernel.events import (
    Answer,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TokenLogprob,
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
    RefusalPart,
    Request,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from glasslipper.kernel.ports import Attempted

TEXT = st.text(max_size=6)
NAME = st.text(min_size=1, max_size=6)
SPOKEN = st.one_of(
    st.builds(TextPart, text=TEXT, cache=st.sampled_from([None, "5m", "1h"])),
    st.builds(ImagePart, url=NAME, detail=st.none() | NAME),
    st.builds(AudioPart, data=TEXT, format=TEXT),
    st.builds(FilePart, url=NAME, file_id=st.none() | NAME, filename=st.none() | NAME),
    st.builds(RefusalPart, text=TEXT),
)
THOUGHT = st.one_of(
    st.builds(
        ReasoningPart,
        text=NAME,
        kind=st.sampled_from(["text", "summary"]),
        signature=st.none() | NAME,
        encrypted=st.none() | NAME,
        format=st.none() | NAME,
        id=st.none() | NAME,
    ),
    st.builds(ReasoningPart, encrypted=NAME, format=st.none() | NAME, id=st.none() | NAME),
)
MESSAGES = st.one_of(
    st.builds(
        Message,
        role=st.sampled_from(["system", "developer", "user"]),
        parts=st.lists(SPOKEN, min_size=1, max_size=3).map(tuple),
        name=st.none() | NAME,
    ),
    st.builds(
        Message,
        role=st.just("tool"),
        parts=st.lists(SPOKEN, min_size=1, max_size=2).map(tuple),
        tool_call_id=NAME,
    ),
    st.builds(
        Message,
        role=st.just("assistant"),
        parts=st.tuples(st.lists(THOUGHT, max_size=2), st.lists(SPOKEN, max_size=2)).map(
            lambda both: (*both[0], *both[1])
        ),
        tool_calls=st.lists(
            st.builds(ToolCall, id=NAME, name=NAME, arguments=TEXT.filter(str.strip)), max_size=2
        ).map(tuple),
    ),
)
SHARE = st.none() | st.floats(0, 1)
SAMPLINGS = st.builds(
    Sampling,
    max_tokens=st.none() | st.integers(1, 2**31 - 1),
    temperature=st.none() | st.floats(0, 2),
    top_p=SHARE,
    min_p=SHARE,
    top_k=st.none() | st.integers(0, 100),
    seed=st.none() | st.integers(-(2**63), 2**63 - 1),
    stop=st.lists(NAME, max_size=3).map(tuple),
    frequency_penalty=st.none() | st.floats(-2, 2),
    presence_penalty=st.none() | st.floats(-2, 2),
    repetition_penalty=st.none() | st.floats(0, 2),
    logit_bias=st.none() | st.dictionaries(NAME, st.floats(-100, 100), max_size=2),
    logprobs=st.just(True),
    top_logprobs=st.none() | st.integers(0, 20),
)
SCHEMA = st.dictionaries(TEXT, st.integers() | TEXT | st.none(), max_size=3)
REQUESTS = st.builds(
    Request,
    model=NAME,
    messages=st.lists(MESSAGES, min_size=1, max_size=4).map(tuple),
    stream=st.booleans(),
    sampling=SAMPLINGS,
    tools=st.lists(
        st.builds(
            Tool,
            name=NAME,
            description=TEXT,
            parameters=SCHEMA,
            strict=st.none() | st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
    tool_choice=st.builds(ToolChoice, mode=st.sampled_from(["auto", "none"])),
    parallel_tool_calls=st.none() | st.booleans(),
    response_format=st.sampled_from([ResponseFormat(), ResponseFormat(kind="json_object")])
    | st.builds(
        ResponseFormat,
        kind=st.just("json_schema"),
        name=NAME,
        description=st.none() | TEXT,
        schema=SCHEMA,
    ),
    reasoning=st.none()
    | st.builds(
        Reasoning,
        enabled=st.none() | st.booleans(),
        effort=st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        max_tokens=st.none() | st.integers(1, 99),
        exclude=st.booleans(),
        summary=st.none() | TEXT,
    ),
    service_tier=st.none() | NAME,
    user=st.none() | TEXT,
    session_id=st.none() | TEXT,
    metadata=st.dictionaries(TEXT, TEXT, max_size=2),
    extra=st.just({"verbosity": Raw(b'"low"')}),
)


@given(REQUESTS)
@settings(max_examples=200, deadline=None)
def test_what_the_codec_writes_the_dialect_reads_back_unchanged(request: Request) -> None:
    known = structs.replace(CUSTOM, knows_developer=True)
    body = encode_request(request, provider=known, upstream_model=request.model)
    assert decode(body) == request


HEAD = Head(id="gen-1", model="m", created_s=1, provider="p")
SOME = st.text(min_size=1, max_size=5)
DELTAS = st.one_of(
    st.builds(TextDelta, text=SOME),
    st.builds(
        TextDelta,
        text=SOME,
        logprobs=st.lists(
            st.builds(TokenLogprob, token=TEXT, logprob=st.floats(-50, 0)), min_size=1, max_size=2
        ).map(tuple),
    ),
    st.builds(
        ReasoningDelta,
        text=SOME,
        kind=st.sampled_from(["text", "summary"]),
        signature=st.none() | SOME,
        format=st.none() | SOME,
        index=st.integers(0, 2),
    ),
    st.builds(RefusalDelta, text=SOME),
)
CALLS = st.lists(
    st.tuples(st.uuids().map(str), SOME, st.lists(SOME, min_size=1, max_size=3)), max_size=3
)


def call_deltas(calls: Iterable[tuple[str, str, list[str]]]) -> list[Event]:
    return [
        ToolCallDelta(
            index=index,
            id=None if at else call_id,
            name=None if at else name,
            arguments=arguments,
        )
        for index, (call_id, name, pieces) in enumerate(calls)
        for at, arguments in enumerate(pieces)
    ]


@given(
    deltas=st.lists(DELTAS, max_size=6),
    calls=CALLS,
    cuts=st.lists(st.integers(1, 400), max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_what_the_dialect_streams_the_codec_reads_back(
    deltas: list[Event], calls: list[tuple[str, str, list[str]]], cuts: list[int]
) -> None:
    finished = Finished(reason="tool_calls" if calls else "stop", native="n")
    events = [*deltas, *call_deltas(calls), finished]
    encoder = ChunkEncoder(HEAD)
    stream = b"".join([*(encoder.encode(event) for event in events), encoder.finish(None)])
    reading = Reading(Attempted(id="a", request=HI, upstream_model="m"), Refusals(CUSTOM, None))
    heard: list[Event] = []
    for size in [*cuts, len(stream)]:
        heard.extend(reading.feed(stream[:size]))
        stream = stream[size:]
    heard.extend(reading.end())
    assert reading.is_done
    expected = structs.replace(fold(events), model="m", upstream_id="gen-1")
    assert fold(heard) == expected


@given(
    st.builds(
        Answer,
        text=TEXT,
        reasoning=st.lists(THOUGHT, max_size=3).map(tuple),
        service_tier=st.sampled_from([None, "default", "flex"]),
        refusal=TEXT,
        finish=st.just("length"),
        native_finish=SOME,
        tool_calls=st.lists(
            st.builds(ToolCall, id=st.uuids().map(str), name=SOME, arguments=SOME), max_size=3
        ).map(tuple),
    )
)
@settings(max_examples=100, deadline=None)
def test_what_the_dialect_answers_the_codec_reads_back(answer: Answer) -> None:
    reading = Reading(Attempted(id="a", request=HI, upstream_model="m"), Refusals(CUSTOM, None))
    heard = [*reading.take(encode_answer(answer, HEAD, None)), *reading.end()]
    assert fold(heard) == structs.replace(answer, model="m", upstream_id="gen-1")
