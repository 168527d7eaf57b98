"""Answers, streams and errors as an Anthropic client reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages_asking import BILL, HEAD, assistant, content, data_of, frames

from glasslipper.gateway.dialects.messages import (
    PING,
    EventEncoder,
    encode_answer,
    encode_error,
)
from glasslipper.gateway.dialects.messages.kinds import (
    FORMAT,
)
from glasslipper.kernel.errors import (
    BudgetExhausted,
    ContextTooLong,
    Draining,
    GlasslipperError,
    InvalidRequest,
    KeyUnknown,
    ModelUnknown,
    NotPermitted,
    PayloadTooLarge,
    StreamBroken,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from glasslipper.kernel.events import (
    Answer,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    fold,
)
from glasslipper.kernel.messages import (
    ReasoningPart,
    ToolCall,
)


def test_a_whole_answer_has_thinking_before_words_before_calls() -> None:
    answer = Answer(
        text="Hello",
        reasoning=(
            ReasoningPart(text="hm", signature="c2ln", format=FORMAT),
            ReasoningPart(encrypted="ZGF0YQ", format=FORMAT),
        ),
        tool_calls=(ToolCall(id="a", name="f", arguments='{"x": 1}'),),
        finish="tool_calls",
        native_finish="tool_use",
        service_tier="priority",
    )
    told = json.loads(encode_answer(answer, HEAD, BILL))
    assert told["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZGF0YQ"},
        {"type": "text", "text": "Hello", "citations": None},
        {
            "type": "tool_use",
            "id": "a",
            "name": "f",
            "input": {"x": 1},
            "caller": {"type": "direct"},
        },
    ]
    assert told["stop_reason"] == "tool_use"
    assert told["usage"]["service_tier"] == "priority"
    assert (told["id"], told["type"], told["role"]) == ("gen-01", "message", "assistant")


def test_usage_counts_cached_tokens_apart_and_adds_up() -> None:
    usage = json.loads(encode_answer(Answer(text="x", finish="stop"), HEAD, BILL))["usage"]
    assert usage["input_tokens"] == 3
    assert usage["cache_read_input_tokens"] == 7
    assert usage["cache_creation_input_tokens"] == 3
    assert usage["cache_creation"] == {
        "ephemeral_5m_input_tokens": 2,
        "ephemeral_1h_input_tokens": 1,
    }
    assert usage["output_tokens"] == 9
    assert usage["output_tokens_details"] == {"thinking_tokens": 5}
    assert usage["cost_nanousd"] == 150_600
    assert usage["cost"] == pytest.approx(0.0001506)


@pytest.mark.parametrize(
    ("finish", "native", "reason"),
    [
        ("stop", "end_turn", "end_turn"),
        ("stop", "stop", "end_turn"),
        ("stop", "stop_sequence", "stop_sequence"),
        ("stop", "pause_turn", "pause_turn"),
        ("length", "length", "max_tokens"),
        ("length", "model_context_window_exceeded", "model_context_window_exceeded"),
        ("tool_calls", "tool_calls", "tool_use"),
        ("tool_calls", "end_turn", "tool_use"),
        ("content_filter", "SAFETY", "refusal"),
        ("error", None, None),
        (None, None, None),
    ],
)
def test_why_an_answer_ended_is_said_in_this_dialects_words(
    finish: Any, native: str | None, reason: str | None
) -> None:
    told = json.loads(encode_answer(Answer(finish=finish, native_finish=native), HEAD, BILL))
    assert told["stop_reason"] == reason
    if finish is not None:
        ended = frames(TextDelta(text="x"), Finished(reason=finish, native=native))[-2]
        assert ended["delta"]["stop_reason"] == reason


def test_the_stop_sequence_is_named_where_only_one_can_have_stopped_it() -> None:
    answer = Answer(text="x", finish="stop", native_finish="stop_sequence")
    stopped = Finished(reason="stop", native="stop_sequence")
    for stops, named in ((("A",), "A"), (("A", "B"), None), ((), None)):
        whole = json.loads(encode_answer(answer, HEAD, BILL, stops=stops))
        assert whole["stop_sequence"] == named
        assert frames(stopped, stops=stops)[-2]["delta"]["stop_sequence"] == named
    other = json.loads(encode_answer(Answer(finish="stop"), HEAD, BILL, stops=("A",)))
    assert other["stop_sequence"] is None


def test_a_refusal_is_text_and_says_that_it_is_one() -> None:
    told = json.loads(encode_answer(Answer(refusal="No.", finish="stop"), HEAD, BILL))
    assert told["content"][0]["text"] == "No."
    assert told["stop_reason"] == "refusal"
    streamed = frames(RefusalDelta(text="No."), Finished(reason="stop"))
    assert content(streamed)[0]["text"] == "No."
    assert streamed[-2]["delta"]["stop_reason"] == "refusal"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [("", {}), ('{"a":1}', {"a": 1}), ("[1]", None), ('{"a":', None)],
)
def test_arguments_that_are_no_object_are_shown_as_they_came(arguments: str, shown: Any) -> None:
    answer = Answer(
        tool_calls=(ToolCall(id="a", name="f", arguments=arguments),), finish="tool_calls"
    )
    (block,) = json.loads(encode_answer(answer, HEAD, BILL))["content"]
    assert block["input"] == ({"unparsed_arguments": arguments} if shown is None else shown)


def test_a_stream_opens_grows_and_closes_its_blocks() -> None:
    told = frames(
        Started(model="up", service_tier="standard"),
        ReasoningDelta(text="h", format=FORMAT),
        ReasoningDelta(text="m", format=FORMAT),
        ReasoningDelta(signature="c2ln", format=FORMAT),
        TextDelta(text="Hel"),
        TextDelta(text="lo\n"),
        ToolCallDelta(index=0, id="a", name="f"),
        ToolCallDelta(index=0, arguments='{"x":'),
        ToolCallDelta(index=0, arguments="1}"),
        Finished(reason="tool_calls", native="tool_use"),
    )
    assert [frame["type"] for frame in told] == [
        "message_start",
        *("content_block_start", "content_block_delta", "content_block_delta"),
        *("content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta"),
        "content_block_stop",
        *("content_block_start", "content_block_delta", "content_block_delta"),
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    opening = told[0]["message"]
    assert opening["usage"]["input_tokens"] == 0
    assert opening["usage"]["service_tier"] == "standard"
    assert told[-2]["usage"]["input_tokens"] == 3
    assert told[-2]["usage"]["output_tokens"] == 9
    thinking, text, call = content(told)
    assert (thinking["thinking"], thinking["signature"]) == ("hm", "c2ln")
    assert text["text"] == "Hello\n"
    assert (call["id"], call["name"], call["input"]) == ("a", "f", {"x": 1})


def test_a_call_is_closed_as_soon_as_it_is_whole_and_the_next_begins() -> None:
    encoder = EventEncoder(HEAD)
    encoder.encode(ToolCallDelta(index=0, id="a", name="f", arguments='{"x":1}'))
    second = encoder.encode(ToolCallDelta(index=1, id="b", name="g"))
    assert second.index(b"content_block_stop") < second.index(b"content_block_start")


def test_interleaved_calls_arrive_whole() -> None:
    told = frames(
        ToolCallDelta(index=0, id="a", name="f"),
        ToolCallDelta(index=1, id="b", name="g", arguments='{"y"'),
        ToolCallDelta(index=0, arguments='{"x":1}'),
        ToolCallDelta(index=2, id="c", name="h"),
        ToolCallDelta(index=1, arguments=":2}"),
        ToolCallDelta(index=2, arguments="{}"),
        Finished(reason="tool_calls"),
    )
    assert [block["input"] for block in content(told)] == [{"x": 1}, {"y": 2}, {}]


def test_a_stream_that_says_nothing_is_still_a_message() -> None:
    told = frames(Finished(reason="stop"), bill=None)
    assert [frame["type"] for frame in told] == ["message_start", "message_delta", "message_stop"]
    assert "cost" not in told[1]["usage"]


def test_a_stream_that_breaks_ends_with_the_error_and_nothing_else() -> None:
    encoder = EventEncoder(HEAD)
    encoder.encode(TextDelta(text="Hel"))
    frame = encoder.error(StreamBroken("It broke off."))
    told = data_of(frame.decode().removesuffix("\n\n"))
    assert told["type"] == "error"
    assert told["error"]["type"] == "api_error"
    assert told["error"]["code"] == "stream_broken"
    assert told["request_id"] == "gen-01"


def test_pieces_that_say_nothing_open_no_block() -> None:
    told = frames(
        TextDelta(text=""),
        ReasoningDelta(),
        ReasoningDelta(format=FORMAT),
        ToolCallDelta(index=0, id="a", name="f", arguments="{}"),
        TextDelta(text="x"),
        ToolCallDelta(index=0, arguments=" "),
        Finished(reason="stop"),
    )
    assert [block["type"] for block in content(told)] == ["tool_use", "text"]


def test_a_ping_is_an_event() -> None:
    assert data_of(PING.decode().removesuffix("\n\n")) == {"type": "ping"}


WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
NAMES = st.none() | st.sampled_from([FORMAT, "openai-responses-v1", "google-gemini-v1"])
THOUGHTS = st.builds(
    ReasoningPart,
    text=WORDS,
    kind=st.sampled_from(["text", "summary"]),
    signature=st.none() | st.sampled_from(["c2ln", "x.y", "glasslipper.1.x"]),
    encrypted=st.none() | st.just("ZW5j"),
    format=NAMES,
    id=st.none() | st.just("rs_1"),
).filter(lambda part: bool(part.text or part.signature or part.encrypted))


def kept(part: ReasoningPart) -> ReasoningPart:
    """A part without proof belongs to nobody."""
    if part.signature is None and part.encrypted is None and part.id is None:
        if part.kind == "text":
            return ReasoningPart(text=part.text)
    return part


@given(st.lists(THOUGHTS, max_size=3))
def test_whose_thinking_it_is_survives_a_turn_at_the_client(parts: list[ReasoningPart]) -> None:
    answer = Answer(reasoning=tuple(parts), text="x", finish="stop")
    told = json.loads(encode_answer(answer, HEAD, BILL))["content"]
    back = assistant(*told)
    assert back.parts[:-1] == tuple(map(kept, parts))


@given(st.lists(THOUGHTS, max_size=3))
def test_whose_streamed_thinking_it_is_survives_too(parts: list[ReasoningPart]) -> None:
    events: list[Event] = []
    for index, part in enumerate(parts):
        told: Any = {"kind": part.kind, "format": part.format, "id": part.id, "index": index}
        if part.text:
            events += [ReasoningDelta(text=letter, **told) for letter in part.text]
        if part.signature or part.encrypted:
            events.append(
                ReasoningDelta(signature=part.signature, encrypted=part.encrypted, **told)
            )
    back = assistant(*content(frames(*events, TextDelta(text="x"), Finished(reason="stop"))))
    assert back.parts[:-1] == tuple(map(kept, fold(events).reasoning))


@pytest.mark.parametrize("sealed", ["glasslipper.1.", "glasslipper.1.!", "glasslipper.1.W10="])
def test_a_seal_that_is_not_ours_is_taken_for_anthropics(sealed: str) -> None:
    message = assistant(
        {"type": "thinking", "thinking": "t", "signature": sealed},
        {"type": "redacted_thinking", "data": sealed},
    )
    assert message.parts == (
        ReasoningPart(text="t", signature=sealed, format=FORMAT),
        ReasoningPart(encrypted=sealed, format=FORMAT),
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequest("x", param="$.a"), "invalid_request_error"),
        (ContextTooLong("x"), "invalid_request_error"),
        (PayloadTooLarge("x"), "request_too_large"),
        (KeyUnknown("x"), "authentication_error"),
        (NotPermitted("x"), "permission_error"),
        (ModelUnknown("x"), "not_found_error"),
        (BudgetExhausted("x", left_nanousd=5), "billing_error"),
        (UpstreamRateLimited("x", retry_after_s=3), "rate_limit_error"),
        (UpstreamRefused("x", upstream_status=529), "overloaded_error"),
        (UpstreamRefused("x", upstream_status=400), "invalid_request_error"),
        (UpstreamRefused("x", upstream_status=500), "api_error"),
        (UpstreamTimeout("x"), "timeout_error"),
        (Draining("x"), "overloaded_error"),
        (GlasslipperError("x"), "api_error"),
    ],
)
def test_errors_have_anthropics_shape_and_our_slug(error: GlasslipperError, kind: str) -> None:
    told = json.loads(encode_error(error, request_id="gen-01"))
    assert told["type"] == "error"
    assert told["request_id"] == "gen-01"
    assert told["error"]["type"] == kind
    assert told["error"]["code"] == error.slug
    assert error.hint in told["error"]["message"]
    assert told["error"]["param"] == error.param
