"""What a Messages request means: from the wire types to the kernel's `Request`.

Whatever cannot be expressed is refused here with the JSON path of the member at fault; nothing
is dropped but what has no effect. Members that nobody here understands travel on as raw JSON.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from glasslipper.gateway.dialects.body import invalid, parse, unknown
from glasslipper.gateway.dialects.messages import wire
from glasslipper.gateway.dialects.messages.blocks import parsed
from glasslipper.gateway.dialects.messages.kinds import (
    DIALECT,
    MessagesReasoning,
    MessagesRequest,
    MessagesTool,
)
from glasslipper.gateway.dialects.messages.turns import marked, messages_of, told
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.messages import (
    HostedTool,
    Need,
    Reasoning,
    Request,
    ResponseFormat,
    Sampling,
    Tool,
    ToolChoice,
)

MAX_BETAS = 64

_BETA = re.compile(r"[A-Za-z0-9._-]{1,128}")
_COUNT: Decoder[wire.CountRequest] = Decoder(wire.CountRequest)
_TOOL = Decoder(wire.Tool)
_FULL: Decoder[wire.MessagesRequest] = Decoder(wire.MessagesRequest)
_COUNTED = frozenset(wire.CountRequest.__struct_fields__)
_UNDERSTOOD = frozenset(wire.MessagesRequest.__struct_fields__) - wire.CHECKED_ONLY


def decode(body: bytes, *, betas: str | None = None) -> Request:
    """Return the request that a Messages body makes; `betas` is the header `anthropic-beta`.

    Raises:
        BadJSON: The body is not JSON in UTF-8.
        InvalidRequest: A member has the wrong type or value; `param` is its JSON path.
    """
    ask = parse(body, _FULL)
    request = _request(ask, betas=betas)
    return msgspec.structs.replace(
        request,
        stream=bool(ask.stream),
        sampling=Sampling(
            max_tokens=ask.max_tokens,
            temperature=ask.temperature,
            top_p=ask.top_p,
            top_k=ask.top_k,
            stop=tuple(ask.stop_sequences or ()),
        ),
        models=_models(ask),
        service_tier=ask.service_tier,
        user=ask.metadata.user_id if ask.metadata else None,
        session_id=ask.session_id,
        extra=_without_nulls(unknown(body, _UNDERSTOOD)),
    )


def count_tokens(body: bytes, *, betas: str | None = None) -> Request:
    """Return the request whose prompt a body for /messages/count_tokens wants to have counted.

    Raises:
        BadJSON: The body is not JSON in UTF-8.
        InvalidRequest: A member has the wrong type or value; `param` is its JSON path.
    """
    request = _request(parse(body, _COUNT), betas=betas)
    return msgspec.structs.replace(request, extra=_without_nulls(unknown(body, _COUNTED)))


def _request(ask: wire.CountRequest, *, betas: str | None) -> MessagesRequest:
    tools, hosted = _tools(ask.tools or ())
    needs = [_need(tool, ask.tools or ()) for tool in hosted[:1]]
    messages = messages_of(ask.system, ask.messages, needs)
    parallel = ask.tool_choice.disable_parallel_tool_use if ask.tool_choice else None
    return MessagesRequest(
        model=ask.model,
        messages=messages,
        tools=tools,
        hosted=hosted,
        needs=needs[0] if needs else None,
        tool_choice=_tool_choice(ask.tool_choice, (*tools, *hosted)),
        parallel_tool_calls=None if parallel is None else not parallel,
        response_format=_response_format(ask.output_config),
        reasoning=_reasoning(ask),
        betas=_betas(betas),
    )


def _without_nulls(extra: dict[str, Raw]) -> dict[str, Raw]:
    return {name: raw for name, raw in extra.items() if bytes(raw) != b"null"}


def _betas(header: str | None) -> tuple[str, ...]:
    names = [name.strip() for name in (header or "").split(",")]
    return tuple(name for name in names if _BETA.fullmatch(name))[:MAX_BETAS]


def _models(ask: wire.MessagesRequest) -> tuple[str, ...]:
    if ask.models and ask.fallbacks:
        raise InvalidRequest(
            "`$.fallbacks` and `$.models` say the same thing.",
            param="$.fallbacks",
            hint="Send one of the two.",
        )
    names = [each.model for each in ask.fallbacks or ()] or ask.models or []
    return tuple(dict.fromkeys(name for name in names if name != ask.model))


def _tools(given: Sequence[Raw]) -> tuple[tuple[Tool, ...], tuple[HostedTool, ...]]:
    """Return the client's own tools, and those that Anthropic runs or defines."""
    tools: list[Tool] = []
    hosted: list[HostedTool] = []
    for at, raw in enumerate(given):
        tool = parsed(raw, _TOOL, f"$.tools[{at}]")
        if tool.type in (None, "custom"):
            tools.append(_tool(tool, f"$.tools[{at}]"))
        else:
            name = tool.name or tool.type or ""
            hosted.append(HostedTool(dialect=DIALECT, name=name, raw=raw.copy(), place=len(tools)))
    return tuple(tools), tuple(hosted)


