from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from glasslipper.gateway.dialects.responses import Bill, Echo, EventEncoder, Head, decode
from glasslipper.kernel.errors import (
    GlasslipperError,
    StreamBroken,
    UpstreamRateLimited,
    UpstreamRefused,
)
from glasslipper.kernel.events import (
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Spent,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    fold,
)
from glasslipper.kernel.usage import Usage

HEAD = Head(id="gen-01abc", model="maker/model", created_s=1_790_000_000, provider="local")
BILL = Bill(usage=Usage(input=3, output=4), cost_nanousd=5)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def frames(stream: bytes) -> list[Any]:
    """Return the data of a stream whose frames are named as OpenAI's client expects."""
    assert stream.endswith(b"data: [DONE]\n\n")
    told: list[Any] = []
    for piece in stream.decode().removesuffix("data: [DONE]\n\n").split("\n\n")[:-1]:
        name, data = piece.split("\n")
        told.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {told[-1]['type']}"
    return told


def streamed(
    *events: Event,
    echo: Echo | None = None,
    bill: Bill | None = BILL,
    error: GlasslipperError | None = None,
) -> list[Any]:
    encoder = EventEncoder(HEAD, echo or Echo())
    stream = b"".join(encoder.encode(event) for event in events)
    stream += encoder.finish(bill) if error is None else encoder.error(error)
    told = frames(stream)
    assert told[-1]["response"] == json.loads(encoder.response)
    follow(told)
    return told


class Follower:
    """Reads a stream as a strict client would, and rebuilds the output from its pieces."""

    def __init__(self) -> None:
        self.items: dict[int, Any] = {}
        self.done: dict[int, Any] = {}
        self.parts: dict[tuple[int, str, int], str] = {}
        self.whole: dict[tuple[int, str, int], str] = {}

    def read(self, event: dict[str, Any]) -> None:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert event["output_index"] == len(self.items)
            assert event["item"]["status"] == "in_progress"
            self.items[event["output_index"]] = event["item"]
            return
        place = event["output_index"]
        assert place in self.items
        assert place not in self.done
        if kind == "output_item.done":
            self.check_item(place, event["item"])
            self.done[place] = event["item"]
            return
        assert event["item_id"] == self.items[place]["id"]
        self.read_piece(kind, place, event)

    def read_piece(self, kind: str, place: int, event: dict[str, Any]) -> None:
        what, _, step = kind.rpartition(".")
        index = event.get("content_index", event.get("summary_index", 0))
        key = (place, "summary" if "summary" in what else "content", index)
        if step == "added":
            assert key not in self.parts
            assert index == sum(other[:2] == key[:2] for other in self.parts)
            self.parts[key] = ""
        elif step == "delta":
            assert key not in self.whole
            if what == "function_call_arguments":
                self.parts.setdefault(key, "")
            self.parts[key] += event["delta"]
        elif what in ("content_part", "reasoning_summary_part"):
            assert self.whole[key] == text_of(event["part"])
        else:
            assert key not in self.whole
            self.whole[key] = text_of(event)
            assert self.parts.get(key, "") == self.whole[key]

    def check_item(self, place: int, item: dict[str, Any]) -> None:
        assert item["id"] == self.items[place]["id"]
        assert item["type"] == self.items[place]["type"]
        if item["type"] == "function_call":
            assert self.whole[place, "content", 0] == item["arguments"]
            return
        for name in ("content", "summary"):
            for index, part in enumerate(item.get(name, ())):
                assert self.whole[place, name, index] == text_of(part)
            told = sum(key[:2] == (place, name) for key in self.parts)
            assert told == len(item.get(name, ()))


def text_of(part: dict[str, Any]) -> str:
    return next(part[name] for name in ("text", "refusal", "arguments") if name in part)


