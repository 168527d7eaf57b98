from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.dialects.messages import (
    PING,
    EventEncoder,
    count_tokens,
    decode,
    encode_answer,
    encode_count,
    encode_error,
)
from glasslipper.gateway.dialects.messages.kinds import (
    FORMAT,
    MessagesReasoning,
    MessagesRequest,
    MessagesResult,
    MessagesText,
)
from glasslipper.kernel.errors import (
    BadJSON,
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
    Unsupported,
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
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
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


# What is read.


def test_a_small_request_decodes() -> None:
    assert decode(ask()) == MessagesRequest(
        model="maker/model",
        messages=(Message(role="user", parts=(TextPart(text="Hi"),)),),
        sampling=Sampling(max_tokens=9000),
    )


def test_every_setting_has_its_place() -> None:
    request = decode(
        ask(
            stream=True,
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            stop_sequences=["A", "B"],
            metadata={"user_id": "u1"},
            service_tier="standard_only",
            session_id="s1",
            models=["a", "maker/model", "b", "a"],
        )
    )
    assert request.stream
    assert request.sampling == Sampling(
        max_tokens=9000, temperature=0.5, top_p=0.9, top_k=40, stop=("A", "B")
    )
    assert request.user == "u1"
    assert request.service_tier == "standard_only"
    assert request.session_id == "s1"
    assert request.models == ("a", "b")
    assert not request.extra


def test_the_system_prompt_comes_first_with_its_cache_marks() -> None:
    blocks = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "b", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]
    system = decode(ask(system=blocks)).messages[0]
    assert system == Message(
        role="system", parts=(TextPart(text="a", cache="5m"), TextPart(text="b", cache="1h"))
    )
    assert decode(ask(system="s")).messages[0].text == "s"
    assert decode(ask(system="")).messages[0].role == "user"


def test_pictures_and_documents_decode() -> None:
    (message,) = user(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {
            "type": "document",
            "title": "T",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"},
        },
        {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "words"},
        },
    )
    text = base64.b64encode(b"words").decode()
    assert message.parts == (
        ImagePart(url="data:image/png;base64,AA"),
        ImagePart(url="https://x/y.png"),
        FilePart(url="data:application/pdf;base64,AA", filename="T"),
        FilePart(url="https://x/y.pdf"),
        FilePart(file_id="file_1"),
        FilePart(url=f"data:text/plain;base64,{text}"),
    )


def test_several_tool_results_become_tool_messages_in_order() -> None:
    messages = user(
        {"type": "tool_result", "tool_use_id": "a", "content": "1"},
        {
            "type": "tool_result",
            "tool_use_id": "b",
            "content": [{"type": "text", "text": "2"}],
            "is_error": True,
        },
        {"type": "tool_result", "tool_use_id": "c"},
        {"type": "text", "text": "and now?"},
    )
    assert messages == (
        Message(role="tool", tool_call_id="a", parts=(TextPart(text="1"),)),
        MessagesResult(role="tool", tool_call_id="b", parts=(TextPart(text="2"),), is_error=True),
        Message(role="tool", tool_call_id="c"),
        Message(role="user", parts=(TextPart(text="and now?"),)),
    )


def test_thinking_keeps_its_signature_and_what_is_hidden_stays_hidden() -> None:
    message = assistant(
        {"type": "thinking", "thinking": "t", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "thinking", "thinking": "another model's", "signature": ""},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"n": 1.50}},
    )
    assert message.parts == (
        ReasoningPart(text="t", signature="c2ln", format=FORMAT),
        ReasoningPart(encrypted="ZGF0YQ==", format=FORMAT),
        ReasoningPart(text="another model's"),
    )
    (call,) = message.tool_calls
    assert json.loads(call.arguments) == {"n": 1.5}


def test_arguments_are_kept_letter_for_letter() -> None:
    body = ask(messages="MESSAGES").replace(
        b'"MESSAGES"',
        b'[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f",'
        b'"input":{"b": 1.50,  "a":12345678901234567890}}]}]',
    )
    (message,) = decode(body).messages
    assert message.tool_calls[0].arguments == '{"b": 1.50,  "a":12345678901234567890}'


