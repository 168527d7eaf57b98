"""Bodies that nobody in their right mind sends: good ones of every endpoint, ruined at random.

Strategies for hypothesis. Knows the endpoints, and nothing of what becomes of the bodies.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

_SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Rom", "Paris"]},
        "days": {"type": "integer"},
    },
    "required": ["city"],
}
_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)
_LATER = "2030-01-01T00:00:00Z"
_ARGUMENTS = '{"city": "Rom"}'

CHAT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "What is that?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": _ARGUMENTS}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "user", "content": "And now?"},
    ],
    "tools": [{"type": "function", "function": {"name": "look", "parameters": _SCHEMA}}],
    "tool_choice": "auto",
    "response_format": {
        "type": "json_schema", "json_schema": {"name": "place", "schema": _SCHEMA, "strict": True},
    },
    "reasoning": {"effort": "low", "exclude": False},
    "provider": {"order": ["custom"], "sort": "price", "max_price": {"prompt": 5}},
    "models": ["fuzz/second"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.5, "top_p": 0.9, "seed": 7, "n": 1, "max_tokens": 40, "stop": ["\n\n"],
    "logit_bias": {"50256": -100}, "logprobs": True, "top_logprobs": 2,
    "metadata": {"team": "fuzz"}, "session_id": "s-1", "user": "u-1",
}  # fmt: skip

RESPONSES: dict[str, Any] = {
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": [
            {"type": "input_text", "text": "What is that?"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{_PIXEL}"},
        ]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": _ARGUMENTS},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {"role": "user", "content": "And now?"},
    ],
    "tools": [{"type": "function", "name": "look", "parameters": _SCHEMA, "strict": False}],
    "tool_choice": "auto",
    "text": {"format": {"type": "json_schema", "name": "place", "schema": _SCHEMA}},
    "reasoning": {"effort": "low", "summary": "auto"},
    "stream": True, "store": False, "temperature": 0.5, "max_output_tokens": 40,
    "metadata": {"team": "fuzz"}, "include": ["reasoning.encrypted_content"],
}  # fmt: skip

MESSAGES: dict[str, Any] = {
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "What is that?"},
            {"type": "image",
             "source": {"type": "base64", "media_type": "image/png", "data": _PIXEL}},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbg=="},
            {"type": "tool_use", "id": "c1", "name": "look", "input": {"city": "Rom"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "sunny", "is_error": False},
        ]},
    ],
    "tools": [{"name": "look", "description": "Look.", "input_schema": _SCHEMA}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "max_tokens": 2048, "stream": True, "temperature": 1.0, "stop_sequences": ["END"],
    "metadata": {"user_id": "u-1"},
}  # fmt: skip

GEMINI: dict[str, Any] = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [
            {"text": "What is that?"},
            {"inlineData": {"mimeType": "image/png", "data": _PIXEL}},
        ]},
        {"role": "model", "parts": [
            {"functionCall": {"name": "look", "args": {"city": "Rom"}}, "thoughtSignature": "c2ln"},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "look", "response": {"sky": "sunny"}}},
        ]},
    ],
    "tools": [{"functionDeclarations": [{"name": "look", "parametersJsonSchema": _SCHEMA}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}},
    "generationConfig": {
        "temperature": 0.5, "maxOutputTokens": 40, "candidateCount": 1, "stopSequences": ["END"],
        "responseMimeType": "application/json", "responseJsonSchema": _SCHEMA,
        "thinkingConfig": {"thinkingBudget": 100, "includeThoughts": True},
    },
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
}  # fmt: skip


class Door(Struct, frozen=True, kw_only=True):
    """An endpoint: where it is, what a good body is, and which dialect its answers speak."""

    path: str
    good: dict[str, Any]
    dialect: str = ""
    method: str = "POST"
    names_model: bool = False
    """Whether the body says which model, and not the path."""


def doors(model: str) -> tuple[Door, ...]:
    """Return every endpoint that takes a body; those with a model name it in the path or body."""
    at = f"/v1beta/models/{model}"
    said = {"content": {"parts": [{"text": "A text."}]}}
    return (
        Door(path="/v1/chat/completions", good=CHAT, dialect="chat", names_model=True),
        Door(path="/v1/responses", good=RESPONSES, dialect="responses", names_model=True),
        Door(path="/v1/messages", good=MESSAGES, dialect="messages", names_model=True),
        Door(path=f"{at}:streamGenerateContent?alt=sse", good=GEMINI, dialect="gemini"),
        Door(path=f"{at}:streamGenerateContent", good=GEMINI, dialect="gemini"),
        Door(path=f"{at}:generateContent", good=GEMINI),
        Door(path="/v1/completions", dialect="completions", names_model=True,
             good={"prompt": ["Once"], "max_tokens": 9, "stream": True, "echo": False}),
        Door(path="/v1/embeddings", names_model=True,
             good={"input": ["a", "b"], "dimensions": 8, "encoding_format": "float"}),
        Door(path="/v1/messages/count_tokens", good=_without(MESSAGES, "stream", "max_tokens"),
             names_model=True),
        Door(path=f"{at}:countTokens", good={"contents": GEMINI["contents"]}),
        Door(path=f"{at}:embedContent", good=said),
        Door(path=f"{at}:batchEmbedContents",
             good={"requests": [{"model": f"models/{model}", **said}]}),
        Door(path="/api/v1/keys", good={"name": "k", "limit": 1.5, "labels": {"a": "b"},
                                        "limit_reset": "daily", "expires_at": _LATER}),
        Door(path="/api/v1/key/sessions", good={"ttl_s": 60, "name": "s", "limit_nanousd": 5}),
        Door(path="/api/v1/generation/feedback", good={"session_id": "s-1", "reward": 0.5,
                                                       "metadata": {"by": "fuzz"}}),
        Door(path="/api/v1/keys/none", method="PATCH", good={"name": "x", "disabled": True}),
    )  # fmt: skip


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


_NUMBERS = st.sampled_from(
    [0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**400, 1e308, -0.0, 5e-324, 0.1]
) | st.sampled_from([math.nan, math.inf, -math.inf])
_STRINGS = st.text(max_size=30) | st.sampled_from(
    ["", "\x00", "\ud800", "\u2028", "🦊" * 40, "x" * 70_000, "data: [DONE]\n\n", "null", "../..",
     "data:image/png;base64,%%%", "data:,", "https://127.0.0.1:1/x.png", "{", '{"a":', "\r\n"]
)  # fmt: skip
_SCALARS = st.none() | st.booleans() | _NUMBERS | _STRINGS
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_STRINGS, inner, max_size=3),
    max_leaves=6,
)
_NEEDED = ("model", "messages", "input", "contents", "prompt", "max_tokens", "name", "ttl_s")
"""Members that are left out by rare ruin only, for nothing else of the body matters then."""

_OPERATIONS = (
    "alike",
    "alike",
    "alike",
    "replace",
    "drop",
    "double",
    "wrap",
    "rename",
    "add",
    "swap",
    "deepen",
)


def bodies(door: Door, models: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Return bodies for a door: mostly ruined JSON, sometimes ruined bytes."""
    ruined = _ruined(door, models)
    ways = [*["ruined"] * 12, "ruined bytes", "bytes", "JSON"]
    kinds = {
        "ruined": ruined,
        "ruined bytes": ruined.flatmap(_ruined_bytes),
        "bytes": st.binary(max_size=200),
        "JSON": _VALUES.map(_encode),
    }
    return st.sampled_from(ways).flatmap(kinds.__getitem__)