def _need(hosted: HostedTool, given: Sequence[Raw]) -> Need:
    at = next(at for at, raw in enumerate(given) if bytes(raw) == bytes(hosted.raw))
    kind = parsed(hosted.raw, _TOOL, f"$.tools[{at}]").type or ""
    return Need(dialect=DIALECT, path=f"$.tools[{at}].type", what=kind)


def _tool(tool: wire.Tool, path: str) -> Tool:
    if not tool.name:
        raise invalid(f"{path}.name", "is required")
    if tool.input_schema is None:
        raise invalid(f"{path}.input_schema", "is required")
    cache = marked(tool.cache_control)
    more = told(
        allowed_callers=tool.allowed_callers,
        defer_loading=tool.defer_loading,
        eager_input_streaming=tool.eager_input_streaming,
        input_examples=tool.input_examples,
    )
    plain = Tool(
        name=tool.name,
        description=tool.description or "",
        parameters=tool.input_schema,
        strict=tool.strict,
    )
    if not (cache or more):
        return plain
    return MessagesTool(**msgspec.structs.asdict(plain), cache=cache, more=more)


def _tool_choice(choice: wire.ToolChoice | None, tools: Sequence[Tool | HostedTool]) -> ToolChoice:
    if choice is None or choice.type == "auto":
        return ToolChoice()
    if choice.type == "none":
        return ToolChoice(mode="none")
    if not tools:
        raise invalid("$.tool_choice", "a call is required, but there are no `tools`")
    if choice.type == "any":
        return ToolChoice(mode="required")
    if all(tool.name != choice.name for tool in tools):
        raise invalid("$.tool_choice.name", "none of the `tools` has this name")
    return ToolChoice(mode="required", name=choice.name)


def _response_format(config: wire.OutputConfig | None) -> ResponseFormat:
    if config is None or config.format is None:
        return ResponseFormat()
    return ResponseFormat(kind="json_schema", schema=config.format.schema, strict=True)


def _reasoning(ask: wire.CountRequest) -> Reasoning | None:
    think = ask.thinking
    effort = ask.output_config.effort if ask.output_config else None
    if think is None and effort is None:
        return None
    if think is None:
        return MessagesReasoning(effort=effort)
    if think.type == "enabled" and think.budget_tokens is None:
        raise invalid("$.thinking.budget_tokens", "is required")
    if isinstance(ask, wire.MessagesRequest) and (think.budget_tokens or 0) >= ask.max_tokens > 0:
        raise invalid("$.thinking.budget_tokens", "must be less than `max_tokens`")
    return MessagesReasoning(
        enabled=think.type in ("enabled", "adaptive"),
        effort=effort,
        max_tokens=think.budget_tokens if think.type == "enabled" else None,
        thinking=msgspec.to_builtins(think),
    )