def test_tools_and_the_choice_among_them_decode() -> None:
    tools = [FUNCTION | {"description": "d", "strict": True, "type": "custom"}]
    chosen = {"type": "tool", "name": "f", "disable_parallel_tool_use": True}
    request = decode(ask(tools=tools, tool_choice=chosen))
    assert request.tools == (
        Tool(name="f", description="d", parameters={"type": "object"}, strict=True),
    )
    assert request.tool_choice == ToolChoice(mode="required", name="f")
    assert request.parallel_tool_calls is False
    for word, mode in (("auto", "auto"), ("any", "required"), ("none", "none")):
        assert decode(ask(tools=tools, tool_choice={"type": word})).tool_choice.mode == mode


def test_wishes_to_think_decode() -> None:
    def wish(**members: object) -> MessagesReasoning | None:
        reasoning = decode(ask(**members)).reasoning
        assert reasoning is None or isinstance(reasoning, MessagesReasoning)
        return reasoning

    assert wish() is None
    enabled = wish(thinking={"type": "enabled", "budget_tokens": 2000})
    assert enabled is not None
    assert (enabled.enabled, enabled.max_tokens) == (True, 2000)
    adaptive = wish(thinking={"type": "adaptive"}, output_config={"effort": "xhigh"})
    assert adaptive is not None
    assert (adaptive.enabled, adaptive.max_tokens, adaptive.effort) == (True, None, "xhigh")
    disabled = wish(thinking={"type": "disabled"})
    assert disabled is not None
    assert disabled.enabled is False


def test_a_schema_for_the_answer_decodes() -> None:
    output = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert decode(ask(output_config=output)).response_format == ResponseFormat(
        kind="json_schema", schema={"type": "object"}, strict=True
    )


def test_unknown_members_and_routing_travel_on_as_they_came() -> None:
    request = decode(
        ask(
            provider={"order": ["x"]},
            context_management={"edits": []},
            inference_geo=None,
            fallbacks=[{"model": "b"}, {"model": "c"}],
        )
    )
    assert request.models == ("b", "c")
    extra = {name: json.loads(bytes(raw)) for name, raw in request.extra.items()}
    assert extra == {"provider": {"order": ["x"]}, "context_management": {"edits": []}}


def test_betas_come_from_the_header_and_only_what_may_stand_in_one() -> None:
    request = decode(ask(), betas="files-api-2025-04-14, bad beta,x\r\ny:z,context-1m")
    assert isinstance(request, MessagesRequest)
    assert request.betas == ("files-api-2025-04-14", "context-1m")


def test_a_request_to_count_needs_no_limit_of_the_answer() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "system": "s"}
    request = count_tokens(json.dumps(body).encode())
    assert [message.role for message in request.messages] == ["system", "user"]
    assert json.loads(encode_count(7)) == {"input_tokens": 7}


def test_instructions_may_stand_between_turns() -> None:
    block = {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}
    messages = turns(
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "a"},
        {"role": "system", "content": [block]},
    )
    assert messages[1:] == (
        Message(role="system", parts=(TextPart(text="a"),)),
        Message(role="system", parts=(TextPart(text="b", cache="5m"),)),
    )


def test_what_was_cited_is_kept_with_the_words() -> None:
    cited = [{"type": "char_location", "cited_text": "x"}]
    (part,) = assistant({"type": "text", "text": "a", "citations": cited}).parts
    assert isinstance(part, MessagesText)
    assert part.more == {"citations": cited}


# What is refused.


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"max_tokens": None}, "$.max_tokens"),
        ({"max_tokens": -1}, "$.max_tokens"),
        ({"messages": []}, "$.messages"),
        ({"temperature": 1.5}, "$.temperature"),
        ({"stop_sequences": [""]}, "$.stop_sequences[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "$.messages[0].role"),
        ({"messages": [{"role": "user"}]}, "$.messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "$.messages[0].content"),
        ({"tools": [{"name": "f"}]}, "$.tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "$.tools[0].name"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "tool"}}, "$.tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "$.tool_choice"),
        ({"thinking": {"type": "enabled"}}, "$.thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9000}}, "$.thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 12}}, "$.thinking.budget_tokens"),
        ({"models": ["a"], "fallbacks": [{"model": "b"}]}, "$.fallbacks"),
        ({"fallbacks": [{"model": "b"}] * 4}, "$.fallbacks"),
        ({"fallbacks": [{"model": "b", "max_tokens": 1}]}, "$.fallbacks[0]"),
        ({"provider": {"sort": "beauty"}}, "$.provider.sort"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(members: dict[str, object], param: str) -> None:
    assert refused(ask(**members)).param == param


def test_a_missing_limit_is_named() -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}]}).encode()
    error = refused(body)
    assert error.param == "$.max_tokens"
    assert "required" in error.message


