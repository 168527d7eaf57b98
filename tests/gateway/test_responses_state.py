from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.gateway.dialects.responses import (
    Ask,
    EventEncoder,
    Head,
    Kept,
    decode,
    encode_answer,
    keep,
    needs,
    restore,
    resume,
)
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.events import (
    Answer,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from glasslipper.kernel.messages import Message, ReasoningPart, TextPart, ToolCall

FIRST = Head(id="gen-01aaa", model="m", created_s=1, provider="p")
SECOND = Head(id="gen-01bbb", model="m", created_s=2, provider="p")
THOUGHT = ReasoningPart(text="hm", signature="sig", format="anthropic-claude-v1")
CALL = ToolCall(id="c1", name="f", arguments="{}")


def ask(**members: object) -> Ask:
    return decode(json.dumps({"model": "m"} | members).encode())


def text(role: Any, words: str) -> Message:
    return Message(role=role, parts=(TextPart(text=words),))


def answered(asked: Ask, answer: Answer, head: Head = FIRST) -> tuple[Kept, dict[str, Any]]:
    """Return what is kept of an answer, once it has been through bytes, and the response."""
    body = encode_answer(answer, head, None, asked.echo)
    return restore(keep(asked, body).encode()), json.loads(body)


def first() -> tuple[Kept, dict[str, Any]]:
    asked = resume(ask(input="Hi", instructions="Be brief."), {})
    answer = Answer(reasoning=(THOUGHT,), text="Wait.", tool_calls=(CALL,), finish="tool_calls")
    return answered(asked, answer)


RESULT = {"type": "function_call_output", "call_id": "c1", "output": "done"}
TURN = Message(role="assistant", parts=(THOUGHT, TextPart(text="Wait.")), tool_calls=(CALL,))
TOOL = Message(role="tool", parts=(TextPart(text="done"),), tool_call_id="c1")


def test_a_request_that_continues_nothing_needs_nothing() -> None:
    asked = ask(input="Hi")
    assert needs(asked) == ()
    assert resume(asked, {}).request == asked.request


def test_a_response_is_continued_by_its_id_with_other_instructions() -> None:
    kept, response = first()
    asked = ask(input=[RESULT], previous_response_id=response["id"], instructions="Be long.")
    assert needs(asked) == ("resp_01aaa",)
    resumed = resume(asked, {"resp_01aaa": kept})
    assert resumed.request.messages == (
        text("system", "Be long."),
        text("user", "Hi"),
        TURN,
        TOOL,
    )
    again, response = answered(resumed, Answer(text="Done.", finish="stop"), SECOND)
    third = resume(ask(input="And?", previous_response_id=response["id"]), {"resp_01bbb": again})
    assert third.request.messages == (
        text("user", "Hi"),
        TURN,
        TOOL,
        text("assistant", "Done."),
        text("user", "And?"),
    )


def test_a_response_may_be_continued_without_any_input() -> None:
    kept, _response = first()
    resumed = resume(ask(previous_response_id="resp_01aaa"), {"resp_01aaa": kept})
    assert resumed.request.messages == (text("user", "Hi"), TURN)


def test_items_may_be_named_instead_of_sent() -> None:
    kept, response = first()
    named = [{"type": "item_reference", "id": item["id"]} for item in response["output"]]
    asked = ask(
        input=[{"role": "user", "content": "Hi"}, *named[:2], {"id": named[2]["id"]}, RESULT]
    )
    assert needs(asked) == ("resp_01aaa",)
    resumed = resume(asked, {"resp_01aaa": kept})
    assert resumed.request.messages == (text("user", "Hi"), TURN, TOOL)


def test_items_that_a_client_sends_back_without_what_it_does_not_know_mean_the_same() -> None:
    _kept, response = first()
    back = [
        {name: value for name, value in item.items() if name not in ("content", "status")}
        if item["type"] == "reasoning"
        else item
        for item in response["output"]
    ]
    asked = ask(input=[{"role": "user", "content": "Hi"}, *back, RESULT])
    assert asked.request.messages == (text("user", "Hi"), TURN, TOOL)


def test_a_streamed_response_is_kept_like_a_whole_one() -> None:
    asked = resume(ask(input="Hi"), {})
    encoder = EventEncoder(FIRST, asked.echo)
    for event in (
        ReasoningDelta(text="h", format="anthropic-claude-v1"),
        ReasoningDelta(text="m", signature="sig"),
        TextDelta(text="Wait."),
        ToolCallDelta(index=0, id="c1", name="f", arguments="{}"),
        Finished(reason="tool_calls"),
    ):
        encoder.encode(event)
    encoder.finish(None)
    streamed = keep(asked, encoder.response)
    whole, response = first()
    assert streamed.history == whole.history
    assert streamed.answer == whole.answer
    assert json.loads(bytes(whole.response)) == response


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"input": "x", "previous_response_id": "resp_gone"}, "$.previous_response_id"),
        ({"input": [{"type": "item_reference", "id": "msg_01ccc_0"}]}, "$.input[0].id"),
        ({"input": [{"type": "item_reference", "id": "msg_01aaa_7"}]}, "$.input[0].id"),
        ({"input": [{"type": "item_reference", "id": "theirs"}]}, "$.input[0].id"),
    ],
)
def test_what_is_not_kept_is_named(members: dict[str, Any], path: str) -> None:
    kept, _response = first()
    with pytest.raises(InvalidRequest) as caught:
        resume(ask(**members), {"resp_01aaa": kept})
    assert caught.value.param == path


@pytest.mark.parametrize(
    "damaged", [b"", b"{}", b"[]", b"\xff", b'{"history":[],"answer":[],"response":{},"version":9}']
)
def test_what_is_no_kept_response_is_a_value_error(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="kept"):
        restore(damaged)


WORD = st.text(min_size=1, max_size=4)
MAYBE = st.none() | WORD
PART = st.one_of(
    st.builds(
        ReasoningPart,
        text=WORD,
        kind=st.sampled_from(["text", "summary"]),
        signature=MAYBE,
        encrypted=MAYBE,
        format=MAYBE,
        id=MAYBE,
    ),
    st.builds(ReasoningPart, encrypted=WORD, format=MAYBE, id=MAYBE),
)


@given(parts=st.lists(PART, min_size=1, max_size=3).map(tuple), words=WORD)
@settings(max_examples=150, deadline=None)
def test_thinking_comes_back_as_it_was(parts: tuple[ReasoningPart, ...], words: str) -> None:
    asked = resume(ask(input="Hi"), {})
    answer = Answer(reasoning=parts, text=words, finish="stop")
    kept, response = answered(asked, answer)
    turn = Message(role="assistant", parts=(*parts, TextPart(text=words)))
    stored = resume(ask(previous_response_id="resp_01aaa"), {"resp_01aaa": kept})
    assert stored.request.messages[1:] == (turn,)
    assert ask(input=response["output"]).request.messages == (turn,)
