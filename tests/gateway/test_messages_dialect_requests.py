"""Requests in Anthropic's words: what they mean, and what is refused."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages_asking import FUNCTION, ask, assistant, refused, turns, user

from glasslipper.gateway.dialects.messages import (
    count_tokens,
    decode,
    encode_count,
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
    InvalidRequest,
)
from glasslipper.kernel.messages import (
    AsidePart,
    FilePart,
    ImagePart,
    Message,
    Need,
    ReasoningPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolChoice,
)


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


def test_what_only_anthropic_can_be_told_is_named_with_its_place() -> None:
    tools = [FUNCTION, {"type": "web_search_20250305", "name": "web_search"}]
    request = decode(ask(tools=tools))
    assert request.needs == Need(
        dialect="messages", path="$.tools[1].type", what="web_search_20250305"
    )
    assert [(tool.name, tool.place) for tool in request.hosted] == [("web_search", 1)]
    picture = {"type": "image", "source": {"type": "file", "file_id": "x"}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [picture]}
    for block, path in ((picture, "content[0]"), (result, "content[0].content[0]")):
        request = decode(ask(messages=[{"role": "user", "content": [block]}]))
        assert request.needs is not None
        assert (request.needs.path, request.needs.what) == (
            f"$.messages[0].{path}.type",
            "image.file",
        )


def test_what_tools_of_anthropics_did_earlier_binds_nobody() -> None:
    used = {"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}}
    request = decode(ask(messages=[{"role": "assistant", "content": [used]}]))
    assert request.needs is None
    (part,) = request.messages[0].parts
    assert isinstance(part, AsidePart)
    assert json.loads(bytes(part.raw)) == used


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