@st.composite
def _ruined(draw: st.DrawFn, door: Door, models: st.SearchStrategy[str]) -> bytes:
    body = copy.deepcopy(door.good)
    if door.names_model:
        body["model"] = draw(models)
    for name in draw(st.lists(st.sampled_from(sorted(body)), max_size=6, unique=True)):
        if name not in _NEEDED:
            del body[name]
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 4]))):
        _ruin(draw, body)
    return _encode(body)


def _ruin(draw: st.DrawFn, body: dict[str, Any]) -> None:
    """Change one place of a body."""
    places = list(_places(body))
    if not places:
        return
    holder, key = draw(st.sampled_from(places))
    _change(draw, holder, key, places)


def _change(draw: st.DrawFn, holder: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    value = holder[key]
    match draw(st.sampled_from(_OPERATIONS)):
        case "alike":
            holder[key] = draw(_alike(value))
        case "replace":
            holder[key] = draw(_VALUES)
        case "drop":
            del holder[key]
        case "double" if isinstance(holder, list):
            holder.extend([copy.deepcopy(value)] * draw(st.integers(1, 40)))
        case "wrap":
            holder[key] = [value] if draw(st.booleans()) else {"value": value}
        case "rename" if isinstance(holder, dict):
            holder[draw(_STRINGS)] = holder.pop(key)
        case "add" if isinstance(holder, dict):
            holder[draw(_STRINGS)] = draw(_VALUES)
        case "swap":
            other, name = draw(st.sampled_from(places))
            holder[key] = copy.deepcopy(other[name]) if name in _keys(other) else None
        case _:
            for _ in range(draw(st.sampled_from([2, 20, 120]))):
                value = {"a": [value]}
            holder[key] = value


def _alike(value: object) -> st.SearchStrategy[Any]:
    """Return values of the same JSON type."""
    match value:
        case bool():
            return st.booleans()
        case int() | float():
            return _NUMBERS
        case str():
            return _STRINGS
        case list():
            return st.permutations([*value, *value[:1]])
        case dict():
            return st.fixed_dictionaries({}, optional={k: st.just(v) for k, v in value.items()})
        case _:
            return _VALUES


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _places(value: Any) -> Any:
    for key in list(_keys(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()


_CUTS: tuple[Callable[[bytes, int, bytes], bytes], ...] = (
    lambda body, at, _: body[:at],
    lambda body, at, new: body[:at] + new + body[at:],
    lambda body, at, new: body[:at] + new + body[at + len(new) :],
    lambda body, at, _: b"\xef\xbb\xbf" + body,
    lambda body, at, _: body + body[at:],
    lambda body, at, _: body[:at] + b'[{"a":' * 20_000 + body[at:],
    lambda body, at, _: b'{"model": "fuzz/first", "messages": ' + b"[" * 20_000,
    lambda body, at, _: body.decode().encode("utf-16"),
    lambda body, at, _: body.replace(b'": ', b'": 1, "stream": ', 1),
)


@st.composite
def _ruined_bytes(draw: st.DrawFn, body: bytes) -> bytes:
    change = draw(st.sampled_from(_CUTS))
    return change(body, draw(st.integers(0, len(body))), draw(st.binary(max_size=8)))