def follow(told: list[Any]) -> None:
    """Hold a stream to the grammar: every strict client can read it."""
    for number, event in enumerate(told):
        EVENT.validate_python(event, strict=True)
        assert event["sequence_number"] == number
    first, second, *between, last = told
    assert (first["type"], second["type"]) == ("response.created", "response.in_progress")
    assert first["response"]["status"] == second["response"]["status"] == "in_progress"
    follower = Follower()
    for event in between:
        follower.read(event)
    response = last["response"]
    Response.model_validate(response, strict=True)
    assert last["type"] == f"response.{response['status']}"
    output = response["output"]
    assert [item["id"] for item in output] == [
        follower.items[place]["id"] for place in sorted(follower.items)
    ]
    if response["error"] is None:
        assert output == [follower.done[place] for place in range(len(output))]


def types(told: list[Any]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in told]


def test_words_stream_between_a_beginning_and_an_end() -> None:
    told = streamed(
        Started(model="other", service_tier="flex"),
        TextDelta(text="Hel"),
        TextDelta(text='lo "\n\u2028\x00'),
        Finished(reason="stop"),
        Spent(usage=Usage()),
    )
    assert types(told) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert told[6]["text"] == 'Hello "\n\u2028\x00'
    response = told[-1]["response"]
    assert response["id"] == "resp_01abc"
    assert response["service_tier"] == "flex"
    assert response["usage"]["total_tokens"] == 7
    assert told[0]["response"]["service_tier"] == "auto"


def test_an_item_ends_where_another_kind_begins_and_calls_stay_open() -> None:
    told = streamed(
        ReasoningDelta(text="hm", kind="summary"),
        ReasoningDelta(encrypted="xyz", kind="summary"),
        TextDelta(text="a"),
        ToolCallDelta(index=0, id="c1", name="f", arguments="{"),
        ToolCallDelta(index=1, id="c2", name="g", arguments="[]"),
        ToolCallDelta(index=0, arguments="}"),
        Finished(reason="tool_calls"),
    )
    assert types(told)[2:] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    thought, _message, first, second = told[-1]["response"]["output"]
    assert thought["encrypted_content"] == "xyz"
    assert (first["call_id"], first["arguments"]) == ("c1", "{}")
    assert (second["call_id"], second["arguments"]) == ("c2", "[]")


def test_refusals_and_plain_thinking_have_events_of_their_own() -> None:
    told = streamed(
        ReasoningDelta(text="hm"),
        TextDelta(text="a"),
        RefusalDelta(text="No."),
        Finished(reason="stop"),
    )
    names = types(told)
    assert names.index("reasoning_text.done") < names.index("output_text.delta")
    assert names[-5:-1] == [
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
    ]
    assert [part["type"] for part in told[-1]["response"]["output"][1]["content"]] == [
        "output_text",
        "refusal",
    ]


def test_logprobs_stream_with_their_words_and_come_again_at_the_end() -> None:
    def words(text: str) -> TextDelta:
        return TextDelta(text=text, logprobs=(TokenLogprob(token=text, logprob=-1.0),))

    told = streamed(words("a"), TextDelta(text="b"), words("c"), Finished(reason="stop"))
    deltas = [event for event in told if event["type"] == "response.output_text.delta"]
    assert [[chosen["token"] for chosen in event["logprobs"]] for event in deltas] == [
        ["a"],
        [],
        ["c"],
    ]
    done = next(event for event in told if event["type"] == "response.output_text.done")
    assert [chosen["token"] for chosen in done["logprobs"]] == ["a", "c"]


