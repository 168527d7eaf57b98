"""The body of a Messages request: the kernel's `Request` in Anthropic's words.

What came in the same words goes on in them. What came in others is fitted to what the model
takes: effort becomes a word or a budget below `max_tokens`, what thinking forbids is left out, and
so are hints that Anthropic does not know. A JSON Schema for the answer goes into
`output_config.format`; free-form JSON is refused, for the API has no such mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec
from msgspec import Raw

from glasslipper.gateway.dialects.messages.kinds import (
    MessagesReasoning,
    MessagesRequest,
    MessagesTool,
)
from glasslipper.gateway.providers.anthropic.models import Traits, traits
from glasslipper.gateway.providers.anthropic.turns import Block, Json, marked, turns_of
from glasslipper.kernel.errors import InvalidRequest, Unsupported
from glasslipper.kernel.messages import Reasoning, Request, ResponseFormat, Tool

ROUTING = frozenset(
    {
        "debug",
        "fallbacks",
        "models",
        "plugins",
        "preset",
        "provider",
        "route",
        "session_id",
        "stop_server_tools_when",
        "trace",
        "transforms",
        "usage",
    }
)
"""Members that only OpenRouter, or a gateway like it, understands."""

SHARED = frozenset({"cache_control", "context_management", "inference_geo", "speed", "thinking"})
"""Anthropic's members that clients of other dialects may send too."""

COUNTED = frozenset(
    {"messages", "model", "output_config", "system", "thinking", "tool_choice", "tools"}
)
"""Members that go into the prompt, and so into its count."""

MIN_BUDGET = 1024
"""The smallest budget for thinking that Anthropic accepts."""

_SHARES = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""What part of `max_tokens` an effort is worth, where thinking wants a budget."""

_TIERS = {
    "auto": "auto",
    "priority": "auto",
    "default": "standard_only",
    "standard_only": "standard_only",
}

_encoder = msgspec.json.Encoder()


def encode_request(request: Request, *, upstream_model: str, default_max_tokens: int) -> bytes:
    """Return the JSON body that asks Anthropic for what the request asks.

    `default_max_tokens` is for a request that does not say how long the answer may be.

    Raises:
        InvalidRequest: The request holds what JSON or the format cannot carry.
    """
    body = _body(request, upstream_model, default_max_tokens)
    if request.stream:
        body["stream"] = True
    return _json(body)


def encode_count(request: Request, *, upstream_model: str, default_max_tokens: int) -> bytes:
    """Return the JSON body that asks how many tokens the prompt of the request has.

    Raises:
        InvalidRequest: The request holds what JSON or the format cannot carry.
    """
    body = _body(request, upstream_model, default_max_tokens)
    return _json({name: value for name, value in body.items() if name in COUNTED})


def _body(request: Request, upstream_model: str, default_max_tokens: int) -> Json:
    known = traits(upstream_model)
    turns = turns_of(request)
    max_tokens = _max_tokens(request, default_max_tokens)
    body: Json = {
        "model": upstream_model,
        "max_tokens": max_tokens,
        "messages": turns.messages,
        **({"system": turns.system} if turns.system else {}),
        **_tools(request),
        **_labels(request),
        **_extra(request),
    }
    body |= _thinking(request, known, body)
    body |= _output_config(request, known)
    return body | _sampling(request, known, body)


def _json(body: Json) -> bytes:
    try:
        return _encoder.encode(body)
    except (RecursionError, UnicodeEncodeError) as error:
        raise InvalidRequest(f"The request cannot be written as JSON: {error}.") from None


def _max_tokens(request: Request, default: int) -> int:
    if request.sampling.max_tokens is not None:
        return request.sampling.max_tokens
    budget = request.reasoning.max_tokens if request.reasoning else None
    return default if budget is None else budget + default


def _labels(request: Request) -> Json:
    body: Json = {}
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    tier = _TIERS.get(request.service_tier or "")
    if tier is not None:
        body["service_tier"] = tier
    return body


def _extra(request: Request) -> Json:
    if isinstance(request, MessagesRequest):
        return {name: raw for name, raw in request.extra.items() if name not in ROUTING}
    return {name: raw for name, raw in request.extra.items() if name in SHARED}


def _sampling(request: Request, known: Traits, body: Json) -> Json:
    asked = request.sampling
    told: Json = {"stop_sequences": asked.stop or None}
    choice: Json = {
        "temperature": None if asked.temperature is None else min(asked.temperature, 1.0),
        "top_p": asked.top_p,
        "top_k": asked.top_k,
    }
    if isinstance(request, MessagesRequest):
        told |= choice
    elif not known.is_fixed and not _thinks(body):
        # Later models take a temperature or a share, not both.
        told |= {**choice, "top_p": asked.top_p if asked.temperature is None else None}
    return {name: value for name, value in told.items() if value is not None}


def _thinks(body: Json) -> bool:
    thinking = body.get("thinking")
    if not isinstance(thinking, Mapping):
        return thinking is not None
    return cast("Mapping[str, object]", thinking).get("type") in ("enabled", "adaptive")


# thinking


def _thinking(request: Request, known: Traits, body: Json) -> Json:
    wish = request.reasoning
    if wish is None or "thinking" in body:
        return {}
    max_tokens = cast("int", body["max_tokens"])
    if isinstance(wish, MessagesReasoning):
        return _as_written(wish, max_tokens)
    if wish.enabled is False or wish.effort == "none":
        return {"thinking": {"type": "disabled"}} if known.is_adaptive else {}
    if _forces_a_call(request):
        return {}
    if known.is_fixed or (known.is_adaptive and wish.max_tokens is None):
        display = "omitted" if wish.exclude else "summarized"
        return {"thinking": {"type": "adaptive", "display": display}}
    budget = _budget(wish, max_tokens)
    if budget is None or _resumes_without_thinking(body):
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _as_written(wish: MessagesReasoning, max_tokens: int) -> Json:
    """Return the client's own object, its budget below what the gateway allows by now."""
    budget = wish.thinking.get("budget_tokens")
    if not wish.thinking:
        return {}
    if not isinstance(budget, int) or budget < max_tokens:
        return {"thinking": wish.thinking}
    if max_tokens <= MIN_BUDGET:
        return {"thinking": {"type": "disabled"}}
    return {"thinking": {**wish.thinking, "budget_tokens": max_tokens - 1}}


