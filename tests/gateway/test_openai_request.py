from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw, structs
from openai_peer import CUSTOM, HI, HI_STREAM, KEY, OPENAI, call, chunk, row, sent, sse

from glasslipper.gateway.providers.openai.request import encode_request
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.messages import (
    Message,
    Reasoning,
    ReasoningPart,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
)


def test_the_call_carries_the_key_the_request_id_and_the_upstream_model() -> None:
    peer = call(sse(chunk({"content": "x"}, "stop"))).peer
    head = peer.heads[0].lower()
    assert head.startswith("post /v1/chat/completions http/1.1\r\n")
    assert f"\r\nauthorization: bearer {KEY}\r\n" in head
    assert "\r\nx-request-id: att-1\r\n" in head
    assert peer.bodies[0] == {
        "model": "real",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_quirks_of_the_table_shape_the_body() -> None:
    request = structs.replace(
        HI_STREAM,
        messages=(Message(role="developer", parts=(TextPart(text="d"),)), *HI.messages),
        sampling=Sampling(max_tokens=5, seed=1),
    )
    openai, mistral = sent(request), sent(request, row("mistral"))
    assert openai["max_completion_tokens"] == 5
    assert openai["messages"][0]["role"] == "developer"
    assert mistral["max_tokens"] == 5
    assert mistral["random_seed"] == 1
    assert mistral["messages"][0]["role"] == "system"
    assert "stream_options" not in mistral


def test_unknown_members_go_on_verbatim_but_routing_only_to_those_who_take_it() -> None:
    wishes = {"order": ["x"], "only": ["x"], "allow_fallbacks": False, "ignore": ["y"], "zdr": True}
    extra = {
        "verbosity": Raw(b'"low"'),
        "plugins": Raw(b"[]"),
        "provider": Raw(json.dumps(wishes).encode()),
        "route": Raw(b'"fallback"'),
    }
    request = structs.replace(HI, extra=extra, session_id="s1", models=("m2",), service_tier="flex")
    assert b'"verbosity":"low"' in encode_request(request, provider=OPENAI, upstream_model="r")
    assert set(sent(request)) == {"model", "messages", "service_tier", "verbosity"}
    assert sent(request)["service_tier"] == "flex"
    openrouter = sent(request, row("openrouter"))
    assert openrouter["provider"] == {"ignore": ["y"], "zdr": True}
    assert (openrouter["session_id"], openrouter["plugins"]) == ("s1", [])
    assert not {"models", "route"} & set(openrouter)
    named = structs.replace(HI, extra={"provider": Raw(b'{"only":["openrouter"]}')})
    assert "provider" not in sent(named, row("openrouter"))


@pytest.mark.parametrize(
    ("wish", "openai", "openrouter", "deepseek", "qwen"),
    [
        (
            Reasoning(effort="high", exclude=True, summary="auto"),
            {"reasoning_effort": "high"},
            {"reasoning": {"effort": "high", "exclude": True, "summary": "auto"}},
            {"reasoning_effort": "high"},
            {"enable_thinking": True},
        ),
        (
            Reasoning(max_tokens=2_048),
            {"reasoning_effort": "low"},
            {"reasoning": {"max_tokens": 2_048}},
            {"reasoning_effort": "low"},
            {"enable_thinking": True, "thinking_budget": 2_048},
        ),
        (
            Reasoning(max_tokens=8_192, enabled=True),
            {"reasoning_effort": "medium"},
            {"reasoning": {"enabled": True, "max_tokens": 8_192}},
            {"thinking": {"type": "enabled"}, "reasoning_effort": "medium"},
            {"enable_thinking": True, "thinking_budget": 8_192},
        ),
        (
            Reasoning(max_tokens=8_193),
            {"reasoning_effort": "high"},
            {"reasoning": {"max_tokens": 8_193}},
            {"reasoning_effort": "high"},
            {"enable_thinking": True, "thinking_budget": 8_193},
        ),
        (
            Reasoning(effort="medium"),
            {"reasoning_effort": "medium"},
            {"reasoning": {"effort": "medium"}},
            {"reasoning_effort": "medium"},
            {"enable_thinking": True, "thinking_budget": 8_192},
        ),
        (
            Reasoning(enabled=True),
            {"reasoning_effort": "medium"},
            {"reasoning": {"enabled": True}},
            {"thinking": {"type": "enabled"}},
            {"enable_thinking": True},
        ),
        (
            Reasoning(enabled=False),
            {"reasoning_effort": "none"},
            {"reasoning": {"enabled": False}},
            {"thinking": {"type": "disabled"}},
            {"enable_thinking": False},
        ),
        (Reasoning(), {}, {}, {}, {}),
        (None, {}, {}, {}, {}),
    ],
)
def test_a_wish_to_think_is_said_in_the_providers_words(
    wish: Reasoning | None,
    openai: dict[str, Any],
    openrouter: dict[str, Any],
    deepseek: dict[str, Any],
    qwen: dict[str, Any],
) -> None:
    request = structs.replace(HI, reasoning=wish)
    bare = sent(HI)
    assert sent(request) == bare | openai
    assert sent(request, CUSTOM) == bare | openrouter
    assert sent(request, row("deepseek")) == bare | deepseek
    assert sent(request, row("qwen")) == bare | qwen


def test_earlier_thinking_goes_back_in_the_form_that_the_provider_takes() -> None:
    message = Message(
        role="assistant",
        parts=(
            ReasoningPart(text="t", signature="s"),
            ReasoningPart(text="u", kind="summary", encrypted="e", id="rs", format="f"),
        ),
        tool_calls=(ToolCall(id="c", name="f", arguments="{}"),),
    )
    request = structs.replace(HI, messages=(message,))
    assert sent(request, row("openrouter"))["messages"][0]["reasoning_details"] == [
        {"index": 0, "type": "reasoning.text", "text": "t", "signature": "s"},
        {"index": 1, "type": "reasoning.summary", "summary": "u", "id": "rs", "format": "f"},
        {"index": 1, "type": "reasoning.encrypted", "data": "e", "id": "rs", "format": "f"},
    ]
    assert sent(request, row("deepseek"))["messages"][0]["reasoning_content"] == "tu"
    assert set(sent(request)["messages"][0]) == {"role", "content", "tool_calls"}


def test_what_json_cannot_hold_is_an_invalid_request() -> None:
    schema: dict[str, object] = {}
    inner = schema
    for _level in range(100_000):
        inner["a"] = inner = {}
    deep = structs.replace(HI, tools=(Tool(name="f", parameters=schema),))
    half = structs.replace(HI, user="\ud800")
    for request in (deep, half):
        with pytest.raises(InvalidRequest):
            encode_request(request, provider=OPENAI, upstream_model="r")
    while schema:
        schema = schema.pop("a")  # type: ignore[assignment]