def test_a_cut_answer_is_incomplete_and_says_why() -> None:
    told = streamed(TextDelta(text="a"), Finished(reason="length"))
    assert told[-1]["type"] == "response.incomplete"
    assert told[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert told[-2]["item"]["status"] == "incomplete"


def test_an_answer_that_ends_with_an_error_failed() -> None:
    for events in ([TextDelta(text="a"), Finished(reason="error")], [TextDelta(text="a")]):
        last = streamed(*events)[-1]
        assert last["type"] == "response.failed"
        assert last["response"]["error"]["code"] == "server_error"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StreamBroken("It broke off."), "server_error"),
        (UpstreamRateLimited("Slowly.", retry_after_s=7), "rate_limit_exceeded"),
        (UpstreamRefused("It said no.", upstream_status=400), "invalid_prompt"),
    ],
)
def test_an_answer_that_broke_off_ends_its_items_nowhere(
    error: GlasslipperError, code: str
) -> None:
    told = streamed(
        TextDelta(text="a"),
        ToolCallDelta(index=0, id="c", name="f", arguments="{"),
        error=error,
    )
    assert told[-1]["type"] == "response.failed"
    assert types(told).count("output_item.done") == 1
    response = told[-1]["response"]
    assert (response["error"]["code"], response["error"]["type"]) == (code, error.slug)
    assert response["error"]["message"].startswith(error.message)
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert response["output"][1]["arguments"] == "{"


def test_a_stream_that_fails_before_it_began_is_still_a_stream() -> None:
    told = streamed(error=StreamBroken("It broke off."))
    assert types(told) == ["created", "in_progress", "failed"]


def test_whoever_does_not_want_the_thoughts_is_not_shown_them() -> None:
    asked = b'{"model":"m","input":"Hi","reasoning":{"exclude":true}}'
    told = streamed(
        ReasoningDelta(text="hm", signature="s"),
        TextDelta(text="a"),
        Finished(reason="stop"),
        echo=decode(asked).echo,
    )
    assert "hm" not in json.dumps(told)
    assert [item["type"] for item in told[-1]["response"]["output"]] == ["message"]


TEXT = st.text(max_size=4)
MAYBE = st.none() | st.text(min_size=1, max_size=4)
TOKEN = st.builds(TokenLogprob, token=TEXT, logprob=st.floats(-50, 0))
EVENTS = st.lists(
    st.one_of(
        st.builds(TextDelta, text=TEXT),
        st.builds(TextDelta, text=TEXT, logprobs=st.tuples(TOKEN)),
        st.builds(RefusalDelta, text=TEXT),
        st.builds(
            ReasoningDelta,
            text=TEXT,
            kind=st.sampled_from(["text", "summary"]),
            signature=MAYBE,
            encrypted=MAYBE,
            format=MAYBE,
            id=MAYBE,
            index=st.integers(0, 2),
        ),
        st.builds(ToolCallDelta, index=st.integers(0, 2), id=MAYBE, name=MAYBE, arguments=TEXT),
        st.builds(
            Finished,
            reason=st.sampled_from(["stop", "length", "tool_calls", "content_filter", "error"]),
        ),
        st.builds(Started, service_tier=st.sampled_from([None, "flex", "odd"])),
        st.just(Spent(usage=Usage(input=1))),
    ),
    max_size=12,
)


@given(events=EVENTS, breaks=st.booleans())
@settings(max_examples=400, deadline=None)
def test_whatever_happens_a_strict_client_can_follow(events: list[Event], *, breaks: bool) -> None:
    told = streamed(*events, error=StreamBroken("It broke off.") if breaks else None)
    answer = fold(events)
    output = told[-1]["response"]["output"]
    said = [part for item in output if item["type"] == "message" for part in item["content"]]
    assert answer.text == "".join(part.get("text", "") for part in said)
    assert answer.refusal == "".join(part.get("refusal", "") for part in said)
    calls = [item for item in output if item["type"] == "function_call"]
    assert sorted(call["arguments"] for call in calls) == sorted(
        call.arguments for call in answer.tool_calls
    )


@given(st.lists(st.text(min_size=1), min_size=2, max_size=5))
def test_any_text_survives_the_frames(texts: list[str]) -> None:
    told = streamed(*(TextDelta(text=text) for text in texts), Finished(reason="stop"))
    deltas = [event["delta"] for event in told if event["type"] == "response.output_text.delta"]
    assert deltas == texts
