from __future__ import annotations

import pytest
from openai_peer import HI, call, chunk, sse, whole

from glasslipper.kernel.events import (
    Finished,
    RefusalDelta,
    Spent,
    Started,
    TextDelta,
    TokenLogprob,
)
from glasslipper.kernel.messages import ReasoningPart, ToolCall
from glasslipper.kernel.usage import Usage


def test_a_stream_becomes_events_in_order_with_usage_last() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 6,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
        "cost": 0.000123456789012,
    }
    outcome = call(
        sse(
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Hel"}),
            chunk({"content": "lo"}),
            chunk({}, "length"),
            chunk(usage=usage) | {"choices": []},
        )
    )
    spent = Usage(
        input=6, cache_read=4, output=4, reasoning=2, requests=1, reported_nanousd=123_457
    )
    assert outcome.error is None
    assert outcome.events == [
        Started(model="real", upstream_id="up-1"),
        TextDelta(text="Hel"),
        TextDelta(text="lo"),
        Finished(reason="length", native="length"),
        Spent(usage=spent),
    ]
    assert outcome.attempt.usage == spent


def test_a_whole_answer_becomes_the_same_events() -> None:
    message = {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "hm",
        "refusal": None,
        "tool_calls": [
            {"id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}},
            {"id": "b", "function": {"name": "g", "arguments": {"y": [2]}}},
            {"id": "c", "function": {"name": "h", "arguments": ""}},
        ],
    }
    outcome = call(whole(message, usage={"prompt_tokens": 3, "completion_tokens": 2}), HI)
    assert "stream" not in outcome.peer.bodies[0]
    answer = outcome.answer
    assert (answer.text, answer.reasoning) == ("Hi", (ReasoningPart(text="hm"),))
    assert answer.tool_calls == (
        ToolCall(id="a", name="f", arguments='{"x": 1}'),
        ToolCall(id="b", name="g", arguments='{"y":[2]}'),
        ToolCall(id="c", name="h", arguments="{}"),
    )
    assert (answer.finish, answer.native_finish) == ("tool_calls", "stop")
    assert answer.usage == Usage(input=3, output=2, requests=1)


def tool(index: int | None, *, arguments: object = None, **more: object) -> dict[str, object]:
    name = more.pop("name", None)
    piece: dict[str, object] = {"function": {"name": name, "arguments": arguments}} | more
    return piece if index is None else piece | {"index": index}


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [
                [tool(0, id="a", name="f", arguments="")],
                [tool(1, id="b", name="g", arguments="")],
                [tool(0, arguments='{"x"')],
                [tool(1, arguments="{}")],
                [tool(0, arguments=":1}")],
            ],
            id="interleaved by index",
        ),
        pytest.param(
            [
                [tool(0, id="a", name="f", arguments='{"x":1}')],
                [tool(0, id="b", name="g", arguments="{}")],
            ],
            id="all at index 0, told apart by id",
        ),
        pytest.param(
            [
                [tool(None, id="a", name="f", arguments='{"x":')],
                [tool(None, arguments="1}")],
                [tool(None, id="b", name="g", arguments={})],
            ],
            id="without index",
        ),
        pytest.param(
            [
                [
                    tool(None, id="a", name="f", arguments='{"x":1}'),
                    tool(None, id="b", name="g", arguments="{}"),
                ]
            ],
            id="both at once without index",
        ),
        pytest.param(
            [
                [tool(3, id="a", name="f", arguments='{"x":')],
                [tool(3, id="a", name="f", arguments="1}")],
                [tool(5, id="b", name="g", arguments=None)],
            ],
            id="odd indexes, repeated id and name, no arguments",
        ),
    ],
)
def test_tool_calls_come_together_however_they_are_cut(pieces: list[list[object]]) -> None:
    chunks = [chunk({"tool_calls": piece}) for piece in pieces]
    answer = call(sse(*chunks, chunk({}, "tool_calls"))).answer
    assert answer.tool_calls == (
        ToolCall(id="a", name="f", arguments='{"x":1}'),
        ToolCall(id="b", name="g", arguments="{}"),
    )
    assert answer.finish == "tool_calls"