def _budget(wish: Reasoning, max_tokens: int) -> int | None:
    """Return a budget that Anthropic accepts, or `None` if the answer is too short for any."""
    if max_tokens <= MIN_BUDGET:
        return None
    asked = wish.max_tokens
    if asked is None:
        asked = int(max_tokens * _SHARES[wish.effort or "medium"])
    return min(max(asked, MIN_BUDGET), max_tokens - 1)


def _forces_a_call(request: Request) -> bool:
    return bool(request.tools or request.hosted) and request.tool_choice.mode == "required"


def _resumes_without_thinking(body: Json) -> bool:
    """Tell whether an assistant waits for results of calls that no thinking went before.

    Anthropic refuses to think within a budget there; it happens where another model made the calls.
    """
    messages = cast("list[Json]", body["messages"])
    if len(messages) < 2 or messages[-1]["role"] != "user":
        return False
    last, before = (cast("list[Block]", message["content"]) for message in reversed(messages[-2:]))
    if all(_type(block) != "tool_result" for block in last):
        return False
    return _type(before[0]) not in ("thinking", "redacted_thinking")


def _type(block: Block) -> object:
    return None if isinstance(block, Raw) else block["type"]


def _output_config(request: Request, known: Traits) -> Json:
    config: Json = {}
    effort = _effort(request.reasoning, known)
    if effort is not None:
        config["effort"] = effort
    if request.response_format.kind != "text":
        config["format"] = _format(request.response_format)
    return {"output_config": config} if config else {}


def _effort(wish: Reasoning | None, known: Traits) -> str | None:
    if wish is None or wish.effort in (None, "none"):
        if wish is None or isinstance(wish, MessagesReasoning) or not known.is_fixed:
            return None
        return _effort_of_budget(wish.max_tokens)
    if isinstance(wish, MessagesReasoning):
        return wish.effort
    if not known.is_adaptive:
        return None
    if wish.effort == "minimal":
        return "low"
    return "high" if wish.effort == "xhigh" and not known.knows_xhigh else wish.effort


def _effort_of_budget(budget: int | None) -> str | None:
    if budget is None:
        return None
    return "low" if budget <= 2048 else "medium" if budget <= 8192 else "high"


def _format(wanted: ResponseFormat) -> Json:
    if wanted.kind != "json_schema" or wanted.schema is None:
        raise Unsupported(
            "Anthropic's models give JSON only by a schema.",
            param="$.response_format",
            hint="Ask for `json_schema`, or for a tool call.",
        )
    return {"type": "json_schema", "schema": wanted.schema}


# tools


def _tools(request: Request) -> Json:
    if not (request.tools or request.hosted):
        return {}
    tools: list[Json | Raw] = [_tool(tool) for tool in request.tools]
    for tool in reversed(request.hosted):
        tools.insert(tool.place, tool.raw)
    body: Json = {"tools": tools}
    choice = _tool_choice(request)
    if choice is not None:
        body["tool_choice"] = choice
    return body


def _tool(tool: Tool) -> Json:
    body: Json = {"name": tool.name, "input_schema": {"type": "object", **tool.parameters}}
    if tool.description:
        body["description"] = tool.description
    if tool.strict is not None:
        body["strict"] = tool.strict
    if isinstance(tool, MessagesTool):
        return marked({**body, **tool.more}, tool.cache)
    return body


def _tool_choice(request: Request) -> Json | None:
    wanted, parallel = request.tool_choice, request.parallel_tool_calls
    if wanted.mode == "none":
        return {"type": "none"}
    if wanted.mode == "auto" and parallel is None:
        return None
    choice: Json = {"type": "auto" if wanted.mode == "auto" else "any"}
    if wanted.name is not None:
        choice = {"type": "tool", "name": wanted.name}
    if parallel is not None:
        choice["disable_parallel_tool_use"] = not parallel
    return choice