@pytest.mark.parametrize(
    ("role", "block"),
    [
        ("user", {"type": "tool_use", "id": "a", "name": "f", "input": {}}),
        ("user", {"type": "thinking", "thinking": "t", "signature": "s"}),
        ("assistant", {"type": "tool_result", "tool_use_id": "a"}),
        ("system", {"type": "tool_result", "tool_use_id": "a"}),
    ],
)
def test_a_block_in_the_wrong_role_is_refused(role: str, block: object) -> None:
    error = refused(ask(messages=[{"role": role, "content": [block]}]))
    assert error.param == "$.messages[0].content[0].type"


def test_what_only_the_provider_can_run_is_unsupported() -> None:
    tool = refused(ask(tools=[{"type": "web_search_20250305", "name": "web_search"}]))
    assert isinstance(tool, Unsupported)
    assert tool.param == "$.tools[0].type"
    used = {"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}}
    block = refused(ask(messages=[{"role": "assistant", "content": [used]}]))
    assert isinstance(block, Unsupported)
    assert block.param == "$.messages[0].content[0].type"
    picture = {"type": "image", "source": {"type": "file", "file_id": "x"}}
    file = refused(ask(messages=[{"role": "user", "content": [picture]}]))
    assert isinstance(file, Unsupported)
    assert file.param == "$.messages[0].content[0].source"


def test_arguments_that_are_no_object_are_refused() -> None:
    block = {"type": "tool_use", "id": "a", "name": "f", "input": "text"}
    error = refused(ask(messages=[{"role": "assistant", "content": [block]}]))
    assert error.param == "$.messages[0].content[0].input"


def test_arguments_that_are_not_utf8_are_bad_json() -> None:
    body = ask(
        messages=[
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": "BAD"}}],
            }
        ]
    ).replace(b"BAD", b"\xff")
    assert isinstance(refused(body), BadJSON)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
BLOCK_MEMBERS = ("text", "source", "id", "name", "input", "content", "thinking", "signature")
BLOCKS = st.dictionaries(st.sampled_from(BLOCK_MEMBERS), JSON, max_size=4).flatmap(
    lambda members: st.sampled_from(
        ["text", "image", "document", "tool_use", "tool_result", "thinking", "x"]
    ).map(lambda kind: members | {"type": kind})
)
TURNS = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "system"]) | JSON,
            "content": st.lists(BLOCKS, max_size=3) | JSON,
        }
    ),
    max_size=3,
)
MEMBERS = sorted(
    "max_tokens system stream tools tool_choice thinking output_config metadata temperature "
    "stop_sequences models fallbacks provider session_id service_tier odd".split()
)


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4), TURNS | JSON)
@settings(max_examples=150)
def test_whatever_is_sent_only_invalid_requests_are_raised(members: Any, messages: Any) -> None:
    for read in (decode, count_tokens):
        with contextlib.suppress(InvalidRequest):
            assert read(ask(messages=messages, **members)).messages


@given(st.binary(max_size=60) | st.binary(max_size=20).map(lambda raw: b'{"messages":[' + raw))
def test_whatever_bytes_are_sent_only_invalid_requests_are_raised(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode(body)


@pytest.mark.parametrize("deep", [b'{"a":' * 100_000, b"[" * 100_000])
def test_a_body_nested_too_deeply_is_refused(deep: bytes) -> None:
    for body in (deep, b'{"model":"m","max_tokens":1,"messages":' + deep):
        with pytest.raises(InvalidRequest):
            decode(body)


# What is written.


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


# Errors.


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