def test_a_tool_call_without_an_id_gets_one() -> None:
    pieces = chunk({"tool_calls": [tool(0, name="f", arguments="{}")]})
    (made,) = call(sse(pieces, chunk({}, "tool_calls"))).answer.tool_calls
    assert made.id.startswith("call-")


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm"},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
    ],
)
def test_thinking_is_found_wherever_it_is_and_counted_once(delta: object) -> None:
    answer = call(sse(chunk(delta), chunk({"content": "yes"}, "stop"))).answer
    assert (answer.reasoning, answer.text) == ((ReasoningPart(text="hm"),), "yes")


def test_the_parts_of_the_thinking_are_kept_apart_and_whole() -> None:
    def detail(kind: str, index: int, **more: str) -> dict[str, object]:
        return {"type": f"reasoning.{kind}", "index": index, "format": "f"} | more

    pieces: list[dict[str, object]] = [
        detail("text", 0, text="h"),
        detail("text", 0, text="m"),
        detail("text", 0, signature="sig"),
        detail("encrypted", 1, data="xyz"),
        detail("summary", 2, summary="in", id="rs_1"),
        detail("summary", 2, summary=" short", id="rs_1"),
        detail("encrypted", 2, data="abc", id="rs_1"),
    ]
    streamed = [chunk({"reasoning_details": [piece]}) for piece in pieces]
    expected = (
        ReasoningPart(text="hm", signature="sig", format="f"),
        ReasoningPart(encrypted="xyz", format="f"),
        ReasoningPart(text="in short", kind="summary", encrypted="abc", format="f", id="rs_1"),
    )
    assert call(sse(*streamed, chunk({}, "stop"))).answer.reasoning == expected
    assert call(whole({"reasoning_details": pieces}), HI).answer.reasoning == expected


def test_the_service_tier_is_told_at_the_start() -> None:
    events = call(sse(chunk({"content": "x"}, "stop", service_tier="flex"))).events
    assert events[0] == Started(model="real", upstream_id="up-1", service_tier="flex")


def test_content_in_parts_refusals_and_logprobs_are_read() -> None:
    logprobs = {
        "content": [
            {
                "token": "a",
                "logprob": -0.5,
                "bytes": [97],
                "top_logprobs": [{"token": "b", "logprob": -2, "bytes": None}],
            }
        ]
    }
    first = chunk({"content": "a"})
    first["choices"][0]["logprobs"] = logprobs  # type: ignore[index]
    events = call(
        sse(
            first,
            chunk({"content": [{"type": "text", "text": "b"}]}),
            chunk({"refusal": "No."}),
            chunk({}, "stop"),
        )
    ).events
    top = (TokenLogprob(token="b", logprob=-2),)
    token = TokenLogprob(token="a", logprob=-0.5, raw=(97,), top=top)
    assert events[1:4] == [
        TextDelta(text="a", logprobs=(token,)),
        TextDelta(text="b"),
        RefusalDelta(text="No."),
    ]


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("function_call", "tool_calls"),
        ("insufficient_system_resource", "error"),
        ("something new", "stop"),
    ],
)
def test_ends_are_told_in_five_words_and_in_the_providers_own(native: str, reason: str) -> None:
    events = call(sse(chunk({"content": "x"}), chunk({}, native))).events
    assert events[-1] == Finished(reason=reason, native=native)  # type: ignore[arg-type]


def test_the_finish_comes_once_and_after_everything_that_is_still_said() -> None:
    outcome = call(
        sse(
            chunk({"content": "a"}, ""),
            chunk({}, "stop", usage={"prompt_tokens": 1, "completion_tokens": 1}),
            chunk({"content": "b"}),
            chunk({}, "length", usage={"prompt_tokens": 1, "completion_tokens": 2}),
        )
    )
    spent = Usage(input=1, output=2, requests=1)
    assert outcome.events[1:] == [
        TextDelta(text="a"),
        TextDelta(text="b"),
        Finished(reason="stop", native="stop"),
        Spent(usage=spent),
    ]
